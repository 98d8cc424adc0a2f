"""A tiny task that a handful of units learns in seconds: which of two channels swells up."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.training.folds.splits import cut_session

PERIOD_US = 20_000


def make(seed: int, *, n_gestures: int = 8, subject: str = "", gaps: bool = True) -> Session:
    rng = np.random.default_rng(seed)
    blocks, labels, t = [], [], 0
    for k in range(n_gestures):
        n_before = int(rng.integers(8, 15)) if gaps else 0
        n = int(rng.integers(12, 18))
        swell = np.zeros((n_before + n, 2))
        swell[n_before:, k % 2] = 2 * np.sin(np.arange(n) / n * np.pi)
        blocks.append(swell + rng.normal(0, 0.1, swell.shape))
        start = (t + n_before) * PERIOD_US
        labels.append(Label("ab"[k % 2], start, start + n * PERIOD_US))
        t += n_before + n
    if gaps:
        blocks.append(rng.normal(0, 0.1, (10, 2)))
    x = np.concatenate(blocks).astype(np.float32)
    seq = np.arange(len(x), dtype=np.int64)
    frames = Frames(x, seq, seq * PERIOD_US)
    info = StreamInfo((Channel("p"), Channel("q")), 50.0)
    metadata = {"subject": subject} if subject else {}
    return Session(info, frames, frames.t_us, labels, metadata=metadata)


def make_trials(seed: int, n: int = 8) -> list[Session]:
    """Return recordings of one gesture each, from its first frame to its last."""
    session = make(seed, n_gestures=n, gaps=False)
    return [
        cut_session(session, label.start_us // PERIOD_US, label.end_us // PERIOD_US)
        for label in session.labels
    ]
