"""95 % intervals that the size of a test allows.

A share of independent trials has Wilson's interval. A mean over people, videos or folds has
Student's: frames of one person are not independent, people are. A macro F1 of one recording has a
bootstrap over its decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Interval = tuple[float, float]
_T = TypeVar("_T")
_Z = 1.959964
_RESAMPLES = 1000


def wilson(share: float, n: int) -> Interval | None:
    """Return the interval of a share of `n` trials (E. B. Wilson 1927, JASA 22), None without."""
    if n < 1:
        return None
    z2 = _Z * _Z / n
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


def student(values: Sequence[float]) -> Interval | None:
    """Return the interval of the mean of shares, within 0..1; None for fewer than two."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return None
    x = np.asarray(values, np.float64)
    half = float(t.isf(0.025, n - 1) * x.std(ddof=1)) / math.sqrt(n)
    mean = float(x.mean())
    return max(0.0, mean - half), min(1.0, mean + half)


def bootstrap(items: Sequence[_T], score: Callable[[list[_T]], float]) -> Interval | None:
    """Return the percentile interval of a score of independent items, drawn anew 1000 times."""
    if len(items) < 2:
        return None
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(items), (_RESAMPLES, len(items))).tolist()
    scores = [score([items[i] for i in draw]) for draw in draws]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
