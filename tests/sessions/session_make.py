"""Small sessions for the tests."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sessions.session import Session

INFO = StreamInfo(
    (Channel("acc_x", "m/s^2"), Channel("acc_y", "m/s^2"), Channel("3D-Ä!")), 100.0, "board", "1"
)


def frames_of(n: int, first: int = 0, period_us: int = 10_000) -> Frames:
    """Frames whose first channel counts, so that a lost or doubled one is seen."""
    seq = np.arange(first, first + n, dtype=np.int64)
    x = np.stack([seq % 100_000, np.sin(seq), np.cos(seq)], axis=1).astype(np.float32)
    return Frames(np.ascontiguousarray(x), seq, seq * period_us)


def session_of(n: int) -> Session:
    """A session of n frames."""
    return Session(INFO, frames_of(n), 10**18 + np.arange(n, dtype=np.int64) * 10**7)


def assert_same(got: Session, want: Session) -> None:
    """Compare two sessions, bit for bit."""
    assert got.problems == []
    assert got.info == want.info
    assert got.frames.x.dtype == np.float32
    assert got.frames.x.flags.c_contiguous
    assert got.frames.x.flags.writeable or not len(got)
    assert got.frames.x.tobytes() == want.frames.x.tobytes()
    np.testing.assert_array_equal(got.frames.seq, want.frames.seq)
    np.testing.assert_array_equal(got.frames.t_us, want.frames.t_us)
    np.testing.assert_array_equal(got.host_ns, want.host_ns)
    assert got.labels == want.labels
    assert got.events == want.events
    assert got.metadata == want.metadata
