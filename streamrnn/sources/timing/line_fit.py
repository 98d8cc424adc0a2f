"""Straight lines through clocks that are read late: what jitter does to them, and what it does not.

A frame arrives when it was measured, plus a delay that is never negative: most are short, some are
long (a busy host, a radio that sends again). So the line of the true times lies *below* the points
(device time, arrival), and touches those that came at once. Of the lines that have all points above
them, the one that lies nearest on average is the edge of the points' lower convex hull over their
mean (Moon, Skelly, Towsley 1999, "Estimation and removal of clock skew from network delay
measurements"; Zhang, Liu, Xia 2002). A late read of 100 ms does not move it at all.

Where errors have both signs, as a device's own times have, it is least squares with Huber's
weights.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from streamrnn.core.types import F64, I64

#: Residuals beyond so many standard deviations count less (Huber).
_HUBER = 1.5
_ROUNDS = 6
#: Median of absolute deviations to standard deviation, of a normal distribution.
_MAD = 1.4826


def fit_below(x: F64, y: F64, group: I64) -> float:
    """Return the slope of the lines below all points: one slope, a line for each group.

    Parameters
    ----------
    x, y : float64 (N,)
        In the order of x within each group.
    group : int64 (N,)
        Never decreasing: points that lie on one line.

    Returns
    -------
    float
        NaN when no group spans anything.
    """
    total = weights = 0.0
    edges = np.flatnonzero(np.diff(group)) + 1
    for part_x, part_y in zip(np.split(x, edges), np.split(y, edges), strict=True):
        span = part_x[-1] - part_x[0] if len(part_x) > 1 else 0.0
        if span > 0.0:
            weight = len(part_x) * span * span
            total += weight * _edge_below(part_x, part_y)
            weights += weight
    return float(total / weights) if weights else np.nan


def _edge_below(x: F64, y: F64) -> float:
    """Return the slope of the lower convex hull over the mean of x."""
    hull: list[tuple[float, float]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        px, py = point
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2:]
            if (by - ay) * (px - ax) < (py - ay) * (bx - ax):
                break
            hull.pop()
        if hull and hull[-1][0] == px:  # the same instant: only the lower one can touch
            if hull[-1][1] <= py:
                continue
            hull.pop()
        hull.append(point)
    middle = float(x.mean())
    for (ax, ay), (bx, by) in pairwise(hull):
        if middle <= bx:
            return (by - ay) / (bx - ax)
    (ax, ay), (bx, by) = hull[-2:]
    return (by - ay) / (bx - ax)


def _median(values: F64) -> float:
    """Return the median; NumPy's loads its masked arrays first, for 10 ms in the midst of a run."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    return float(np.partition(values, (low, high))[low : high + 1].mean())


def fit_through(x: F64, y: F64, group: I64, weight: F64) -> tuple[float, float]:
    """Return the slope of the lines through the points, and its standard error.

    Least squares in which points far off count less.

    Parameters
    ----------
    x, y, group : arrays (N,)
        As of `fit_below`.
    weight : float64 (N,)
        Above 0: how many measurements a point is the mean of.

    Returns
    -------
    slope, error : float
        NaN when nothing is spanned; the error is infinite with too few points to tell.
    """
    _, at = np.unique(group, return_inverse=True)
    n_groups = int(at[-1]) + 1 if len(at) else 0
    robust = weight
    slope, error = np.nan, np.inf
    for _ in range(_ROUNDS):
        total = np.bincount(at, robust, n_groups)
        dx = x - (np.bincount(at, robust * x, n_groups) / total)[at]
        dy = y - (np.bincount(at, robust * y, n_groups) / total)[at]
        sxx = float((robust * dx * dx).sum())
        if not sxx > 0.0:
            return np.nan, np.inf
        slope = float((robust * dx * dy).sum()) / sxx
        rest = (dy - slope * dx) * np.sqrt(weight)
        n_free = len(x) - n_groups - 1
        if n_free > 0:
            spread = float((robust / weight * rest * rest).sum()) / n_free
            error = (spread / sxx) ** 0.5
        sigma = _MAD * _median(np.abs(rest - _median(rest)))
        if not sigma > 0.0:
            break
        robust = weight / np.maximum(1.0, np.abs(rest) / (_HUBER * sigma))
    return slope, error
