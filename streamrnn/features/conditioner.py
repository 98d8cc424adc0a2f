"""Between a stream at its own rate and frames at the model's.

Per channel: a cascade of filters, absolute values, a second cascade (together: the envelope of a
muscle signal), and resampling. All of it counts frames: where a model frame lies follows from the
frames' numbers and the two nominal rates, not from jittering times. So it never drifts against the
numbers, and a recording and a live stream are treated the same.

- The model is slower: a model frame is the mean of the stream over its period, in which each frame
  has the weight of the part that lies in it (twice the rate: the mean of two frames). It is there
  with the last frame that its period touches.
- The model is faster, up to twice: model frames lie on the straight lines between frames. One is
  there with the frame behind it: at most one frame late.
- The rates are the same, within `RATE_TOLERANCE`: nothing is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import F32, I64
from streamrnn.kernels.condition import MOST_FRAMES, ConditionKernel

if TYPE_CHECKING:
    from fractions import Fraction

#: Rates that differ by up to this share count as the same.
RATE_TOLERANCE = 0.05
#: Most sections of a cascade.
MAX_SECTIONS = 8
#: Rates are taken as the nearest ratio with a denominator up to this: off by 1e-8 at most.
_LARGEST_DENOMINATOR = 10_000
#: No coefficient of a filter is larger; no pole is nearer to the unit circle.
_LARGEST_COEFFICIENT = 1e6
_POLE_MARGIN = 1e-9
_LARGEST_RATE_HZ = 1e6
#: No stream has more frames a frame of its model.
_LARGEST_RATIO = 10_000

#: b0, b1, b2, a0, a1, a2 of a second-order section, as `scipy.signal` gives them.
Section = tuple[float, ...]


@dataclass(frozen=True)
class SignalSpec:
    """What is done to the samples of a stream before anything else; part of a model.

    Attributes
    ----------
    input_hz : float
        Rate of the streams that the model was trained on, which the filters are made for,
        above 0 up to 1e6.
    sections : tuple of (b0, b1, b2, 1, a1, a2)
        First cascade, such as a band-pass; 0 to 8 sections, all poles inside the unit circle.
    rectify : bool
        Take absolute values behind it.
    smoothing : tuple of (b0, b1, b2, 1, a1, a2)
        Second cascade, such as the low-pass of an envelope; as `sections`.

    Raises
    ------
    ConfigError
        Anything else.
    """

    input_hz: float
    sections: tuple[Section, ...] = ()
    rectify: bool = False
    smoothing: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.input_hz <= _LARGEST_RATE_HZ:
            raise ConfigError(f"input_hz must be within 0..1e6, got {self.input_hz}")
        for name in ("sections", "smoothing"):
            cascade = getattr(self, name)
            if len(cascade) > MAX_SECTIONS:
                raise ConfigError(f"{name}: {len(cascade)} sections, at most {MAX_SECTIONS}")
            for n, section in enumerate(cascade):
                _check_section(section, f"{name}[{n}]")

    @property
    def has_filters(self) -> bool:
        """Whether samples are changed at all; if not, only the rate counts."""
        return bool(self.sections or self.rectify or self.smoothing)

    def to_document(self) -> dict[str, Any]:
        """Return all that `from_document` needs, as JSON values."""
        document = asdict(self)
        for name in ("sections", "smoothing"):
            document[name] = [list(map(float, section)) for section in document[name]]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SignalSpec:
        """Return what `to_document` described.

        Raises
        ------
        ConfigError
            Unknown or missing keys, wrong types, too many sections, an unstable one.
        """
        return from_mapping(cls, document, "signal")


class Conditioner:
    """Frames of a stream in, frames at the model's rate out; a stream has one of its own.

    Parameters
    ----------
    spec : SignalSpec or None
        None: no filters.
    n_channels : int
        n.
    stream_hz : float
        Nominal rate of the stream; 0 when unknown, which counts as the rate that is expected.
    model_hz : float
        Rate of the model.

    Raises
    ------
    ConfigError
        The filters are made for another rate; the stream has less than half the model's rate.

    Attributes
    ----------
    stream_hz, model_hz : float
        Both rates, as they count: within `RATE_TOLERANCE` of the expected one they are that.
    ratio : Fraction
        ``stream_hz / model_hz``, 1/2 or more.
    kernel : ConditionKernel
        The compiled loop and what it carries from frame to frame.
    """

    def __init__(
        self, spec: SignalSpec | None, n_channels: int, stream_hz: float, model_hz: float
    ) -> None:
        self.stream_hz, self.model_hz = counted_rate(spec, stream_hz, model_hz), model_hz
        self.ratio = _ratio(self.stream_hz, model_hz)
        self.kernel = ConditionKernel(
            np.array(spec.sections if spec else (), np.float64),
            np.array(spec.smoothing if spec else (), np.float64),
            rectify=spec is not None and spec.rectify,
            ratio=self.ratio,
            n_channels=n_channels,
        )

    @classmethod
    def needed(
        cls, spec: SignalSpec | None, n_channels: int, stream_hz: float, model_hz: float
    ) -> Conditioner | None:
        """Return a conditioner, or None if it would leave every bit as it is; else as the class."""
        if (spec is None or not spec.has_filters) and is_same_rate(
            counted_rate(spec, stream_hz, model_hz), model_hz
        ):
            return None
        return cls(spec, n_channels, stream_hz, model_hz)

    @property
    def is_resampling(self) -> bool:
        """Whether the stream and the model have different rates."""
        return self.ratio != 1

    def push(self, x: F32) -> tuple[F32, I64]:
        """Take the next frames, with no gap before or between them.

        Parameters
        ----------
        x : float32 (N, n)
            Finite: damaged frames count as missing and never come here.

        Returns
        -------
        y : float32 (M, n)
            Frames at the model's rate. Always finite.
        at : int64 (M,)
            Which of these N frames completed each, 0..N-1.
        """
        return self.kernel.push(x)

    def reset(self) -> None:
        """Forget all frames: what follows is as a new stream."""
        self.kernel.reset()


def counted_rate(spec: SignalSpec | None, stream_hz: float, model_hz: float) -> float:
    """Return the rate that a stream counts as: see `Conditioner`, also for what is raised."""
    expected_hz = spec.input_hz if spec else model_hz
    if not stream_hz or is_same_rate(stream_hz, expected_hz):
        stream_hz = expected_hz
    elif spec and spec.has_filters:
        raise ConfigError(
            f"the stream runs at {stream_hz:g} Hz, the model's filters are made for "
            f"{expected_hz:g} Hz: set the device to {expected_hz:g} Hz, or train on recordings "
            f"at {stream_hz:g} Hz"
        )
    if not stream_hz / model_hz <= _LARGEST_RATIO:
        raise ConfigError(
            f"the stream runs at {stream_hz:g} Hz, which is beyond a model of {model_hz:g} Hz"
        )
    if stream_hz * MOST_FRAMES < model_hz * (1.0 - 1e-9):
        raise ConfigError(
            f"the stream runs at {stream_hz:g} Hz, less than half of the model's {model_hz:g} Hz: "
            f"set the device to {model_hz:g} Hz, or train on recordings at {stream_hz:g} Hz"
        )
    return stream_hz


def is_same_rate(rate_hz: float, expected_hz: float) -> bool:
    """Return whether two rates differ by no more than `RATE_TOLERANCE` of the second."""
    return abs(rate_hz / expected_hz - 1.0) <= RATE_TOLERANCE


def _ratio(stream_hz: float, model_hz: float) -> Fraction:
    from fractions import Fraction  # takes milliseconds, and most streams have no use for it

    if is_same_rate(stream_hz, model_hz):
        return Fraction(1)
    exact = Fraction(stream_hz) / Fraction(model_hz)
    return exact.limit_denominator(_LARGEST_DENOMINATOR)


def _check_section(section: Section, where: str) -> None:
    """Refuse what is not a stable section of moderate numbers."""
    if len(section) != 6 or not all(
        math.isfinite(c) and abs(c) <= _LARGEST_COEFFICIENT for c in section
    ):
        raise ConfigError(f"{where} must be six numbers within 1e6 of 0, got {section}")
    a0, a1, a2 = section[3:]
    if a0 != 1.0:
        raise ConfigError(f"{where}: a0, the fourth number, must be 1, got {a0:g}")
    # The larger root of z^2 + a1 z + a2: of a pair, each is as large as the root of their product.
    split = a1 * a1 - 4.0 * a2
    largest = math.sqrt(a2) if split < 0.0 else (abs(a1) + math.sqrt(split)) / 2.0
    if not largest < 1.0 - _POLE_MARGIN:
        raise ConfigError(f"{where} has a pole that is not inside the unit circle")
