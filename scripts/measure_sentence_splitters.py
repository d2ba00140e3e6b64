"""Compare sentence splitters on text with known sentence starts, and time them on plain files.

    python scripts/measure_sentence_splitters.py DATA_DIR

DATA_DIR holds `train/selqa.jsonl.gz` (lists of sentences, joined here by a blank), `train/qed-train.jsonl.gz`
(passages with sentence starts) and `peps/*.rst` (for the speed). Prints one row a splitter: precision, recall
and F1 of the sentence starts inside a passage (the start at 0 is not counted), and megabytes a second.
Needs: pip install nupunkt sentencex pysbd
"""

from __future__ import annotations

import ast
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Splitter = Callable[[str], list[int]]


def read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def selqa(data: Path) -> dict[str, set[int]]:
    passages: dict[str, set[int]] = {}
    for row in read(data / "train/selqa.jsonl.gz"):
        sentences = row["sentences"]
        sentences = [s.strip() for s in (ast.literal_eval(sentences) if isinstance(sentences, str) else sentences)]
        starts: set[int] = set()
        offset = 0
        for sentence in sentences:
            starts.add(offset)
            offset += len(sentence) + 1
        passages[" ".join(sentences)] = starts - {0}
    return passages


def qed(data: Path) -> dict[str, set[int]]:
    return {row["passage"]: set(row["sentence_starts"]) - {0} for row in read(data / "train/qed-train.jsonl.gz")}


def splitters() -> dict[str, Splitter]:
    import nupunkt
    import sentencex

    punkt: Any = nupunkt
    sx: Any = sentencex
    pysbd: Any = import_module("pysbd")  # not kept up, and so not among the packages that are installed for the tests
    segmenter: Any = pysbd.Segmenter(language="en", clean=False, char_span=True)

    def first_letters(text: str, starts: list[int]) -> list[int]:
        moved: list[int] = []
        for start in starts:
            while start < len(text) and text[start].isspace():
                start += 1
            moved.append(start)
        return moved

    return {
        "nupunkt": lambda text: [start for start, _ in punkt.sent_spans(text)],
        "sentencex": lambda text: first_letters(
            text,
            [
                b["start_index"] if isinstance(b, dict) else b.start_index
                for b in sx.get_sentence_boundaries("en", text)
            ],
        ),
        "pysbd": lambda text: [span.start for span in segmenter.segment(text)],
    }


def score(splitter: Splitter, passages: dict[str, set[int]]) -> tuple[float, float, float]:
    right = found = wanted = 0
    for text, starts in passages.items():
        got = set(splitter(text)) - {0}
        right += len(got & starts)
        found += len(got)
        wanted += len(starts)
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    return precision, recall, 2 * precision * recall / (precision + recall)


def main() -> None:
    data = Path(sys.argv[1])
    sets = {"selqa": selqa(data), "qed": dict(list(qed(data).items())[:2000])}
    files = [path.read_text(encoding="utf-8") for path in sorted((data / "peps").glob("*.rst"))[:40]]
    print(f"{'splitter':<10} {'set':<6} {'precision':>9} {'recall':>7} {'F1':>6}")
    for name, splitter in splitters().items():
        for label, passages in sets.items():
            precision, recall, f1 = score(splitter, passages)
            print(f"{name:<10} {label:<6} {precision:9.3f} {recall:7.3f} {f1:6.3f}")
        began = time.perf_counter()
        for text in files if name != "pysbd" else files[:4]:
            splitter(text)
        size = sum(len(text) for text in (files if name != "pysbd" else files[:4])) / 1e6
        print(f"{name:<10} {size / (time.perf_counter() - began):.2f} MB/s")


if __name__ == "__main__":
    main()
