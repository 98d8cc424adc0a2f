"""Filters made for a rate: what passes and what does not, against the theory of each."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import signal

from streamrnn.core.errors import ConfigError
from streamrnn.features import filters
from streamrnn.features.conditioner import Conditioner


def gain_db(sections, rate_hz, at_hz):
    _, h = signal.sosfreqz(np.array(sections), worN=np.atleast_1d(at_hz), fs=rate_hz)
    return 20 * np.log10(np.abs(h) + 1e-300)


@pytest.mark.parametrize(("rate_hz", "high_hz"), [(200.0, 90.0), (1000.0, 450.0), (2000.0, 450.0)])
def test_the_band_is_that_of_muscles_as_far_as_the_rate_bears(rate_hz, high_hz):
    spec = filters.muscle(rate_hz)
    at_edges = gain_db(spec.sections, rate_hz, [20.0, high_hz])
    np.testing.assert_allclose(at_edges, 10 * np.log10(0.5), atol=1e-6)  # -3.01 dB
    assert gain_db(spec.sections, rate_hz, (20 * high_hz) ** 0.5) == pytest.approx(0, abs=1e-3)
    assert gain_db(spec.sections, rate_hz, 0.0) < -200
    assert gain_db(spec.smoothing, rate_hz, [5.0, 0.0]) == pytest.approx([-3.0103, 0.0], abs=1e-4)
    assert (spec.input_hz, spec.rectify) == (rate_hz, True)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_and_its_multiples_are_taken_out_of_the_band(mains_hz):
    spec = filters.muscle(1000.0, mains_hz=mains_hz)
    taken = mains_hz * np.arange(1, 5)
    assert (gain_db(spec.sections, 1000.0, taken) < -100).all()
    beside = gain_db(spec.sections, 1000.0, taken + 0.5 * mains_hz)
    plain = gain_db(filters.muscle(1000.0).sections, 1000.0, taken + 0.5 * mains_hz)
    np.testing.assert_allclose(beside, plain, atol=0.1)


def test_without_an_envelope_the_filtered_signal_itself_comes_out():
    spec = filters.muscle(200.0, envelope_hz=0.0)
    assert (spec.rectify, spec.smoothing) == (False, ())
    assert spec.sections == filters.muscle(200.0).sections


def test_the_envelope_of_a_tone_is_its_mean_height_whatever_offset_it_stands_on():
    spec = filters.muscle(200.0)
    t_s = np.arange(2000) / 200.0
    for offset in (0.0, 1000.0):
        x = (offset + 3.0 * np.sin(2 * np.pi * 43.0 * t_s)).astype(np.float32)[:, None]
        y, _ = Conditioner(spec, 1, 200.0, 50.0).push(x)
        np.testing.assert_allclose(y[100:], 3.0 * 2 / np.pi, rtol=0.02)
        assert y.max() < 2 * 3.0  # an offset makes no jump at the start


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"input_hz": 40.0}, "40 Hz is too slow for a band from 20 Hz: record .* at 89 Hz"),
        ({"input_hz": 0.0}, "must be 0 or more"),
        ({"input_hz": 200.0, "low_hz": float("nan")}, "must be 0 or more"),
        ({"input_hz": 200.0, "envelope_hz": 95.0}, "an envelope of 95 Hz at 200 Hz"),
    ],
)
def test_a_rate_that_is_too_low_is_refused(options, what):
    with pytest.raises(ConfigError, match=what):
        filters.muscle(**options)


def test_scipy_is_imported_when_a_filter_is_made_and_not_before():
    code = (
        "import sys\n"
        "from streamrnn.features import conditioner, filters\n"
        "import streamrnn.runtime.pipeline\n"
        "conditioner.Conditioner(None, 1, 120.0, 100.0)\n"
        "print([m for m in sys.modules if m.split('.')[0] == 'scipy'])\n"
        "filters.muscle(200.0)\n"
        "print('scipy.signal' in sys.modules)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert out.split() == ["[]", "True"]
