from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.sources.timing import TimingReport
from streamrnn.sources.watch import Silence, rate_trouble, round_rate_hz


@given(st.floats(0.01, 1e6))
def test_a_rounded_rate_is_near(rate_hz: float) -> None:
    rounded_hz = round_rate_hz(rate_hz)
    assert rounded_hz == pytest.approx(rate_hz, rel=0.0051)
    assert round_rate_hz(rounded_hz) == pytest.approx(rounded_hz, rel=0.0051)


@pytest.mark.parametrize(
    "round_hz", [1, 2.5, 10, 12.5, 25, 26, 31.25, 50, 52, 62.5, 100, 125, 128, 200, 250, 256, 400,
                 500, 512, 800, 1000, 1024, 2000, 4000],
)  # fmt: skip
def test_what_is_meant_is_found(round_hz: float) -> None:
    for off in (-0.002, 0.0, 0.002):
        assert round_rate_hz(round_hz * (1 + off)) == round_hz


@pytest.mark.parametrize("rate_hz", [104.2, 119.3, 833.1, 91.37])
def test_a_rate_of_its_own_keeps_four_digits(rate_hz: float) -> None:
    assert round_rate_hz(rate_hz + 0.004) == rate_hz


def settled(nominal_hz: float, *, device_hz: float | None, host_hz: float) -> TimingReport:
    return TimingReport(
        nominal_hz, span_s=6.0, device_hz=device_hz, host_hz=host_hz, error_ppm=100.0
    )


def test_rates_that_are_wrong_and_rates_that_are_not() -> None:
    assert rate_trouble(settled(100, device_hz=None, host_hz=101.9)) == ""
    assert "lines come at 103 Hz, not at 100 Hz" in rate_trouble(
        settled(100, device_hz=None, host_hz=103.0)
    )
    assert "--rate 103" in rate_trouble(settled(100, device_hz=None, host_hz=103.0))
    assert rate_trouble(settled(100, device_hz=104.9, host_hz=104.9)) == ""
    assert "104" not in rate_trouble(settled(100, device_hz=110, host_hz=104.9))
    assert rate_trouble(settled(0, device_hz=None, host_hz=103.0)) == ""
    assert rate_trouble(TimingReport(100, span_s=1.0, host_hz=50, error_ppm=10.0)) == ""
    assert rate_trouble(TimingReport(100, span_s=9.0, host_hz=50, error_ppm=1e4)) == ""


def test_silence_is_noticed_once_and_ends_once() -> None:
    silence = Silence(100.0)
    assert silence.noticed(1e9) == 0.0  # nothing has come yet
    silence.heard_s = 10.0
    assert silence.noticed(11.9) == 0.0
    assert silence.noticed(12.5) == 2.5
    assert silence.noticed(13.0) == 0.0
    assert silence.ended(14.0) == 4.0
    assert silence.ended(15.0) == 0.0
    silence.heard_s = 20.0
    silence.excused()
    assert silence.noticed(90.0) == 0.0


def test_twenty_periods_of_a_slow_stream_are_no_silence() -> None:
    silence = Silence(1.0)
    silence.heard_s = 0.0
    assert silence.noticed(19.0) == 0.0
    assert silence.noticed(21.0) == 21.0
