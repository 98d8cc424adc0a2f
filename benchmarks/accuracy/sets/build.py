"""Arrays into sessions, the same way for every set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from streamrnn.core.types import I64, NULL_NAME, Channel, Floats, Frames, Label, StreamInfo
from streamrnn.sessions.labels import labels_from_frames
from streamrnn.sessions.session import Session, frame_period_us
from streamrnn.wire.packet import frame_time_us

#: Where a set says nothing of its rate: times are frame numbers over this.
UNSTATED_RATE_HZ = 50.0
_SEPARATORS = re.compile(rb"[\r\n]+")


def numbers(text: bytes, n_columns: int, skip_lines: int = 0) -> Floats:
    """Return comma-separated numbers as float64 (N, n_columns).

    Raises
    ------
    ValueError
        Not a whole number of rows.
    """
    for _ in range(skip_lines):
        text = text.partition(b"\n")[2]
    flat = np.fromstring(_SEPARATORS.sub(b",", text.strip()).decode("ascii"), np.float64, sep=",")
    return flat.reshape(-1, n_columns)


def stream(
    x: Floats,
    channels: Sequence[Channel],
    rate_hz: float,
    y: I64 | None = None,
    names: Sequence[str] = (NULL_NAME,),
    *,
    rate_is: str,
    **metadata: str,
) -> Session:
    """Return a session of consecutive frames.

    Parameters
    ----------
    x : float (N, n)
    channels : sequence of Channel
    rate_hz : float
    y : int64 (N,) or None
        One class a frame, an index into `names`; None: no labels.
    names : sequence of str
        The null class first.
    rate_is : str
        ``stated`` by the set's makers, or ``nominal``.
    **metadata : str
        Kept with the session.
    """
    frames = steady(x, rate_hz)
    return session_of(frames, channels, rate_hz, {"rate": rate_is, **metadata}, y=y, names=names)


def steady(x: Floats, rate_hz: float) -> Frames:
    """Return rows as frames at a steady rate, from time 0."""
    seq = np.arange(len(x), dtype=np.int64)
    return Frames(np.ascontiguousarray(x, np.float32), seq, frame_time_us(0, seq, rate_hz))


def session_of(
    frames: Frames,
    channels: Sequence[Channel],
    rate_hz: float,
    metadata: Mapping[str, str],
    *,
    y: I64 | None = None,
    names: Sequence[str] = (NULL_NAME,),
) -> Session:
    """Return a session of frames that have their times; the rest as in `stream`."""
    t_us = frames.t_us
    end_us = int(t_us[-1]) + frame_period_us(rate_hz, t_us)
    labels = [] if y is None else labels_from_frames(y, names, t_us, end_us, source="import")
    info = StreamInfo(tuple(channels), rate_hz)
    return Session(info, frames, t_us * 1000, labels, [], dict(metadata))


def trial(
    x: Floats,
    channels: Sequence[Channel],
    rate_hz: float,
    label: str,
    *,
    rate_is: str,
    **metadata: str,
) -> Session:
    """Return one trial: a label over all of it, none when `label` is the null class."""
    frames = steady(x, rate_hz)
    known = {"rate": rate_is, "trial": "yes", **metadata}
    session = session_of(frames, channels, rate_hz, known)
    if label != NULL_NAME:
        session.labels.append(Label(label, session.start_us, session.end_us, "import"))
    return session


def triad(stem: str, unit: str = "") -> tuple[Channel, ...]:
    """Return the channels ``stem_x``, ``stem_y``, ``stem_z``."""
    return tuple(Channel(f"{stem}_{axis}", unit) for axis in "xyz")
