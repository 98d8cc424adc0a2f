"""What names and units say."""

from __future__ import annotations

import pytest

from streamrnn.core.types import Channel
from streamrnn.features.sensors import motion_order, triads


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("acc_x acc_y acc_z", [(0, 1, 2)]),
        ("gyroZ gyroX gyroY temp", [(1, 2, 0)]),
        ("ax ay az gx gy gz", [(0, 1, 2), (3, 4, 5)]),
        ("ax ay gx gy gz", [(2, 3, 4)]),
        ("x y z", []),
        ("", []),
    ],
)
def test_triads_are_found_by_name(names, expected):
    assert triads([Channel(name) for name in names.split()]) == expected


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("gyro_x", "", 1),
        ("anything", "rad/s", 1),
        ("gx", "", 1),
        ("acc_x", "", 2),
        ("ay", "", 2),
        ("w", "m/s^2", 2),
        ("acc_x", "V", 0),
        ("emg1", "", 0),
        ("fused_x", "", 0),
    ],
)
def test_motion_order_comes_from_the_unit_then_the_name(name, unit, expected):
    assert motion_order(Channel(name, unit)) == expected
