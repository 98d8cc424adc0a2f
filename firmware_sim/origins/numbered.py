"""The origin of one board among several: the same frames under a name of its own."""

from __future__ import annotations

from dataclasses import replace

from firmware_sim.origins.origin import Block, Origin
from streamrnn.wire.schema import Hello


class NumberedOrigin:
    """An origin of a board with a number: it stands behind its name and its boot id.

    Parameters
    ----------
    origin : Origin
    number : int
        From 1.
    """

    def __init__(self, origin: Origin, number: int) -> None:
        self._origin = origin
        self._number = number
        self.keeps_time = origin.keeps_time
        self._rename()

    def _rename(self) -> None:
        hello, number = self._origin.hello, self._number
        self.hello: Hello = replace(
            hello, name=f"{hello.name} {number}", boot_id=f"{hello.boot_id}.{number}"
        )

    def next(self, n_max: int) -> Block:
        """Return up to `n_max` frames more."""
        return self._origin.next(n_max)

    def set_rate(self, rate_hz: float) -> bool:
        """Change the rate, if the origin can."""
        is_set = self._origin.set_rate(rate_hz)
        self._rename()
        return is_set
