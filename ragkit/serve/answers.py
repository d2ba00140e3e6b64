"""Whose each answer was, and what people said of it."""

from __future__ import annotations

import time
from typing import Any

from ragkit.serve.access import Caller
from ragkit.serve.database import Database, plain
from ragkit.types import Answer

_KEPT = 100_000
"""Answers that feedback can be given on; older ones are forgotten."""


class Answers:
    """The answers of a server without their texts, and the feedback on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, caller: Caller, answer: Answer) -> None:
        """An answer was given to a caller."""
        with self._database.transaction():
            self._database.write(
                "INSERT OR IGNORE INTO answers (trace_id, tenant, key, at) VALUES (?, ?, ?, ?)",
                (answer.trace_id, caller.tenant, caller.name, time.time()),
            )
            self._database.write("DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?", (_KEPT,))

    def judge(self, caller: Caller, feedback: dict[str, str]) -> bool:
        """Keep what a caller says of an answer to its tenant, in the place of what it said before; False if there is
        no such answer."""
        with self._database.transaction():
            given = self._database.row(
                "SELECT 1 FROM answers WHERE trace_id = ? AND tenant = ?", (feedback["trace_id"], caller.tenant)
            )
            if given is None:
                return False
            names = ("trace_id", "verdict", "reason", "question", "answer")
            self._database.write(
                "INSERT OR REPLACE INTO feedback (trace_id, verdict, reason, question, answer, tenant, key, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*(feedback[name] for name in names), caller.tenant, caller.name, time.time()),
            )
            return True

    def verdict(self, caller: Caller, trace_id: str) -> str | None:
        """What the caller's tenant says of an answer: "down" if anybody does; None if nobody said anything."""
        row = self._database.row(
            "SELECT min(verdict) AS verdict FROM feedback WHERE trace_id = ? AND tenant = ?", (trace_id, caller.tenant)
        )
        return None if row is None else row["verdict"]

    def feedback(self, caller: Caller, most: int) -> list[dict[str, Any]]:
        """The last feedback of the caller's tenant, newest first."""
        mine, values = ("tenant = ?", [caller.tenant]) if caller.tenant else ("1", [])
        rows = self._database.rows(
            "SELECT trace_id, tenant, key, verdict, reason, question, answer, at FROM feedback"
            f" WHERE {mine} ORDER BY id DESC LIMIT ?",
            (*values, most),
        )
        return [plain(row) for row in rows]
