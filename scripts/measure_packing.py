"""What of the answers still stands in the prompt: whole passages against the nearest sentences, by the room they have.

    python scripts/measure_packing.py SUITE -c CONFIG [--part test] [--room 150 200 300 450 700 1000]

SUITE is a suite of `ragkit eval run`; its answerable questions with `answers` count, those of each segment apart. For
each room (tokens of the documents in the prompt, fences and headings included) the share of the questions is printed
whose answer stands in the prompt, with 95% intervals over documents, of whole passages and of sentences out of the
first ten, and the difference question by question. No model is asked. The numbers in ragkit/generate/packing.py were
chosen on the tuning part.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ragkit import Ragkit, load_config
from ragkit.ask import passages_for
from ragkit.config.schema import Generation
from ragkit.embed.openai_tokens import count_tokens
from ragkit.errors import ConfigError
from ragkit.evaluate.cases import Case
from ragkit.evaluate.examine import conditions_of
from ragkit.evaluate.run import placed_config, scratch_folder
from ragkit.evaluate.statistics import Interval, mean_interval, paired_difference
from ragkit.evaluate.suite import load_suite
from ragkit.evaluate.words import contains
from ragkit.generate.packing import packed_for
from ragkit.ingest.sentences import split_sentences
from ragkit.types import ScoredChunk

CHUNKS = 10
ROOM = (150, 200, 300, 450, 700, 1000)
Found = list[tuple[Case, list[ScoredChunk]]]


def found_for(suite: Path, config: Path, part: str) -> Found:
    """The questions of a part of the suite, and what is found for each."""
    loaded = load_suite(suite, scratch_folder(suite)).only("tuning" if part == "tuning" else "test")
    plain = ["generation.backend=extractive", "routing.endpoints=[]", "routing.policy=fallback"]
    with Ragkit(placed_config(loaded, load_config(config, plain).config)) as rag:
        if loaded.corpus:
            rag.index(list(loaded.corpus))
        stages = rag.stages()
        asked = [case for case in loaded.cases if case.answerable and case.answers]
        return [(case, passages_for(case.question, stages, conditions_of(case))) for case in asked]


def kept(found: Found, packing: str, room: int) -> list[float]:
    """For each question whether an answer stands in the prompt."""
    config = Generation.model_validate({"packing": packing, "context_chunks": CHUNKS})
    values: list[float] = []
    for case, passages in found:
        try:
            chunks = packed_for(case.question, passages, config, room, count_tokens, split_sentences).chunks
        except ConfigError:  # not one sentence fits
            chunks = ()
        values.append(float(contains("\n".join(chunk.text for chunk in chunks), case.answers)))
    return values


def in_words(one: Interval, sign: str = "") -> str:
    return f"{one.mean:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("-c", "--config", type=Path, required=True)
    parser.add_argument("--part", choices=("tuning", "test"), default="test")
    parser.add_argument("--room", type=int, nargs="+", default=ROOM)
    args = parser.parse_args(arguments)
    found = found_for(args.suite, args.config, args.part)
    for segment in sorted({case.segment for case, _ in found}):
        inside = [(case, passages) for case, passages in found if case.segment == segment]
        clusters = [case.cluster for case, _ in inside]
        table = Table(title=f"{segment}: {len(inside)} questions, part {args.part}")
        for heading in ("tokens", "whole passages", "sentences", "difference"):
            table.add_column(heading, justify="right")
        for room in args.room:
            whole, packed = kept(inside, "chunks", room), kept(inside, "sentences", room)
            table.add_row(
                str(room),
                in_words(mean_interval(whole, clusters=clusters)),
                in_words(mean_interval(packed, clusters=clusters)),
                in_words(paired_difference(whole, packed, clusters=clusters), "+"),
            )
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
