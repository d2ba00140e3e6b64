"""What a set of queries can show, to be stated before the result: power and the smallest difference.

A difference that is not clear says little if the set could not have shown it; one that is clear in a set too small
for it is likely overstated.
"""

from __future__ import annotations

import math
from typing import Any

from ragkit.evaluate.statistics import check_options


def power(difference: float, sd: float, n: float, *, clusters: int | None = None, level: float = 0.95) -> float:
    """How often `n` queries show a true mean difference, if single differences have the standard deviation `sd`.

    Power of the two-sided paired t-test (Cohen 1988, "Statistical Power Analysis", chapter 2), which bootstrap
    intervals and permutation tests of means come close to. For clustered queries `n` is their `effective_size`
    and `clusters` their number.

    Raises ValueError if `sd` is not above 0, a value is not finite, `n` or `clusters` is below 2 or `level` is
    out of range.

    >>> round(power(0.05, 0.3, 300), 3)
    0.821
    """
    freedom = _freedom(sd, n, clusters, level)
    if not math.isfinite(difference):
        raise ValueError("difference must be finite")
    return _t_power(abs(difference) * math.sqrt(n) / sd, freedom, level)


def smallest_difference(
    sd: float, n: float, *, clusters: int | None = None, level: float = 0.95, power: float = 0.8
) -> float:
    """The smallest true mean difference that `n` queries show with this `power`: to be stated before the result.

    Meaning of the arguments and errors as in the function `power`; ValueError also if `power` does not lie
    between `1 - level` and 1.

    >>> round(smallest_difference(0.3, 300), 4)
    0.0487
    """
    from scipy import optimize

    freedom = _freedom(sd, n, clusters, level)
    _check_power(power, level)
    highest = 1.0
    while _t_power(highest, freedom, level) < power:
        highest *= 2

    def lacking(shift: float) -> float:
        return _t_power(shift, freedom, level) - power

    untyped: Any = optimize
    return float(untyped.brentq(lacking, 0.0, highest)) * sd / math.sqrt(n)


def share_power(difference: float, disagreement: float, n: int, *, level: float = 0.95) -> float:
    """How often `mcnemar_test` over `n` queries shows that two shares of right answers differ by `difference`.

    `disagreement` is the share of queries that one system gets right and the other wrong. Systems that err
    independently and are right in a share s of queries disagree on 2 s (1 - s); systems of one family disagree
    less. Exact: sums over how many queries disagree (Miettinen 1968, Biometrics 24, has the approximation).

    Raises ValueError unless `|difference| <= disagreement`, `0 < disagreement <= 1`, `n >= 1`, `0 < level < 1`.

    >>> round(share_power(0.1, 0.2, 150), 3)
    0.746
    """
    import numpy as np
    from scipy import stats

    _check_disagreement(disagreement, n, level)
    if abs(difference) > disagreement:
        raise ValueError("shares cannot differ by more than the share of queries on which the systems disagree")
    binomial: Any = stats.binom
    differing = np.arange(n + 1)
    # The most losses that the test calls clear, for each number of differing queries; -1 where there is none.
    most = binomial.ppf((1 - level) / 2, differing, 0.5)
    most = most - (binomial.cdf(most, differing, 0.5) > (1 - level) / 2)
    gain = (disagreement + abs(difference)) / (2 * disagreement)
    shown = binomial.cdf(most, differing, gain) + binomial.sf(differing - most - 1, differing, gain)
    return min(1.0, float((binomial.pmf(differing, n, disagreement) * shown).sum()))


def smallest_share_difference(disagreement: float, n: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference of two shares that `mcnemar_test` over `n` queries shows with this `power`.

    Infinite if not even systems that always disagree in favour of the same one could be told apart. Meaning of
    the arguments and errors as in `share_power`; ValueError also if `power` does not lie between `1 - level`
    and 1.

    >>> round(smallest_share_difference(0.2, 150), 3)
    0.106
    """
    from scipy import optimize

    _check_disagreement(disagreement, n, level)
    _check_power(power, level)
    if share_power(disagreement, disagreement, n, level=level) < power:
        return math.inf

    def lacking(difference: float) -> float:
        return share_power(difference, disagreement, n, level=level) - power

    untyped: Any = optimize
    return float(untyped.brentq(lacking, 0.0, disagreement))


DISAGREEMENT = 0.2
"""Share of the questions of which two systems of one family get one right and the other wrong; only an assumption."""


def before_asking(clusters: int) -> float:
    """The smallest difference of two shares that questions about so many documents show in four of five cases, if each
    document counts once and the systems disagree on a fifth of them; infinite for too few.

    >>> round(before_asking(150), 3), before_asking(5)
    (0.106, inf)
    """
    return smallest_share_difference(DISAGREEMENT, clusters) if clusters > 1 else math.inf


def _check_disagreement(disagreement: float, n: int, level: float) -> None:
    if not 0 < disagreement <= 1 or n < 1:
        raise ValueError("disagreement is a share above 0, n at least 1")
    check_options(1, level)


def _check_power(power: float, level: float) -> None:
    if not 1 - level < power < 1:
        raise ValueError("power must lie between 1 - level and 1")


def _freedom(sd: float, n: float, clusters: int | None, level: float) -> float:
    """Degrees of freedom of the t-test: as many clusters as there are less one, whatever their queries tell."""
    check_options(1, level)
    if not 0 < sd < math.inf or not 2 <= n < math.inf or (clusters is not None and clusters < 2):
        raise ValueError("sd must be above 0, n and clusters at least 2, all of them finite")
    return (n if clusters is None else clusters) - 1


def _t_power(shift: float, freedom: float, level: float) -> float:
    """Chance that |t| exceeds its critical value if its distribution is shifted (noncentral t)."""
    from scipy import special

    critical = float(special.stdtrit(freedom, (1 + level) / 2))
    untyped: Any = special
    within, beyond = (float(untyped.nctdtr(freedom, shift, bound)) for bound in (critical, -critical))
    # Probabilities too small for it come back as NaN.
    return 1 - (0.0 if math.isnan(within) else within) + (0.0 if math.isnan(beyond) else beyond)
