"""Cuts an origin's frames into the payloads of DATA packets."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from firmware_sim.origins.origin import Block, Origin
from streamrnn.core.types import Marker
from streamrnn.wire.packet import frame_time_us

#: Frames fetched from the origin at a time, about.
_N_FETCH = 512


class Cut(NamedTuple):
    """The next payload.

    Attributes
    ----------
    payload : bytes
        `n_frames` frames; empty when only markers were left.
    n_frames, seq, t_us : int
        Of its first frame, on the origin's clock.
    markers : list of Marker
        Label boundaries to be sent before it.
    """

    payload: bytes
    n_frames: int
    seq: int
    t_us: int
    markers: list[Marker]


class Fetcher:
    """Looks one packet ahead in an origin.

    A packet holds several frames only where a decoder finds each one's index and, for an origin
    that keeps its time, its time again; a label boundary never falls inside.

    Parameters
    ----------
    origin : Origin
    k : int
        Most frames in a packet.

    Attributes
    ----------
    is_over : bool
        No frame and no marker is left.
    next_seq : int
        Index of the next frame; at the end, the index that one more would have had.
    base_us : int
        Time of the origin's first frame.
    next_us, due_us : int
        Times of the next packet's first and last frame, from `base_us` on.
    """

    def __init__(self, origin: Origin, k: int) -> None:
        self._origin = origin
        self._k = k
        self._n_fetch = k * max(1, _N_FETCH // k)
        self._frame_bytes = origin.hello.frame_bytes
        self._rate_hz = origin.hello.rate_hz
        self._marks: deque[Marker] = deque()
        self._offsets_us = [frame_time_us(0, j, self._rate_hz) for j in range(k)]
        self._seq: list[int] = []
        self._t_us: list[int] = []
        self._payload = b""
        self._row = 0
        self._n = 0
        self.is_over = False
        self.next_seq = 0
        self.base_us = 0
        self.next_us = 0
        self.due_us = 0
        self._fill()
        self.base_us = self._t_us[0] if self._seq else 0
        self._look()

    def take(self) -> Cut:
        """Return the next payload and look one further."""
        row, n = self._row, self._n
        if not n:
            markers = list(self._marks)
            self._marks.clear()
            self._look()
            return Cut(b"", 0, self.next_seq, self.base_us + self.next_us, markers)
        t_us = self._t_us[row]
        markers = []
        while self._marks and self._marks[0].t_us <= t_us:
            markers.append(self._marks.popleft())
        payload = self._payload[row * self._frame_bytes : (row + n) * self._frame_bytes]
        seq = self._seq[row]
        self.next_seq = self._seq[row + n - 1] + 1
        self._row += n
        self._look()
        return Cut(payload, n, seq, t_us, markers)

    def ahead(self, k: int, n_most: int) -> tuple[bytes, list[int], list[int]]:
        """Return what has been fetched already, cut into packets of `k` frames, `n_most` at most.

        Returns
        -------
        payload : bytes
        seq, t_us : list of int
            Of each packet's first frame. Nothing is taken; where a packet has to be shorter than
            `k` (a label, a gap), this is not what `take` will give.
        """
        n = min((len(self._seq) - self._row) // k, n_most)
        stop = self._row + n * k
        payload = self._payload[self._row * self._frame_bytes : stop * self._frame_bytes]
        return payload, self._seq[self._row : stop : k], self._t_us[self._row : stop : k]

    def _fill(self) -> None:
        block: Block = self._origin.next(self._n_fetch)
        self._seq, self._t_us = block.seq.tolist(), block.t_us.tolist()
        self._payload = block.rows.tobytes()
        self._marks.extend(block.markers)
        self._row = 0

    def _look(self) -> None:
        """Find the next packet."""
        if self._row == len(self._seq):
            self._fill()
        self._n = self._count()
        if not self._n:
            self.is_over = not self._marks
            return
        self.next_seq = self._seq[self._row]
        self.next_us = self._t_us[self._row] - self.base_us
        self.due_us = self._t_us[self._row + self._n - 1] - self.base_us

    def _count(self) -> int:
        """Return how many frames the next packet can hold."""
        row, seq, t_us = self._row, self._seq, self._t_us
        most = min(self._k, len(seq) - row)
        if most < 2:
            return most
        limit_us = next((m.t_us for m in self._marks if m.t_us > t_us[row]), None)
        for j in range(1, most):
            here_us = t_us[row + j]
            if (
                seq[row + j] != seq[row] + j
                or (limit_us is not None and here_us >= limit_us)
                or (self._origin.keeps_time and here_us != t_us[row] + self._offsets_us[j])
            ):
                return j
        return most
