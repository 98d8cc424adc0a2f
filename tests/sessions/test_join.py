"""Joined sessions hold every frame and label, in one time without a break."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.sessions.join import join_sessions
from streamrnn.sessions.session import Session


def session(seqs: list[int], start_us: int = 0, rate_hz: float = 100.0, name: str = "a") -> Session:
    seq = np.array(seqs, np.int64)
    t_us = start_us + (seq - seq[:1].sum()) * 10_000
    x = seq[:, None].astype(np.float32)
    labels = [Label("g", int(t_us[0]), int(t_us[-1]), "keys")] if len(seq) else []
    info = StreamInfo((Channel(name),), rate_hz, "dev")
    return Session(info, Frames(x, seq, t_us), t_us * 1000, labels, metadata={"subject": "s"})


def test_frames_gaps_and_labels_stay_and_time_goes_on() -> None:
    joined = join_sessions([session([5, 6, 8], 70_000), session([], 0), session([0, 1], 900_000)])
    assert joined.frames.seq.tolist() == [0, 1, 3, 4, 5]
    assert joined.frames.t_us.tolist() == [70_000, 80_000, 100_000, 110_000, 120_000]
    assert joined.frames.x[:, 0].tolist() == [5, 6, 8, 0, 1]
    assert [(label.start_us, label.end_us) for label in joined.labels] == [
        (70_000, 100_000),
        (110_000, 120_000),
    ]
    assert len(joined.host_ns) == 5
    assert joined.subject == "s"


def test_one_session_stays_as_it_is() -> None:
    one = session([0, 1, 2], 30_000)
    joined = join_sessions([one])
    assert np.array_equal(joined.frames.t_us, one.frames.t_us)
    assert joined.labels == one.labels


def test_only_what_fits_is_joined() -> None:
    with pytest.raises(SessionError, match="no sessions"):
        join_sessions([])
    with pytest.raises(SessionError, match="different channels"):
        join_sessions([session([0]), session([0], name="b")])
    with pytest.raises(SessionError, match="different rates"):
        join_sessions([session([0]), session([0], rate_hz=50.0)])
    assert len(join_sessions([session([])])) == 0
