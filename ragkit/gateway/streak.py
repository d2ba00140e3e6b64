"""Bad outcomes in a row, and whether they are most of what was asked meanwhile.

Refusals come back at once and answers take seconds. Of 64 calls at once to a server that refuses every third, the first
twenty outcomes are refusals; so a row counts against all calls of its time, not against those that have ended.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 0.5


@dataclass(slots=True)
class Streak:
    """`bad` outcomes without a good one between them, `of` calls under way when they began or begun since.

    >>> streak = Streak()
    >>> streak.happened(under_way=64)
    >>> streak.bad, streak.is_most
    (1, False)
    >>> streak.good()
    >>> streak.happened(under_way=1)
    >>> streak.is_most
    True
    """

    bad: int = 0
    of: int = 0

    def begun(self) -> None:
        """A call began."""
        if self.bad:
            self.of += 1

    def good(self) -> None:
        """A call ended well: the row is over."""
        self.bad = 0

    def happened(self, under_way: int) -> None:
        """A call ended badly; so many calls were under way, that one included."""
        if not self.bad:
            self.of = under_way
        self.bad += 1

    @property
    def is_most(self) -> bool:
        return self.bad >= _MOST * self.of
