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
made=(pid temp token address address.part log)

complain() { echo "$1" >&2; exit 1; }

ours() {
  # Nothing but files that this script makes; whatever else the folder of the state may be is not for it to remove.
  [ -e "$state" ] || [ -L "$state" ] || return 0
  [ -d "$state" ] && [ ! -L "$state" ] || return 1
  local path name
  while IFS= read -r -d '' path; do
    name=${path##*/}
    [ -f "$path" ] && [[ " ${made[*]} " == *" $name "* ]] || return 1
  done < <(find "$state" -mindepth 1 -maxdepth 1 -print0)
}

temp() {
  # The folder of Ray's sockets and logs, if the state names one that this script has made.
  local temp
  [ -f "$state/temp" ] && temp=$(cat "$state/temp") || return 0
  if [[ "$temp" =~ ^/.*/ray-[a-z0-9_]{8}$ ]] && [ -O "$temp" ] && [ -f "$temp/of-ragkit" ]; then echo "$temp"; fi
}

running() {
  # A process that has the folder among its arguments; its number alone may have become that of another.
  local pid temp arguments
  temp=$(temp)
  [ -n "$temp" ] && [ -f "$state/pid" ] && pid=$(cat "$state/pid") && [[ "$pid" =~ ^[1-9][0-9]*$ ]] || return 1
  if [ -d /proc/self ]; then
    arguments=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
  else
    arguments=$(ps -ww -o args= -p "$pid") || return 1
  fi
  [[ "$arguments" == *" $temp "* ]]
}

stop() {
  ours || complain "$state holds what this script has not made; name another folder in RAGKIT_RAY"
  if running; then
    kill "$(cat "$state/pid")" 2>/dev/null || true
    for _ in $(seq 300); do running || break; sleep 0.1; done
    if running; then kill -9 "$(cat "$state/pid")" 2>/dev/null || true; fi
  fi
  local temp
  temp=$(temp)
  # Ray's sockets and logs lie where their names are short enough for a socket.
  if [ -n "$temp" ]; then rm -rf -- "$temp"; fi
  if [ -d "$state" ]; then
    for name in "${made[@]}"; do rm -f -- "$state/$name"; done
    rmdir -- "$state"
  fi
}

start() {
  if running; then complain "it runs already; to end it: bash scripts/ray_local.sh stop"; fi
  stop
  trap stop EXIT  # what does not start leaves nothing behind
  mkdir -p "$state"
  local temp
  temp=$("$python" -c 'import os, tempfile; print(os.path.realpath(tempfile.mkdtemp(prefix="ray-")))')
  touch "$temp/of-ragkit"
  mkdir "$temp/ray"  # where Ray notes the cluster, if this is where temporary folders are; it makes none itself
  echo "$temp" >"$state/temp"
  (umask 077 && "$python" -c 'import secrets; print(secrets.token_hex(32), end="")' >"$state/token")
  # The first of these makes Ray call a machine 127.0.0.1, and so listen there only.
  export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 RAY_USAGE_STATS_ENABLED=0
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$(realpath "$state")/token"
  TMPDIR=$temp setsid "$python" - "$temp" "$state/address" >"$state/log" 2>&1 <<'PYTHON' &
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
  local pid=$!
  echo "$pid" >"$state/pid"
  for _ in $(seq 600); do
    [ -f "$state/address" ] && break
    if ! kill -0 "$pid" 2>/dev/null; then cat "$state/log" >&2; exit 1; fi
    sleep 0.1
  done
  [ -f "$state/address" ] || complain "Ray did not start within a minute"
  trap - EXIT
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
