from __future__ import annotations

import pytest

from streamrnn.sources.arrival import RateWatch


def watched(stated_hz: float, true_hz: float, burst: int = 1, seconds: float = 8.0) -> list[float]:
    """Return what a watch says of frames that come in bursts."""
    watch = RateWatch(stated_hz)
    said = [
        watch.arrived(burst, k * burst / true_hz) for k in range(int(seconds * true_hz / burst))
    ]
    return [rate for rate in said if rate]


@pytest.mark.parametrize("burst", [1, 7, 100])
@pytest.mark.parametrize("true_hz", [50.0, 84.0, 116.0, 200.0])
def test_another_rate_is_said_once(true_hz: float, burst: int) -> None:
    assert watched(100.0, true_hz, burst) == [pytest.approx(true_hz)]


@pytest.mark.parametrize("true_hz", [86.0, 100.0, 114.0])
def test_about_the_stated_rate_is_right(true_hz: float) -> None:
    assert watched(100.0, true_hz) == []


def test_nothing_stated_or_too_short_a_look_says_nothing() -> None:
    assert watched(0.0, 50.0) == []
    assert watched(100.0, 50.0, seconds=2.9) == []


def test_what_waited_before_and_a_pause_do_not_count() -> None:
    watch = RateWatch(100.0)
    watch.arrived(5000, 0.0)
    watch.arrived(100, 1.0)
    watch.restart()
    said = [watch.arrived(1, 60.0 + k / 100) for k in range(500)]
    assert not any(said)
