"""The feature chain: frames in, features out.

Offline and live the same object makes the features; the arithmetic is one compiled loop
(`streamrnn.kernels.live.program`), so any chunking of the frames gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import F32, F64, Channel
from streamrnn.features import sensors as kinds
from streamrnn.features.auto import choose, select_channels
from streamrnn.features.config import MAX_RATE_HZ, FeatureConfig
from streamrnn.features.plan import Measured, body, write
from streamrnn.features.sensors import sensors
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.features import FeatureKernel

__all__ = ["MAX_CHANNELS", "FeatureChain", "FeatureConfig", "select_channels"]

#: More channels than any packet can describe.
MAX_CHANNELS = 256
#: No measured gain is larger.
_MAX_GAIN = 1e12
#: Samples are float32: what is subtracted from them, and what they are divided by, must be, too.
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Document:
    """A chain in a model file."""

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    gains: tuple[float, ...]
    options: dict[str, Any]


class FeatureChain:
    """Frames in, features out; a stream has one of its own.

    Parameters
    ----------
    channels : sequence of Channel
        The columns of `push`'s input.
    rate_hz : float
        Of the frames, above 0.
    measured : Measured
        With gains.
    config : FeatureConfig
        Nothing in it is ``"auto"``; see `streamrnn.features.auto.choose`.

    Raises
    ------
    ConfigError
        The options ask for what the channels do not have.

    Attributes
    ----------
    n_inputs, n_outputs : int
        Columns in and out.
    names : tuple of str
        Of the features.
    offset, scale : float64 (n,)
        ``z = (x - offset) / scale``.
    kernel : FeatureKernel
        The compiled loop and what it carries from frame to frame.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        rate_hz: float,
        measured: Measured,
        config: FeatureConfig,
    ) -> None:
        self.channels = tuple(channels)
        self.config = config
        self.rate_hz = float(rate_hz)
        gains = measured.gains or ()
        self.offset = np.array(measured.offset, np.float64)
        self.scale = np.array(measured.scale, np.float64)
        plan = write(self.channels, config, self.rate_hz, Measured(self.offset, self.scale, gains))
        if len(plan.measured) != len(gains):
            raise ConfigError(f"features: {len(gains)} gains, expected {len(plan.measured)}")
        if not plan.names:
            raise ConfigError("features: the options leave no feature of these channels")
        self.gains, self.names = gains, plan.names
        self.kernel = FeatureKernel(plan.program)
        self.n_inputs, self.n_outputs = self.kernel.n_inputs, self.kernel.n_outputs

    @classmethod
    def plain(
        cls,
        channels: Sequence[Channel],
        *,
        squash: str = "asinh",
        magnitude: bool = False,
        differences: bool = False,
    ) -> FeatureChain:
        """Return a chain that takes samples of any channels as they are: nothing is measured."""
        config = replace(
            _AS_THEY_ARE,
            channels=tuple(channel.name for channel in channels),
            squash=squash,
            magnitude=magnitude,
            differences=differences,
        )
        n = len(channels)
        return cls(channels, 1.0, Measured(np.zeros(n), np.ones(n), ()), config)

    @classmethod
    def fit(
        cls,
        sessions_x: Sequence[F32],
        channels: Sequence[Channel],
        rate_hz: float,
        config: FeatureConfig,
    ) -> FeatureChain:
        """Measure scales on training frames and return the chain.

        A sensor whose axes turn with it has one scale, the root mean square of its axes, and no
        offset; a position has one scale, its spread, and no offset; muscles have a scale each and
        no offset. Any other channel is centred and divided by its standard deviation.

        Parameters
        ----------
        sessions_x : sequence of float32 (N, n)
            At `rate_hz`, behind any filters.
        channels : sequence of Channel
            The n columns, already chosen with `select_channels`.
        rate_hz : float
            Of the model.
        config : FeatureConfig
            What is still ``"auto"`` is chosen here.

        Raises
        ------
        ConfigError
            No frames, another number of columns, or options that do not fit the channels.
        """
        if any(x.ndim != 2 or x.shape[1] != len(channels) for x in sessions_x):
            raise ConfigError(f"features: frames do not have {len(channels)} channels")
        x = np.concatenate([np.empty((0, len(channels)), np.float32), *sessions_x])
        good = x[np.isfinite(x).all(axis=1)].astype(np.float64)
        if not len(good):
            raise ConfigError("features: no frame with finite samples to measure the scale on")
        config = replace(config, channels=tuple(channel.name for channel in channels))
        if config.is_open:
            config = choose(config, channels, rate_hz, sessions_x).config
        offset, scale = _spreads(good, channels, config)
        raw = write(channels, config, rate_hz, Measured(offset, scale))
        gains = _gains(FeatureKernel(raw.program), sessions_x, raw.measured)
        return cls(channels, rate_hz, Measured(offset, scale, gains), config)

    def reset(self) -> None:
        """Forget all frames."""
        self.kernel.reset()

    def push(self, x: F32, out: F32 | None = None) -> F32:
        """Return the features of the next frames.

        Parameters
        ----------
        x : float32 (N, n_inputs)
            A sample that is not finite counts as the channel's last good one.
        out : float32 (N, n_outputs), C-contiguous, or None
            Overwritten and returned; None makes a new array.

        Returns
        -------
        float32 (N, n_outputs)
            All channels, then the lengths of the triads, then the differences. Always finite.
        """
        x = as_argument("x", x, np.float32, (None, self.n_inputs))
        if out is None:
            out = np.empty((len(x), self.n_outputs), np.float32)
        self.kernel.push(x, out)
        return out

    def to_document(self) -> dict[str, Any]:
        """Return all that `from_document` needs, as JSON values."""
        options = asdict(self.config)
        del options["channels"]
        return {
            "channels": [channel.name for channel in self.channels],
            "units": [channel.unit for channel in self.channels],
            "rate_hz": self.rate_hz,
            "offset": [float(v) for v in self.offset],
            "scale": [float(v) for v in self.scale],
            "gains": [float(v) for v in self.gains],
            "options": options,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FeatureChain:
        """Return the chain that `to_document` described.

        Raises
        ------
        ConfigError
            Unknown or missing keys, wrong types or lengths, numbers that are not finite, options
            that do not fit the channels or are left open.
        """
        values = from_mapping(_Document, document, "features")
        n = len(values.channels)
        if not 1 <= n <= MAX_CHANNELS:
            raise ConfigError(f"features: {n} channels, expected 1 to {MAX_CHANNELS}")
        for key in ("units", "offset", "scale"):
            if len(getattr(values, key)) != n:
                raise ConfigError(f"features: {key} has not one value for each of {n} channels")
        if not 0 < values.rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"features: rate_hz must be within 0..{MAX_RATE_HZ:g}")
        if not all(abs(v) <= _LARGEST for v in values.offset):
            raise ConfigError("features: offset must be finite, as a float32")
        if not all(_SMALLEST <= s <= _LARGEST for s in values.scale):
            raise ConfigError("features: scale must be finite and above 0, as a float32")
        if not all(0 < gain <= _MAX_GAIN for gain in values.gains):
            raise ConfigError(f"features: gains must be within 0..{_MAX_GAIN:g}")
        options = {**values.options, "channels": values.channels}
        for field in fields(FeatureConfig):
            if field.name not in options:
                raise ConfigError(f"features: options: {field.name!r} is missing")
        config = from_mapping(FeatureConfig, options, "features: options")
        if config.is_open:
            raise ConfigError('features: options of a model cannot be "auto"')
        channels = [Channel(*pair) for pair in zip(values.channels, values.units, strict=True)]
        measured = Measured(np.array(values.offset), np.array(values.scale), values.gains)
        return cls(channels, values.rate_hz, measured, config)


_AS_THEY_ARE = FeatureConfig(
    model_rate_hz=1.0,
    filter="none",
    scaling="global",
    orientation="device",
    track="none",
    landmarks="none",
    reference="centroid",
    handedness="none",
    emg="none",
    squash="none",
    magnitude=False,
    differences=False,
)


def _spreads(good: F64, channels: Sequence[Channel], config: FeatureConfig) -> tuple[F64, F64]:
    """Return offset and scale of each channel."""
    offset, scale = good.mean(axis=0), good.std(axis=0)
    smallest = 1e-9 * (1.0 + np.abs(offset))
    found = sensors(channels)
    points = body(found) if config.landmarks == "points" else []
    for sensor in found:
        columns = list(sensor.columns)
        part = good[:, columns]
        if sensor in points:
            scale[columns] = _extent(good[:, [c for p in points for c in p.columns]])
        elif sensor.kind == kinds.HANDEDNESS and config.handedness == channels[columns[0]].name:
            scale[columns] = 1.0
        elif sensor.kind == kinds.POSITION and config.track != "none":
            scale[columns] = _extent(part)
        elif sensor.kind == kinds.EMG and config.emg == "envelope":
            scale[columns] = np.abs(part).mean(axis=0)
        elif len(columns) == 3 and sensor.kind in (*kinds.VECTORS, kinds.ANGLE):
            scale[columns] = math.sqrt(float((part**2).mean()))
        else:
            continue
        offset[columns] = 0.0
    scale[scale < smallest] = 1.0  # a channel that never moves
    return offset, scale


def _extent(part: F64) -> float:
    """Return how far positions spread about their mean."""
    return math.sqrt(float(part.var(axis=0).mean()))


def _gains(kernel: FeatureKernel, xs: Sequence[F32], measured: Sequence[Any]) -> tuple[float, ...]:
    """Return what brings each group of features to a root mean square of 1."""
    if not measured:
        return ()
    squares, n = np.zeros(kernel.n_outputs), 0
    for x in xs:
        kernel.reset()
        out = np.empty((len(x), kernel.n_outputs), np.float32)
        kernel.push(np.ascontiguousarray(x, np.float32), out)
        squares += (out.astype(np.float64) ** 2).sum(axis=0)
        n += len(x)
    sizes = [math.sqrt(float(squares[columns].mean()) / n) for columns in measured]
    return tuple(1.0 / size if size > 1e-9 else 1.0 for size in sizes)
