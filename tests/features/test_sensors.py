"""What names and units say."""

from __future__ import annotations

import pytest
from feature_make import axes, channels

from streamrnn.core.types import Channel
from streamrnn.features.plan import body, known_reference
from streamrnn.features.sensors import kind_of, motion_order, sensors, split_axis, triads


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("acc_x acc_y acc_z", [(0, 1, 2)]),
        ("gyroZ gyroX gyroY temp", [(1, 2, 0)]),
        ("ax ay az gx gy gz", [(0, 1, 2), (3, 4, 5)]),
        ("ax ay gx gy gz", [(2, 3, 4)]),
        ("x y z", [(0, 1, 2)]),
        ("x y", []),
        ("tip_x tip_y tip_z", []),
        ("", []),
    ],
)
def test_triads_are_found_by_name(names, expected):
    assert triads(channels(names)) == expected


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("gyro_x", "", 1),
        ("anything", "rad/s", 1),
        ("gx", "", 1),
        ("left_gyr_y", "", 1),
        ("rotationRateX", "", 1),
        ("acc_x", "", 2),
        ("ay", "", 2),
        ("AccelX", "", 2),
        ("userAcceleration_z", "", 2),
        ("wrist acc x", "", 2),
        ("w", "m/s^2", 2),
        ("Acc X (g)", "", 2),
        ("gravity_x", "m/s^2", 0),
        ("acc_x", "V", 0),
        ("accuracy", "", 0),
        ("emg1", "", 0),
        ("fused_x", "", 0),
        ("index", "", 0),
    ],
)
def test_motion_order_comes_from_the_unit_then_the_name(name, unit, expected):
    assert motion_order(Channel(name, unit)) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("mx my mz", "field"),
        ("magX magY magZ", "field"),
        ("qw qx qy qz", "angle angle"),
        ("roll pitch yaw", "angle angle angle"),
        ("emg1 EMG_0 ch_emg_2 sEMG3", "emg"),
        ("x y", "position"),
        ("left_hand_x left_hand_y left_hand_z", "position"),
        ("left_hand_x", "other"),
        ("right_hand_y right_hand_x", "position"),
        ("x0 y0 x1 y1", "position position"),
        ("landmark_3_x landmark_3_y landmark_3_visibility", "position confidence"),
        ("foo_x foo_y foo_z", "triad"),
        ("handedness flex1 light", "handedness hand other"),
    ],
)
def test_channels_that_belong_together_are_one_sensor(names, expected):
    found = sensors(channels(names))
    assert " ".join(sensor.kind for sensor in found) == expected
    columns = [column for sensor in found for column in sensor.columns]
    assert sorted(columns) == list(range(len(names.split())))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("uT", "field"), ("µT", "field"), ("deg", "angle"), ("mm", "position"), ("px", "position"),
     ("g", "acceleration"), ("dps", "rate"), ("V", "other")],
)  # fmt: skip
def test_a_unit_counts_more_than_a_name(unit, expected):
    assert kind_of(Channel("acc_x", unit)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("acc_x", ("acc", "x")), ("accX", ("acc", "x")), ("ax", ("a", "x")), ("z", ("", "z")),
     ("Acc Y [m/s^2]", ("Acc", "y")), ("y_acc", ("acc", "y")), ("x12", ("12", "x")),
     ("light", ("light", ""))],
)  # fmt: skip
def test_an_axis_stands_at_either_end_of_a_name(name, expected):
    assert split_axis(name) == expected


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (("left_wrist", "right_wrist", "spine"), "spine"),
        (("lm0", "lm1", "lm2"), "lm0"),
        (("p10", "p1", "p0"), "p0"),
        (("nose", "left_eye", "right_eye"), "nose"),
        (("point_a", "point_b", "point_c"), ""),
    ],
)
def test_a_body_is_seen_from_its_root(stems, expected):
    points = body(sensors(channels(axes(*stems))))
    assert known_reference(points) == (expected if points else "")


def test_two_positions_are_no_body():
    assert body(sensors(channels(axes("left_hand", "right_hand")))) == []
    assert len(body(sensors(channels(axes("left_hand", "right_hand", "head"))))) == 3
