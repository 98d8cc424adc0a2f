"""Laws of the feature chain."""

from __future__ import annotations

import itertools
import json
from functools import cache

import numpy as np
import plain_operations as plain
import pytest
from feature_make import BODY, HAND, IMU, MIXED, MUSCLES, TIP, imu, rotation, smooth
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Channel
from streamrnn.features import FeatureChain, FeatureConfig

CHANNELS = (
    Channel("gyro_x", "rad/s"),
    Channel("gyro_y", "rad/s"),
    Channel("gyro_z", "rad/s"),
    Channel("light", "lx"),
)
RATE_HZ = 50.0
AS_THEY_ARE = {"squash": "none", "magnitude": False, "differences": False}
configs = st.builds(
    FeatureConfig,
    squash=st.sampled_from(["asinh", "none"]),
    magnitude=st.booleans(),
    differences=st.booleans(),
)
KINDS = {
    "imu": (IMU, FeatureConfig(differences=True)),
    "gravity": (IMU, FeatureConfig(orientation="gravity")),
    "free": (MIXED, FeatureConfig(orientation="free", differences=True)),
    "session": (MIXED, FeatureConfig(scaling="session", settle_s=0.5)),
    "running": (CHANNELS, FeatureConfig(scaling="running", settle_s=0.5)),
    "muscles": (MUSCLES, FeatureConfig(emg="envelope", scaling="running")),
    "hand": (HAND, FeatureConfig()),
    "body": (BODY, FeatureConfig(reference="centroid")),
    "tip": (TIP, FeatureConfig()),
    "speed": (TIP, FeatureConfig(track="velocity")),
}
kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 2**31)
frames = st.integers(0, 30).flatmap(
    lambda n: arrays(
        np.float32,
        (n, 4),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)


def chain_of(config: FeatureConfig) -> FeatureChain:
    x = np.random.default_rng(7).normal(3.0, 2.0, (200, 4)).astype(np.float32)
    return FeatureChain.fit([x[:50], x[50:]], CHANNELS, RATE_HZ, config)


def made(kind: str) -> FeatureChain:
    chain = fitted(kind)
    chain.reset()
    return chain


@cache
def fitted(kind: str) -> FeatureChain:
    channels, config = KINDS[kind]
    x = np.abs(smooth(1, 300, len(channels))).astype(np.float32)
    return FeatureChain.fit([x], channels, RATE_HZ, config)


def expected(chain: FeatureChain, x: np.ndarray) -> np.ndarray:
    """What a chain of plain channels must give, by whole-array NumPy in float64."""
    z = plain.load(x, chain.offset, chain.scale)
    parts = [z]
    if chain.config.magnitude:
        parts.append(plain.lengths(z[:, :3])[:, None])
    if chain.config.differences:
        parts.append(plain.differences(z))
    joined = np.concatenate(parts, axis=1)
    return np.arcsinh(2 * joined) if chain.config.squash == "asinh" else joined


@given(configs, frames)
def test_plain_channels_equal_plain_numpy(config, x):
    chain = chain_of(config)
    out = chain.push(x)
    assert out.shape == (len(x), chain.n_outputs)
    # float32 rounding of the result; the float64 log behind asinh is 1e-16 absolute
    np.testing.assert_allclose(out, expected(chain, x), rtol=1e-6, atol=1e-9)


@given(kinds, seeds, st.lists(st.integers(0, 60), max_size=6))
def test_any_chunking_gives_the_same_bits_and_they_are_finite(kind, seed, cuts):
    chain = made(kind)
    x = (smooth(seed, 60, chain.n_inputs) * 10.0 ** (seed % 37 - 18)).astype(np.float32)
    x[np.random.default_rng(seed).random(x.shape) < 0.1] = np.nan
    whole = chain.push(x)
    assert whole.shape == (60, chain.n_outputs) == (60, len(chain.names))
    assert np.isfinite(whole).all()
    chain.reset()
    blocks = [chain.push(x[a:b]) for a, b in itertools.pairwise([0, *sorted(cuts), 60])]
    assert np.concatenate(blocks).tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_saved_chain_gives_the_same_bits(kind):
    chain = made(kind)
    again = FeatureChain.from_document(json.loads(json.dumps(chain.to_document())))
    assert (again.channels, again.names) == (chain.channels, chain.names)
    x = smooth(3, 50, chain.n_inputs).astype(np.float32)
    assert again.push(x).tobytes() == chain.push(x).tobytes()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_training_frames_give_features_of_order_one(kind):
    """None so small that a network cannot see it, none so large that it sees nothing else."""
    chain = made(kind)
    x = np.abs(smooth(1, 300, chain.n_inputs)).astype(np.float32)
    spread = np.sqrt((chain.push(x).astype(np.float64) ** 2).mean(axis=0))
    assert len(set(chain.names)) == chain.n_outputs
    assert spread.max() < 5.0
    assert dict(zip(chain.names, spread, strict=True)) == pytest.approx(
        dict.fromkeys(chain.names, 1.0), abs=4.0
    )


@cache
def of_imu(orientation: str) -> FeatureChain:
    return FeatureChain.fit([imu(1)], IMU, RATE_HZ, FeatureConfig(orientation=orientation))


@pytest.mark.parametrize("orientation", ["free", "gravity"])
@given(seeds)
def test_what_no_turn_should_change_does_not_change_when_the_sensor_is_turned(orientation, seed):
    chain, turn = of_imu(orientation), rotation(seed)
    x = imu(seed)
    turned = np.concatenate([x[:, :3] @ turn, x[:, 3:] @ turn], axis=1).astype(np.float32)
    chain.reset()
    straight = chain.push(x)
    chain.reset()
    np.testing.assert_allclose(chain.push(turned), straight, atol=1e-5)


@given(seeds)
def test_a_still_sensor_feels_gravity_along_gravity_and_nothing_across(seed):
    config = FeatureConfig(orientation="gravity", squash="none")
    chain = FeatureChain.fit([imu(1)], IMU, RATE_HZ, config)
    still = np.concatenate([9.80665 * rotation(seed)[0], np.zeros(3)]).astype(np.float32)
    out = dict(zip(chain.names, chain.push(np.tile(still, (20, 1)))[-1], strict=True))
    assert out["along gravity acc"] * chain.scale[0] == pytest.approx(9.80665, rel=1e-6)
    assert out["across gravity acc"] == pytest.approx(0.0, abs=1e-6)
    assert out["along gravity gyro"] == out["across gravity gyro"] == 0.0


def bodies(seed: int, n: int = 80) -> np.ndarray:
    """Return points of a hand in a picture that they fill, (n, 6, 2)."""
    place = np.random.default_rng(5).uniform(0.2, 0.8, (6, 2))
    return place + 0.05 * smooth(seed, n, 12).reshape(n, 6, 2)


@cache
def chain_of_hand(**options: str) -> FeatureChain:
    train = np.column_stack([bodies(1).reshape(80, 12), np.ones(80)]).astype(np.float32)
    return FeatureChain.fit([train], HAND, RATE_HZ, FeatureConfig(**options))


def of_hand(points: np.ndarray, is_right: bool, **options: str) -> np.ndarray:
    chain = chain_of_hand(**options)
    chain.reset()
    side = np.full(len(points), float(is_right))
    return chain.push(np.column_stack([points.reshape(-1, 12), side]).astype(np.float32))


@pytest.mark.parametrize("reference", ["auto", "centroid", "lm3"])
@given(seeds, st.floats(-3, 3), st.floats(-3, 3), st.floats(0.3, 4.0))
def test_a_body_is_the_same_wherever_it_is_and_however_large(reference, seed, dx, dy, size):
    points = bodies(seed)
    moved = size * points + (dx, dy)
    here, there = (of_hand(p, True, reference=reference) for p in (points, moved))
    # coordinates up to 7 are float32, so off by 5e-7; sizes are 0.3 * 0.3, speeds a tenth of that
    np.testing.assert_allclose(there, here, atol=2e-3)


@given(seeds)
def test_a_left_hand_is_a_mirrored_right_one(seed):
    points = bodies(seed)
    mirrored = points * (-1, 1)
    np.testing.assert_array_equal(of_hand(mirrored, False), of_hand(points, True))
    always = of_hand(mirrored, True, handedness="mirror")
    np.testing.assert_array_equal(always, of_hand(points, True))
    assert not np.array_equal(of_hand(mirrored, True), of_hand(points, True))


@pytest.mark.parametrize("track", ["relative", "velocity"])
@given(seeds, st.floats(-50, 50))
def test_a_track_is_the_same_wherever_it_is(track, seed, shift):
    x = smooth(seed, 80, 2)
    chain = FeatureChain.fit([x.astype(np.float32)], TIP, RATE_HZ, FeatureConfig(track=track))
    here = chain.push(x.astype(np.float32))
    chain.reset()
    there = chain.push((x + shift).astype(np.float32))
    # coordinates up to 60 are float32, off by 2e-6 of a spread; a velocity is some hundredths of it
    np.testing.assert_allclose(there, here, atol=5e-3)


@pytest.mark.parametrize("scaling", ["session", "running"])
def test_the_scale_of_a_stream_becomes_its_own(scaling):
    x = np.random.default_rng(2).normal(size=(4000, 4)).astype(np.float32)
    config = FeatureConfig(scaling=scaling, settle_s=4.0, **AS_THEY_ARE)
    chain = FeatureChain.fit([x], CHANNELS, RATE_HZ, config)
    loud = chain.push(5 * x + np.float32([0, 0, 0, 3]))
    assert loud[:3].std() > 1.5
    late = loud[1000:]
    assert late.std(axis=0) == pytest.approx(1.0, abs=0.25)
    assert abs(late[:, 3].mean()) < 0.4
    chain.reset()
    louder = np.concatenate([x[:1000], 5 * x[1000:]])
    assert chain.push(louder)[3000:].std() == pytest.approx(
        {"session": 5.0, "running": 1.0}[scaling], rel=0.15
    )


def test_a_triad_has_one_scale_and_no_offset_others_are_standardised():
    chain = chain_of(FeatureConfig(**AS_THEY_ARE))
    assert chain.offset[:3].tolist() == [0, 0, 0]
    assert len(set(chain.scale[:3].tolist())) == 1
    assert chain.offset[3] == pytest.approx(3.0, abs=0.5)
    assert chain.scale[3] == pytest.approx(2.0, abs=0.5)


def test_a_constant_channel_becomes_zero_not_nan():
    x = np.full((10, 1), 5.0, np.float32)
    chain = FeatureChain.fit([x], [Channel("still")], RATE_HZ, FeatureConfig())
    assert chain.push(x).tolist() == [[0.0]] * 10


def test_output_can_be_given_and_is_checked():
    chain = chain_of(FeatureConfig())
    x = np.ones((3, 4), np.float32)
    out = np.empty((3, chain.n_outputs), np.float32)
    assert chain.push(x, out) is out
    with pytest.raises(ValueError, match="out is float32"):
        chain.push(x, np.empty((2, chain.n_outputs), np.float32))
    with pytest.raises(ValueError, match="x is float64"):
        chain.push(np.ones((3, 4)))


def test_fit_refuses_no_frames_and_wrong_columns():
    with pytest.raises(ConfigError, match="no frame"):
        FeatureChain.fit([], CHANNELS, RATE_HZ, FeatureConfig())
    with pytest.raises(ConfigError, match="do not have 4 channels"):
        FeatureChain.fit([np.zeros((3, 2), np.float32)], CHANNELS, RATE_HZ, FeatureConfig())


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (CHANNELS, {"orientation": "gravity"}, "needs a three-axis accelerometer"),
        (TIP, {"landmarks": "points", "track": "none"}, "landmarks points needs 3 positions"),
        (CHANNELS, {"track": "relative"}, "track relative needs a position"),
        (CHANNELS, {"emg": "envelope"}, "emg envelope needs channels named emg"),
        (HAND, {"reference": "elbow"}, "no point 'elbow' to refer to"),
        (HAND, {"handedness": "side"}, "no channel 'side' says which hand"),
    ],
)
def test_options_that_do_not_fit_the_channels_are_refused(channels, options, message):
    x = smooth(1, 50, len(channels)).astype(np.float32)
    with pytest.raises(ConfigError, match=message):
        FeatureChain.fit([x], channels, RATE_HZ, FeatureConfig(**options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": [1, 1, 1, 0]}, "scale must be finite and above 0"),
        ({"scale": [1, 1]}, "scale has not one value"),
        ({"offset": [0, 0, 0, float("inf")]}, "offset must be finite"),
        ({"offset": [0, 0, 0, 1e308]}, "offset must be finite"),
        ({"scale": [1, 1, 1, 1e-320]}, "scale must be finite and above 0"),
        ({"units": []}, "units has not one value"),
        ({"channels": []}, "0 channels"),
        ({"channels": ["a", "a", "b", "c"]}, "not repeat"),
        ({"rate_hz": 0.0}, "rate_hz must be within"),
        ({"gains": [1.0]}, "1 gains, expected 0"),
        ({"gains": [float("nan")]}, "gains must be within"),
        ({"options": {"squash": "asinh"}}, "'model_rate_hz' is missing"),
        ({"scal": []}, "unknown option 'scal'"),
    ],
)
def test_a_broken_document_is_refused(change, message):
    document = {**chain_of(FeatureConfig()).to_document(), **change}
    with pytest.raises(ConfigError, match=message):
        FeatureChain.from_document(document)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"squash": "no"}, "squash must be"),
        ({"magnitude": 1}, "magnitude must be bool or str"),
        ({"emg": "auto"}, 'cannot be "auto"'),
        ({"track": "none", "twist": 1}, "unknown option 'twist'"),
    ],
)
def test_broken_options_of_a_model_are_refused(option, message):
    document = chain_of(FeatureConfig()).to_document()
    document["options"] |= option
    with pytest.raises(ConfigError, match=message):
        FeatureChain.from_document(document)
