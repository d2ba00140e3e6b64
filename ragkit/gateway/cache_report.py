"""How often hits of the semantic tier were wrong, by what people said of the answers, with a bound for all of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.gateway.cache_store import CacheStore


@dataclass(frozen=True, slots=True)
class Judged:
    """`hits` are those that the cache remembers, `judged` those that people gave a verdict on, `wrong` those of them
    that somebody called wrong; their share is at most `bound`, one-sided at 95%, None without a verdict. `pairs` are
    the questions of the wrong ones: as asked, and as stored."""

    hits: int
    judged: int
    wrong: int
    bound: float | None
    pairs: tuple[tuple[str, str], ...]


def judged_hits(store: CacheStore, feedback: Path) -> Judged:
    """The hits beside the feedback of the server's file, which need not be there.

    A thumb down may be about an answer that was wrong before it was kept, so that the bound is on the safe side.
    People judge what they like, which is no random sample.
    """
    from ragkit.evaluate.statistics import rare_event_bound

    hits = store.hits()
    verdicts = _verdicts(feedback)
    judged = [hit for hit in hits if hit["trace_id"] in verdicts]
    wrong = [hit for hit in judged if verdicts[hit["trace_id"]] == "down"]
    bound = rare_event_bound(len(wrong), len(judged)) if judged else None
    pairs = tuple((str(hit["asked"]), str(hit["stored"])) for hit in wrong)
    return Judged(len(hits), len(judged), len(wrong), bound, pairs)


def _verdicts(path: Path) -> dict[str, str]:
    """The verdict on each answer by its trace id; "down" if anybody said so."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            # "down" sorts before "up".
            return dict(db.execute("SELECT trace_id, min(verdict) FROM feedback GROUP BY trace_id").fetchall())
    except sqlite3.Error as error:
        raise RagkitError(f"the feedback in {path} cannot be read ({error})", mend="check serve.folder") from None
