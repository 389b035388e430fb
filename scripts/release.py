"""Build the wheel and the source archive, and check them as a user would meet them: `python scripts/release.py`.

Uploads nothing: `twine upload` does, once this has passed. The recipe for conda-forge is written into dist/, too, with
the archive's checksum. Needs the extra `release`.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_WHEEL = ("jaxdec/__init__.py", "jaxdec/__init__.pyi", "jaxdec/py.typed", "jaxdec/cli.py")
IN_ARCHIVE = (
    "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "conda/recipe.yaml", "docs/conf.py",
    "tests/conftest.py",
)  # fmt: skip
RECIPE = Path("conda") / "recipe.yaml"
SAY = "import jaxdec; print(jaxdec.__version__)"


def version(root: Path) -> str:
    """The version, on which everything that names it agrees.

    Raises:
        ValueError: naming the files that do not agree, and what they say.
    """
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    said = {
        "jaxdec/__init__.py": re.findall(
            r'^__version__ = "(.*)"$', (root / "jaxdec" / "__init__.py").read_text(), re.M
        ),
        "CITATION.cff": re.findall(r"^version: (.*)$", (root / "CITATION.cff").read_text(), re.M),
        "conda/recipe.yaml": re.findall(r'^  version: "(.*)"$', (root / RECIPE).read_text(), re.M),
        "CHANGELOG.md": re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), re.M)[
            :1
        ],
    }
    if wrong := {name: found for name, found in said.items() if found != [declared]}:
        raise ValueError(
            f"pyproject.toml has version {declared}, but "
            + ", ".join(f"{name} has {found[0] if found else 'none'}" for name, found in wrong.items())
            + ". Write the same version in all of them; in CHANGELOG.md it is the newest that has a date"
        )
    return declared


def lacking(names: Iterable[str], wanted: Iterable[str], where: str) -> None:
    """Refuse an archive that lacks something.

    Raises:
        ValueError: naming it.
    """
    names = set(names)
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{where} lacks {', '.join(missing)}; see [tool.hatch.build] in pyproject.toml")


def recipe(root: Path, archive: bytes) -> str:
    """The recipe for conda-forge, of an archive that is uploaded."""
    return (root / RECIPE).read_text().replace("CHECKSUM", hashlib.sha256(archive).hexdigest())


def shell(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints.

    Raises:
        SystemExit: if it fails, with all that it has printed.
    """
    print("$", *command, flush=True)
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # or the checkout is imported
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=outside, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed with status {done.returncode}")
    return done.stdout


def main() -> None:
    declared = version(ROOT)
    dist = ROOT / "dist"
    wheel, archive = dist / f"jaxdec-{declared}-py3-none-any.whl", dist / f"jaxdec-{declared}.tar.gz"
    for old in (wheel, archive):
        old.unlink(missing_ok=True)
    shell(sys.executable, "-m", "build", "--outdir", dist)
    shell(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    with zipfile.ZipFile(wheel) as opened:
        lacking(opened.namelist(), IN_WHEEL, wheel.name)
    with tarfile.open(archive) as opened:
        lacking((name.partition("/")[2] for name in opened.getnames()), IN_ARCHIVE, archive.name)
    (dist / RECIPE.name).write_text(recipe(ROOT, archive.read_bytes()))
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        venv.create(python.parents[1], with_pip=True)
        shell(python, "-m", "pip", "install", "-q", wheel)
        installed = shell(python, "-c", SAY, cwd=Path(folder)).strip()
        if installed != declared:
            raise ValueError(f"the wheel is of version {declared}, and jaxdec.__version__ is {installed}")
        if "GradientTracking" not in (listed := shell(python.with_name("jaxdec"), "list", cwd=Path(folder))):
            raise ValueError(f"`jaxdec list` of the installed wheel prints no GradientTracking:\n{listed}")
    print(f"{wheel.name} and {archive.name} are ready: twine upload dist/jaxdec-{declared}*; then dist/{RECIPE.name}")


if __name__ == "__main__":
    main()
