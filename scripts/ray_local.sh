#!/usr/bin/env bash
# A Ray cluster of two nodes, of one CPU each, on this machine: for trying `ingestion.engine: ray`, and for its tests.
# Every port is bound to 127.0.0.1, and a token that only this user can read keeps others of this machine out.
#   bash scripts/ray_local.sh start    starts it and prints how to use it
#   bash scripts/ray_local.sh stop     ends it
# PYTHON is an interpreter with ragkit[ray] (.venv/bin/python), RAGKIT_RAY the folder of its state (.ragkit/ray).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
state=${RAGKIT_RAY:-.ragkit/ray}

running() { [ -f "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null; }

stop() {
  if running; then
    kill "$(cat "$state/pid")"
    for _ in $(seq 300); do running || break; sleep 0.1; done
    if running; then kill -9 "$(cat "$state/pid")"; fi
  fi
  # Ray's sockets and logs lie where their names are short enough for a socket.
  if [ -f "$state/temp" ]; then rm -rf "$(cat "$state/temp")"; fi
  rm -rf "$state"
}

start() {
  if running; then
    echo "it runs already; to end it: bash scripts/ray_local.sh stop" >&2
    exit 1
  fi
  stop
  mkdir -p "$state"
  mktemp -d "${TMPDIR:-/tmp}/ray-XXXXXX" >"$state/temp"
  (umask 077 && "$python" -c 'import secrets; print(secrets.token_hex(32), end="")' >"$state/token")
  # The first of these makes Ray call a machine 127.0.0.1, and so listen there only.
  export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 RAY_USAGE_STATS_ENABLED=0
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$(realpath "$state")/token"
  setsid "$python" - "$(cat "$state/temp")" "$state/address" >"$state/log" 2>&1 <<'PYTHON' &
import signal
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

temp, address = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "temp_dir": temp})
try:
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    part = Path(f"{address}.part")
    part.write_text(cluster.address, encoding="ascii")
    part.rename(address)
    signal.pause()
finally:
    cluster.shutdown()
PYTHON
  echo $! >"$state/pid"
  for _ in $(seq 600); do
    [ -f "$state/address" ] && break
    if ! running; then cat "$state/log" >&2; stop; exit 1; fi
    sleep 0.1
  done
  if [ ! -f "$state/address" ]; then echo "Ray did not start within a minute" >&2; stop; exit 1; fi
  cat <<TEXT
Two nodes at $(cat "$state/address"). To index through them:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH
  ragkit index PATH --set ingestion.engine=ray --set ingestion.ray.address=$(cat "$state/address")
To end them: bash scripts/ray_local.sh stop
TEXT
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) sed -n '2,7p' "$0" | cut -c3-; exit 2 ;;
esac
