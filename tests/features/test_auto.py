"""What is chosen follows from names, units and data, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feature_make import BODY, HAND, IMU, MIXED, MUSCLES, TIP, axes, channels, imu, smooth
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Channel
from streamrnn.features import Choice, FeatureChain, FeatureConfig, choose, select_channels
from streamrnn.features.filters import muscle

RATE_HZ = 50.0
seeds = st.integers(0, 2**31)
SETS = {"imu": IMU, "hand": HAND, "body": BODY, "tip": TIP, "muscles": MUSCLES, "mixed": MIXED}


def chosen(names, rate_hz=RATE_HZ, gesture_s=1.0, *, x=None, **options) -> Choice:
    x = smooth(3, 400, len(names)) if x is None else x
    return choose(FeatureConfig(**options), names, rate_hz, [x.astype(np.float32)], gesture_s)


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_left_open_and_every_line_is_plain(name):
    choice = chosen(SETS[name])
    assert not choice.config.is_open
    assert choice.config.model_rate_hz == choice.model_rate_hz
    assert choice.reasons
    assert all(line and "\n" not in line and "auto" not in line for line in choice.reasons)
    again = choose(choice.config, SETS[name], RATE_HZ, [], 0.0)
    assert again.config == choice.config


def test_motion_sensors_get_a_scale_each_and_their_length():
    choice = chosen((*IMU, *channels(axes("fused", "gravity", "mag") + " temperature")))
    assert choice.config.channels == tuple(channel.name for channel in IMU)
    assert choice.config.magnitude is True
    assert choice.config.differences is False
    assert choice.reasons[0].startswith("fused_x/y/z, gravity_x/y/z, mag_x/y/z, temperature: not")
    assert "acc_x/y/z, gyro_x/y/z: three-axis sensors" in choice.reasons[1]


def test_muscles_are_filtered_where_they_can_be():
    choice = chosen(MUSCLES, 200.0)
    assert (choice.config.filter, choice.config.emg) == ("emg", "rest")
    assert choice.model_rate_hz == 20.0
    assert muscle(200.0, **choice.signal_options).rectify
    assert "band-pass 20-90 Hz" in choice.reasons[0]
    envelopes = chosen(MUSCLES, 200.0, x=np.abs(smooth(1, 300, 4)))
    assert (envelopes.config.filter, envelopes.config.emg) == ("none", "rest")
    assert envelopes.signal_options == {}
    assert "envelopes already" in envelopes.reasons[0]
    slow = chosen(MUSCLES, 50.0)
    assert (slow.config.filter, slow.config.emg) == ("none", "none")
    assert "at 50 Hz: no filters" in slow.reasons[0]
    beside = chosen((*MUSCLES, *IMU), 200.0)
    assert (beside.config.filter, beside.config.emg) == ("none", "none")
    assert "beside other sensors" in beside.reasons[0]


def test_positions_are_tracks_and_many_of_them_are_a_body():
    assert chosen(TIP).config.track == "relative"
    assert chosen(channels("x y")).config.track == "relative"
    hand = chosen(HAND).config
    assert (hand.landmarks, hand.reference, hand.handedness) == ("points", "lm0", "handedness")
    body = chosen(BODY).config
    assert (body.landmarks, body.reference, body.handedness) == ("points", "spine", "none")
    assert body.differences is True
    unnamed = channels(axes("lh", "rh", "h", "s"))
    x = smooth(4, 400, 12)
    x[:, 9:] *= 0.01
    assert chosen(unnamed, 10.0, x=x).config.reference == "s"
    shaken = np.random.default_rng(1).normal(size=(400, 12))
    assert chosen(unnamed, x=shaken).config.landmarks == "none"
    assert chosen(unnamed, x=shaken).config.magnitude is True


@pytest.mark.parametrize(
    ("rate_hz", "gesture_s", "expected"),
    [
        (32.0, 2.0, 32.0), (50.0, 3.0, 50.0), (62.5, 0.2, 62.5), (100.0, 1.0, 50.0),
        (100.0, 0.25, 100.0), (100.0, 0.0, 50.0), (167.0, 3.0, 167 / 6), (200.0, 1.0, 50.0),
        (1000.0, 0.05, 500.0), (30.0, 20.0, 30.0),
    ],
)  # fmt: skip
def test_the_rate_goes_down_where_gestures_have_frames_to_spare(rate_hz, gesture_s, expected):
    assert chosen(IMU, rate_hz, gesture_s).model_rate_hz == pytest.approx(expected)


def test_what_is_said_stays():
    said = {"magnitude": False, "differences": True, "model_rate_hz": 25.0, "squash": "none",
            "scaling": "running", "orientation": "free", "settle_s": 3.0}  # fmt: skip
    choice = chosen(IMU, **said)
    assert replace(choice.config, **said) == choice.config
    assert choice.model_rate_hz == 25.0
    assert chosen(TIP, track="velocity").config.track == "velocity"
    assert chosen(HAND, landmarks="none").config.landmarks == "none"
    assert chosen(MUSCLES, 200.0, filter="none").signal_options == {}
    assert chosen(HAND, reference="centroid").config.reference == "centroid"


def columns_of(names, x, order):
    """Return features by name, of channels in some order."""
    some = [names[i] for i in order]
    choice = chosen(some, x=x[:, order])
    picked = select_channels(some, choice.config)
    chain = FeatureChain.fit(
        [x[:, order][:, picked].astype(np.float32)], [some[i] for i in picked], RATE_HZ,
        choice.config,
    )  # fmt: skip
    out = chain.push(np.ascontiguousarray(x[:, order][:, picked], np.float32))
    return dict(zip(chain.names, out.T, strict=True)), choice


@pytest.mark.parametrize("name", SETS)
@given(seeds)
def test_another_order_of_channels_gives_the_same_features_in_another_order(name, seed):
    names = SETS[name]
    x = smooth(seed, 120, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    straight, choice = columns_of(names, x, np.arange(len(names)))
    mixed, again = columns_of(names, x, order)
    assert set(choice.config.channels) == set(again.config.channels)
    assert replace(again.config, channels=()) == replace(choice.config, channels=())
    assert straight.keys() == mixed.keys()
    for key, column in straight.items():
        # sums of float64 in another order, seen through a float32
        np.testing.assert_allclose(mixed[key], column, rtol=1e-5, atol=1e-6)


@given(seeds)
def test_units_that_are_declared_change_nothing(seed):
    x = imu(seed).astype(np.float64)
    units = (9.80665,) * 3 + (np.pi / 180,) * 3
    theirs = [Channel(c.name, "g" if c.name.startswith("acc") else "deg/s") for c in IMU]
    ours, choice = columns_of(IMU, x, np.arange(6))
    other, again = columns_of(theirs, x / units, np.arange(6))
    assert again == choice
    for key, column in ours.items():
        # samples are rounded to float32 in both units
        np.testing.assert_allclose(other[key], column, rtol=1e-5, atol=1e-6)


def test_names_of_sensors_may_be_spelt_in_many_ways():
    ways = [
        "acc_x acc_y acc_z gyr_x gyr_y gyr_z", "ax ay az gx gy gz", "aX aY aZ gX gY gZ",
        "AccelX AccelY AccelZ GyroX GyroY GyroZ", "accx accy accz gyrx gyry gyrz",
        "acceleration.x acceleration.y acceleration.z omega-x omega-y omega-z",
    ]  # fmt: skip
    for way in ways:
        choice = chosen(channels(way))
        assert choice.config.magnitude is True
        assert len(choice.config.channels) == 6


def test_channels_default_to_motion_sensors_when_there_are_some():
    light = Channel("light", "lx")
    some = [Channel("gravity_x"), *IMU[3:], light, IMU[0], Channel("flex1")]
    assert select_channels(some, FeatureConfig()).tolist() == [1, 2, 3, 5, 6]
    assert select_channels([Channel("a"), Channel("emg1", "V")], FeatureConfig()).tolist() == [0, 1]
    config = FeatureConfig(channels=("acc_x", "light"))
    assert select_channels(some, config).tolist() == [5, 4]


def test_an_unknown_channel_is_named_with_the_nearest_right_one():
    with pytest.raises(ConfigError, match=r"no channel 'gyrox' \(did you mean 'gyro_x'\?\)"):
        chosen(IMU, channels=("gyrox",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"squash": "tanh"}, "squash must be one of"),
        ({"channels": ("a", "a")}, "not repeat"),
        ({"magnitude": "yes"}, "magnitude must be true, false or"),
        ({"model_rate_hz": 0.0}, "model_rate_hz must be"),
        ({"model_rate_hz": "fast"}, "model_rate_hz must be"),
        ({"settle_s": 0.0}, "settle_s must be within"),
        ({"reference": ""}, "reference and handedness"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        FeatureConfig(**options)
