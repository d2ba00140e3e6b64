"""What an index run did: counts, failures, warnings, seconds by stage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ragkit.ingest.area import file_of
from ragkit.ingest.plan import Change, Plan
from ragkit.types import Chunk, Document

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of a deletion: what is left of `documents` deleted ones, counted by reading the index back.

    `files` counts older generations that may still hold them, for a running reader has them open.
    """

    documents: int
    vectors: int
    bm25: int
    manifest: int
    files: int

    def lines(self) -> list[tuple[str, int]]:
        """What is left, in words."""
        return [
            ("vectors", self.vectors),
            ("BM25 entries", self.bm25),
            ("manifest rows", self.manifest),
            ("older copies", self.files),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`: how many documents were deleted, and what is left of them."""
        left = asdict(self)
        return {"documents": left.pop("documents"), "left": left}


class Stopwatch:
    """Seconds by stage. What a stage hands to the next one's generator is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def measure(self, stage: str) -> Generator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def iterate(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on, counting the time spent waiting for each."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def total(self) -> float:
        return time.perf_counter() - self._began


@dataclass(slots=True)
class IndexReport:
    """Counts of this run, and of the index after it (`documents`, `chunks`, `tokens`).

    `new`, `edited` and `moved` documents got in. `parsed` sources were looked into, with or without success. Of the
    distinct chunk texts `embedded` went through the model and `reused` were known from before; `repeated` stood more
    than once; `without_vectors` chunks of the index have none yet. `left_out` are links and special files, by kind.
    """

    new: int = 0
    edited: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    rebuilt: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    warnings: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    left_out: Counter[str] = field(default_factory=Counter[str])
    by_type: Counter[str] = field(default_factory=Counter[str])
    parsed: int = 0
    pages: int = 0
    chunks_written: int = 0
    tokens_written: int = 0
    embedded: int = 0
    reused: int = 0
    repeated: int = 0
    without_vectors: int = 0
    receipt: Receipt | None = None
    documents: int = 0
    chunks: int = 0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of_plan(cls, plan: Plan, rebuilt: bool) -> IndexReport:
        return cls(
            deleted=len(plan.gone),
            unchanged=plan.unchanged,
            rebuilt=rebuilt,
            failures=sorted((item.name, item.reason) for item in [*plan.rejected, *plan.failing]),
            left_out=Counter(item.kind for item in plan.left_out),
        )

    @property
    def changed(self) -> bool:
        """Whether the index is another one than before."""
        return bool(self.rebuilt or self.new or self.edited or self.moved or self.deleted)

    def fail(self, name: str, reason: str) -> None:
        self.failures.append((name, reason))
        self.parsed += 1

    def add(self, change: Change, document: Document, chunks: Sequence[Chunk], warnings: Iterable[str]) -> None:
        file = file_of(document.source)
        suffix = PurePosixPath(file).suffix.removeprefix(".") or "text"
        self.by_type[suffix] += 1
        if change == "new":
            self.new += 1
        elif change == "edited":
            self.edited += 1
        else:
            self.moved += 1
            self.deleted -= 1
        self.parsed += 1
        self.pages += len(document.pages)
        self.chunks_written += len(chunks)
        self.tokens_written += sum(chunk.token_count for chunk in chunks)
        for line in [(file, warning) for warning in warnings]:
            # What is odd about one row is so about thousands.
            if line not in self.warnings:
                self.warnings.append(line)

    def finished(self, watch: Stopwatch, totals: tuple[int, int, int, int]) -> IndexReport:
        self.documents, self.chunks, self.tokens, _ = totals
        self.seconds = {**watch.seconds, "total": watch.total()}
        return self

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        plain = asdict(self)
        # asdict hands a dict's items to its type, and a Counter counts them.
        plain["by_type"] = dict(self.by_type)
        plain["left_out"] = dict(self.left_out)
        if self.receipt is not None:
            plain["receipt"] = self.receipt.as_dict()
        plain["failures"] = [{"source": name, "reason": reason} for name, reason in self.failures]
        plain["warnings"] = [{"source": name, "reason": reason} for name, reason in self.warnings]
        return plain
