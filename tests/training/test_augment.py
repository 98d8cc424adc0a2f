"""Laws of the variations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.types import Channel
from streamrnn.features.sensors import motion_order
from streamrnn.training.augment import Augmenter, Piece, random_rotations
from streamrnn.training.config import AugmentConfig
from streamrnn.training.returns import Returner

OFF = AugmentConfig(0.0, 0.0, 0.0, 0.0, warp=0.0, dropout=0.0)
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
    for turn in random_rotations(np.random.default_rng(seed), deg, 3).astype(np.float64):
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-6)


def test_a_turned_sensor_feels_turned_gravity_of_the_same_size():
    before, after = vary(replace(OFF, rotation_deg=60.0), 5)
    for columns in (slice(0, 3), slice(3, 6)):
        lengths = np.linalg.norm(before.x[:, columns], axis=1)
        np.testing.assert_allclose(np.linalg.norm(after.x[:, columns], axis=1), lengths, rtol=1e-5)
    assert not np.allclose(after.x, before.x, atol=0.5)


def test_playing_faster_raises_rates_once_and_accelerations_twice_but_not_gravity():
    before, after = vary(replace(OFF, speed=2.0), 1)
    factor = np.exp(np.random.default_rng(1).uniform(-2.0, 2.0))
    slow = played(before.x - before.rest, len(after.x))
    expected = before.rest + slow * np.repeat([factor, factor**2], 3).astype(np.float32)
    np.testing.assert_allclose(after.x, expected, rtol=1e-5, atol=1e-5)
    assert len(after.x) == max(4, round(40 / factor))


def played(x, n):
    """Return `x` with n frames, by NumPy's own linear interpolation."""
    at = np.linspace(0, len(x) - 1, n)
    columns = [np.interp(at, np.arange(len(x)), x[:, k]) for k in range(x.shape[1])]
    return np.stack(columns, axis=1).astype(np.float32)


def alone(channels, x, seed=0, **options):
    """Return one variation of samples whose rest is 0; everything not named is off."""
    config = replace(OFF, **options)
    n = len(x)
    rest = np.zeros(x.shape[1], np.float32)
    before = Piece(x, np.arange(n), np.ones(n, np.float32), rest)
    augment = Augmenter(config, channels, np.ones(x.shape[1], np.float32))
    return augment(before, np.random.default_rng(seed))


ALL_ON = AugmentConfig(
    warp=0.5, channel_gain=0.2, dropout=0.3, session_gain=0.2, ring_shift=2, plane_deg=20.0
)
KINDS = {
    "imu": CHANNELS,
    "emg": tuple(Channel(f"emg_{n}", "mV") for n in range(8)),
    "track": (Channel("hand_x", "m"), Channel("hand_y", "m")),
    "glove": (*CHANNELS, *(Channel(f"flex_{n}") for n in range(5))),
}


@given(st.integers(0, 2**32), st.lists(st.integers(1, 40), min_size=1, max_size=5))
@pytest.mark.parametrize("kind", KINDS)
def test_many_pieces_of_any_kind_stay_whole_and_repeat_bit_for_bit(kind, seed, lengths):
    channels = KINDS[kind]
    rng = np.random.default_rng(1)
    rest = np.arange(len(channels), dtype=np.float32)
    pieces = [
        Piece(
            rest + rng.normal(size=(n, len(channels))).astype(np.float32),
            np.full(n, k, np.int64),
            np.full(n, k / 10, np.float32),
            rest,
            session=k % 2,
        )
        for k, n in enumerate(lengths)
    ]
    augment = Augmenter(ALL_ON, channels, np.ones(len(channels), np.float32))
    found = []
    for _ in range(2):
        augment.new_epoch()
        found.append(augment.many(pieces, np.random.default_rng(seed)))
    first, again = found
    assert len(first) == len(pieces)
    for k, (a, b) in enumerate(zip(first, again, strict=True)):
        assert a.x.tobytes() == b.x.tobytes()
        assert a.x.dtype == np.float32
        assert np.isfinite(a.x).all()
        assert len(a.x) == len(a.targets) == len(a.weights) >= 4
        assert set(a.targets) == {k}
        assert a.session == k % 2


@given(st.integers(0, 2**32), st.floats(0.05, 2.0))
def test_bent_time_goes_on_from_the_first_frame_to_the_last(seed, warp):
    x = np.arange(200, dtype=np.float32)[:, None]
    after = alone((Channel("level"),), x, seed, warp=warp)
    assert len(after.x) == 200
    assert after.x[0, 0] == pytest.approx(0.0, abs=1e-3)
    assert after.x[-1, 0] == pytest.approx(199.0, abs=1e-3)
    steps = np.diff(after.x[:, 0])
    assert (steps > 0.05).all(), "time never stands still"
    assert (np.diff(after.targets) >= 0).all()


def test_a_ring_of_electrodes_moves_round_by_whole_places():
    x = np.tile(np.arange(8, dtype=np.float32), (10, 1))
    seen = set()
    for seed in range(40):
        after = alone(KINDS["emg"], x, seed, ring_shift=2).x
        by = int(after[0, 0])
        np.testing.assert_array_equal(after, np.roll(x, -by, axis=1))
        seen.add(by)
    assert seen == {6, 7, 0, 1, 2}
    imu = np.tile(np.arange(6, dtype=np.float32), (10, 1))
    np.testing.assert_array_equal(alone(CHANNELS, imu, 3, ring_shift=2).x, imu)


def test_a_plane_turns_about_its_rest_and_keeps_distances():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    after = alone(KINDS["track"], x, 5, plane_deg=40.0).x
    assert not np.allclose(after, x, atol=0.1)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)


def test_channels_of_which_nothing_is_known_fall_silent_and_never_all_sensors():
    unknown = tuple(Channel(f"lpc_{n}") for n in range(4))
    for channels, kept in ((unknown, 0), ((*CHANNELS, *unknown), 6)):
        n_silent = []
        for seed in range(60):
            after = alone(channels, np.ones((10, kept + 4), np.float32), seed, dropout=0.6).x
            silent = (after == 0).all(axis=0)
            assert ((after == 0).any(axis=0) == silent).all()
            assert not silent[:kept].any()
            assert not silent.all()
            n_silent.append(silent.sum())
        assert max(n_silent) > 2


def test_the_way_back_is_null_and_retraces_the_gesture():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 6)).cumsum(axis=0).astype(np.float32)
    rest = np.array([0, 0, 0, 0, 0, 9.8], np.float32)
    y = np.repeat([0, 2, 0], [8, 25, 7])
    back = Returner(CHANNELS)(Piece(x, y, np.ones(40, np.float32), rest), rng)
    way = slice(40, None)
    assert back.x[:40].tobytes() == x.tobytes()
    assert (back.targets[way] == 0).all()
    assert (back.weights == 1).all()
    assert len(back.x) == len(back.targets) == len(back.weights)
    n_way = len(back.x) - 40
    assert 25 * np.exp(-0.2) - 1 <= n_way <= 25 * np.e + 1
    order = np.array([motion_order(channel) for channel in CHANNELS])
    ends = (back.x[[40, -1]] - rest) / (x[[32, 8]] - rest)
    speed = -ends[0, order == 1][0]
    wanted = np.where(order == 1, -speed, speed**order)
    np.testing.assert_allclose(ends, [wanted, wanted], rtol=2e-3)


def test_what_feels_no_motion_has_no_way_back():
    assert not Returner(KINDS["track"]).is_possible
    assert Returner(CHANNELS).is_possible


def test_one_session_has_one_gain_an_epoch():
    x = np.ones((5, 6), np.float32)
    pieces = [
        Piece(x, np.zeros(5, np.int64), np.ones(5, np.float32), np.zeros(6, np.float32), n % 2)
        for n in range(6)
    ]
    config = replace(OFF, session_gain=0.5)
    augment = Augmenter(config, CHANNELS, np.ones(6, np.float32))
    rng = np.random.default_rng(0)
    first = [p.x[0, 0] for p in augment.many(pieces, rng)]
    later = [p.x[0, 0] for p in augment.many(pieces, rng)]
    assert len(set(first)) == 2
    assert first == later
    augment.new_epoch()
    assert set(first).isdisjoint(p.x[0, 0] for p in augment.many(pieces, rng))


def test_gains_of_single_channels_leave_three_axis_sensors_alone():
    x = np.ones((5, 11), np.float32)
    after = alone(KINDS["glove"], x, 0, channel_gain=0.5).x[0]
    assert (after[:6] == 1).all()
    assert len(set(after[6:].tolist())) == 5
