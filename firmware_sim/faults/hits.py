"""Where and when a fault hits: positions in an endless row, or moments."""

from __future__ import annotations

import numpy as np

from firmware_sim.faults.plan import Fault

_DOMAIN = 0xFA17


def generator(seed: int, index: int) -> np.random.Generator:
    """Return random numbers that nothing else uses."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([_DOMAIN, seed, index])))


class Hits:
    """Which positions of a row a fault hits.

    A share is drawn as distances between hits (geometric), so that it does not matter how the row
    is cut into pieces. A time hits a random position of the next piece.

    Parameters
    ----------
    fault : Fault
        Of packets or of bytes.
    rng : Generator
    """

    def __init__(self, fault: Fault, rng: np.random.Generator) -> None:
        self._fault = fault
        self._rng = rng
        self._is_always = fault.from_us is None and fault.to_us is None
        self._next = int(rng.geometric(fault.share)) - 1 if fault.share else -1
        self._times = fault.times_us()
        self._time_us = next(self._times, None)

    def within(self, n: int, stream_us: int | None) -> list[int]:
        """Return the hits among the next `n` positions, increasing.

        Parameters
        ----------
        n : int
        stream_us : int or None
            When they pass; None: before START.
        """
        if self._time_us is not None:
            return self._due(n, stream_us)
        if self._next < 0 or not (self._is_always or self._fault.is_on(stream_us)):
            return []
        if self._next >= n:
            self._next -= n
            return []
        hits = []
        while self._next < n:
            hits.append(self._next)
            self._next += int(self._rng.geometric(self._fault.share))
        self._next -= n
        return hits

    def _due(self, n: int, stream_us: int | None) -> list[int]:
        """Return one random position if a time has come; times that nothing passed count once."""
        if not n or stream_us is None or self._time_us is None or self._time_us > stream_us:
            return []
        while self._time_us is not None and self._time_us <= stream_us:
            self._time_us = next(self._times, None)
        return [int(self._rng.integers(n))]
