"""Fit the model of `ragkit.generate.groundedness` and report it on what it has not seen.

    python scripts/fit_groundedness.py DATA_DIR

DATA_DIR holds begin-groundedness.jsonl.gz, squad-train.jsonl.gz and squad-test.jsonl.gz. Fitted on BEGIN's part dev and
on sentences of squad-train's paragraphs, each once as it stands (or without what stands before a comma) and once with
one thing changed: a name or a number for another of the same paragraph, a "not" put in or left out, two names swapped,
or a sentence of another paragraph of the article. Reported on BEGIN's part test and on squad-test: balanced accuracy at
.5 with a 95% bootstrap interval, beside plain overlap of words at the threshold that is best on BEGIN's dev part and,
paired, their difference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ragkit.evaluate.agreement import balanced_accuracy
from ragkit.evaluate.judges.exhibit import sentences
from ragkit.evaluate.statistics import Interval, paired_difference
from ragkit.generate.groundedness import FEATURES, features, least_backed, runs_of
from ragkit.generate.support import stem, support_score

SENTENCES = 1000
OVERLAP_FROM = 0.66
RIDGE = 1e-4
SHARE = 0.1
"""What the changed sentences count for beside BEGIN's responses: their wrong ones are all but right, which people's
labels rarely are, and of more weight they would ask for verbatim answers."""
DECIDES = -2.7
"""The weight at most of a missing number or name: either alone turns a sentence that is otherwise backed."""
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_WORD = re.compile(r"(?:[^\W_]|(?<=\d)[.,](?=\d))+")
_VERB = re.compile(r"\b(?:is|are|was|were|can|could|will|would|has|have|had|did|does)\b")


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence, evidence, whether it follows, and what was done to it."""

    sentence: str
    evidence: str
    follows: bool
    kind: str


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def begin(data: Path, part: str) -> list[Item]:
    """Responses that people called attributable or not; the few generic ones are left out."""
    rows = [row for row in rows_of(data / "begin-groundedness.jsonl.gz") if row["part"] == part]
    return [
        Item(row["response"], row["evidence"], row["label"] == "Fully attributable", row["model"])
        for row in rows
        if row["label"] != "Generic"
    ]


def changed_sentences(path: Path, count: int) -> list[Item]:
    """Sentences of paragraphs and the same with one thing changed."""
    chance = random.Random(5)
    articles: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows_of(path):
        articles[row["title"]][row["passage"]] = None
    paragraphs = [(title, text) for title, texts in articles.items() for text in texts]
    found: list[Item] = []
    changes = list(CHANGES)
    for _ in range(20 * count):
        if len(found) >= 2 * count:
            break
        title, text = chance.choice(paragraphs)
        said = [one for one in sentences(text) if 8 <= len(one.split()) <= 45]
        if not said:
            continue
        sentence = chance.choice(said)
        kind = changes[len(found) // 2 % len(changes)]
        other = chance.choice([one for one in articles[title] if one != text] or [text])
        wrong = CHANGES[kind](sentence, text, other, chance)
        if wrong is not None and wrong not in text:
            shown = sentence.split(", ", 1)[-1] if chance.random() < 0.3 else sentence
            found += [Item(shown, text, True, "as it stands"), Item(wrong, text, False, kind)]
    return found


def _replaced(pattern: re.Pattern[str], sentence: str, text: str, chance: random.Random) -> str | None:
    own = list(pattern.finditer(sentence))
    others = [one for one in set(pattern.findall(text)) if one not in sentence]
    if not own or not others:
        return None
    place = chance.choice(own)
    return sentence[: place.start()] + chance.choice(sorted(others)) + sentence[place.end() :]


def _negated(sentence: str) -> str | None:
    if " not " in sentence:
        return sentence.replace(" not ", " ", 1)
    place = _VERB.search(sentence)
    return sentence[: place.end()] + " not" + sentence[place.end() :] if place else None


def _swapped(sentence: str) -> str | None:
    own = list(_NAME.finditer(sentence))
    if len(own) < 2 or own[0][0] == own[1][0]:
        return None
    one, two = own[0], own[1]
    return sentence[: one.start()] + two[0] + sentence[one.end() : two.start()] + one[0] + sentence[two.end() :]


CHANGES: dict[str, Callable[[str, str, str, random.Random], str | None]] = {
    "other name": lambda sentence, text, other, chance: _replaced(_NAME, sentence, text, chance),
    "other number": lambda sentence, text, other, chance: _replaced(_NUMBER, sentence, text, chance),
    "negation": lambda sentence, text, other, chance: _negated(sentence),
    "two names swapped": lambda sentence, text, other, chance: _swapped(sentence),
    "sentence of another paragraph": lambda sentence, text, other, chance: chance.choice(sentences(other) or [""]),
}


def overlap(sentence: str, evidence: str) -> float:
    """Share of the sentence's words that the evidence has, by stem, and at most `support_score`."""
    words = [stem(word) for word in _WORD.findall(sentence.casefold())]
    there = {stem(word) for word in _WORD.findall(evidence.casefold())}
    share = sum(word in there for word in words) / len(words) if words else 1.0
    return min(share, support_score(sentence, evidence))


def best(sentence: str, evidence: str, score: Callable[[str, str], float]) -> float:
    """The score by the run of neighbouring sentences that backs it best, as the judge looks for it."""
    return max((score(sentence, run) for run in runs_of(evidence)), default=0.0)


def mean_of(text: str, evidence: str, score: Callable[[str, str], float]) -> float:
    """Over the sentences."""
    said = sentences(text) or [text]
    return sum(best(one, evidence, score) for one in said) / len(said)


def fit(items: Sequence[Item], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Logistic regression with a ridge. The run of the evidence is the one that today's words back best."""
    rows: list[tuple[float, ...]] = []
    kept: list[int] = []
    for number, item in enumerate(items):
        run = max(runs_of(item.evidence), key=lambda text: overlap(item.sentence, text), default="")
        values = features(item.sentence, run)
        if values is not None:
            rows.append(values)
            kept.append(number)
    values = np.asarray(rows)
    labels = np.asarray([items[n].follows for n in kept], dtype=float)
    weight = weights[kept] / weights[kept].sum()

    def loss(parameters: NDArray[np.float64]) -> float:
        logits = values @ parameters[:-1] + parameters[-1]
        signed: NDArray[np.float64] = logits * (1 - 2 * labels)
        losses: NDArray[np.float64] = np.logaddexp(np.zeros_like(signed), signed)
        return float(np.dot(weight, losses)) + RIDGE * float(np.dot(parameters[:-1], parameters[:-1]))

    untyped: Any = optimize
    # No sign against a sentence may speak for it.
    limits = [(None, DECIDES if name in ("numbers", "names") else 0.0) for name in FEATURES] + [(None, None)]
    found = untyped.minimize(loss, np.zeros(values.shape[1] + 1), bounds=limits)
    return found.x[:-1], float(found.x[-1])


def balanced(items: Sequence[Item]) -> NDArray[np.float64]:
    """Weights by which yes and no count alike."""
    labels = np.asarray([item.follows for item in items])
    yes, no = 0.5 / int(labels.sum()), 0.5 / int((~labels).sum())
    return np.asarray([yes if label else no for label in labels])


def report(name: str, items: Sequence[Item]) -> None:
    labels = [item.follows for item in items]
    least = [least_backed(item.sentence, [item.evidence]) for item in items]
    ours = [found is not None and found[1] >= 0.5 for found in least]
    words = [mean_of(item.sentence, item.evidence, overlap) >= OVERLAP_FROM for item in items]
    print(f"\n{name}, n={len(items)}")
    for label, said in (("groundedness", ours), ("plain overlap", words)):
        found = balanced_accuracy(labels, said)
        print(f"  {label:16} balanced accuracy {found.mean:.3f} ({found.low:.3f} to {found.high:.3f})")
    found = _difference(labels, ours, words)
    print(f"  difference       {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})")
    for kind in sorted({item.kind for item in items}):
        right = [said == item.follows for said, item in zip(ours, items, strict=True) if item.kind == kind]
        before = [said == item.follows for said, item in zip(words, items, strict=True) if item.kind == kind]
        print(f"    {kind}: right {np.mean(right):.3f}, by words {np.mean(before):.3f}, n={len(right)}")


def _difference(labels: Sequence[bool], one: Sequence[bool], other: Sequence[bool]) -> Interval:
    """Of the balanced accuracies, paired: each item counts by the share of its label."""
    weight = {label: len(labels) / (2 * sum(each == label for each in labels)) for label in (True, False)}
    first, second = (
        [weight[label] * (label == said) for label, said in zip(labels, verdicts, strict=True)]
        for verdicts in (one, other)
    )
    return paired_difference(second, first)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    said, changed = begin(data, "dev"), changed_sentences(data / "squad-train.jsonl.gz", SENTENCES)
    weights, intercept = fit([*said, *changed], np.concatenate([balanced(said), SHARE * balanced(changed)]))
    print(f"FEATURES = {FEATURES}")
    print(f"COEFFICIENTS = {tuple(round(float(one), 2) for one in weights)}")
    print(f"INTERCEPT = {intercept:.2f}")
    print("\nBelow, with the coefficients in the package:")
    report("BEGIN dev (fitted on)", said)
    report("SQuAD train (fitted on)", changed)
    report("BEGIN test", begin(data, "test"))
    report("SQuAD test", changed_sentences(data / "squad-test.jsonl.gz", SENTENCES))


if __name__ == "__main__":
    main()
