"""What is said of a stream that falls silent, or does not keep its rate. It is told the time."""

from __future__ import annotations

import math

from streamrnn.sources.timing import TimingReport

#: A stream is silent when no frame came for so many periods, and for so long.
SILENT_PERIODS = 20
SILENT_S = 2.0
#: Lines that come at another rate than was stated make wrong times from here on;
TEXT_TOLERANCE = 0.02
#: what has a clock of its own has right times, and the model's tolerance is wider.
CLOCK_TOLERANCE = 0.05
#: A measured rate is taken for the round one that is so near.
_ROUND = 0.005


class Silence:
    """Notices that a stream falls silent, and that it speaks again: once each.

    Parameters
    ----------
    rate_hz : float
        Frames a second; 0.0 when unknown.

    Attributes
    ----------
    heard_s : float or None
        When the last frame came: to be set by whoever gets it. None: silence has a reason.
    is_noticed : bool
        The stream is silent, and that was said.
    """

    def __init__(self, rate_hz: float) -> None:
        self._limit_s = max(SILENT_S, SILENT_PERIODS / rate_hz if rate_hz > 0 else 0.0)
        self.heard_s: float | None = None
        self.is_noticed = False

    def ended(self, now_s: float) -> float:
        """Return how long it was silent, if that was noticed, else 0.0; it is over."""
        was_noticed, self.is_noticed = self.is_noticed, False
        return now_s - self.heard_s if was_noticed and self.heard_s is not None else 0.0

    def excused(self) -> None:
        """Take note of a silence that is explained, such as an unplugged cable."""
        self.heard_s = None
        self.is_noticed = False

    def noticed(self, now_s: float) -> float:
        """Return how long nothing came, once, when that is too long; else 0.0."""
        if self.is_noticed or self.heard_s is None or now_s - self.heard_s < self._limit_s:
            return 0.0
        self.is_noticed = True
        return now_s - self.heard_s


def rate_trouble(report: TimingReport) -> str:
    """Return what is wrong with the rate of a stream, ``""`` if nothing is."""
    rate_hz, nominal_hz = report.rate_hz, report.nominal_hz
    if not report.is_settled or rate_hz is None or nominal_hz <= 0:
        return ""
    off = abs(rate_hz / nominal_hz - 1.0)
    shown_hz = f"{rate_hz:.4g}"
    if report.device_hz is None and off > TEXT_TOLERANCE:
        return (
            f"lines come at {shown_hz} Hz, not at {nominal_hz:g} Hz, so all times are wrong: "
            f"set the device to {nominal_hz:g} Hz, or say its rate (--rate {shown_hz})"
        )
    if report.device_hz is not None and off > CLOCK_TOLERANCE:
        return (
            f"frames come at {shown_hz} Hz by the device's clock, not at {nominal_hz:g} Hz: "
            "gestures look slower or faster than they are; correct the rate in its program"
        )
    return ""


def round_rate_hz(rate_hz: float) -> float:
    """Return the round rate that is meant, if one is within 0.5 %; else four digits of the rate.

    Round are powers of two, and multiples of 1, 1.25, 2, 2.5 or 5 with zeros that are not finer
    than a fiftieth of the rate.

    Parameters
    ----------
    rate_hz : float
        Above 0.
    """
    power = 2.0 ** round(math.log2(rate_hz))
    exponent = math.floor(math.log10(rate_hz))
    steps = [10.0**k * factor for k in (exponent - 1, exponent) for factor in (1, 1.25, 2, 2.5, 5)]
    coarse = [step for step in reversed(steps) if step >= rate_hz / 50]
    for near_hz in [power, *(round(rate_hz / step) * step for step in coarse)]:
        if abs(near_hz / rate_hz - 1.0) <= _ROUND:
            return float(f"{near_hz:.6g}")
    return float(f"{rate_hz:.4g}")
