"""What a store of the cache's answers does, and what it holds: a SQLite file, or a Redis that servers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ragkit.errors import RagkitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ragkit.config.caching import Cache
    from ragkit.gateway.cache_entry import Entry

HITS_KEPT = 20_000
LABELS_READ = 200
"""Of one entry, the newest; older ones would change little."""
OVERHEAD = 200
"""Bytes of an entry beside its texts and vector."""


class CacheFault(RagkitError):
    """The store of the cache cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a store may hold, and after how many seconds an entry ends; None is never."""

    entries: int
    bytes: int
    ttl_s: float | None


def bounds_of(settings: Cache) -> Bounds:
    return Bounds(settings.max_entries, round(settings.max_mb * 1e6), settings.ttl_s)


@dataclass(frozen=True, slots=True)
class Hit:
    """A question beside the entry that it was taken for.

    `kind` is "served" for a hit; "held" for what would have been one while none were given, and "doubted" for one that
    its entry was not trusted with: both were asked anew. `right` is what turned out, None if nothing did.
    """

    tenant: str
    trace_id: str
    scope: str
    entry: int
    asked: str
    stored: str
    similarity: float
    kind: Literal["served", "held", "doubted"] = "served"
    right: bool | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stats:
    """`counts` are of all time: hits by tier, misses, entries that ended by what, nano-dollars saved."""

    entries: int
    bytes: int
    scopes: int
    counts: dict[str, int]


class CacheStore(Protocol):
    """Answers by scope, bounded in number and bytes, longest unused out first, each with an end; for threads and
    processes. `at` is the time, now if left out. Everything raises CacheFault where the store cannot be used."""

    def close(self) -> None: ...

    def put(self, scope: str, key: str, entry: Entry, *, at: float | None = None) -> None:
        """Keep an entry in the place of the one with this key; what is too much by then goes."""
        ...

    def find(self, scope: str, key: str, *, at: float | None = None) -> Entry | None:
        """The entry with this key, unless its time is over."""
        ...

    def get(self, scope: str, identity: int, *, at: float | None = None) -> Entry | None:
        """The entry of a scope with this id, unless it is gone or its time is over."""
        ...

    def nearest(self, scope: str, vector: NDArray[np.float32], most: int, least: float) -> list[tuple[int, float]]:
        """Ids of entries of a scope whose questions are nearest by cosine, nearest first; some may be gone."""
        ...

    def count_hit(self, entry: Entry, tier: str, *, at: float | None = None) -> None:
        """An entry was given again."""
        ...

    def note_hit(self, hit: Hit, *, at: float | None = None) -> None:
        """Remember which question was taken for which."""
        ...

    def judge(self, tenant: str, trace_id: str, right: bool | None) -> int:
        """What turned out of the hits of one trace of a tenant, in the place of what was said before; how many."""
        ...

    def labels(self, entry: Entry) -> list[tuple[float, bool]]:
        """Of the questions that an entry was taken for: cosine, and whether it was right for them; newest first."""
        ...

    def evidence(self, tenant: str) -> tuple[int, int]:
        """How many hits of a tenant were wrong, and of how many that is known; held ones count as hits."""
        ...

    def count(self, name: str) -> None:
        """Something happened once more."""
        ...

    def drop(self, entry: Entry, why: str) -> None:
        """Take an entry out, for a reason that is counted."""
        ...

    def clear(self) -> int:
        """Take everything out; the number of entries that there were."""
        ...

    def entries(self) -> list[Entry]:
        """Every entry, in the order in which they came; for sweeping, in one go."""
        ...

    def hits(self) -> list[Hit]:
        """The last hits of the semantic tier and what would have been some, newest first."""
        ...

    def stats(self) -> Stats: ...


def open_store(settings: Cache) -> CacheStore:
    """The store of a config. Raises CacheFault if its file cannot be opened, MissingExtra without Redis's client."""
    if settings.store == "redis":
        from ragkit.gateway.cache_redis import RedisStore

        return RedisStore(settings, bounds_of(settings))
    from ragkit.gateway.cache_sqlite import SqliteStore

    return SqliteStore(settings.path, bounds_of(settings))
