"""Samples that are no measurements: NaN, stuck channels, clipping, stale and frozen frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F32, F64, I64
from streamrnn.evaluation.inspection.finding import Hit, Place
from streamrnn.sessions.session import Session, frame_period_us

#: Fewer different values than this are buttons or classes, not a measurement.
FEW_VALUES = 32
#: A channel is stuck, or a stream frozen, when it holds still for this long, in seconds and in
#: frames, and this many times as long as 99 of 100 of its other runs of one value.
STUCK_S, STUCK_FRAMES, STUCK_TIMES = 1.0, 25, 10
#: Samples at a channel's extreme: this many in a row are a run, and this share is clipping. Above
#: the larger share the extreme is where the signal rests.
CLIP_RUN, CLIP_SHARE, REST_SHARE = 3, 5e-4, 0.2
#: A channel that is new only every so many frames belongs to a slower sensor.
SLOW_FRAMES = 2.0
#: So many such samples are clipping at least, however short the recording.
CLIP_LEAST = 6


@dataclass(slots=True)
class SignalHits:
    """What was seen in one session, by kind; a hit's value in brackets.

    Attributes
    ----------
    not_finite : list of Hit
        Channels with NaN or infinity [frames].
    constant : list of Hit
        Channels with one value from end to end [the value].
    stuck : list of Hit
        Channels that held one value for long [seconds], while others moved.
    frozen : list of Hit
        All channels held still for long [seconds].
    stale : list of Hit
        Frames that repeat the one before [share of all frames].
    slow : list of Hit
        Channels that hold each value for some frames [frames].
    clipped : list of Hit
        Channels pinned at an extreme [frames].
    limits : dict of str to float
        Extreme at which a channel is pinned.
    ranges : dict of str to (float, float)
        Least and largest sample of each channel.
    """

    not_finite: list[Hit] = field(default_factory=list)
    constant: list[Hit] = field(default_factory=list)
    stuck: list[Hit] = field(default_factory=list)
    frozen: list[Hit] = field(default_factory=list)
    stale: list[Hit] = field(default_factory=list)
    slow: list[Hit] = field(default_factory=list)
    clipped: list[Hit] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)


def look(name: str, session: Session) -> SignalHits:
    """Look at the samples of one session, a channel at a time.

    Parameters
    ----------
    name : str
        What the session is called.
    session : Session
    """
    hits = SignalHits()
    x, t_us = session.frames.x, session.frames.t_us
    if len(x) < 2:
        return hits
    period_s = frame_period_us(session.info.rate_hz, t_us) / 1e6
    t_s = (t_us - t_us[0]) / 1e6
    least = max(STUCK_FRAMES, round(STUCK_S / period_s))
    same = _repeats(x, session.frames.seq)
    longest = 0
    for a, b in _runs(same, True):
        if b - a > longest:
            longest, place = b - a, Place(name, "", float(t_s[a]))
    if longest >= least and x.shape[1] > 1:
        hits.frozen.append(Hit(place, longest * period_s))
    share = float(same.mean())
    if x.shape[1] > 1 and share:
        first = int(same.argmax()) + 1
        hits.stale.append(Hit(Place(name, "", float(t_s[first])), share))
    fresh = np.concatenate([[True], ~same])
    clock = _Clock(t_s, period_s, least, longest, fresh)
    for k, channel in enumerate(session.info.channels):
        _look_at_channel(hits, Place(name, channel.name), x[:, k], clock)
    return hits


class _Clock(NamedTuple):
    """What is the same for all channels of a session."""

    t_s: F64
    period_s: float
    least: int
    frozen: int
    fresh: npt.NDArray[np.bool_]


def _look_at_channel(hits: SignalHits, where: Place, values: F32, clock: _Clock) -> None:
    t_s, period_s, least, frozen, fresh = clock
    finite = np.isfinite(values)
    if not finite.all():
        first = int((~finite).argmax())
        n_bad = int(len(values) - finite.sum())
        hits.not_finite.append(Hit(replace(where, t_s=float(t_s[first])), n_bad))
        if not finite.any():
            return
    low, high = float(values[finite].min()), float(values[finite].max())
    hits.ranges[where.channel] = low, high
    if low == high:
        hits.constant.append(Hit(where, low))
        return
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.append(starts, len(values)))
    every = max(1, len(values) // (100 * FEW_VALUES))
    if len(np.unique(values[::every])) < FEW_VALUES:
        return
    k = int(lengths.argmax())
    usual = float(np.quantile(lengths, 0.99))
    held = float(np.median(lengths))
    if held >= SLOW_FRAMES:
        hits.slow.append(Hit(where, held))
    if lengths[k] >= max(least, STUCK_TIMES * usual) and lengths[k] > frozen + 1:
        hits.stuck.append(Hit(replace(where, t_s=float(t_s[starts[k]])), lengths[k] * period_s))
    kept = np.flatnonzero(fresh & finite)
    n_pinned, limit, first = 0, 0.0, 0
    for extreme in (low, high):
        n, at = _pinned(values[kept], extreme, CLIP_RUN * held)
        if n:
            n_pinned, limit, first = n_pinned + n, extreme, int(kept[at])
    if n_pinned >= max(CLIP_LEAST, CLIP_SHARE * len(values)):
        hits.clipped.append(Hit(replace(where, t_s=float(t_s[first])), n_pinned))
        hits.limits[where.channel] = limit


def _pinned(values: F32, extreme: float, least: float) -> tuple[int, int]:
    """Return how many samples are cut off at an extreme, in runs of at least so many, and where.

    A signal that is cut off runs into its limit; one that turns round just there, in small steps of
    its own resolution, does not.
    """
    at = values == np.float32(extreme)
    if at.mean() > REST_SHARE:
        return 0, 0
    steps = np.abs(np.diff(values.astype(np.float64)))
    quantum = float(steps[steps > 0].min())
    found = []
    for a, b in _runs(at, True):
        into = max(
            float(steps[a - 1]) if a else 0.0, float(steps[b - 1]) if b < len(values) else 0.0
        )
        if b - a >= least and into > 2.5 * quantum:
            found.append((a, b))
    if not found:
        return 0, 0
    return sum(b - a for a, b in found), found[0][0]


def _repeats(x: F32, seq: I64) -> npt.NDArray[np.bool_]:
    """Tell of each frame but the first whether it is the one before once more, bool (N - 1,)."""
    same: npt.NDArray[np.bool_] = np.diff(seq) == 1
    for k in range(x.shape[1]):
        same &= x[1:, k] == x[:-1, k]
    return same


def _runs(flags: npt.NDArray[np.bool_], value: bool) -> Iterator[tuple[int, int]]:
    """Yield the half-open ranges in which `flags` is `value`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], flags, [not value]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
