#!/usr/bin/env bash
# The whole check: lint, types, unit tests, integration tests. Installs what it needs. Ends with pytest's summary line.
#   bash scripts/test.sh            everything
#   bash scripts/test.sh unit       lint, types and unit tests only
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}

bash scripts/install.sh "${PYTHON:-python3.11}" dev
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/pyright
if [ "$what" = unit ]; then
  exec .venv/bin/python -m pytest -q -n 2 -m "not integration and not data"
fi
began=$SECONDS
.venv/bin/python -m pytest -q -n 2 -m "not integration and not data"
echo "unit tests: $((SECONDS - began)) s"
exec .venv/bin/python -m pytest -q -m "integration or data"
