"""How contenders on a GPU are timed: by the device's own events, in turn, within a budget.

A *sample* is the time between two events with some calls between them, divided by their number; the
queue is empty before the first. A round takes one sample of every contender. What a contender's
host does to start its work is part of its time where the device waits for it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from benchmarks import measure

#: About how long the calls of one sample last.
SAMPLE_S = 0.012
MOST_CALLS = 500
MOST_ROUNDS = 15


class Clock(Protocol):
    """Takes the time of what is given to a device."""

    def begin(self) -> None:
        """Note this moment of the device."""
        ...

    def end_s(self) -> float:
        """Wait until all is done; return the seconds since `begin`."""
        ...


class HostClock:
    """The clock of the process, where nothing runs on a device."""

    def __init__(self) -> None:
        self._begin_s = 0.0

    def begin(self) -> None:
        self._begin_s = perf_counter()

    def end_s(self) -> float:
        return perf_counter() - self._begin_s


def do_nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Racer:
    """A contender at one job.

    Attributes
    ----------
    name : str
    precision : str
    mode : str
        How it is started.
    call : callable
        Starts one unit of work, and need not wait for it.
    clock : Clock
    prepare : callable
        Called before each sample, outside of its time.
    """

    name: str
    precision: str
    mode: str
    call: Callable[[], None]
    clock: Clock
    prepare: Callable[[], None] = do_nothing

    def sample_s(self, n: int) -> float:
        """Return the seconds of one call, over `n`."""
        self.prepare()
        self.clock.begin()
        for _ in range(n):
            self.call()
        return self.clock.end_s() / n


class Budget:
    """The time that a run may take; shared out among the jobs that are left."""

    def __init__(self, budget_s: float) -> None:
        self._end_s = perf_counter() + budget_s

    @property
    def left_s(self) -> float:
        """What is left."""
        return self._end_s - perf_counter()

    def share_s(self, n_left: int) -> float:
        """Return the part of one of `n_left` jobs."""
        return max(0.0, self.left_s / max(1, n_left))


def race(racers: Sequence[Racer], allowed_s: float) -> list[list[float]]:
    """Take samples of all in turn; return those of each, `measure.MIN_ROUNDS` or more.

    With no time allowed a sample is one call.
    """
    counts, round_s = [], 0.0
    for racer in racers:
        racer.sample_s(2)  # first calls compile, choose algorithms and take memory
        one_s = max(racer.sample_s(1), 1e-7)
        n = 1
        for _ in range(2 if allowed_s else 0):
            n = max(1, min(MOST_CALLS, round(SAMPLE_S / one_s)))
            one_s = racer.sample_s(n)
        counts.append(n)
        round_s += n * one_s
    n_rounds = int(max(measure.MIN_ROUNDS, min(MOST_ROUNDS, allowed_s / round_s)))
    samplers = {
        str(at): (lambda racer=racer, n=n: racer.sample_s(n))
        for at, (racer, n) in enumerate(zip(racers, counts, strict=True))
    }
    gc.disable()
    try:
        taken = measure.round_robin(samplers, n_rounds)
    finally:
        gc.enable()
    return [taken[str(at)] for at in range(len(racers))]
