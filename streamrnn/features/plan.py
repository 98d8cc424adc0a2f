"""From channels and settled options to a feature program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import F64, I64, Channel
from streamrnn.features import sensors as kinds
from streamrnn.features.config import FeatureConfig
from streamrnn.features.sensors import Sensor, sensors, words
from streamrnn.kernels.features import Builder, Program
from streamrnn.kernels.live import program_slots

#: Time constant of the direction of gravity.
GRAVITY_S = 1.0
#: The training data count as much of a stream as this share of `settle_s`.
_PRIOR_SHARE = 0.25
#: Movements slower than this share of the usual speed have no clear direction.
_SOFTNESS = 0.3
#: Fewer positions are tracks; more are points of a body.
MIN_POINTS = 3
#: Muscles are at rest for so long when a stream begins.
REST_S = 3.0
#: Before that, a muscle's level is the one that training data had: for so many frames.
_REST_PRIOR = 0.5
#: Of a body of up to so many points, every point's velocity is a feature.
MAX_MOVING = 8
#: Points that a body is seen from, the best first.
_REFERENCES = ("spine", "torso", "hip", "pelvis", "neck", "wrist", "palm", "nose", "head", "face")


@dataclass(frozen=True, eq=False)
class Measured:
    """What training data say.

    Attributes
    ----------
    offset, scale : float64 (n,)
        Of the samples: ``z = (x - offset) / scale``.
    gains : tuple of float or None
        One for each group of features that has its own; None while they are not known.
    """

    offset: F64
    scale: F64
    gains: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """What is done, and what comes out.

    Attributes
    ----------
    program : Program
    names : tuple of str
        Of the features, in order.
    measured : tuple of int64
        For each measured gain, the features that have it.
    """

    program: Program
    names: tuple[str, ...]
    measured: tuple[I64, ...]


def body(found: Sequence[Sensor]) -> list[Sensor]:
    """Return the points of a body among sensors; empty when they are too few to be one.

    Positions are; where nothing is known to be one, three-axis groups that nothing is known of.
    """
    for kind in (kinds.POSITION, kinds.TRIAD):
        points = [s for s in found if s.kind == kind]
        width = len(points[0].columns) if points else 0
        if len(points) >= MIN_POINTS and all(len(s.columns) == width for s in points):
            return points
    return []


def known_reference(points: Sequence[Sensor]) -> str:
    """Return the name of the point that a body is best seen from; empty when no name says so.

    Numbered points are those of a hand or a body whose root is number 0.
    """
    for wanted in _REFERENCES:
        for point in points:
            if wanted in words(point.name):
                return point.name
    for point in points:
        if words(point.name)[-1:] == ["0"] or point.name.strip().endswith("lm0"):
            return point.name
    return ""


class _Writer:
    """Writes the program of a chain, part by part."""

    def __init__(
        self,
        channels: Sequence[Channel],
        config: FeatureConfig,
        rate_hz: float,
        measured: Measured,
    ) -> None:
        self.b = Builder(measured.offset, measured.scale)
        self.config, self.rate_hz = config, rate_hz
        self.channels = channels
        self.found = sensors(channels)
        self.place: I64 = self.b.samples.copy()
        self._gains = measured.gains
        self.n_gains = 0
        self._out: list[tuple[I64, list[str], float, int]] = []
        self._logs: list[tuple[I64, list[str]]] = []
        self.points = body(self.found) if config.landmarks == "points" else []
        on_track = [s for s in self.found if s.kind == kinds.POSITION and s not in self.points]
        self.tracks = on_track if config.track != "none" else []
        self.muscles = [s for s in self.found if s.kind == kinds.EMG and config.emg != "none"]

    def check(self) -> None:
        """Refuse options for sensors that are not there."""
        config = self.config
        for is_lacking, what, needs in (
            (
                config.landmarks == "points" and not self.points,
                "landmarks points",
                f"{MIN_POINTS} positions or more (such as wrist_x and wrist_y)",
            ),
            (config.track != "none" and not self.tracks, f"track {config.track}", "a position"),
            (
                config.emg != "none" and not self.muscles,
                f"emg {config.emg}",
                "channels named emg...",
            ),
        ):
            if is_lacking:
                raise ConfigError(f'features: {what} needs {needs}: leave it "auto", or "none"')

    # ---- what comes out

    def add(self, places: I64, names: Sequence[str], *, is_measured: bool = False) -> None:
        """Make features of places, with a gain of their own if it `is_measured`."""
        gain, which = 1.0, -1
        if is_measured:
            which = self.n_gains
            self.n_gains += 1
            gain = self.gain_of(which)
        self._out.append((np.asarray(places).reshape(-1), list(names), gain, which))

    def done(self) -> Plan:
        """Finish; without gains, features are left unsquashed, to be measured."""
        is_known = self._gains is not None
        names: list[str] = []
        measured: list[list[int]] = [[] for _ in range(self.n_gains)]
        for _, own, _, which in self._out:
            if which >= 0:
                measured[which] += range(len(names), len(names) + len(own))
            names += own
        squash = self.config.squash if is_known else "none"
        if names:
            places = np.concatenate([places for places, *_ in self._out])
            gains = np.repeat([g for _, _, g, _ in self._out], [len(o) for _, o, _, _ in self._out])
            self.b.store(places, squash, gains)
        for places, own in self._logs:
            self.b.store(places, "log" if is_known else "none")
            names += own
        spans = tuple(np.array(m, np.int64) for m in measured)
        return Plan(self.b.done(), tuple(names), spans)

    def gain_of(self, which: int) -> float:
        """Return a measured gain; 1 while it is not known."""
        if self._gains is None:
            return 1.0
        if which >= len(self._gains):
            raise ConfigError(f"features: {len(self._gains)} gains are too few")
        return self._gains[which]

    # ---- parts

    def frames(self, seconds: float) -> float:
        """Return a time in frames."""
        return max(seconds * self.rate_hz, 1.0)

    def gain(self, seconds: float) -> float:
        """Return the gain of an exponential mean with a time constant."""
        return 1.0 - math.exp(-1.0 / self.frames(seconds))

    def adapt(self) -> None:
        """Bring the scales of a stream to those that its own frames have."""
        settle = self.frames(self.config.settle_s)
        apart = {c for s in (*self.points, *self.tracks) for c in s.columns}
        for sensor in self.found:
            if sensor.kind in (kinds.HANDEDNESS, kinds.CONFIDENCE) or apart & set(sensor.columns):
                continue
            whole = len(sensor.columns) == 3 and sensor.kind in (*kinds.VECTORS, kinds.ANGLE)
            columns = list(sensor.columns)
            is_centred = not whole and sensor not in self.muscles
            for group in [columns] if whole else [[column] for column in columns]:
                self.place[group] = self.b.adapted(
                    self.place[group],
                    prior=_PRIOR_SHARE * settle,
                    settle=settle,
                    is_kept=self.config.scaling == "session",
                    is_centred=is_centred,
                )

    def hidden(self) -> set[int]:
        """Return the columns that are no features themselves."""
        special = [*self.points, *self.tracks, *self.muscles]
        if self.config.orientation != "device":
            special += [s for s in self.found if s.kind in kinds.VECTORS and len(s.columns) == 3]
        if self.points:
            beside = (kinds.CONFIDENCE, kinds.HANDEDNESS)
            special += [s for s in self.found if s.kind in beside]
        gone = {column for sensor in special for column in sensor.columns}
        hand = self.hand()
        return gone | ({hand} if hand is not None else set())

    def hand(self) -> int | None:
        """Return the column that says which hand it is."""
        name = self.config.handedness
        if not self.points or name in ("none", "mirror"):
            return None
        names = [channel.name for channel in self.channels]
        if name not in names:
            raise ConfigError(f"features: no channel {name!r} says which hand it is")
        return names.index(name)

    def vectors(self) -> list[Sensor]:
        """Return the sensors whose axes turn with them."""
        return [
            s
            for s in self.found
            if len(s.columns) == 3 and s.kind in kinds.VECTORS and s not in self.points
        ]

    def columns(self) -> None:
        """Make features of channels as they are, and their lengths and differences."""
        hidden = self.hidden()
        left = [i for i in range(len(self.channels)) if i not in hidden]
        names = [self.channels[i].name for i in left]
        if left:
            self.add(self.place[left], names)
        vectors = self.vectors()
        if self.config.magnitude and vectors:
            at = np.array([self.place[list(s.columns)] for s in vectors])
            self.add(self.b.lengths(at), [f"length {s.name}" for s in vectors])
        for sensor in self.muscles:
            at = self.place[list(sensor.columns)]
            own = [self.channels[i].name for i in sensor.columns]
            self._logs.append((at, [f"log {name}" for name in own]))
            self._logs.append((self.b.lengths(at[None]), [f"log length {sensor.name}"]))
            if self.config.emg == "rest":
                self._logs.append(
                    (self.beside_rest(at), [f"log {name} beside rest" for name in own])
                )
        if self.config.orientation != "device":
            self.turned()
        if self.config.differences and left:
            self.add(self.b.differences(self.place[left]), [f"change {name}" for name in names])

    def beside_rest(self, places: I64) -> I64:
        """Return envelopes in units of their level when the stream began."""
        return np.concatenate([
            self.b.adapted(
                [place], prior=_REST_PRIOR, settle=self.frames(REST_S), is_kept=True,
                is_centred=False,
            )
            for place in places.tolist()
        ])  # fmt: skip

    def turned(self) -> None:
        """Make features that do not change, or only by a turn about gravity, with the sensor."""
        downs = [s for s in self.vectors() if s.kind == kinds.ACCELERATION]
        if not downs and self.config.orientation == "gravity":
            raise ConfigError(
                "features: orientation gravity needs a three-axis accelerometer: record one, or "
                "take orientation free"
            )
        slow = self.gain(GRAVITY_S)
        gravity = {s.name: self.b.slow(self.place[list(s.columns)], slow) for s in downs}
        for sensor in self.vectors():
            at = self.place[list(sensor.columns)]
            down = _beside(sensor, downs)
            if down is not None:
                parts = self.b.split(at[None], gravity[down.name][None])
                self.add(parts, [f"along gravity {sensor.name}", f"across gravity {sensor.name}"])
            if self.config.orientation == "free":
                self.free(sensor, at, down)

    def free(self, sensor: Sensor, at: I64, down: Sensor | None) -> None:
        """Make features of lengths and angles alone: of a vector, its change, and another."""
        change = self.b.differences(at)
        self.add(self.b.lengths(change[None]), [f"length change {sensor.name}"], is_measured=True)
        self.add(
            self.b.dots(at[None], change[None]), [f"along change {sensor.name}"], is_measured=True
        )
        if down is not None and down != sensor:
            other = self.place[list(down.columns)]
            pair = f"{sensor.name} {down.name}"
            self.add(self.b.dots(at[None], other[None]), [f"angle {pair}"])
            self.add(
                self.b.triples(at[None], change[None], other[None]),
                [f"volume {pair}"],
                is_measured=True,
            )

    def track(self, sensor: Sensor) -> None:
        """Make features of a position that do not change when all of it is moved.

        Beside a place, velocity stays in the place's own scale: brought to the same size, it is
        mostly noise.
        """
        axes = "xyz"[: len(sensor.columns)]
        at = self.place[list(sensor.columns)]
        stem = sensor.name or "position"
        velocity = self.b.differences(at)
        names = [f"velocity {stem} {a}" for a in axes]
        if self.config.track == "relative":
            centre = self.b.slow(at, self.gain(self.config.settle_s))
            self.add(self.b.minus(at, centre), [f"place {stem} {a}" for a in axes])
            self.add(velocity, names)
            return
        self.add(velocity, names, is_measured=True)
        self.add(self.b.lengths(velocity[None]), [f"speed {stem}"], is_measured=True)
        slow = _SOFTNESS / self.gain_of(self.n_gains - 1)
        directions = self.b.directions(velocity[None], slow)
        self.add(directions, [f"direction {stem} {a}" for a in axes])

    def landmarks(self) -> None:
        """Make features of a body's points, seen from one of them and in sizes of the body."""
        points, names = self.points, [s.name for s in self.points]
        reference = None
        if self.config.reference != "centroid":
            if self.config.reference not in names:
                raise ConfigError(f"features: no point {self.config.reference!r} to refer to")
            reference = names.index(self.config.reference)
        hand = self.hand()
        mirror = program_slots.MIRROR_NONE if hand is None else program_slots.MIRROR_LEFT
        if self.config.handedness == "mirror":
            mirror = program_slots.MIRROR_ALWAYS
        at = np.array([self.place[list(s.columns)] for s in points])
        place, velocity = self.b.points(
            at, reference, mirror, None if hand is None else int(self.place[hand]),
            self.gain(self.config.settle_s),
        )  # fmt: skip
        axes = "xyz"[: at.shape[1]]
        kept = [i for i in range(len(points)) if i != reference]
        own = [f"{names[i]} {a}" for i in kept for a in axes]
        self.add(place[kept], [f"place {name}" for name in own])
        self.add(velocity, [f"velocity body {a}" for a in axes])
        if self.config.differences:
            moved = self.b.differences(place[kept].reshape(-1))
            self.add(moved, [f"velocity {name}" for name in own])


def _beside(sensor: Sensor, downs: Sequence[Sensor]) -> Sensor | None:
    """Return the accelerometer that sits where a sensor does."""
    if sensor in downs:
        return sensor
    place = _place(sensor)
    same = [s for s in downs if _place(s) == place]
    return same[0] if same else (downs[0] if len(downs) == 1 else None)


def _place(sensor: Sensor) -> tuple[str, ...]:
    """Return the words of a sensor's name that say where it is, not what it is."""
    what = (*kinds.VECTORS, kinds.ANGLE)
    known = words(sensor.name)
    return tuple(w for w in known if len(w) > 1 and kinds.kind_of(Channel(w)) not in what)


def write(
    channels: Sequence[Channel], config: FeatureConfig, rate_hz: float, measured: Measured
) -> Plan:
    """Return what a chain does.

    Parameters
    ----------
    channels : sequence of Channel
    config : FeatureConfig
        Nothing in it is ``"auto"``.
    rate_hz : float
        Of the frames.
    measured : Measured
        Without gains: features come out as they are, so that their spreads can be measured.

    Raises
    ------
    ConfigError
        The options ask for what the channels do not have.
    """
    writer = _Writer(channels, config, rate_hz, measured)
    writer.check()
    if config.scaling != "global":
        writer.adapt()
    writer.columns()
    for sensor in writer.tracks:
        writer.track(sensor)
    if writer.points:
        writer.landmarks()
    return writer.done()
