"""The origin `playback`: recorded sessions, frame for frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firmware_sim.origins.origin import Block, to_rows
from streamrnn.core.errors import SessionError, WireError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, Label, Marker
from streamrnn.wire.schema import MAX_RATE_HZ, MIN_RATE_HZ, ChannelGroup, Hello

if TYPE_CHECKING:
    from streamrnn.sessions.session import Session


class PlaybackOrigin:
    """Frames of a session: samples bit by bit, indices and times as they were recorded.

    Several sessions are played one behind the other, as one stream.

    Samples travel as f32. Lost frames stay lost: jumps of `seq` go out as they are.

    Parameters
    ----------
    sessions : Session or path, one or more
        A file is read whole.

    Raises
    ------
    SessionError
        It cannot be read, or the wire cannot carry it.
    """

    keeps_time = True

    def __init__(self, *sessions: Session | Path | str) -> None:
        session = _joined(sessions)
        info, frames = session.info, session.frames
        if len(frames) and frames.t_us[0] < 0:
            raise SessionError(f"playback: the times begin at {frames.t_us[0]} us, below 0")
        for label in session.labels:
            if label.start_us < 0:
                name, at_us = printable(label.name, 40), label.start_us
                raise SessionError(f"playback: label {name!r} begins at {at_us} us, below 0")
        try:
            self.hello = Hello(
                name=info.name,
                firmware=info.firmware,
                boot_id=info.boot_id,
                rate_hz=info.rate_hz or _fit_rate_hz(frames.t_us),
                groups=_groups(session),
            )
            self.hello.to_json()
        except WireError as error:
            raise SessionError(f"playback: the wire cannot carry this session: {error}") from None
        self._frames = frames
        self._rows = to_rows((np.ascontiguousarray(frames.x, "<f4"),))
        self._marks = markers_of(session.labels)
        self._at = 0

    def next(self, n_max: int) -> Block:
        """Return up to `n_max` frames more."""
        part = slice(self._at, self._at + n_max)
        self._at += n_max
        is_last = self._at >= len(self._frames)
        seq, t_us = self._frames.seq[part], self._frames.t_us[part]
        n_marks = len(self._marks)
        if not is_last:
            until_us = int(t_us[-1])
            n_marks = next((i for i, m in enumerate(self._marks) if m.t_us > until_us), n_marks)
        markers, self._marks = self._marks[:n_marks], self._marks[n_marks:]
        return Block(self._rows[part], seq, t_us, markers)

    def set_rate(self, rate_hz: float) -> bool:
        """Return False: a recording has the rate that it has."""
        return False


def _joined(sessions: tuple[Session | Path | str, ...]) -> Session:
    from streamrnn.sessions.join import join_sessions
    from streamrnn.sessions.reader import read_session

    read = [read_session(Path(s)) if isinstance(s, Path | str) else s for s in sessions]
    return read[0] if len(read) == 1 else join_sessions(read)


def markers_of(labels: list[Label]) -> list[Marker]:
    """Return the boundaries of labels in time order; an end comes before a start at its time."""
    marks: list[tuple[tuple[int, int], Marker]] = []
    for label in labels:
        is_empty = label.start_us == label.end_us
        marks.append(((label.start_us, 1), Marker(label.name, "start", label.start_us)))
        marks.append(
            ((label.end_us, 2 if is_empty else 0), Marker(label.name, "end", label.end_us))
        )
    marks.sort(key=lambda mark: mark[0])
    return [marker for _, marker in marks]


def _groups(session: Session) -> tuple[ChannelGroup, ...]:
    """Return neighbours of one unit as one group of f32."""
    units: list[tuple[str, list[str]]] = []
    for channel in session.info.channels:
        if not units or units[-1][0] != channel.unit:
            units.append((channel.unit, []))
        units[-1][1].append(channel.name)
    # An offset of -0.0 changes no sample's bits; +0.0 would make +0.0 of -0.0.
    return tuple(ChannelGroup(tuple(names), unit, "f32", 1.0, -0.0) for unit, names in units)


def _fit_rate_hz(t_us: I64) -> float:
    """Return the median rate of a recording that names none."""
    steps = np.diff(t_us)
    steps = steps[steps > 0]
    if not len(steps):
        return 1.0
    rate_hz = 1e6 / float(np.median(steps))
    rate_hz = (
        float(round(rate_hz)) if math.isclose(rate_hz, round(rate_hz), rel_tol=1e-3) else rate_hz
    )
    return min(max(rate_hz, MIN_RATE_HZ), MAX_RATE_HZ)
