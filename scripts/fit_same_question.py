"""Would a small classifier of pairs find more hits than the rules of same_question.py, at no more wrong ones?

    python scripts/fit_same_question.py DATA

The pairs are each question of the tuning part of `measure_cache.py` with its nearest ones, by folds that share no
source question and no intent. A logistic regression reads what is known of a pair without a further model: the cosine,
the overlap of words by their rarity, and which kinds of differences the rules find. Its threshold is the least that
lets no wrong pair of the other folds through. Printed are right and wrong pairs of the folds that it did not see.
"""

from __future__ import annotations

import argparse
import math
import random
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure_cache import CANDIDATES, LEAST, SEED, Asked, Count, stream
from sklearn import linear_model

from ragkit import Config
from ragkit.embed import make_embedder
from ragkit.gateway.same_question import differences, reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
KINDS = (
    *("numbers", "units", "words", "kind of answer", "question words", "negation", "direction", "person", "time"),
    *("obligation", "ability", "order", "nothing"),
)


def fold_of(asked: Asked) -> int:
    source = asked.group.split("/")[0] if asked.group.startswith("q") else asked.group
    return zlib.crc32(source.encode()) % FOLDS


def overlap(one: str, other: str, rarity: dict[str, float]) -> float:
    mine, theirs = set(reading(one).content), set(reading(other).content)
    every = sum(rarity[word] for word in mine | theirs)
    return sum(rarity[word] for word in mine & theirs) / every if every else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    asked = [each for group in stream(parser.parse_args().data, "tune", random.Random(SEED)) for each in group]
    vectors = make_embedder(Config().ingestion.embedding).embed_questions([each.text for each in asked])
    cosines = vectors @ vectors.T
    counts = Counter(word for each in asked for word in set(reading(each.text).content))
    rarity = {word: math.log(len(asked) / n) for word, n in counts.items()}
    rows: list[list[float]] = []
    right: list[bool] = []
    folds: list[tuple[int, int]] = []
    for place, one in enumerate(asked):
        for near in [int(each) for each in np.argsort(-cosines[place])[: CANDIDATES + 1]]:
            other = asked[near]
            told = Count().add(one, other) if near > place and cosines[place, near] >= LEAST else None
            if told is None:
                continue
            found = differences(one.text, other.text)
            kinds = [float(any(each.startswith(kind) for each in found)) for kind in KINDS]
            words = next((each.count(",") + 1 for each in found if each.startswith("words")), 0)
            same = overlap(one.text, other.text, rarity)
            rows.append([float(cosines[place, near]), same, float(words), float(len(found)), *kinds])
            right.append(told)
            folds.append((fold_of(one), fold_of(other)))
    features: NDArray[np.float64] = np.array(rows)
    labels: NDArray[np.bool_] = np.array(right)
    places: NDArray[np.int_] = np.array(folds)
    ruled: NDArray[np.bool_] = features[:, 3] == 0
    print(f"{len(labels)} pairs, {labels.sum()} right; by the rules {told_of(labels, ruled)}")
    alone, either = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    both = np.zeros(len(labels), dtype=bool)
    untyped: Any = linear_model  # scikit-learn has no types
    for fold in range(FOLDS):
        seen, held = np.all(places != fold, axis=1), np.any(places == fold, axis=1)
        scale: NDArray[np.float64] = features[seen].std(axis=0) + 1e-9
        model = untyped.LogisticRegression(C=1.0, max_iter=2000).fit(features[seen] / scale, labels[seen])
        scores: NDArray[np.float64] = model.decision_function(features / scale)
        least = float(scores[seen & ~labels].max())
        alone |= held & (scores > least)
        either |= held & ((scores > least) | ruled)
        lowest = float(scores[seen & labels & ruled].min())
        both |= held & ruled & (scores >= lowest)
    print(f"in the folds not seen: the classifier alone {told_of(labels, alone)}")
    print(
        f"  the rules or the classifier {told_of(labels, either)}; the rules and the classifier {told_of(labels, both)}"
    )


def told_of(labels: NDArray[np.bool_], given: NDArray[np.bool_]) -> str:
    return f"{(labels & given).sum()} right, {(~labels & given).sum()} wrong"


if __name__ == "__main__":
    main()
