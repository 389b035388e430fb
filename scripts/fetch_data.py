"""Have every data set that can be downloaded in the cache, and read it once: `python scripts/fetch_data.py`."""

from jaxdec import data
from jaxdec.data import svmlight


def main() -> None:
    for name in svmlight.SHA256:
        print(data.libsvm(name).inputs.shape, name)
    for load in (data.mnist, data.fashion_mnist, data.cifar10):
        print(load().inputs.shape, load.__name__)


if __name__ == "__main__":
    main()
