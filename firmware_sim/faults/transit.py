"""The way between board and reader: how long things take, and what it has no room for."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from firmware_sim.device.packet import Packet

_DOMAIN = 0x114E


class Piece(NamedTuple):
    """Bytes on the line: a copy of a packet as it arrives, or what is none.

    Attributes
    ----------
    data : bytes
        The very object `packet.data` when nothing has happened to it.
    packet : Packet
    """

    data: bytes
    packet: Packet


class Transit:
    """Keeps pieces in order and gives each at its time.

    Parameters
    ----------
    transit_us : float
        Each piece takes 0 to so long, equally distributed; none overtakes another.
    seed : int

    Attributes
    ----------
    n_lost_bytes : int
        Bytes for which there was no room, because the reader was slow.
    """

    def __init__(self, transit_us: float = 0.0, seed: int = 0) -> None:
        self.n_lost_bytes = 0
        self._transit_us = transit_us
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_DOMAIN, seed])))
        self._queue: deque[tuple[int, Piece]] = deque()
        self._last_us = 0
        self._stalled_until_us = 0
        self._slow_until_us = 0
        self._room = 0
        self._bytes_per_us = 0.0
        self._level = 0.0
        self._level_us = 0

    def is_direct(self, now_us: int) -> bool:
        """Return whether what leaves the board now is there at once."""
        is_held = now_us < self._stalled_until_us or now_us < self._slow_until_us
        return not (self._queue or self._transit_us or is_held)

    def stall(self, now_us: int, for_us: int) -> None:
        """Be silent for a while, then give everything at once."""
        until_us = self._stalled_until_us = max(self._stalled_until_us, now_us + for_us)
        self._queue = deque((max(due_us, until_us), piece) for due_us, piece in self._queue)
        self._last_us = max(self._last_us, until_us) if self._queue else self._last_us

    def slow_down(self, now_us: int, for_us: int, room: int, bytes_per_s: float) -> None:
        """Have a reader that takes so many bytes a second for a while, and room for so many."""
        self._slow_until_us = max(self._slow_until_us, now_us + for_us)
        self._room, self._bytes_per_us = room, bytes_per_s / 1e6
        self._level, self._level_us = 0.0, now_us

    def push(self, piece: Piece, at_us: int) -> None:
        """Take a piece that left the board at `at_us`; times do not fall."""
        due_us = at_us
        if self._transit_us:
            due_us += int(self._rng.random() * self._transit_us)
        due_us = max(due_us, self._stalled_until_us if at_us < self._stalled_until_us else 0)
        if due_us < self._slow_until_us:
            piece, due_us = self._squeeze(piece, due_us)
        self._last_us = max(self._last_us, due_us)
        self._queue.append((self._last_us, piece))

    def _squeeze(self, piece: Piece, at_us: int) -> tuple[Piece, int]:
        """Return what of a piece finds room, and when the reader has got it."""
        rate = self._bytes_per_us
        self._level = max(0.0, self._level - rate * (at_us - self._level_us))
        self._level_us = max(at_us, self._level_us)
        n_kept = min(len(piece.data), max(0, self._room - math.ceil(self._level)))
        self.n_lost_bytes += len(piece.data) - n_kept
        self._level += n_kept
        due_us = self._slow_until_us
        if rate:
            due_us = min(due_us, at_us + math.ceil(self._level / rate))
        if n_kept < len(piece.data):
            piece = Piece(piece.data[:n_kept], piece.packet)
        return piece, due_us

    def take(self, until_us: int) -> list[Piece]:
        """Return what has arrived by `until_us`."""
        out: list[Piece] = []
        while self._queue and self._queue[0][0] <= until_us:
            out.append(self._queue.popleft()[1])
        return out

    def cut(self) -> list[Piece]:
        """Lose what is on the way, and return it."""
        lost = [piece for _, piece in self._queue]
        self._queue.clear()
        self._stalled_until_us = self._slow_until_us = 0
        return lost

    @property
    def next_us(self) -> int | None:
        """When the next piece arrives; None when there is none."""
        return self._queue[0][0] if self._queue else None
