"""A link whose reads end at random places, to show that where they end changes nothing."""

from __future__ import annotations

import random

from streamrnn.core.link import Link


class ChoppedLink:
    """Gives the bytes of another link in pieces of random length.

    Parameters
    ----------
    link : Link
    seed : int
        Of the lengths.
    max_bytes : int
        Longest piece.
    """

    def __init__(self, link: Link, seed: int, max_bytes: int = 512) -> None:
        self.name = link.name
        self.can_return = link.can_return
        self._link = link
        self._random = random.Random(seed)
        self._max_bytes = max_bytes
        self._rest = b""

    def open(self) -> None:
        """Open the link; bytes kept from before are forgotten."""
        self._rest = b""
        self._link.open()

    def read(self, timeout_s: float) -> bytes:
        """Return the next piece."""
        if not self._rest:
            self._rest = self._link.read(timeout_s)
        n = self._random.randint(1, self._max_bytes)
        piece, self._rest = self._rest[:n], self._rest[n:]
        return piece

    def write(self, data: bytes) -> None:
        """Send `data`."""
        self._link.write(data)

    def close(self) -> None:
        """Close the link."""
        self._link.close()
