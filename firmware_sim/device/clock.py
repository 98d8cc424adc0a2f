"""The board's clock: a quartz that runs a little fast or slow, and not always equally so."""

from __future__ import annotations

import math

import numpy as np

_SPARTS = 1_000_000_000
#: The rate changes in steps of this length,
_STEP_US = 10_000_000
#: and forgets what it was within about this many of them, as a room's temperature does.
_MEMORY_STEPS = 30.0
_DOMAIN = 0xC10C


class DriftingClock:
    """Board time from true time, and back; both in microseconds, both never falling.

    The rate is ``1 + drift + w``. Without wander w is 0. With it, w is an Ornstein-Uhlenbeck
    process of standard deviation `wander_ppm`, held for 10 s at a time (an AR(1) process with
    coefficient ``exp(-1 / 30)``): a temperature that wanders slowly moves a quartz like that.

    Parameters
    ----------
    drift_ppm : float
        How much faster than true time it runs, parts per million.
    wander_ppm : float
        Standard deviation of what comes and goes on top of that; the sum is kept within 10 %.
    seed : int
    """

    def __init__(self, drift_ppm: float = 0.0, wander_ppm: float = 0.0, seed: int = 0) -> None:
        self._drift_ppb = round(drift_ppm * 1000.0)
        self._wander_ppb = wander_ppm * 1000.0
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_DOMAIN, seed])))
        self._w = float(self._rng.standard_normal()) if wander_ppm else 0.0
        self.restart(0)

    def restart(self, true_us: int) -> None:
        """Let the board's time be 0 at `true_us`."""
        #: Stretches of one rate: true time and board time where each begins, and its rate.
        self._stretches = [(true_us, 0, self._next_rate())]

    def board_us(self, true_us: int) -> int:
        """Return the board's time; asked for times that do not fall."""
        while self._wander_ppb and true_us >= self._stretches[-1][0] + _STEP_US:
            self._extend()
        while len(self._stretches) > 1 and self._stretches[1][0] <= true_us:
            del self._stretches[0]
        start_us, board_us, rate = self._stretches[0]
        return board_us + (true_us - start_us) * rate // _SPARTS

    def true_us(self, board_us: int) -> int:
        """Return the first true time at which the board's time is `board_us`."""
        start_us, at_us, rate = self._stretches[0]
        if self._wander_ppb:
            while board_us >= self._end_of_last():
                self._extend()
            for start_us, at_us, rate in reversed(self._stretches):  # noqa: B007
                if at_us <= board_us:
                    break
        if rate == _SPARTS:
            return start_us + board_us - at_us
        return start_us - (at_us - board_us) * _SPARTS // rate

    def _end_of_last(self) -> int:
        _, at_us, rate = self._stretches[-1]
        return at_us + _STEP_US * rate // _SPARTS

    def _extend(self) -> None:
        start_us = self._stretches[-1][0] + _STEP_US
        self._stretches.append((start_us, self._end_of_last(), self._next_rate()))

    def _next_rate(self) -> int:
        if not self._wander_ppb:
            return _SPARTS + self._drift_ppb
        keep = math.exp(-1.0 / _MEMORY_STEPS)
        self._w = keep * self._w + math.sqrt(1.0 - keep * keep) * self._rng.standard_normal()
        ppb = self._drift_ppb + round(self._w * self._wander_ppb)
        return _SPARTS + min(max(ppb, -_SPARTS // 10), _SPARTS // 10)


class Jitter:
    """How much too late (or early) samples are taken: normal, cut at 3 standard deviations.

    Parameters
    ----------
    sd_us : float
    seed : int
    """

    def __init__(self, sd_us: float, seed: int = 0) -> None:
        self._sd_us = sd_us
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_DOMAIN, seed, 1])))
        self._block: list[int] = []

    def next_us(self) -> int:
        """Return the next one, microseconds."""
        if not self._block:
            z = np.clip(self._rng.standard_normal(256), -3.0, 3.0)
            self._block = np.rint(z * self._sd_us).astype(np.int64).tolist()
        return self._block.pop()
