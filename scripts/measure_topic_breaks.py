"""Do static sentence vectors see where the topic turns as well as the model does, and at what cost?

    python scripts/measure_topic_breaks.py DATA_DIR [--documents 40] [--part test]

Documents are made of paragraphs of different articles of XQuAD-en (DATA_DIR/xquad-en; tuning: articles 0 to 23, test:
the others), eight after one another; a boundary between paragraphs is a true topic break. For each encoder the k
deepest gaps are taken, k being the number of true breaks, and compared with them: Pk (Beeferman, Berger, Lafferty
1999; 0 is perfect, about .5 is chance) and the share of breaks found exactly. Prints seconds for all documents beside
it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.config.schema import Embedding
from ragkit.embed import make_embedder, make_token_counter
from ragkit.embed.models import model_folder
from ragkit.embed.static import StaticSentenceEncoder
from ragkit.embed.tokens import ModelTokens
from ragkit.ingest.sentences import split_sentences
from ragkit.ingest.topics import gap_depths

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def documents(data: Path, count: int, part: str) -> list[tuple[list[str], set[int]]]:
    """Sentences of each document, and the indices at which a new paragraph begins."""
    by_article: dict[str, list[str]] = {}
    for line in (data / "xquad-en/corpus.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        article = row["_id"].split("-")[0]
        if (int(article) < 24) == (part == "tuning"):
            by_article.setdefault(article, []).append(row["text"])
    chosen = random.Random(0)
    made: list[tuple[list[str], set[int]]] = []
    for _ in range(count):
        sentences: list[str] = []
        breaks: set[int] = set()
        for article in chosen.sample(sorted(by_article), 8):
            text = chosen.choice(by_article[article])
            if sentences:
                breaks.add(len(sentences))
            sentences += [text[start:end] for start, end in split_sentences(text)]
        made.append((sentences, breaks))
    return made


def pk(found: set[int], true: set[int], length: int) -> float:
    """Share of windows whose ends are wrongly said to lie in the same or in different segments."""
    window = max(2, round(length / (len(true) + 1) / 2))
    wrong = 0
    for start in range(length - window):
        inside = range(start + 1, start + window + 1)
        wrong += any(index in found for index in inside) != any(index in true for index in inside)
    return wrong / (length - window)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--part", choices=["tuning", "test"], default="test")
    given = parser.parse_args()
    config = Embedding()
    tokens = make_token_counter(config)
    if not isinstance(tokens, ModelTokens):
        raise SystemExit("needs a local embedding model")
    static = StaticSentenceEncoder(model_folder(config.model), tokens)
    model = make_embedder(config)
    model.embed_passages(["load"])
    static.encode(["load"])
    made = documents(given.data, given.documents, given.part)
    encoders: dict[str, Encode | None] = {"static": static.encode, "model": model.embed_passages, "evenly spaced": None}
    print(f"{'encoder':<14} {'window':>6} {'Pk':>6} {'found exactly':>14} {'seconds':>8}")
    for name, encode in encoders.items():
        began = time.perf_counter()
        vectors = [encode(sentences) if encode else None for sentences, _ in made]
        seconds = time.perf_counter() - began
        for window in (1, 2, 3, 4):
            errors: list[float] = []
            exact: list[float] = []
            for (sentences, true), rows in zip(made, vectors, strict=True):
                if rows is None:
                    step = len(sentences) / (len(true) + 1)
                    found = {round(step * number) for number in range(1, len(true) + 1)}
                else:
                    depths = gap_depths(rows, window)
                    found = {int(index) for index in np.argsort(-depths)[: len(true)]}
                errors.append(pk(found, true, len(sentences)))
                exact.append(len(found & true) / len(true))
            print(f"{name:<14} {window:>6} {np.mean(errors):6.3f} {np.mean(exact):14.3f} {seconds:8.2f}")


if __name__ == "__main__":
    main()
