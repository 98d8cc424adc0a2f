"""Filters for muscle signals, made when a model is trained; a run only executes them.

`scipy.signal` is imported when a filter is made, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import F64
from streamrnn.features.conditioner import MAX_SECTIONS, Section, SignalSpec

#: Where the energy of muscle signals at the skin lies, Hz: the recommendation of SENIAM
#: (Hermens et al. 2000) is 10..20 to 400..500.
LOW_HZ, HIGH_HZ = 20.0, 450.0
#: The band ends at this share of the rate at the latest: filters need room below half of it.
_HIGHEST_SHARE = 0.45
#: Cut-off of the envelope: movements of a hand are slower.
ENVELOPE_HZ = 5.0
_BAND_ORDER, _ENVELOPE_ORDER = 4, 2
#: Width of a notch at -3 dB; mains stay well within.
_NOTCH_HZ = 2.0


def muscle(
    input_hz: float,
    *,
    low_hz: float = LOW_HZ,
    high_hz: float = HIGH_HZ,
    mains_hz: float = 0.0,
    envelope_hz: float = ENVELOPE_HZ,
) -> SignalSpec:
    """Return band-pass, notches and envelope for an electromyogram.

    Parameters
    ----------
    input_hz : float
        Rate of the recordings.
    low_hz, high_hz : float
        Band of a Butterworth filter of order 4, -3 dB at both ends; the upper end is at most 0.45
        of the rate (20..90 Hz at 200 Hz).
    mains_hz : float
        50 or 60: it and its multiples within the band are taken out, as many as there is room for;
        0 for none.
    envelope_hz : float
        Cut-off of the low-pass (Butterworth, order 2) behind the absolute values; 0 for no
        envelope: what comes out is the filtered signal itself.

    Raises
    ------
    ConfigError
        The rate is too low for the band, or a frequency makes no sense.
    """
    numbers = (input_hz, low_hz, high_hz, mains_hz, envelope_hz)
    if not all(math.isfinite(n) and n >= 0 for n in numbers) or not input_hz:
        raise ConfigError(f"filters: frequencies must be 0 or more, got {numbers}")
    high_hz = min(high_hz, _HIGHEST_SHARE * input_hz)
    if not 0.0 < low_hz < high_hz:
        raise ConfigError(
            f"filters: {input_hz:g} Hz is too slow for a band from {low_hz:g} Hz: record muscle "
            f"signals at {math.ceil(2 * low_hz / _HIGHEST_SHARE)} Hz or more"
        )
    if envelope_hz >= _HIGHEST_SHARE * input_hz:
        raise ConfigError(f"filters: an envelope of {envelope_hz:g} Hz at {input_hz:g} Hz")
    from scipy import signal

    band = signal.butter(_BAND_ORDER, [low_hz, high_hz], "bandpass", fs=input_hz, output="sos")
    sections = [*_sections(band), *_notches(input_hz, mains_hz, low_hz, high_hz, len(band))]
    smoothing: Iterable[Section] = ()
    if envelope_hz:
        smoothing = _sections(
            signal.butter(_ENVELOPE_ORDER, envelope_hz, fs=input_hz, output="sos")
        )
    return SignalSpec(
        float(input_hz), tuple(sections), rectify=envelope_hz > 0, smoothing=tuple(smoothing)
    )


def _notches(
    input_hz: float, mains_hz: float, low_hz: float, high_hz: float, n_used: int
) -> list[Section]:
    """Return a notch for the mains and each of its multiples within the band."""
    from scipy import signal

    found: list[Section] = []
    if not mains_hz:
        return found
    multiples: Any = np.arange(1, 1 + int(high_hz // mains_hz)) * mains_hz
    for at_hz in multiples[multiples > low_hz][: MAX_SECTIONS - n_used].tolist():
        b, a = signal.iirnotch(at_hz, at_hz / _NOTCH_HZ, fs=input_hz)
        found += _sections(np.concatenate([b, a])[None] / a[0])
    return found


def _sections(sos: F64) -> list[Section]:
    return [tuple(float(c) for c in row) for row in sos]
