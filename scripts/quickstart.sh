#!/usr/bin/env bash
# From a bare checkout to answered questions: makes .venv, installs ragkit, indexes eval/samples, asks three questions.
# Run it again: it installs nothing, indexes only what changed, and answers.
# Needs Python 3.11 to 3.13 and a package index; no GPU, no Docker, no key.
#   PYTHON=python3.12 bash scripts/quickstart.sh      to choose the interpreter
#   bash scripts/quickstart.sh --llm                  also a language model on this machine: its answer beside the extractive
#                                                     one (1.1 GB more; llama.cpp is compiled, which takes some minutes)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

find_python() {
  for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "ragkit needs Python 3.11 to 3.13; set PYTHON=/path/to/python3.11" >&2
  exit 2
}

case ${1:-} in
  "") extras=local ;;
  --llm) extras=local,llama-cpp ;;
  *) echo "usage: bash scripts/quickstart.sh [--llm]" >&2 && exit 2 ;;
esac
bash scripts/install.sh "$(find_python)" "$extras"
ragkit=.venv/bin/ragkit

say "Index eval/samples: the handbook of a fictitious product in eight formats"
$ragkit index --config configs/quickstart.yaml

ask() {
  say "\$ ragkit ask \"$1\""
  $ragkit ask "$1" --config configs/quickstart.yaml
}
ask "For how many days is an RMA number valid?"
ask "Where is the batch number of a P85 probe printed?"
ask "What is the mean time between failures (MTBF) of the Hub H4?"

if [ "$extras" != local ]; then
  say "The same question, answered by a language model of 1.5 billion parameters on this machine"
  $ragkit models fetch qwen2.5-coder-1.5b-instruct
  say "\$ ragkit ask \"For how many days is an RMA number valid?\" --stream --config configs/local-llm.yaml"
  $ragkit ask "For how many days is an RMA number valid?" --config configs/local-llm.yaml --stream
fi

say "What to type next"
cat <<'NEXT'
  source .venv/bin/activate
  ragkit ask "How long are calibration records kept?" -c configs/quickstart.yaml
  ragkit search "battery life" -c configs/quickstart.yaml --explain
  ragkit why "How long are calibration records kept?" --document calibration-procedure.pdf -c configs/quickstart.yaml
  ragkit init && ragkit index ~/your/documents          your own files, with a commented ragkit.yaml
NEXT
