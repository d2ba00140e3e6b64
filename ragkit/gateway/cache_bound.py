"""How far a hit in other words is trusted: each entry by what came of its hits, all of them by a bound of the user's.

By entry it is the idea of vCache (arXiv 2502.03771, from the paper): the probability that an entry answers a question
rightly is a logistic curve over their similarity; where it is too low, the question is asked anew and the two answers
are compared. An entry has a handful of labels or none. So in the place of the paper's confidence band there is a prior
for where its curve lies, which gives an entry without labels the threshold of the config; labels only move that.

For all of them: wrong hits are counted, and while their share may be over the bound, nothing is given again in other
words. The interval is Clopper and Pearson's at the moment of asking. It is asked again and again, so that 95% is what
one look has, not all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Label = tuple[float, bool]
"""The cosine of a question to that of an entry, and whether the entry's answer was right for it."""

SLOPE = 40.0
"""Of every curve: from 12% to 88% within 0.1 of cosine. Chosen, not fitted. One slope for all makes sure that a wrong
hit never lowers a threshold and a right one never raises it."""
SPREAD = 0.1
"""Standard deviation of the middles of curves before anything is known of an entry; chosen."""
_STEP = 0.005
_REACH = 1.0


def probability_right(similarity: float, labels: Sequence[Label], least: float, most_wrong: float) -> float:
    """How likely an entry with these labels answers a question of this similarity rightly.

    Without labels that is `1 - most_wrong` at the threshold `least`.

    >>> round(probability_right(0.7, [], least=0.7, most_wrong=0.02), 3)
    0.98
    >>> round(probability_right(0.9, [(0.9, False)], least=0.7, most_wrong=0.02), 2)
    0.03
    """
    import numpy as np

    middles, prior = _middles(), _prior(round(most_wrong, 9))
    logs = np.log(np.maximum(prior, 1e-300))
    for cosine, right in labels:
        z = SLOPE * (cosine - least - middles)
        logs -= np.logaddexp(0.0, -z if right else z)
    weights = np.exp(logs - logs.max())
    return float((weights * _logistic(SLOPE * (similarity - least - middles))).sum() / weights.sum())


def trusted(similarity: float, labels: Sequence[Label], least: float, most_wrong: float) -> bool:
    """Whether an entry may answer a question of this similarity, by what is known of it alone."""
    if similarity < least:
        return False
    return not labels or probability_right(similarity, labels, least, most_wrong) >= 1 - most_wrong


def stopped(wrong: int, judged: int, most_wrong: float) -> bool:
    """Whether nothing is given again in other words: something was wrong, and too few were right to bound its share.

    >>> stopped(0, 5, 0.01), stopped(1, 400, 0.01), stopped(1, 473, 0.01)
    (False, True, False)
    """
    return wrong > 0 and share_bound(wrong, judged) > most_wrong


@lru_cache(maxsize=4096)
def share_bound(wrong: int, judged: int) -> float:
    """The most that the share of wrong hits is, one-sided at 95%, by Clopper and Pearson."""
    from ragkit.evaluate.statistics import rare_event_bound

    return rare_event_bound(wrong, judged)


@lru_cache(maxsize=1)
def _middles() -> NDArray[np.float64]:
    """Where a curve may have its middle, as the distance to the threshold of the config."""
    import numpy as np

    return np.arange(-_REACH, _REACH + _STEP / 2, _STEP)


@lru_cache(maxsize=16)
def _prior(most_wrong: float) -> NDArray[np.float64]:
    """The weights of the middles under which a hit at the threshold is right with 1 - `most_wrong`.

    A share of `most_wrong` lies anywhere, so that a wrong hit far above the threshold is taken for what it is: an entry
    whose answer suits no other question.
    """
    import numpy as np

    middles = _middles()
    right = _logistic(-SLOPE * middles)
    low, high = -_REACH, _REACH
    weights = np.ones_like(middles)
    for _ in range(60):
        center = (low + high) / 2
        weights = np.exp(-0.5 * ((middles - center) / SPREAD) ** 2)
        weights = (1 - most_wrong) * weights / weights.sum() + most_wrong / len(middles)
        low, high = (center, high) if float((weights * right).sum()) > 1 - most_wrong else (low, center)
    return weights


def _logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.exp(-np.logaddexp(0.0, -z))
