"""The feature chain: scale, squash, lengths of triads, differences.

Offline and live the same object makes the features; the arithmetic is one compiled loop
(`streamrnn.kernels.live.frame.feature_rows`), so any chunking of the frames gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F32, F64, I64, Channel
from streamrnn.features.sensors import motion_order, triads
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.features import FeatureKernel, plain

#: More channels than any packet can describe.
MAX_CHANNELS = 256
_SQUASHES = ("asinh", "none")


@dataclass(frozen=True)
class FeatureConfig:
    """Which features are made.

    Attributes
    ----------
    channels : tuple of str
        Channels to use, in this order. Empty: the gyroscope and accelerometer axes if there are
        any (how a sensor is held, an orientation, tells people apart, not gestures), else all.
    squash : {"asinh", "none"}
        ``asinh(2 z)`` keeps small movements readable and large ones finite.
    magnitude : bool
        Add the length of each three-axis sensor's vector, which does not change when it is turned.
    differences : bool
        Add each channel's change since the frame before.
    """

    channels: tuple[str, ...] = ()
    squash: str = "asinh"
    magnitude: bool = True
    differences: bool = False

    def __post_init__(self) -> None:
        if self.squash not in _SQUASHES:
            raise ConfigError(f"squash must be one of {', '.join(_SQUASHES)}, got {self.squash!r}")
        if len(set(self.channels)) != len(self.channels):
            raise ConfigError("channels must not repeat")


@dataclass(frozen=True)
class _Document:
    """A chain in a model file."""

    channels: tuple[str, ...]
    units: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    squash: str
    magnitude: bool
    differences: bool


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
        motion = [i for i, channel in enumerate(channels) if motion_order(channel)]
        return np.array(motion or range(len(channels)), np.int64)
    for name in config.channels:
        if name not in names:
            known = printable(", ".join(names))
            raise ConfigError(f"no channel {name!r}{did_you_mean(name, names)}; there are {known}")
    return np.array([names.index(name) for name in config.channels], np.int64)


class FeatureChain:
    """Frames in, features out; a stream has one of its own.

    Parameters
    ----------
    channels : sequence of Channel
        The columns of `push`'s input.
    offset, scale : float64 (n,)
        ``z = (x - offset) / scale``.
    config : FeatureConfig

    Attributes
    ----------
    n_inputs, n_outputs : int
        Columns in and out.
    kernel : FeatureKernel
        The compiled loop and what it carries from frame to frame.
    """

    def __init__(
        self, channels: Sequence[Channel], offset: F64, scale: F64, config: FeatureConfig
    ) -> None:
        self.channels = tuple(channels)
        self.config = config
        self.offset = np.array(offset, np.float64)
        self.scale = np.array(scale, np.float64)
        self.n_inputs = len(self.channels)
        axes = np.array(triads(self.channels), np.int64).reshape(-1, 3)
        program = plain(
            self.offset,
            self.scale,
            axes if config.magnitude else axes[:0],
            asinh=config.squash == "asinh",
            differences=config.differences,
        )
        self.kernel = FeatureKernel(program)
        self.n_outputs = self.kernel.n_outputs

    @classmethod
    def fit(
        cls, sessions_x: Sequence[F32], channels: Sequence[Channel], config: FeatureConfig
    ) -> FeatureChain:
        """Measure scales on training frames and return the chain.

        A triad has one scale, the root mean square of its three axes, and no offset: it must turn
        with the sensor. Any other channel is centred and divided by its standard deviation.

        Parameters
        ----------
        sessions_x : sequence of float32 (N, n)
        channels : sequence of Channel
            The n columns, already chosen with `select_channels`.
        config : FeatureConfig

        Raises
        ------
        ConfigError
            No frames, or another number of columns.
        """
        if any(x.ndim != 2 or x.shape[1] != len(channels) for x in sessions_x):
            raise ConfigError(f"features: frames do not have {len(channels)} channels")
        x = np.concatenate([np.empty((0, len(channels)), np.float32), *sessions_x])
        good = x[np.isfinite(x).all(axis=1)].astype(np.float64)
        if not len(good):
            raise ConfigError("features: no frame with finite samples to measure the scale on")
        offset = good.mean(axis=0)
        scale = good.std(axis=0)
        for axes in triads(channels):
            columns = list(axes)
            offset[columns] = 0.0
            scale[columns] = math.sqrt(float((good[:, columns] ** 2).mean()))
        scale[scale < 1e-9 * (1.0 + np.abs(offset))] = 1.0  # a channel that never moves
        return cls(channels, offset, scale, config)

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
        return {
            "channels": [channel.name for channel in self.channels],
            "units": [channel.unit for channel in self.channels],
            "offset": [float(v) for v in self.offset],
            "scale": [float(v) for v in self.scale],
            "squash": self.config.squash,
            "magnitude": self.config.magnitude,
            "differences": self.config.differences,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FeatureChain:
        """Return the chain that `to_document` described.

        Raises
        ------
        ConfigError
            Unknown or missing keys, wrong types or lengths, numbers that are not finite.
        """
        values = from_mapping(_Document, document, "features")
        n = len(values.channels)
        if not 1 <= n <= MAX_CHANNELS:
            raise ConfigError(f"features: {n} channels, expected 1 to {MAX_CHANNELS}")
        for key in ("units", "offset", "scale"):
            if len(getattr(values, key)) != n:
                raise ConfigError(f"features: {key} has not one value for each of {n} channels")
        if not all(map(math.isfinite, values.offset)):
            raise ConfigError("features: offset must be finite")
        if not all(math.isfinite(s) and s > 0 for s in values.scale):
            raise ConfigError("features: scale must be finite and above 0")
        try:
            config = FeatureConfig(
                channels=values.channels,
                squash=values.squash,
                magnitude=values.magnitude,
                differences=values.differences,
            )
        except ConfigError as error:
            raise ConfigError(f"features: {error}") from None
        channels = [Channel(*pair) for pair in zip(values.channels, values.units, strict=True)]
        return cls(channels, np.array(values.offset), np.array(values.scale), config)
