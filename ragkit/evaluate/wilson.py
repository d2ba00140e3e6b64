"""The interval of a share: how far off may 27 of 30 be?"""

from __future__ import annotations

import math

_Z = 1.959963984540054  # 95%


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95% score interval of a share of `total` independent trials (Wilson 1927, JASA 22).

    >>> [round(bound, 3) for bound in wilson(27, 30)]
    [0.744, 0.965]

    Raises ValueError without trials.
    """
    if total < 1 or not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    share = hits / total
    scale = 1 + _Z * _Z / total
    middle = (share + _Z * _Z / (2 * total)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / total + _Z * _Z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)
