"""The frame rate that timestamps tell."""

from __future__ import annotations

import itertools

import numpy as np

from streamrnn.core.types import F64, I64

#: A step this much longer than the usual one is a gap, not jitter: phones deliver 0.5 to 2 periods.
GAP_PERIODS = 2.5


def fitted_rate_hz(seq: I64, t_us: I64) -> float:
    """Return the rate that sequence numbers and times agree on.

    The median slope over pairs of frames half a recording apart: jitter of single frames averages
    out over the distance, and a clock that jumped once moves less than half of the pairs' slopes.

    Parameters
    ----------
    seq, t_us : int64 (N,)

    Returns
    -------
    float
        Hz; 0.0 with fewer than two frames, or when the time stands still.
    """
    half = len(seq) // 2
    if not half:
        return 0.0
    d_t = t_us[half:] - t_us[: len(t_us) - half]
    d_seq = seq[half:] - seq[: len(seq) - half]
    moving = d_t > 0
    if not moving.any():
        return 0.0
    return float(np.median(d_seq[moving] / d_t[moving]) * 1e6)


def arrival_rate_hz(seq: I64, host_us: I64) -> float:
    """Return the rate at which frames without a clock arrived, in the longest unbroken stretch.

    Such a stream does not say what a break lacks, so that numbers across one mean nothing.

    Parameters
    ----------
    seq, host_us : int64 (N,)
    """
    edges = [0, *(np.flatnonzero(np.diff(seq) != 1) + 1).tolist(), len(seq)]
    a, b = max(itertools.pairwise(edges), key=lambda part: part[1] - part[0])
    return fitted_rate_hz(seq[a:b], host_us[a:b])


def sequence_of_times(t_us: I64) -> tuple[I64, float]:
    """Return frame numbers that leave room for the frames missing in gaps of the times.

    Parameters
    ----------
    t_us : int64 (N,)
        N >= 2, never decreasing, and not all equal.

    Returns
    -------
    seq : int64 (N,)
        From 0.
    rate_hz : float
        Fitted, gaps left out.
    """
    steps: F64 = np.diff(t_us).astype(np.float64)
    usual = steps[steps <= GAP_PERIODS * np.median(steps)]
    period_us = float(usual.mean()) if usual.mean() > 0 else float(steps.mean())
    jumps = np.where(steps > GAP_PERIODS * period_us, np.rint(steps / period_us), 1.0)
    seq = np.concatenate([np.zeros(1, np.int64), np.cumsum(jumps.astype(np.int64))])
    return seq, fitted_rate_hz(seq, t_us)
