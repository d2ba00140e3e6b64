"""The questions of the GPU benchmark with the passages for them, as ragkit's generators take them.

Questions come in groups: those of a group have the same passages, so that their prompts begin alike (system prompt,
documents) and a prefix cache has something to serve. No two groups begin with the same passage, so that they share the
system prompt alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.bench.corpus import data, has_data, rows_of
from eval.bench.spec import ROOT, Skipped
from ragkit.types import Chunk, ScoredChunk

_WORDS = re.compile(r"\w{3,}")
_PARAGRAPH = 700
"""Characters of a passage of eval/samples: paragraphs are joined up to here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the passages that its answer may come from, the best first."""

    question: str
    results: tuple[ScoredChunk, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What no two prompts have in common."""
        return (self.question, *(result.chunk.id for result in self.results))


@dataclass(frozen=True, slots=True)
class Prompts:
    """The parts have no group in common: what one leaves in a cache serves no other."""

    warm_up: Asked
    first: tuple[Asked, ...]
    together: tuple[Asked, ...]


def prompts(first: int, together: int, passages: int) -> Prompts:
    """The same for everybody and in each run: XQuAD-en where it is, else eval/samples.

    Raises Skipped where the data have too few questions.
    """
    groups = _of_xquad(data() / "xquad-en", passages) if has_data() else _of_samples(passages)
    return parted(groups, first, together)


def parted(groups: Sequence[Sequence[Asked]], first: int, together: int) -> Prompts:
    """Share out groups of questions, whole ones to each part; the order within a part is mixed, by a fixed seed.

    Raises Skipped if there are fewer questions than wanted.
    """
    there, parts = iter(groups), list[list[Asked]]()
    for wanted in (1, first, together):
        part: list[Asked] = []
        while len(part) < wanted:
            group = next(there, None)
            if group is None:
                raise Skipped(
                    f"the data have too few questions for {first} + {together} prompts; lower --first or --prompts"
                )
            part.extend(group)
        part = part[:wanted]
        random.Random(wanted).shuffle(part)
        parts.append(part)
    return Prompts(parts[0][0], tuple(parts[1]), tuple(parts[2]))


def _of_xquad(folder: Path, passages: int) -> list[list[Asked]]:
    """For each paragraph the questions about it; their passages are it and those that follow."""
    texts = {row["_id"]: row["text"] for row in rows_of(folder / "corpus.jsonl")}
    questions = {row["_id"]: row["text"] for row in rows_of(folder / "queries.jsonl")}
    asked: dict[str, list[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        question, paragraph, _ = line.split("\t")
        asked.setdefault(paragraph, []).append(questions[question])
    names = list(texts)
    groups: list[list[Asked]] = []
    for paragraph, about in asked.items():
        start = names.index(paragraph)
        results = _results(
            [(names[at % len(names)], texts[names[at % len(names)]]) for at in range(start, start + passages)]
        )
        groups.append([Asked(question, results) for question in about])
    return groups


def _of_samples(passages: int) -> list[list[Asked]]:
    """The questions over eval/samples in pairs; a pair has the passages with the most of the first one's words."""
    pool: list[tuple[str, str]] = []
    folder = ROOT / "eval" / "samples"
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".md", ".txt")):
        name = path.relative_to(folder).as_posix()
        pool += [(f"{name}#{number}", text) for number, text in enumerate(_passages(path.read_text(encoding="utf-8")))]
    rows = rows_of(ROOT / "eval" / "samples_questions.jsonl")
    groups: list[list[Asked]] = []
    begun: set[str] = set()
    for start in range(0, len(rows), 2):
        about = [row["question"] for row in rows[start : start + 2]]
        words = set(_WORDS.findall(about[0].lower()))
        best = sorted(pool, key=lambda each: -len(words & set(_WORDS.findall(each[1].lower()))))
        first = next(each for each in best if each[0] not in begun)
        begun.add(first[0])
        best = [first, *(each for each in best if each != first)][:passages]
        groups.append([Asked(question, _results(best)) for question in about])
    return groups


def _passages(text: str) -> list[str]:
    joined: list[str] = []
    for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
        if joined and len(joined[-1]) + len(paragraph) < _PARAGRAPH:
            joined[-1] += "\n\n" + paragraph
        else:
            joined.append(paragraph)
    return joined


def _results(named: Sequence[tuple[str, str]]) -> tuple[ScoredChunk, ...]:
    return tuple(
        ScoredChunk(Chunk(name, name, text, 0, len(text), 0, {"source_document": f"{name}.txt"}), 1.0, {})
        for name, text in named
    )
