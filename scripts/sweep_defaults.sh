#!/usr/bin/env bash
# What a sweep finds for the ranking of configs/quickstart.yaml, on two public sets: BEIR folders under DATA.
#   bash scripts/sweep_defaults.sh DATA [OUT]
# Each set is parted by document; settings are chosen on the tuning part, the winner is measured once on the test part.
# Writes OUT/SET.json and OUT/SET.html, quality against time.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
out=${2:-.ragkit/sweep}

for set in cranfield xquad-en; do
  ragkit eval split "$data/$set" --out "$out/$set"
  cat > "$out/$set/suite.yaml" <<EOF
name: $set
corpus: [$(realpath "$data/$set/corpus.jsonl")]
data:
  - {path: tuning.jsonl, part: tuning}
  - {path: test.jsonl}
EOF
  ragkit eval sweep --suite "$out/$set/suite.yaml" --config configs/quickstart.yaml \
    --try retrieval.fusion.method=dbsf,rrf,weighted --try retrieval.feedback.method=none,rm3 \
    --try retrieval.neighbours.method=none,smooth --try retrieval.candidates=50,200 \
    --html "$out/$set.html" --json > "$out/$set.json"
  python -m json.tool "$out/$set.json"
done
