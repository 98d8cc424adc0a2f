"""The bytes of a link, as they came: noted on their way to the decoder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from streamrnn.core.link import Link, LinkLostError

#: Bytes that a tape holds until somebody takes them: minutes of a serial port.
MAX_TAPE_BYTES = 16 * 2**20


class TapLink:
    """A link that tells of every read that gave bytes.

    All else is the link's own: what it has besides a `Link`'s methods is found here too.

    Parameters
    ----------
    link : Link
    on_data : callable
        Gets the bytes and the time of the read (nanoseconds since 1970), in the thread that reads.
        No bytes: the link was lost there.
    """

    def __init__(self, link: Link, on_data: Callable[[bytes, int], None]) -> None:
        self.name = link.name
        self.can_return = link.can_return
        self._link = link
        self._on_data = on_data

    def __getattr__(self, name: str) -> Any:
        """Return what only this kind of link has."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._link, name)

    def open(self) -> None:
        """Open the link."""
        self._link.open()

    def read(self, timeout_s: float) -> bytes:
        """Return what the link's read returned; see `streamrnn.core.link.Link`."""
        try:
            data = self._link.read(timeout_s)
        except LinkLostError:
            self._on_data(b"", time.time_ns())
            raise
        if data:
            # A link may read into a buffer of its own again.
            self._on_data(bytes(data), time.time_ns())
        return data

    def write(self, data: bytes) -> None:
        """Send `data`."""
        self._link.write(data)

    def close(self) -> None:
        """Close the link."""
        self._link.close()


class Tape:
    """Keeps what a tap tells until it is written: from the first byte, before there is a file.

    Attributes
    ----------
    n_dropped_bytes : int
        What was too much to be kept. The oldest goes.
    """

    def __init__(self, max_bytes: int = MAX_TAPE_BYTES) -> None:
        self.n_dropped_bytes = 0
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._reads: deque[tuple[bytes, int]] = deque()
        # Reads come in whichever thread reads the source; see `streamrnn.runtime.reader`.
        self._lock = Lock()

    def __call__(self, data: bytes, host_ns: int) -> None:
        """Keep one read."""
        with self._lock:
            self._reads.append((data, host_ns))
            self._n_bytes += len(data)
            while self._n_bytes > self._max_bytes:
                n_bytes = len(self._reads.popleft()[0])
                self._n_bytes -= n_bytes
                self.n_dropped_bytes += n_bytes

    def take(self) -> list[tuple[bytes, int]]:
        """Return what came since the last call, and forget it."""
        with self._lock:
            reads = list(self._reads)
            self._reads.clear()
            self._n_bytes = 0
        return reads
