"""Laws of the variations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.types import Channel
from streamrnn.training.augment import Augmenter, Piece, random_rotation, resample
from streamrnn.training.config import AugmentConfig

OFF = AugmentConfig(0.0, 0.0, 0.0, 0.0)
CHANNELS = tuple(
    Channel(f"{stem}_{axis}", unit)
    for stem, unit in (("gyro", "rad/s"), ("acc", "m/s^2"))
    for axis in "xyz"
)


def piece(n: int = 40) -> Piece:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    y = np.repeat([0, 1], [n // 2, n - n // 2]).astype(np.int64)
    rest = np.array([0, 0, 0, 0, 0, 9.81], np.float32)
    return Piece(x + rest, y, (y > 0).astype(np.float32), rest)


def vary(config: AugmentConfig, seed: int, n: int = 40) -> tuple[Piece, Piece]:
    before = piece(n)
    augment = Augmenter(config, CHANNELS, np.ones(6, np.float32))
    return before, augment(before, np.random.default_rng(seed))


def test_nothing_on_changes_nothing_but_gives_new_arrays():
    before, after = vary(OFF, 0)
    np.testing.assert_allclose(after.x, before.x, rtol=1e-6, atol=1e-6)
    assert not np.shares_memory(after.x, before.x)


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_pieces_stay_whole_finite_and_float32(seed, n):
    before, after = vary(AugmentConfig(), seed, n)
    assert len(after.x) == len(after.targets) == len(after.weights) >= 1
    assert after.x.dtype == np.float32
    assert np.isfinite(after.x).all()
    assert after.targets[0] == before.targets[0]
    assert after.targets[-1] == before.targets[-1]
    assert set(after.targets) <= set(before.targets)


@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_bits(seed):
    assert vary(AugmentConfig(), seed)[1].x.tobytes() == vary(AugmentConfig(), seed)[1].x.tobytes()


@given(st.integers(0, 2**32), st.floats(0, 180))
def test_a_rotation_keeps_lengths_and_hands(seed, deg):
    turn = random_rotation(np.random.default_rng(seed), deg).astype(np.float64)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-6)


def test_a_turned_sensor_feels_turned_gravity_of_the_same_size():
    before, after = vary(AugmentConfig(60.0, 0.0, 0.0, 0.0), 5)
    for columns in (slice(0, 3), slice(3, 6)):
        lengths = np.linalg.norm(before.x[:, columns], axis=1)
        np.testing.assert_allclose(np.linalg.norm(after.x[:, columns], axis=1), lengths, rtol=1e-5)
    assert not np.allclose(after.x, before.x, atol=0.5)


def test_playing_faster_raises_rates_once_and_accelerations_twice_but_not_gravity():
    before, after = vary(AugmentConfig(0.0, 2.0, 0.0, 0.0), 1)
    deviation = before.x - before.rest
    factor = np.exp(np.random.default_rng(1).uniform(-2.0, 2.0))
    slow, _ = resample(deviation, factor)
    expected = before.rest + slow * np.repeat([factor, factor**2], 3).astype(np.float32)
    np.testing.assert_allclose(after.x, expected, rtol=1e-5, atol=1e-5)


def test_resampling_is_linear_interpolation():
    x = np.arange(10, dtype=np.float32)[:, None]
    slow, nearest = resample(x, 0.5)
    assert len(slow) == 20
    np.testing.assert_allclose(slow[:, 0], np.linspace(0, 9, 20), atol=1e-5)
    assert nearest[0] == 0
    assert nearest[-1] == 9
