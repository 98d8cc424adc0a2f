"""Counters that wrap around, made endless: sequence numbers, and clocks of few bits."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import I64


def signed_step(value: int, last: int, bits: int) -> int:
    """Return how far `value` is from `last`, both modulo 2**bits: -half up to half - 1."""
    half = 1 << (bits - 1)
    return (value - last + half) % (2 * half) - half


class Unwrapper:
    """Make the values of one counter endless.

    Each value is taken for the nearest one that fits: as long as neighbouring values are less than
    half of the range apart, forwards or backwards, the true ones come out. A counter that fell back
    (its device booted) comes out smaller than the value before it: `restart` and take it anew.

    Parameters
    ----------
    bits : int
        Width of the counter, 1..62: 8, 16 or 32 as a rule.
    """

    def __init__(self, bits: int) -> None:
        if not 1 <= bits <= 62:
            raise ValueError(f"bits must be 1..62, got {bits}")
        self.bits = bits
        self._last: int | None = None

    def restart(self) -> None:
        """Forget the values so far: the next one counts as it is."""
        self._last = None

    def unwrap(self, value: int) -> int:
        """Return the endless value that `value` stands for."""
        last = self._last
        self._last = value if last is None else last + signed_step(value, last, self.bits)
        return self._last

    def unwrap_all(self, values: I64) -> I64:
        """Return the endless values of a block, as `unwrap` does one by one.

        Parameters
        ----------
        values : int64 (N,)

        Returns
        -------
        int64 (N,)
        """
        if not len(values):
            return np.zeros(0, np.int64)
        first = self.unwrap(int(values[0]))
        half = 1 << (self.bits - 1)
        steps = (np.diff(values) + half) % (2 * half) - half
        endless = first + np.concatenate(([0], np.cumsum(steps))).astype(np.int64)
        self._last = int(endless[-1])
        return endless
