"""Rates of streams without a clock, by the time of arrival."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.sessions.rate import arrival_rate_hz


def test_what_a_break_lacks_is_not_known_to_a_stream_without_a_clock() -> None:
    """The recorder leaves 2 s of numbers free behind a cable that was out for 1 s."""
    seq = np.concatenate([np.arange(500), np.arange(700, 1300)])
    host_us = np.concatenate([np.arange(500), np.arange(600, 1200)]) * 10_000
    assert arrival_rate_hz(seq, host_us) == pytest.approx(100.0)


def test_too_little_has_no_rate() -> None:
    for n in (0, 1):
        assert arrival_rate_hz(np.arange(n), np.arange(n) * 10_000) == 0.0
