"""Which questions to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ragkit.evaluate.record import Outcome, Record, went_wrong

_FIRST: dict[Outcome, int] = {outcome: place for place, outcome in enumerate(get_args(Outcome))}


def worst_first(records: Sequence[Record]) -> list[Record]:
    """The questions that went wrong: those that failed, then by the stage that lost them, then by token F1."""
    wrong = [record for record in records if went_wrong(record.outcome)]
    return sorted(
        wrong,
        key=lambda record: (
            record.outcome != "failed",
            _FIRST[record.outcome],
            record.metrics.get("f1", 0.0),
            record.case.id,
        ),
    )
