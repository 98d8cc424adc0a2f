"""True time for a simulated board: real, sped up, or as fast as the reader takes it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from streamrnn.core.errors import ConfigError


class Pace:
    """A clock for a board.

    Parameters
    ----------
    speed : float
        Simulated seconds a second. 0: time passes with the host's clock while the board waits, and
        jumps by `advance` while it has something to say.
    clock : callable
        Seconds, never falling.

    Raises
    ------
    ConfigError
        A speed that is negative or not finite.
    """

    def __init__(self, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0.0 <= speed < math.inf:
            raise ConfigError(f"speed must be 0 (as fast as possible) or more, got {speed:g}")
        self.speed = speed
        self._clock = clock
        self._start_s = clock()
        self._jumped_us = 0

    @property
    def is_free(self) -> bool:
        """True if nothing but the reader holds the board back."""
        return self.speed == 0.0

    def now_us(self) -> int:
        """Return simulated time since it was made, microseconds."""
        passed_s = self._clock() - self._start_s
        return self._jumped_us + int(passed_s * (self.speed or 1.0) * 1e6)

    def advance(self, to_us: int) -> int:
        """Let the time be `to_us` at least, and return it."""
        now_us = self.now_us()
        if to_us > now_us:
            self._jumped_us += to_us - now_us
            return to_us
        return now_us

    def set_back(self, to_us: int) -> None:
        """Let the time be `to_us` again, if it is later."""
        self._jumped_us -= max(0, self.now_us() - to_us)

    def wait_s(self, until_us: int) -> float:
        """Return how long to wait, in the host's seconds, until simulated time is `until_us`."""
        return max(0.0, (until_us + 1 - self.now_us()) / 1e6 / (self.speed or 1.0))
