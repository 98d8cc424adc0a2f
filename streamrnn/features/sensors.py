"""What channels' names and units say about the sensors behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from streamrnn.core.types import Channel

_RATE_UNITS = {
    "rad/s", "deg/s", "dps", "mdps", "°/s", "rad s-1", "deg s-1", "degrees/s", "rad*s^-1", "rads",
}  # fmt: skip
_ACCELERATION_UNITS = {"m/s^2", "m/s2", "m/s²", "m/s/s", "g", "mg", "m s-2", "m*s^-2", "ms2", "gee"}
_FIELD_UNITS = {"ut", "µt", "μt", "mt", "nt", "t", "gauss", "mgauss", "a/m"}
_ANGLE_UNITS = {"deg", "°", "degree", "degrees", "rad", "radian", "radians", "quat", "quaternion"}
_LENGTH_UNITS = {"m", "cm", "mm", "px", "pixel", "pixels", "in", "inch"}

_ACCELERATIONS = ("acc", "linacc", "linearacc", "useracc")
_RATES = ("gyr", "omega", "rotrate", "angvel")
_RATE_PHRASES = ("rotationrate", "angularvelocity", "angularrate")
_FIELDS = ("mag", "compass")
_ANGLES = (
    "quat", "euler", "orient", "attitude", "roll", "pitch", "yaw", "heading", "azimuth", "fused",
    "grav", "rotvec",
)  # fmt: skip
_POSITIONS = (
    "pos", "point", "pt", "landmark", "lm", "kp", "keypoint", "joint", "tip", "finger", "thumb",
    "index", "middle", "ring", "pinky", "hand", "palm", "wrist", "elbow", "shoulder", "head",
    "nose", "eye", "ear", "mouth", "neck", "chin", "spine", "torso", "chest", "hip", "pelvis",
    "knee", "ankle", "heel", "foot", "centroid", "center", "centre", "cursor", "mouse", "pen",
    "stroke", "touch", "wand", "coord", "track",
)  # fmt: skip
_HANDEDNESS = {"handedness", "isright", "ishandright", "righthand"}
#: Without the last letter, which may be taken for an axis.
_CONFIDENCES = ("visib", "presen", "confid", "score", "likeli")
#: Worn on a hand beside motion sensors.
_HAND_SENSORS = ("flex", "bend", "force", "press", "fsr", "touch", "button", "strain", "prox")
_AXES = "xyz"

RATE, ACCELERATION, FIELD, ANGLE = "rate", "acceleration", "field", "angle"
TRIAD, POSITION, EMG = "triad", "position", "emg"
HANDEDNESS, CONFIDENCE, HAND, OTHER = "handedness", "confidence", "hand", "other"
#: Kinds whose axes turn with the sensor.
VECTORS = (RATE, ACCELERATION, FIELD, TRIAD)


@dataclass(frozen=True)
class Sensor:
    """Channels that belong together.

    Attributes
    ----------
    kind : str
        ``rate`` and ``acceleration`` (motion sensors), ``field`` (magnetic), ``angle`` (how it is
        held), ``triad`` (three axes of something), ``position`` (in a plane or in space), ``emg``
        (all channels of muscles), ``handedness``, ``confidence`` (of a landmark), ``hand`` (a
        sensor worn on a hand), ``other``.
    name : str
        What their names have in common.
    columns : tuple of int
        Of several, the axes in the order x, y, z.
    """

    kind: str
    name: str
    columns: tuple[int, ...]


def split_axis(name: str) -> tuple[str, str]:
    """Return the stem and the axis of a channel's name; an empty axis where it names none.

    ``acc_x``, ``accX``, ``ax``, ``Acc X (g)``, ``x_acc`` and ``x12`` have one.
    """
    text = re.sub(r"\s*[\[(][^\])]*[\])]\s*$", "", name.strip())
    behind = re.fullmatch(r"(.*?)[ _.\-]*([xyzXYZ])", text)
    if behind:
        return behind[1], behind[2].lower()
    before = re.fullmatch(r"([xyzXYZ])[ _.\-]*(\d+)", text) or re.fullmatch(
        r"([xyzXYZ])[ _.\-](.+)", text
    )
    return (before[2], before[1].lower()) if before else (text, "")


def words(name: str) -> list[str]:
    """Return the words of a name, in small letters: ``leftHand_2`` is left, hand, 2."""
    return [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def kind_of(channel: Channel) -> str:
    """Return the kind of one channel; a unit counts more than a name."""
    stem, axis = split_axis(channel.name)
    parts = words(stem)
    whole = "".join(parts)
    unit = channel.unit.strip().lower()
    if _begins(parts, _ANGLES) or unit in _ANGLE_UNITS or re.fullmatch("q[wxyz0-3]?", whole):
        return ANGLE
    if any(part.endswith("emg") for part in parts):
        return EMG
    if unit:
        return _kind_of_unit(unit)
    if _begins(parts, _RATES) or any(p in whole for p in _RATE_PHRASES) or (axis and whole == "g"):
        return RATE
    if (_begins(parts, _ACCELERATIONS) and not _begins(parts, ("accu",))) or (
        axis and whole == "a"
    ):
        return ACCELERATION
    if (_begins(parts, _FIELDS) and not _begins(parts, ("magni",))) or (axis and whole == "m"):
        return FIELD
    if not axis and whole in _HANDEDNESS:
        return HANDEDNESS
    return _kind_of_name(parts)


def _kind_of_unit(unit: str) -> str:
    for kind, units in (
        (RATE, _RATE_UNITS),
        (ACCELERATION, _ACCELERATION_UNITS),
        (FIELD, _FIELD_UNITS),
        (POSITION, _LENGTH_UNITS),
    ):
        if unit in units:
            return kind
    return OTHER


def _kind_of_name(parts: Sequence[str]) -> str:
    for kind, known in (
        (CONFIDENCE, _CONFIDENCES),
        (HAND, _HAND_SENSORS),
        (POSITION, _POSITIONS),
    ):
        if _begins(parts, known):
            return kind
    return OTHER


def _begins(parts: Sequence[str], known: tuple[str, ...]) -> bool:
    return any(part.startswith(known) for part in parts)


def sensors(channels: Sequence[Channel]) -> list[Sensor]:
    """Return what the channels are; each column belongs to one sensor.

    Names with the same stem and the axes x, y or x, y, z are one sensor, in any order of columns
    and however they are spelt (`split_axis`); so are all channels of an electromyogram. In a pair
    or triple whose name and unit say nothing, two axes are a position, three a ``triad``.
    """
    kinds = [kind_of(channel) for channel in channels]
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for i, channel in enumerate(channels):
        stem, axis = split_axis(channel.name)
        key = "".join(words(stem)) or stem.lower()
        where = (EMG, "") if kinds[i] == EMG else (kinds[i], key)
        if kinds[i] == EMG or (axis and kinds[i] not in (CONFIDENCE, HANDEDNESS)):
            name = channel.name if kinds[i] == EMG else axis
            groups.setdefault(where, {}).setdefault(name, i)
    found: dict[int, Sensor] = {}
    for (kind, _), columns in groups.items():
        first = min(columns.values())
        stem = split_axis(channels[first].name)[0]
        if kind == EMG:
            found[first] = Sensor(EMG, "emg", tuple(columns.values()))
            continue
        axes = "".join(axis for axis in _AXES if axis in columns)
        if axes in ("xy", "xyz") or (len(axes) == 2 and kind in (RATE, ACCELERATION, FIELD)):
            unknown = POSITION if axes == "xy" else TRIAD
            shown = unknown if kind in (OTHER, HAND) else kind
            found[first] = Sensor(shown, stem, tuple(columns[axis] for axis in axes))
    taken = {column for sensor in found.values() for column in sensor.columns}
    for i, channel in enumerate(channels):
        if i not in taken:
            kind = OTHER if kinds[i] == POSITION else kinds[i]
            found[i] = Sensor(kind, channel.name, (i,))
    return [found[i] for i in sorted(found)]


def triads(channels: Sequence[Channel]) -> list[tuple[int, int, int]]:
    """Return the columns of each three-axis sensor whose axes turn with it, by first column."""
    return [
        (s.columns[0], s.columns[1], s.columns[2])
        for s in sensors(channels)
        if len(s.columns) == 3 and s.kind in (*VECTORS, ANGLE)
    ]


def motion_order(channel: Channel) -> int:
    """Return how a channel grows with the speed of a movement.

    Returns
    -------
    int
        1 for an angular rate (twice as fast, twice the rate), 2 for an acceleration (twice as fast,
        four times the acceleration), 0 for anything else.
    """
    return {RATE: 1, ACCELERATION: 2}.get(kind_of(channel), 0)


def chosen(channels: Sequence[Channel]) -> list[int]:
    """Return the columns that features are made of unless somebody names others.

    With a gyroscope or an accelerometer: these, muscles, and sensors worn on a hand; how a sensor
    is held (an orientation, gravity, a compass) tells people apart, not gestures. Else all.
    """
    kinds = [kind_of(channel) for channel in channels]
    if not {RATE, ACCELERATION} & set(kinds):
        return list(range(len(channels)))
    kept = {RATE, ACCELERATION, EMG, HAND}
    return [i for i, kind in enumerate(kinds) if kind in kept]
