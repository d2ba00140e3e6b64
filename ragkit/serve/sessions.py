"""Conversations that the server remembers, each of one key: nobody else's key, nor tenant, can name it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from ragkit.serve.access import Caller
from ragkit.serve.conversation import Memory, Turn, Write, summarised, within
from ragkit.serve.database import Database

_KEPT = 10_000
"""Sessions of a tenant; those that were silent longest are forgotten."""
_LONGEST_ANSWER = 4000


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation as it is remembered."""

    id: str
    memory: Memory
    changed: float


class Sessions:
    """The conversations of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, caller: Caller, identity: str) -> Session | None:
        """A conversation of the caller's key."""
        row = self._row(caller, identity)
        return None if row is None else Session(identity, self._memory(row, self._turns(row)), row["changed"])

    def recall(self, caller: Caller, identity: str, budget: int, write: Write | None) -> Memory:
        """What is known of a conversation, within a budget in tokens: what lies further back becomes its summary."""
        row = self._row(caller, identity)
        if row is None:
            return Memory()
        turns = self._turns(row)
        memory = self._memory(row, turns)
        far, near = within(memory.turns, budget)
        if not far:
            return memory
        # A model writes it, so outside the transaction; of two at once the later one finds turns gone, and stops.
        summary = summarised(memory.summary, far, write)
        with self._database.transaction():
            last = turns[len(far) - 1]["number"]
            gone = self._database.write("DELETE FROM turns WHERE session = ? AND number <= ?", (row["number"], last))
            if gone == len(far):
                self._database.write("UPDATE sessions SET summary = ? WHERE number = ?", (summary, row["number"]))
        return Memory(summary, near)

    def add(self, caller: Caller, identity: str, turn: Turn) -> None:
        """Remember a turn; the first one begins the conversation."""
        now = time.time()
        with self._database.transaction():
            self._database.write(
                "INSERT INTO sessions (id, tenant, key, summary, changed) VALUES (?, ?, ?, '', ?)"
                " ON CONFLICT (tenant, key, id) DO UPDATE SET changed = excluded.changed",
                (identity, caller.tenant, caller.name, now),
            )
            row = self._row(caller, identity)
            if row is not None:
                self._database.write(
                    "INSERT INTO turns (session, question, answer) VALUES (?, ?, ?)",
                    (row["number"], turn.question, turn.answer[:_LONGEST_ANSWER]),
                )
            self._database.write(
                "DELETE FROM sessions WHERE tenant = ? AND number NOT IN"
                " (SELECT number FROM sessions WHERE tenant = ? ORDER BY changed DESC LIMIT ?)",
                (caller.tenant, caller.tenant, _KEPT),
            )

    def forget(self, caller: Caller, identity: str) -> bool:
        """Delete a conversation; False if the caller's key has none of this name."""
        return bool(
            self._database.write(
                "DELETE FROM sessions WHERE tenant = ? AND key = ? AND id = ?", (caller.tenant, caller.name, identity)
            )
        )

    def _row(self, caller: Caller, identity: str) -> sqlite3.Row | None:
        return self._database.row(
            "SELECT number, summary, changed FROM sessions WHERE tenant = ? AND key = ? AND id = ?",
            (caller.tenant, caller.name, identity),
        )

    @staticmethod
    def _memory(row: sqlite3.Row, turns: list[sqlite3.Row]) -> Memory:
        return Memory(row["summary"], tuple(Turn(one["question"], one["answer"]) for one in turns))

    def _turns(self, row: sqlite3.Row) -> list[sqlite3.Row]:
        statement = "SELECT number, question, answer FROM turns WHERE session = ? ORDER BY number"
        return self._database.rows(statement, (row["number"],))
