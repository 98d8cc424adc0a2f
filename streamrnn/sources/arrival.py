"""Whether the lines of a text stream come as often as was said."""

from __future__ import annotations

#: How long is looked, and from which difference on something is said: clocks drift by far less.
WATCH_S = 3.0
TOLERANCE = 0.15


class RateWatch:
    """Compares the rate at which frames arrive with the stated one, once. It only ever warns.

    Parameters
    ----------
    rate_hz : float
        Stated; 0.0 when unknown, then nothing is compared.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._done = rate_hz <= 0
        self.restart()

    def restart(self) -> None:
        """Begin anew, as when the link was lost."""
        self._begin_s: float | None = None
        self._n = 0

    def arrived(self, n_frames: int, now_s: float) -> float:
        """Count frames; return the rate that they came at if it is another one, else 0.0.

        Counted from one arrival to another, so that frames may come in bursts.
        """
        if self._done:
            return 0.0
        if self._begin_s is None:
            self._begin_s = now_s  # how long these had waited is not known
            return 0.0
        self._n += n_frames
        waited_s = now_s - self._begin_s
        if waited_s < WATCH_S:
            return 0.0
        self._done = True
        rate_hz = self._n / waited_s
        return rate_hz if abs(rate_hz / self.rate_hz - 1.0) > TOLERANCE else 0.0
