"""How different the scores of people and sessions are, and what so few of them can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Scores of some groups.

    Attributes
    ----------
    n : int
        Groups.
    min, median, max, mean : float
    low, high : float or None
        95 % interval of the mean over all such groups, by Student's t: it is wide when the groups
        are few, as it should be. Cut at 0 and 1; None for fewer than two groups.
    """

    n: int
    min: float
    median: float
    max: float
    mean: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON values, rounded to four places."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def spread(values: Sequence[float], confidence: float = 0.95) -> Spread | None:
    """Return the spread of some scores within 0..1, None without any."""
    if not values:
        return None
    x = np.asarray(values, np.float64)
    n, mean = len(x), float(x.mean())
    low = high = None
    if n > 1:
        from scipy.special import stdtrit

        quantile = float(stdtrit(n - 1, (1.0 + confidence) / 2))
        half = quantile * float(x.std(ddof=1)) / math.sqrt(n)
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Spread(n, float(x.min()), float(np.median(x)), float(x.max()), mean, low, high)
