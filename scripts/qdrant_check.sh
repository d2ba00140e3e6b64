#!/bin/sh
# Run the contract that every store keeps against a real Qdrant server.
#
#   scripts/qdrant_check.sh [URL]      default http://localhost:6333
#
# To start one: docker compose up -d --wait qdrant
# Each test makes a collection named ragkit-test-... and drops it; nothing else on the server is touched.
set -eu

url="${1:-http://localhost:6333}"
cd "$(dirname "$0")/.."
python="python3"
[ -x .venv/bin/python ] && python=".venv/bin/python"

if ! curl --fail --silent --show-error --max-time 10 "$url/collections" >/dev/null; then
    echo "no Qdrant server at $url; start one: docker compose up -d --wait qdrant" >&2
    exit 2
fi
RAGKIT_TEST_QDRANT_URL="$url" exec "$python" -m pytest -k qdrant_server \
    tests/store/test_contract.py tests/store/test_filters.py tests/store/test_bm25.py
