"""Features for what the channels are: from their names, their units and the data, nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F32, I64, Channel
from streamrnn.features import filters
from streamrnn.features import sensors as kinds
from streamrnn.features.config import AUTO, FeatureConfig
from streamrnn.features.plan import MAX_MOVING, body, known_reference
from streamrnn.features.sensors import Sensor, chosen, sensors

#: A network gets so many frames a second at most, and goes down to so many to keep gestures short.
HIGHEST_HZ, LOWEST_HZ = 60.0, 25.0
#: Frames of a median gesture: not fewer than these for the sake of a lower rate, and with more than
#: these a lower rate.
FEWEST_FRAMES, MOST_FRAMES = 20, 100
#: Envelopes of muscles change slowly.
ENVELOPE_RATE_HZ = 20.0
#: Rates this much above `HIGHEST_HZ` are left as they are.
_MARGIN = 1.05
#: Muscle signals below this rate have no band left to filter.
_SLOWEST_EMG_HZ = 100.0
#: Gravity is in an accelerometer whose mean vector is longer than this share of its usual length.
_GRAVITY_SHARE = 0.5
#: Points of a body move at most so fast: root mean square velocity over spread, 1/s.
_FASTEST_BODY = 10.0


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    config : FeatureConfig
        Nothing in it is ``"auto"``; its channels are named.
    model_rate_hz : float
        Rate of the network.
    signal_options : dict
        Arguments of `streamrnn.features.filters.muscle` behind the rate; empty where samples are
        taken as they come.
    reasons : tuple of str
        Every decision in plain words, one line each.
    """

    config: FeatureConfig
    model_rate_hz: float
    signal_options: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def select_channels(channels: Sequence[Channel], config: FeatureConfig) -> I64:
    """Return the columns that `config` asks for.

    Parameters
    ----------
    channels : sequence of Channel
        What the stream has.
    config : FeatureConfig

    Returns
    -------
    int64 (n,)

    Raises
    ------
    ConfigError
        A channel that the stream does not have.
    """
    names = [channel.name for channel in channels]
    if not config.channels:
        return np.array(chosen(channels), np.int64)
    for name in config.channels:
        if name not in names:
            known = printable(", ".join(names))
            raise ConfigError(f"no channel {name!r}{did_you_mean(name, names)}; there are {known}")
    return np.array([names.index(name) for name in config.channels], np.int64)


def choose(
    config: FeatureConfig,
    channels: Sequence[Channel],
    rate_hz: float,
    xs: Sequence[F32],
    gesture_s: float = 0.0,
) -> Choice:
    """Replace every ``"auto"``.

    Parameters
    ----------
    config : FeatureConfig
        What is not ``"auto"`` in it stays.
    channels : sequence of Channel
        All of the stream.
    rate_hz : float
        Of the recordings.
    xs : sequence of float32 (N, n_channels)
        Recorded frames.
    gesture_s : float
        Median length of a gesture, seconds; 0 where nobody knows.

    Raises
    ------
    ConfigError
        A channel that the stream does not have.
    """
    columns = select_channels(channels, config)
    picked = [channels[int(column)] for column in columns]
    chooser = _Chooser(config, picked, rate_hz, [x[:, columns] for x in xs])
    chooser.left_out([c for i, c in enumerate(channels) if i not in columns])
    chooser.muscles()
    chooser.body()
    chooser.tracks()
    chooser.motion()
    chooser.others()
    model_rate_hz = chooser.model_rate(gesture_s)
    return Choice(
        replace(chooser.config, channels=tuple(channel.name for channel in picked)),
        model_rate_hz,
        chooser.signal_options(),
        tuple(chooser.reasons),
    )


class _Chooser:
    """Settles one option after the other, and remembers why."""

    def __init__(
        self, config: FeatureConfig, channels: Sequence[Channel], rate_hz: float, xs: Sequence[F32]
    ) -> None:
        self.config, self.channels, self.rate_hz, self.xs = config, channels, rate_hz, xs
        self.found = sensors(channels)
        self.reasons: list[str] = []

    def settle(self, reason: str = "", **options: Any) -> None:
        """Set those of the options that are open; give the reason if that sets any."""
        still = {key: v for key, v in options.items() if getattr(self.config, key) == AUTO}
        self.config = replace(self.config, **still)
        if still and reason:
            self.reasons.append(reason)

    def named(self, columns: Sequence[int]) -> str:
        """Return the names of columns, with the stem of several written once."""
        return _names([self.channels[i] for i in columns])

    def of(self, *wanted: str) -> list[Sensor]:
        """Return the sensors of some kinds."""
        return [sensor for sensor in self.found if sensor.kind in wanted]

    # ---- decisions

    def left_out(self, channels: Sequence[Channel]) -> None:
        """Say which channels are not used."""
        if channels and not self.config.channels:
            self.reasons.append(
                f"{_names(channels)}: not used beside motion sensors, because how a sensor is held "
                "tells people apart, not gestures"
            )

    def muscles(self) -> None:
        """Decide what is done to muscle signals."""
        columns = [c for s in self.of(kinds.EMG) for c in s.columns]
        if not columns:
            self.settle(filter="none", emg="none")
            return
        what = f"{len(columns)} channels of muscles ({self.named(columns)})"
        alone = len(columns) == len(self.channels)
        none = np.empty(0, np.float32)
        samples = np.concatenate([none, *(x[:, columns].reshape(-1) for x in self.xs)])
        samples = samples[np.isfinite(samples)]
        if samples.size and samples.min() >= 0.0:
            self.settle(
                f"{what} are never below 0: they are envelopes already, taken as logarithms, as "
                "they are and beside their level in the first 3 s",
                filter="none",
                emg="rest",
            )
        elif alone and self.rate_hz >= _SLOWEST_EMG_HZ and self.config.filter != "none":
            high_hz = min(filters.HIGH_HZ, 0.45 * self.rate_hz)
            self.settle(
                f"{what}: band-pass {filters.LOW_HZ:g}-{high_hz:g} Hz, rectified, envelope, taken "
                "as logarithms, as they are and beside their level in the first 3 s (keep still)",
                filter="emg",
                emg="rest",
            )
        else:
            why = "beside other sensors" if not alone else f"at {self.rate_hz:g} Hz"
            is_filtered = self.config.filter == "emg"
            self.settle(
                f"{what} {why}: no filters; centred and divided by their spread",
                filter="none",
                emg="rest" if is_filtered else "none",
            )

    def body(self) -> None:
        """Decide whether positions are the points of a body, and what it is seen from."""
        points = body(self.found)
        if points and points[0].kind == kinds.TRIAD and not self._moves_like_a_body(points):
            points = []
        if not points or self.config.landmarks == "none":
            self.settle(landmarks="none", reference="centroid", handedness="none")
            return
        hands = self.of(kinds.HANDEDNESS)
        hand = self.channels[hands[0].columns[0]].name if hands else "none"
        reference = known_reference(points)
        why = "by its name" if reference else "the one that moves least"
        reference = reference or self._stillest(points)
        if self.config.landmarks == AUTO:
            self.reasons.append(
                f"{len(points)} points with {len(points[0].columns)} coordinates each: seen from "
                f"{printable(reference)} ({why}), in sizes of the body, with their velocity"
                + (f"; left hands are mirrored by {printable(hand)}" if hands else "")
            )
        few = len(points) <= MAX_MOVING
        self.settle(landmarks="points", reference=reference, handedness=hand, differences=few)

    def tracks(self) -> None:
        """Decide what is made of single positions."""
        points = body(self.found) if self.config.landmarks == "points" else []
        tracks = [s for s in self.of(kinds.POSITION) if s not in points]
        if tracks:
            columns = [c for s in tracks for c in s.columns]
            self.settle(
                f"{self.named(columns)}: a position; beside its own running mean, with velocity",
                track="relative",
            )
        else:
            self.settle(track="none")

    def motion(self) -> None:
        """Decide what is made of three-axis sensors."""
        points = body(self.found) if self.config.landmarks == "points" else []
        vectors = [s for s in self.of(*kinds.VECTORS) if len(s.columns) == 3 and s not in points]
        self.settle(orientation="device")
        if vectors:
            columns = [c for s in vectors for c in s.columns]
            self.settle(
                f"{self.named(columns)}: three-axis sensors; one scale each, with their length",
                magnitude=True,
            )
        heavy = [s for s in vectors if s.kind == kinds.ACCELERATION and self._feels_gravity(s)]
        if heavy:
            columns = [c for s in heavy for c in s.columns]
            self.settle(
                f"{self.named(columns)}: gravity is in them; so each channel's change beside it",
                differences=True,
            )
        self.settle(magnitude=False)

    def others(self) -> None:
        """Settle the rest."""
        rest = [c for s in self.of(kinds.OTHER, kinds.ANGLE, kinds.HAND) for c in s.columns]
        self.settle(differences=False, scaling="global")
        if rest:
            self.reasons.append(f"{self.named(rest)}: centred and divided by their spread")
        self.settle(
            "everything is squashed by asinh: small movements stay readable, large ones finite"
            if self.config.emg == "none"
            else "",
            squash="asinh",
        )

    def model_rate(self, gesture_s: float) -> float:
        """Return the network's rate."""
        config, rate_hz = self.config, self.rate_hz
        if config.model_rate_hz != AUTO:
            return float(config.model_rate_hz)
        if config.filter == "emg":
            k = max(int(rate_hz / ENVELOPE_RATE_HZ + 1e-9), 1)
        else:
            k = _divisor(rate_hz, gesture_s)
        chosen_hz = rate_hz / k if rate_hz > 0 else 1.0
        lasting = f", {gesture_s * chosen_hz:.0f} frames a median gesture" if gesture_s else ""
        how = "as recorded" if k == 1 else f"every {k} frames as one"
        self.config = replace(config, model_rate_hz=chosen_hz)
        self.reasons.append(f"{chosen_hz:g} Hz for the network ({how}{lasting})")
        return chosen_hz

    def signal_options(self) -> dict[str, Any]:
        """Return the arguments of the filters' design."""
        if self.config.filter != "emg":
            return {}
        return {
            "low_hz": filters.LOW_HZ,
            "high_hz": filters.HIGH_HZ,
            "envelope_hz": filters.ENVELOPE_HZ,
        }

    # ---- what the data say

    def _moves_like_a_body(self, points: Sequence[Sensor]) -> bool:
        """Return whether what may be points moves smoothly, as places do and forces do not."""
        columns = [c for s in points for c in s.columns]
        spread, step, n = np.zeros(len(columns)), np.zeros(len(columns)), 0
        for x in self.xs:
            part = x[np.isfinite(x).all(axis=1)][:, columns].astype(np.float64)
            if len(part) > 1:
                spread += part.var(axis=0) * len(part)
                step += (np.diff(part, axis=0) ** 2).sum(axis=0)
                n += len(part)
        if not n or not spread.any():
            return False
        speeds = np.sqrt(step[spread > 0] / spread[spread > 0]) * self.rate_hz
        return float(np.median(speeds)) < _FASTEST_BODY

    def _feels_gravity(self, sensor: Sensor) -> bool:
        """Return whether an accelerometer's mean is a large part of what it measures."""
        shares = []
        for x in self.xs:
            part = x[:, list(sensor.columns)].astype(np.float64)
            part = part[np.isfinite(part).all(axis=1)]
            size = np.sqrt((part**2).sum(axis=1).mean()) if len(part) else 0.0
            if size > 0.0:
                shares.append(np.linalg.norm(part.mean(axis=0)) / size)
        return bool(shares) and float(np.median(shares)) > _GRAVITY_SHARE

    def _stillest(self, points: Sequence[Sensor]) -> str:
        """Return the point that moves least."""
        totals = [0.0] * len(points)
        for x in self.xs:
            good = x[np.isfinite(x).all(axis=1)].astype(np.float64)
            for k, point in enumerate(points if len(good) else ()):
                totals[k] += float(good[:, list(point.columns)].var(axis=0).sum()) * len(good)
        return points[int(np.argmin(totals))].name


def _divisor(rate_hz: float, gesture_s: float) -> int:
    """Return how many recorded frames become one of the network's."""
    if rate_hz <= HIGHEST_HZ * _MARGIN:
        return 1
    k = math.ceil(rate_hz / (HIGHEST_HZ * _MARGIN))
    if gesture_s > 0:
        while gesture_s * rate_hz / k > MOST_FRAMES and rate_hz / (k + 1) >= LOWEST_HZ:
            k += 1
        while k > 1 and gesture_s * rate_hz / k < FEWEST_FRAMES:
            k -= 1
    return k


def _names(channels: Sequence[Channel]) -> str:
    """Return names for a message: axes behind their stem, a few, and how many more."""
    parts: list[str] = []
    axes: dict[str, list[str]] = {}
    for channel in channels:
        axis = kinds.split_axis(channel.name)[1]
        is_split = bool(axis) and channel.name.lower().endswith(axis)
        key = channel.name[:-1] if is_split else channel.name
        if key not in axes:
            parts.append(key)
        axes.setdefault(key, []).append(axis if key != channel.name else "")
    shown = [printable(key + "/".join(axes[key]), 40) for key in parts[:6]]
    return ", ".join(shown) + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")
