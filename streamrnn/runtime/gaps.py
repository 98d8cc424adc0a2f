"""The gap rule: short breaks are filled, longer ones forget; the same live and offline."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import Frames, Gap


def merge(first: Gap | None, second: Gap) -> Gap:
    """Return two breaks with no frame between them as one: the first is the cause."""
    if first is None:
        return second
    return Gap(first.reason, first.restart or second.restart)


def is_short(n_missing: int, rate_hz: float, max_gap_ms: float) -> bool:
    """Return True if `n_missing` frames are few enough to be filled."""
    return n_missing * 1e6 / rate_hz <= max_gap_ms * 1000.0


def fill(last: Frames, following: Frames) -> Frames:
    """Return the frames missing between two single frames, on a straight line.

    Parameters
    ----------
    last, following : Frames of one frame
        The frames before and behind the gap.

    Returns
    -------
    Frames
        ``following.seq - last.seq - 1`` frames; x in float32, t_us rounded down.
    """
    n_missing = int(following.seq[0] - last.seq[0]) - 1
    step = np.arange(1, n_missing + 1)
    share = (step / np.float64(n_missing + 1)).astype(np.float32)[:, None]
    x = last.x + (following.x - last.x) * share
    span_us = int(following.t_us[0] - last.t_us[0])
    t_us = last.t_us[0] + span_us * step // (n_missing + 1)
    return Frames(np.ascontiguousarray(x, np.float32), last.seq[0] + step, t_us)


def stretches(seq: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[tuple[int, int]]:
    """Return the half-open index ranges in which `seq` counts up by one."""
    if len(seq) == 1:
        return [(0, 1)]
    cuts = (np.flatnonzero(np.diff(seq) != 1) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(seq)], strict=True))
