"""Laws of the feature chain."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Channel
from streamrnn.features import FeatureChain, FeatureConfig, select_channels
from streamrnn.kernels.live.slots import SCALED_LIMIT

CHANNELS = (
    Channel("gyro_x", "rad/s"),
    Channel("gyro_y", "rad/s"),
    Channel("gyro_z", "rad/s"),
    Channel("light", "lx"),
)
configs = st.builds(
    FeatureConfig,
    squash=st.sampled_from(["asinh", "none"]),
    magnitude=st.booleans(),
    differences=st.booleans(),
)
frames = st.integers(0, 30).flatmap(
    lambda n: arrays(
        np.float32,
        (n, 4),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)


def chain_of(config: FeatureConfig) -> FeatureChain:
    x = np.random.default_rng(7).normal(3.0, 2.0, (200, 4)).astype(np.float32)
    return FeatureChain.fit([x[:50], x[50:]], CHANNELS, config)


def plain(chain: FeatureChain, x: np.ndarray) -> np.ndarray:
    """What the chain must give, by whole-array NumPy in float64."""
    good = np.concatenate([chain.offset[None].astype(np.float32), x]).astype(np.float64)
    for t in range(1, len(good)):
        bad = ~np.isfinite(good[t])
        good[t, bad] = good[t - 1, bad]
    z = np.clip((good - chain.offset) / chain.scale, -SCALED_LIMIT, SCALED_LIMIT)
    d = np.diff(z, axis=0)
    d[:1] = 0
    z = z[1:]
    parts = [z]
    if chain.config.magnitude:
        parts.append(np.sqrt((z[:, :3] ** 2).sum(axis=1, keepdims=True)))
    if chain.config.differences:
        parts.append(d)
    joined = np.concatenate(parts, axis=1)
    return np.arcsinh(2 * joined) if chain.config.squash == "asinh" else joined


@given(configs, frames)
def test_the_chain_equals_plain_numpy_and_is_always_finite(config, x):
    chain = chain_of(config)
    out = chain.push(x)
    assert out.shape == (len(x), chain.n_outputs)
    assert np.isfinite(out).all()
    # float32 rounding of the result; the float64 log behind asinh is 1e-16 absolute
    np.testing.assert_allclose(out, plain(chain, x), rtol=1e-6, atol=1e-9)


@given(configs, frames, st.lists(st.integers(0, 30), max_size=6))
def test_any_chunking_gives_the_same_bits(config, x, cuts):
    chain = chain_of(config)
    whole = chain.push(x)
    chain.reset()
    edges = [0, *sorted(min(cut, len(x)) for cut in cuts), len(x)]
    blocks = [chain.push(x[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(blocks).tobytes() == whole.tobytes()


@given(configs, frames)
def test_a_saved_chain_gives_the_same_bits(config, x):
    chain = chain_of(config)
    again = FeatureChain.from_document(json.loads(json.dumps(chain.to_document())))
    assert again.channels == chain.channels
    assert again.push(x).tobytes() == chain.push(x).tobytes()


def test_the_length_of_a_triad_does_not_change_when_the_sensor_is_turned():
    chain = chain_of(FeatureConfig(squash="none"))
    x = np.array([[1, 2, 3, 0], [3, 1, 2, 0], [-2, 3, -1, 0]], np.float32)
    lengths = chain.push(x)[:, 4]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-6)
    assert lengths[0] == pytest.approx(lengths[2], rel=1e-6)


def test_a_triad_has_one_scale_and_no_offset_others_are_standardised():
    chain = chain_of(FeatureConfig(squash="none", magnitude=False))
    assert chain.offset[:3].tolist() == [0, 0, 0]
    assert len(set(chain.scale[:3].tolist())) == 1
    assert chain.offset[3] == pytest.approx(3.0, abs=0.5)
    assert chain.scale[3] == pytest.approx(2.0, abs=0.5)


def test_a_constant_channel_becomes_zero_not_nan():
    x = np.full((10, 1), 5.0, np.float32)
    chain = FeatureChain.fit([x], [Channel("still")], FeatureConfig())
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


def test_channels_default_to_gyroscope_and_accelerometer_when_there_are_some():
    channels = [Channel("gravity_x", ""), *CHANNELS, Channel("acc_x", "m/s^2")]
    assert select_channels(channels, FeatureConfig()).tolist() == [1, 2, 3, 5]
    assert select_channels([Channel("a"), Channel("emg1", "V")], FeatureConfig()).tolist() == [0, 1]
    chosen = FeatureConfig(channels=("acc_x", "light"))
    assert select_channels(channels, chosen).tolist() == [5, 4]


def test_an_unknown_channel_is_named_with_the_nearest_right_one():
    with pytest.raises(ConfigError, match=r"no channel 'gyrox' \(did you mean 'gyro_x'\?\)"):
        select_channels(CHANNELS, FeatureConfig(channels=("gyrox",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"squash": "tanh"}, "squash must be one of"), ({"channels": ("a", "a")}, "not repeat")],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**options)


def test_fit_refuses_no_frames_and_wrong_columns():
    with pytest.raises(ConfigError, match="no frame"):
        FeatureChain.fit([], CHANNELS, FeatureConfig())
    with pytest.raises(ConfigError, match="do not have 4 channels"):
        FeatureChain.fit([np.zeros((3, 2), np.float32)], CHANNELS, FeatureConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": [1, 1, 1, 0]}, "scale must be finite and above 0"),
        ({"scale": [1, 1]}, "scale has not one value"),
        ({"offset": [0, 0, 0, float("inf")]}, "offset must be finite"),
        ({"units": []}, "units has not one value"),
        ({"channels": []}, "0 channels"),
        ({"channels": ["a", "a", "b", "c"]}, "not repeat"),
        ({"squash": "no"}, "squash must be"),
        ({"magnitude": 1}, "magnitude must be bool"),
        ({"scal": []}, "unknown option 'scal'"),
    ],
)
def test_a_broken_document_is_refused(change, message):
    document = {**chain_of(FeatureConfig()).to_document(), **change}
    with pytest.raises(ConfigError, match=message):
        FeatureChain.from_document(document)
