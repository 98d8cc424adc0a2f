"""How far times are spread: counts in buckets, of constant size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import F64

#: Buckets a doubling: a percentile is at most 1/16 too high.
_PER_DOUBLING = 16
_N_BUCKETS = 64 * _PER_DOUBLING


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of some times.

    Attributes
    ----------
    p50_us, p95_us, max_us : float
        Microseconds; a percentile is an upper bound, at most 1/16 too high.
    """

    p50_us: float
    p95_us: float
    max_us: float

    def to_dict(self) -> dict[str, float]:
        """Return them, rounded to 0.1 microseconds."""
        return {
            "p50_us": round(self.p50_us, 1),
            "p95_us": round(self.p95_us, 1),
            "max_us": round(self.max_us, 1),
        }


class SpreadCounter:
    """Counts times; a week of them takes no more room than a second."""

    def __init__(self) -> None:
        self._counts = np.zeros(_N_BUCKETS, np.int64)
        self._max_us = 0.0

    def add(self, times_us: F64) -> None:
        """Count times in microseconds, from 0 to 1e15; those below a nanosecond count as that."""
        if not len(times_us):
            return
        mantissa, exponent = np.frexp(np.maximum(times_us * 1e3, 1.0))
        # 1 ns has mantissa 0.5 and exponent 1
        bucket = (exponent - 1) * _PER_DOUBLING + (mantissa * 2 - 1) * _PER_DOUBLING
        counts = np.bincount(np.minimum(bucket.astype(np.int64), _N_BUCKETS - 1))
        self._counts[: len(counts)] += counts
        self._max_us = max(self._max_us, float(times_us.max()))

    def spread(self) -> Spread | None:
        """Return the percentiles so far; None when nothing was counted."""
        total = int(self._counts.sum())
        if not total:
            return None
        seen = np.cumsum(self._counts)
        p50, p95 = (int(np.searchsorted(seen, total * share)) for share in (0.50, 0.95))
        return Spread(self._upper_us(p50), self._upper_us(p95), self._max_us)

    def _upper_us(self, bucket: int) -> float:
        octave, step = divmod(bucket, _PER_DOUBLING)
        return min(2.0**octave * (1 + (step + 1) / _PER_DOUBLING) / 1e3, self._max_us)
