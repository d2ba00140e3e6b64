#!/usr/bin/env bash
# Make .venv and install ragkit with the given extras, pinned by constraints.txt. Does nothing if that was done before.
#   bash scripts/install.sh PYTHON EXTRAS        e.g. bash scripts/install.sh python3.11 dev
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 extras=$2

[ -x .venv/bin/python ] || "$python" -m venv .venv
# What decides the installation: the interpreter, the extras, and the two files that name the packages.
stamp=$(cat pyproject.toml constraints.txt | .venv/bin/python -c '
import hashlib, sys
print(hashlib.sha256((sys.version + sys.argv[1]).encode() + sys.stdin.buffer.read()).hexdigest())' "$extras")
if [ -f ".venv/ragkit-$extras" ] && [ "$(cat ".venv/ragkit-$extras")" = "$stamp" ]; then
  exit 0
fi
echo "Installing ragkit[$extras] into .venv (about 1.3 GB with torch; a few minutes the first time) ..."
.venv/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]"
echo "$stamp" >".venv/ragkit-$extras"
