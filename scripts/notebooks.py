"""Execute the notebooks and store what they show: `python scripts/notebooks.py [NAME ...]`, with the extra `test`."""

import argparse
from pathlib import Path

import nbclient
import nbformat

FOLDER = Path(__file__).parents[1] / "notebooks"


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs, without times and without warnings, which name files of this machine."""
    content = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(content, timeout=600, kernel_name="python3", record_timing=False).execute()
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="those to execute; none means all")
    asked = parser.parse_args().names
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not asked or path.stem in asked:
            nbformat.write(executed(path), path)
            print(path)
