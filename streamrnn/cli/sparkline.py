"""A signal as one line of blocks."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F32

_TICKS = "▁▂▃▄▅▆▇█"


def sparkline(values: F32, width: int) -> str:
    """Return values as one line of blocks between their own least and largest.

    Parameters
    ----------
    values : float32 (N,)
    width : int
        Characters; fewer when there are fewer values.
    """
    if not len(values):
        return ""
    edges = np.linspace(0, len(values), min(width, len(values)) + 1).astype(int)[:-1]
    means = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    low, high = float(means.min()), float(means.max())
    span = high - low
    if not np.isfinite(span) or span <= 0:
        return "▄" * len(means)
    return "".join(_TICKS[int((float(v) - low) / span * 7.999)] for v in means)
