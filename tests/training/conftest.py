"""A tiny task that a handful of units learns in seconds: which of two channels swells up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.training.config import AugmentConfig, TrainConfig

PERIOD_US = 20_000
MakeSession = Callable[..., Session]


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


@pytest.fixture
def make_session() -> MakeSession:
    """Return a maker of sessions of the tiny task."""
    return make


@pytest.fixture
def sessions() -> list[Session]:
    """Return one session each of five subjects."""
    return [make(n, subject=f"s{n}") for n in range(5)]


@pytest.fixture
def config() -> TrainConfig:
    """Return options that learn the tiny task with the plain backend."""
    return TrainConfig(
        hidden=(8,),
        epochs=6,
        backend="numpy",
        n_lanes=4,
        slice_frames=32,
        learning_rate=0.03,
        dropout=0.1,
        augment=AugmentConfig(0.0, 0.1, 0.1, 0.05),
    )
