"""What a channel's name and unit say about the sensor behind it."""

from __future__ import annotations

from collections.abc import Sequence

from streamrnn.core.types import Channel

_AXES = ("x", "y", "z")
_RATE_UNITS = {"rad/s", "deg/s", "dps", "°/s", "rad s-1", "deg s-1"}
_ACCELERATION_UNITS = {"m/s^2", "m/s2", "m/s²", "m/s/s", "g", "mg", "m s-2"}
_RATE_NAMES = ("gyr", "rotationrate", "rotation_rate", "omega")
_ACCELERATION_NAMES = ("acc", "linacc", "linear_acc", "useracc")


def triads(channels: Sequence[Channel]) -> list[tuple[int, int, int]]:
    """Return the columns of each three-axis sensor: names that end in x, y, z behind one stem.

    ``acc_x acc_y acc_z``, ``gyroX gyroY gyroZ`` and ``ax ay az`` are triads, in any column order.
    """
    columns: dict[tuple[str, str], int] = {}
    stems: list[str] = []
    for i, channel in enumerate(channels):
        name = channel.name.lower()
        if len(name) > 1 and name[-1] in _AXES:
            columns.setdefault((name[:-1], name[-1]), i)
            if name[:-1] not in stems:
                stems.append(name[:-1])
    found = []
    for stem in stems:
        axes = [columns.get((stem, axis)) for axis in _AXES]
        x, y, z = axes
        if x is not None and y is not None and z is not None:
            found.append((x, y, z))
    return found


def motion_order(channel: Channel) -> int:
    """Return how a channel grows with the speed of a movement.

    Returns
    -------
    int
        1 for an angular rate (twice as fast, twice the rate), 2 for an acceleration (twice as fast,
        four times the acceleration), 0 for anything else.
    """
    unit = channel.unit.strip().lower()
    name = channel.name.lower()
    if unit in _RATE_UNITS:
        return 1
    if unit in _ACCELERATION_UNITS:
        return 2
    if unit:
        return 0
    stem = name[:-1].rstrip("_. -") if name.endswith(_AXES) else ""
    if name.startswith(_RATE_NAMES) or stem == "g":
        return 1
    if name.startswith(_ACCELERATION_NAMES) or stem == "a":
        return 2
    return 0
