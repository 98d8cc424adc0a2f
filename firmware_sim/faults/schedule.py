"""Faults that come at times, one after another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from firmware_sim.faults.plan import Fault


class Schedule:
    """The next of several faults, each of which may come again; those at one time in plan order.

    Parameters
    ----------
    faults : iterable of Fault
        With times, or without end.
    start_us : int
        Added to all times.
    """

    def __init__(self, faults: Iterable[Fault] = (), start_us: int = 0) -> None:
        self._start_us = start_us
        #: Time, order in the plan, fault, its later times.
        self._heap: list[tuple[int, int, Fault, Iterator[int]]] = []
        for order, fault in enumerate(faults):
            self._push(order, fault, fault.times_us())

    @property
    def next_us(self) -> int | None:
        """When the next one comes; None when none does."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> tuple[int, Fault]:
        """Return the next one and its time; there must be one."""
        time_us, order, fault, times = heapq.heappop(self._heap)
        self._push(order, fault, times)
        return time_us, fault

    def _push(self, order: int, fault: Fault, times: Iterator[int]) -> None:
        time_us = next(times, None)
        if time_us is not None:
            heapq.heappush(self._heap, (self._start_us + time_us, order, fault, times))
