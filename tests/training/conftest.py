"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from train_make import make

from streamrnn.sessions.session import Session
from streamrnn.training.config import AugmentConfig, TrainConfig

MakeSession = Callable[..., Session]


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
        min_updates=0,
        class_updates=0,
        average=0.0,
        folds=3,
        fold_epochs=1.0,
        held_out_fraction=0.2,
        backend="numpy",
        n_lanes=4,
        slice_frames=32,
        learning_rate=0.03,
        dropout=0.1,
        augment=AugmentConfig(0.0, 0.1, 0.1, 0.05),
    )
