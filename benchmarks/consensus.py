"""How fast graphs reach consensus, as a figure. `python benchmarks/consensus.py [file]`, about a minute."""

import sys

import jax

from jaxdec.papers import base_graph

jax.config.update("jax_enable_x64", True)


def main(path: str = "consensus.png") -> None:
    dataset = base_graph.experiment()
    base_graph.figure(dataset).savefig(path)
    print(dataset["exact_after"].to_pandas().to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
