"""Who runs when: every round in another order, and nothing twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def order(names: Sequence[str], number: int) -> list[str]:
    """The contenders in the order of a round: the first moves on by one each time, and every other round is
    reversed, so that none is always before or behind another.

    >>> order(["a", "b", "c"], 0), order(["a", "b", "c"], 1), order(["a", "b", "c"], 2)
    (['a', 'b', 'c'], ['c', 'b', 'a'], ['b', 'c', 'a'])
    """
    if not names:
        return []
    first = number // 2 % len(names)
    turned = [*names[first:], *names[:first]]
    return turned[::-1] if number % 2 else turned


def left(
    names: Sequence[str], rounds: int, done: Collection[tuple[str, int]], given_up: Collection[str] = ()
) -> Iterator[tuple[int, str]]:
    """(round, contender) in order, without those that are `done` and those that were given up."""
    for number in range(rounds):
        for name in order(names, number):
            if (name, number) not in done and name not in given_up:
                yield number, name
