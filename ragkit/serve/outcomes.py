"""How every question ended: answered, refused or failed, in what time; the figures that a dashboard shows of them.

Kept without a word of question or answer, each under its tenant and key.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ragkit.gateway.cost_report import By, Spent, spent_by
from ragkit.gateway.ledger import Ledger
from ragkit.serve.access import Caller
from ragkit.serve.database import Database
from ragkit.types import Answer

_KEPT = 100_000
"""Older ones are forgotten."""
_FAILED = "failed: "
_MOST_GROUPS = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """Figures of some questions. Times are milliseconds, of answers and refusals; None without any."""

    questions: int
    refused: int
    failed: int
    degraded: int
    median_ms: float | None
    p95_ms: float | None


class Outcomes:
    """The outcomes of a server, on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def answered(self, caller: Caller, answer: Answer) -> None:
        """A question was answered or refused."""
        ms = answer.timings_ms.get("total", 0.0)
        self._add(caller, answer.reason or "answered", ms, answer.cache, int(answer.degraded))

    def failed(self, caller: Caller, code: str, ms: float) -> None:
        """A question ended with an error; `code` is that of its problem."""
        self._add(caller, f"{_FAILED}{code}", ms, "", 0)

    def _add(self, caller: Caller, outcome: str, ms: float, cache: str, degraded: int) -> None:
        with self._database.transaction():
            self._database.write(
                "INSERT INTO outcomes (at, tenant, key, outcome, ms, cache, degraded) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (time.time(), caller.tenant, caller.name, outcome, ms, cache, degraded),
            )
            self._database.write(
                "DELETE FROM outcomes WHERE number <= (SELECT max(number) FROM outcomes) - ?", (_KEPT,)
            )

    def figures(self, caller: Caller, since: float) -> dict[str, Any]:
        """What became of the questions of the caller's tenant since a time (seconds since 1970): in all, by day and by
        key, and the counts of refusals, failures and answers of the cache by their kind."""
        mine, values = ("AND tenant = ?", [caller.tenant]) if caller.tenant else ("", [])
        rows: Sequence[Any] = self._database.rows(
            f"SELECT at, tenant, key, outcome, ms, cache, degraded FROM outcomes WHERE at >= ? {mine} ORDER BY number",
            (since, *values),
        )
        days: dict[str, list[Any]] = {}
        keys: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            days.setdefault(datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%d"), []).append(row)
            keys.setdefault((row["tenant"], row["key"]), []).append(row)
        ended = Counter(row["outcome"] for row in rows)
        return {
            "all": asdict(_asked(rows)),
            "days": [{"day": day} | asdict(_asked(found)) for day, found in sorted(days.items())],
            "keys": [
                {"tenant": tenant, "key": key} | asdict(_asked(found))
                for (tenant, key), found in sorted(keys.items())[:_MOST_GROUPS]
            ],
            "refusals": {kind: count for kind, count in ended.items() if not _is_failure(kind) and kind != "answered"},
            "failures": {kind.removeprefix(_FAILED): count for kind, count in ended.items() if _is_failure(kind)},
            "cache": dict(Counter(row["cache"] for row in rows if row["cache"])),
        }


def _is_failure(outcome: str) -> bool:
    return outcome.startswith(_FAILED)


def _asked(rows: Sequence[Any]) -> Asked:
    failed = sum(_is_failure(row["outcome"]) for row in rows)
    answered = sum(row["outcome"] == "answered" for row in rows)
    times = np.array([row["ms"] for row in rows if not _is_failure(row["outcome"])])
    median, p95 = (float(np.percentile(times, share)) if times.size else None for share in (50, 95))
    return Asked(len(rows), len(rows) - answered - failed, failed, sum(row["degraded"] for row in rows), median, p95)


def spent(ledger: Ledger, caller: Caller, since_day: str) -> dict[str, list[Spent]]:
    """What the caller's tenant spent since a day, by key, tenant and model, the dearest first."""
    kinds: tuple[By, ...] = ("key", "tenant", "model")
    tenant = caller.tenant or None
    found = {by: spent_by(ledger, by, since_day, tenant=tenant) for by in kinds}
    return {by: sorted(groups, key=lambda one: -one.nano_usd)[:_MOST_GROUPS] for by, groups in found.items()}
