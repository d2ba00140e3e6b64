#!/usr/bin/env bash
# From a bare checkout to answered questions: makes .venv, installs ragkit, indexes eval/samples, asks three questions.
# Run it again: it installs nothing, indexes only what changed, and answers.
# Needs Python 3.11 to 3.13 and a package index; no GPU, no Docker, no key.
#   PYTHON=python3.12 bash scripts/quickstart.sh      to choose the interpreter
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

bash scripts/install.sh "$(find_python)" local
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

say "What to type next"
cat <<'NEXT'
  source .venv/bin/activate
  ragkit ask "How much does a Hub H4 weigh?" -c configs/quickstart.yaml
  ragkit search "battery life" -c configs/quickstart.yaml --explain
  ragkit why "How long is the warranty?" --document policies/warranty-and-returns.pdf -c configs/quickstart.yaml
  ragkit init && ragkit index ~/your/documents          your own files, with a commented ragkit.yaml
NEXT
