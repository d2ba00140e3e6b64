#!/usr/bin/env bash
# Compare ragkit with other frameworks on this machine, and write docs/benchmarks.md (with benchmarks/*.json and *.svg).
#   bash scripts/bench.sh               all but the long ones
#   bash scripts/bench.sh list          what there is, and how long it takes
#   bash scripts/bench.sh NAME ...      some of them; run again, it goes on where it was
#   bash scripts/bench.sh NAME --quick  small inputs, to try it out
#   bash scripts/bench.sh profile       flame graphs of ragkit's paths into docs/benchmarks/profiles
# Makes .bench-venv with ragkit and its peers, pinned (eval/bench/requirements.txt, constraints.txt). Data sets are looked for
# in ../shared/data, or where RAGKIT_BENCH_DATA says; what needs them says so and is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.bench-venv

[ -x $venv/bin/python ] || "${PYTHON:-python3.11}" -m venv $venv
stamp=$(cat pyproject.toml constraints.txt eval/bench/requirements.txt | sha256sum)
if [ "$(cat $venv/stamp 2>/dev/null)" != "$stamp" ]; then
  echo "Installing ragkit and its peers into $venv (about 2 GB; a few minutes the first time) ..."
  # The peers' file comes first: it has every version that theirs and ours must agree on.
  $venv/bin/python -m pip install -q --disable-pip-version-check \
    --constraint constraints.txt --requirement eval/bench/requirements.txt --editable '.[local,serve,onnx,train]'
  echo "$stamp" >$venv/stamp
fi
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=2
if [ "${1:-}" = profile ]; then
  exec $venv/bin/python -m eval.bench.profile "${@:2}"
fi
exec $venv/bin/python -m eval.bench.run "$@"
