"""How often something happens an hour, and what a count can and cannot show.

Counts of rare events are taken as Poisson distributed; the intervals are exact (F. Garwood 1936,
"Fiducial limits for the Poisson distribution", Biometrika 28): quantiles of chi-square with 2 n and
2 n + 2 degrees of freedom, halved, which are those of the gamma distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A count over a time, with its bounds.

    Attributes
    ----------
    n : int
        How often it happened.
    hours : float
        In how much time; 0 when there was none.
    confidence : float
        Of the bounds, 0..1.
    per_hour : float
        n / hours; nan without time.
    low, high : float
        Two-sided interval, an hour; 0 and inf without time.
    upper : float
        One-sided bound, an hour: a higher rate would have shown more events with this confidence.
    """

    n: int
    hours: float
    confidence: float
    per_hour: float
    low: float
    high: float
    upper: float


def poisson_interval(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a Poisson mean.

    Parameters
    ----------
    n : int
        Count, 0 or more.
    confidence : float
        Within 0..1.

    Returns
    -------
    low, high : float
        The means at which `n` or more, and `n` or fewer, have probability (1 - confidence) / 2.
        `low` is 0 for a count of 0.
    """
    from scipy.special import gammainccinv, gammaincinv

    _check(n, confidence)
    tail = (1.0 - confidence) / 2
    low = float(gammaincinv(n, tail)) if n else 0.0
    return low, float(gammainccinv(n + 1, tail))


def poisson_upper(n: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a Poisson mean; 3.0 for a count of 0 at 95 %."""
    from scipy.special import gammainccinv

    _check(n, confidence)
    return float(gammainccinv(n + 1, 1.0 - confidence))


def rate(n: int, hours: float, confidence: float = 0.95) -> Rate:
    """Return how often an hour something happened `n` times in `hours`, with bounds."""
    low, high = poisson_interval(n, confidence)
    upper = poisson_upper(n, confidence)
    if not hours > 0:
        return Rate(n, 0.0, confidence, math.nan, 0.0, math.inf, math.inf)
    return Rate(n, hours, confidence, n / hours, low / hours, high / hours, upper / hours)


def hours_needed(per_hour: float, n: int = 0, confidence: float = 0.95) -> float:
    """Return how many hours a claim of fewer than `per_hour` needs if `n` are seen in them.

    With none seen these are the hours of the rule of three: 3.0 / `per_hour` at 95 %.

    Parameters
    ----------
    per_hour : float
        The claim, above 0.
    n : int
        Seen in these hours.
    confidence : float
        Of the claim.
    """
    if not per_hour > 0:
        raise ValueError(f"per_hour must be above 0, got {per_hour}")
    return poisson_upper(n, confidence) / per_hour


def hours_needed_at(
    per_hour: float, n: int, hours: float, confidence: float = 0.95
) -> float | None:
    """Return the hours after which a claim will hold if things go on as they did.

    Parameters
    ----------
    per_hour : float
        The claim.
    n : int
        Seen so far, in `hours`.
    confidence : float
        Of the claim.

    Returns
    -------
    float or None
        Hours in all, at least `hours`; None when what was seen is no rarer than the claim, so
        that no time will do.
    """
    if hours <= 0 or n == 0:
        return max(hours, hours_needed(per_hour, 0, confidence))
    seen = n / hours
    if seen >= 0.99 * per_hour:  # the hours grow without bound as the two meet
        return None
    count = n
    while True:
        needed = hours_needed(per_hour, count, confidence)
        if seen * needed <= count:
            return max(hours, needed)
        count = max(count + 1, math.ceil(seen * needed))


def _check(n: int, confidence: float) -> None:
    if n < 0:
        raise ValueError(f"a count must be 0 or more, got {n}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be within 0..1, got {confidence}")
