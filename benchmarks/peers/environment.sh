#!/usr/bin/env bash
# Makes an environment with decent-bench alone, for `python -m benchmarks.peers`.
# usage: environment.sh [FOLDER], with a Python of 3.13 or later, which the peer needs, in PYTHON if it is not python3.13
set -euo pipefail
folder=${1:-.venv/decent-bench}
python=${PYTHON:-python3.13}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
    echo "decent-bench 0.3.0 needs Python 3.13 or later: name one in PYTHON; tried $python" >&2
    exit 1
fi
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet decent-bench==0.3.0
"$folder/bin/python" -c 'from importlib.metadata import version; print("decent-bench", version("decent-bench"))'
