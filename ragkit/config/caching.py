"""The section `cache`: answers that are given again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ragkit.config.part import Part, PathField, runtime


class Cache(Part):
    """Answers that are given again while the documents that they rest on are unchanged."""

    mode: Literal["off", "exact", "semantic"] = "off"
    """exact: to a question of the same words, for the same tenant, under the same filters and config. semantic: to
    one in other words too, if all that can make another answer agrees (numbers, names, negation, direction, ...)."""
    min_similarity: float = Field(default=0.7, ge=0, le=1)
    """semantic: least cosine of two questions; what asks the same is decided by the words."""
    max_false_hits: float | None = Field(default=None, gt=0, le=0.5)
    """semantic: the most that the share of wrong hits may be. An entry is trusted by what came of its hits, and after a
    wrong one nothing is given again in other words while the 95% bound of their share (Clopper and Pearson) is above
    this. null: every hit is given that the words allow."""
    path: PathField = runtime(Path(".ragkit/cache.sqlite"), description="SQLite file of the answers.")
    max_entries: int = runtime(10_000, ge=1, le=1_000_000, description="Most answers; the longest unused goes first.")
    max_mb: float = runtime(256.0, gt=0, le=100_000, description="Most megabytes of answers.")
    ttl_s: float | None = runtime(
        2_592_000.0, gt=0, description="An answer is made anew after so many seconds, changed documents or not."
    )
