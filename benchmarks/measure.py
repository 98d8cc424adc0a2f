"""How contenders are timed, and how sure a figure is.

A *sample* is the time of one unit of work (a frame, a stream-step, an update), in seconds, taken
over a burst of calls. A *round* takes one sample of every contender, so that all of them see the
same machine; a figure is the median over the rounds. Intervals are 95 % bootstrap percentiles. A
ratio is resampled by rounds, both contenders together, because noise that hits a round hits both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

N_RESAMPLES = 2000
#: No figure stands on fewer rounds.
MIN_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def reaches(self, limit: float, *, at_least: bool) -> bool:
        """Return whether any value of the interval is good enough."""
        return self.high >= limit if at_least else self.low <= limit

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def _resampled(n: int) -> npt.NDArray[np.int64]:
    """Return the rounds of each resample, (N_RESAMPLES, n); the same for the same n."""
    return np.random.default_rng(0).integers(0, n, (N_RESAMPLES, n))


def _interval(value: float, resamples: npt.NDArray[np.float64]) -> Interval:
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def median(samples: Sequence[float]) -> Interval:
    """Return the median of samples with its bootstrap interval.

    Raises
    ------
    ValueError
        Fewer than `MIN_ROUNDS` samples.
    """
    a = _checked(samples)
    return _interval(np.median(a), np.median(a[_resampled(len(a))], axis=1))


def ratio(samples: Sequence[float], base: Sequence[float]) -> Interval:
    """Return the median of `samples` over that of `base`, taken in the same rounds."""
    a, b = _checked(samples), _checked(base)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} rounds against {len(b)}: they must be the same rounds")
    at = _resampled(len(a))
    return _interval(
        np.median(a) / np.median(b), np.median(a[at], axis=1) / np.median(b[at], axis=1)
    )


def _checked(samples: Sequence[float]) -> npt.NDArray[np.float64]:
    a = np.asarray(samples, np.float64)
    if len(a) < MIN_ROUNDS:
        raise ValueError(f"{len(a)} rounds; a figure needs {MIN_ROUNDS}")
    if not (a > 0).all():
        raise ValueError("a sample must be a positive time")
    return a


def round_robin(
    samplers: Mapping[str, Callable[[], float]], n_rounds: int
) -> dict[str, list[float]]:
    """Take `n_rounds` samples of every contender in turn.

    Each round starts with another contender, so that nobody always follows the same one.
    """
    names = list(samplers)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for n in range(n_rounds):
        start = n % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(samplers[name]())
    return samples


def n_calls(work: Callable[[], Any], burst_s: float) -> int:
    """Warm `work` up and return how many calls of it make a burst of about `burst_s`."""
    work()
    n = 1
    while True:
        start_s = perf_counter()
        for _ in range(n):
            work()
        took_s = perf_counter() - start_s
        if took_s >= burst_s / 4 or n >= 1 << 16:
            return max(1, round(n * burst_s / max(took_s, 1e-9)))
        n *= 4


def burst(work: Callable[[], Any], n: int) -> float:
    """Return the seconds of one call of `work`, over `n` calls behind an untimed one."""
    work()
    start_s = perf_counter()
    for _ in range(n):
        work()
    return (perf_counter() - start_s) / n


def latencies(
    call: Callable[[Any], Any], arguments: Sequence[Any], n_passes: int
) -> npt.NDArray[np.float64]:
    """Return the seconds of every single call, the clock's own (about 40 ns) included."""
    clock = perf_counter_ns
    taken_ns: list[int] = []
    note = taken_ns.append
    for argument in arguments:
        call(argument)
    for _ in range(n_passes):
        for argument in arguments:
            before_ns = clock()
            call(argument)
            note(clock() - before_ns)
    return np.array(taken_ns) / 1e9
