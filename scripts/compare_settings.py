"""Is one setting of the system better than another on a data set? Paired, with an interval.

    python scripts/compare_settings.py DIR ingestion.chunking.contextual_header true false [--ignore-identical-ids]

DIR is a BEIR folder; KEY takes the two values in turn under configs/quickstart.yaml. Prints nDCG@10 and recall@10 of
both and the paired difference (second minus first) with a 95% bootstrap interval over the queries.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ragkit.config.load import load_config
from ragkit.evaluate.retrieval import evaluate_retrieval
from ragkit.evaluate.statistics import paired_difference

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("key")
    parser.add_argument("values", nargs=2)
    parser.add_argument("--ignore-identical-ids", action="store_true")
    given = parser.parse_args()
    runs = [
        evaluate_retrieval(
            load_config(CONFIG, [f"{given.key}={value}"]).config,
            given.dataset,
            ignore_identical_ids=given.ignore_identical_ids,
        )
        for value in given.values
    ]
    for measure in ("ndcg@10", "recall@10"):
        first, second = (values[measure] for _, values in runs)
        difference = paired_difference([first[query] for query in first], [second[query] for query in first])
        print(
            f"{given.dataset.name} {measure}: {given.values[0]} {runs[0][0]['metrics'][measure]:.4f},"
            f" {given.values[1]} {runs[1][0]['metrics'][measure]:.4f}, difference {difference.mean:+.4f}"
            f" ({difference.low:+.4f} to {difference.high:+.4f}, {len(first)} queries)"
        )


if __name__ == "__main__":
    main()
