"""Several recordings of one device as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Frames
from streamrnn.sessions.session import Session


def join_sessions(sessions: Sequence[Session]) -> Session:
    """Return sessions as one stream; each begins one period behind the one before, without a gap.

    Parameters
    ----------
    sessions : sequence of Session
        At least one, with the same channels and rate. What the first says of its device and its
        subject holds for all; recorded events are left out.

    Raises
    ------
    SessionError
        Nothing to join, or another layout.
    """
    if not sessions:
        raise SessionError("no sessions to join")
    first = sessions[0]
    blocks, host_ns, labels = [], [], []
    seq = 0
    t_us = first.start_us
    for session in sessions:
        if session.info.channels != first.info.channels:
            raise SessionError("sessions with different channels cannot be joined")
        if session.info.rate_hz != first.info.rate_hz:
            raise SessionError("sessions with different rates cannot be joined")
        frames = session.frames
        if not len(frames):
            continue
        shift_us = t_us - session.start_us
        blocks.append(Frames(frames.x, frames.seq - frames.seq[0] + seq, frames.t_us + shift_us))
        host_ns.append(session.host_ns)
        labels += [
            replace(label, start_us=label.start_us + shift_us, end_us=label.end_us + shift_us)
            for label in session.labels
        ]
        seq += int(frames.seq[-1] - frames.seq[0]) + 1
        t_us += session.end_us - session.start_us
    frames = Frames.join(blocks, first.info.n_channels)
    host = np.concatenate(host_ns) if host_ns else np.empty(0, np.int64)
    problems = [problem for session in sessions for problem in session.problems]
    return Session(
        first.info, frames, host, labels, metadata=dict(first.metadata), problems=problems
    )
