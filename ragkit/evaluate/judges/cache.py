"""Every verdict once: kept under what was judged and by what, so that a finished run is judged again without a model.

A table in any SQLite file, that of the runs or one beside it. Each verdict is written in its own transaction as soon
as it is there, so judging that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from ragkit.errors import RagkitError
from ragkit.evaluate.judges import Judge
from ragkit.evaluate.judges.exhibit import Exhibit
from ragkit.evaluate.record import Judgement

_SCHEMA = """
CREATE TABLE IF NOT EXISTS judgements (
    key TEXT PRIMARY KEY, judge TEXT NOT NULL, version TEXT NOT NULL, judged TEXT NOT NULL, judgements BLOB NOT NULL
) WITHOUT ROWID;
"""
_JUDGEMENTS = TypeAdapter(tuple[Judgement, ...])


class JudgementCache:
    """The table. Safe to use from several threads and processes. Raises RagkitError for a file that is no database."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.DatabaseError, OSError) as error:
            raise RagkitError(f"{path} cannot keep judgements ({error})", mend="name another file") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def get(self, key: str) -> tuple[Judgement, ...] | None:
        """The judgements under a key, None if there are none."""
        with self._lock:
            row = self._db.execute("SELECT judgements FROM judgements WHERE key = ?", (key,)).fetchone()
        return None if row is None else _JUDGEMENTS.validate_json(row[0])

    def put(self, key: str, judge: Judge, judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
        """Keep judgements; what is given back is what `get` will give. Those that are there already are replaced."""
        packed = _JUDGEMENTS.dump_json(tuple(judgements))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?)",
                (key, judge.name, judge.version, now, packed),
            )
        return _JUDGEMENTS.validate_json(packed)


def key_of(judge: Judge, exhibit: Exhibit) -> str:
    """What a verdict is kept under: sha256 over the judge with its version, its measures and all that it sees.

    The prompt of a judge that has one is part of its version; what fills it is the exhibit.
    """
    measures = [measure.name for measure in judge.measures]
    parts = json.dumps([judge.name, judge.version, measures, exhibit.inputs])
    return hashlib.sha256(parts.encode()).hexdigest()
