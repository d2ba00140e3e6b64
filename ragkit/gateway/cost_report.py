"""What was spent, added up from the ledger: by day, month, tenant, key, model, endpoint or stage."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

from ragkit.gateway.ledger import Ledger

By = Literal["day", "month", "tenant", "key", "model", "endpoint", "stage"]

_COLUMNS: dict[By, str] = {
    "day": "day",
    "month": "substr(day, 1, 7)",
    "tenant": "tenant",
    "key": "key",
    "model": "model",
    "endpoint": "endpoint",
    "stage": "stage",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """One group: its answers, tokens and nano-dollars. `unpriced` lines have no known price and are in no sum.

    `saved_nano_usd` is what was not paid, since an answer was given before or by a cheaper endpoint than the dearest.
    """

    group: str
    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    nano_usd: int
    unpriced: int
    saved_nano_usd: int

    @property
    def usd(self) -> float:
        return self.nano_usd / 1e9


def spent_by(ledger: Ledger, by: By, since: str = "", until: str = "9", tenant: str | None = None) -> list[Spent]:
    """The groups in the order of their names, of the days from `since` to `until` (as "2026-11-26"), both included, and
    of one tenant where it is named."""
    sums = ("input_tokens", "cached_tokens", "output_tokens", "nano_usd")
    # PostgreSQL's sums are no integers.
    columns, saved = ", ".join(map(_sum, sums)), _sum("saved_nano_usd")
    unpriced = _sum("CASE WHEN call IS NOT NULL AND nano_usd IS NULL THEN 1 ELSE 0 END")
    # An answer without a line was no model's; it counts all the same.
    query = (
        f"SELECT COALESCE({_COLUMNS[by]}, '') AS grouped, COUNT(DISTINCT id), {columns}, {unpriced}, {saved}"
        " FROM calls LEFT JOIN lines ON call = id WHERE day >= ? AND day <= ? AND tenant = COALESCE(?, tenant)"
        " GROUP BY grouped ORDER BY grouped"
    )
    rows = ledger.rows(query, (since, until, tenant))
    return [Spent(str(row[0]), *cast("tuple[int, int, int, int, int, int, int]", row[1:])) for row in rows]


def _sum(what: str) -> str:
    return f"CAST(COALESCE(SUM({what}), 0) AS BIGINT)"


def total_of(groups: Sequence[Spent]) -> Spent:
    """The sum; an answer counts once for each of its groups, so count it over groups that share none, such as days."""
    numbers = [list(asdict(group).values())[1:] for group in groups] or [[0] * 7]
    return Spent("total", *(sum(column) for column in zip(*numbers, strict=True)))


def as_csv(groups: Sequence[Spent]) -> str:
    """A header and a line for each group; money in nano-dollars, which are whole.

    >>> print(as_csv([Spent("2026-11-26", 1, 2, 0, 3, 4, 0, 5)]), end="")
    group,calls,input_tokens,cached_tokens,output_tokens,nano_usd,unpriced,saved_nano_usd
    2026-11-26,1,2,0,3,4,0,5
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Spent.__slots__)
    writer.writerows(asdict(group).values() for group in groups)
    return text.getvalue()
