"""Datagrams of wire packets, put back in order. Pure: it is told the time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from streamrnn.core.errors import WireError
from streamrnn.wire.control import unwrap
from streamrnn.wire.packet import (
    DELIMITER,
    HEADER,
    MAX_DECODED,
    MAX_ENCODED,
    TRAILER,
    VERSION,
    PacketType,
)
from streamrnn.wire.reference import cobs_decode
from streamrnn.wire.schema import Hello

#: How long a datagram waits for those before it, and how many wait at most.
HOLD_S = 0.02
MAX_HELD = 8


@dataclass(frozen=True, slots=True, order=True)
class _Held:
    """A datagram that came too early."""

    first: int
    next: int
    n: int  # of the arrival: keeps equals in order
    due_s: float
    data: bytes


class Reorder:
    """Holds back a datagram while one before it is missing, for a short time.

    Whether one is missing is known from the packets' own `seq`. What cannot be read, text, and
    what comes twice or too late are let through at once: the decoder counts them.

    Attributes
    ----------
    n_reordered : int
        Times that a datagram came behind later ones, and was put before them.
    """

    def __init__(self, hold_s: float = HOLD_S, max_held: int = MAX_HELD) -> None:
        self.n_reordered = 0
        self._hold_s = hold_s
        self._max_held = max_held
        self.reset()

    def reset(self) -> None:
        """Forget the stream and what is held."""
        self._hello: Hello | None = None
        self._expected: int | None = None
        self._held: list[_Held] = []
        self._n = 0

    @property
    def deadline_s(self) -> float | None:
        """When `due` has something to give; None if nothing is held."""
        return min((held.due_s for held in self._held), default=None)

    def push(self, data: bytes, now_s: float) -> list[bytes]:
        """Take a datagram; return those whose turn it is, often just this one."""
        packets = [packet for packet in data.split(DELIMITER) if packet]
        first = _open(packets[0]) if packets else None
        last = _open(packets[-1]) if len(packets) > 1 else first
        if first is None or last is None:
            return [data]
        before = self._take_hello(first) if first[1] == PacketType.HELLO else []
        n_frames = self._frames(last)
        if self._expected is None or n_frames is None:
            self._expected = None  # what comes cannot be counted before the next HELLO
            return [*before, *self._let_all_go(), data]
        begin, end = self._seq(first), self._seq(last) + n_frames
        if begin > self._expected:
            self._n += 1
            self._held.append(_Held(begin, end, self._n, now_s + self._hold_s, data))
            self._held.sort()
            return [*before, *self._release(int(len(self._held) > self._max_held))]
        self._expected = max(self._expected, end)
        behind = self._release(0)
        self.n_reordered += bool(behind)
        return [*before, data, *behind]

    def due(self, now_s: float) -> list[bytes]:
        """Return what has waited long enough, with what must stand before it."""
        late = [n for n, held in enumerate(self._held) if held.due_s <= now_s]
        return self._release(late[-1] + 1) if late else []

    def _release(self, n: int) -> list[bytes]:
        """Let go of the first `n` held datagrams, and of those that follow without a gap."""
        gone: list[bytes] = []
        while self._held and (len(gone) < n or self._held[0].first <= (self._expected or 0)):
            held = self._held.pop(0)
            self._expected = max(self._expected or 0, held.next)
            gone.append(held.data)
        return gone

    def _take_hello(self, packet: bytes) -> list[bytes]:
        """Learn how long frames are; what a device sent before it booted goes first."""
        _, _, _, schema_id, seq, _ = HEADER.unpack_from(packet)
        try:
            hello = Hello.from_json(packet[HEADER.size : -TRAILER.size], schema_id)
        except WireError:
            return []  # the decoder counts it
        known, self._hello = self._hello, hello
        fell_back = self._expected is not None and unwrap(seq, self._expected) < self._expected
        is_restart = known is not None and (
            known.boot_id != hello.boot_id or (not hello.boot_id and fell_back)
        )
        if self._expected is not None and not is_restart:
            return []
        gone = self._let_all_go()
        self._expected = seq
        return gone

    def _let_all_go(self) -> list[bytes]:
        gone, self._held = self._held, []
        return [held.data for held in gone]

    def _seq(self, packet: bytes) -> int:
        assert self._expected is not None
        seq: int = HEADER.unpack_from(packet)[4]
        return unwrap(seq, self._expected)

    def _frames(self, packet: bytes) -> int | None:
        """Return the number of frames in a packet, or None if no HELLO tells."""
        if packet[1] != PacketType.DATA:
            return 0
        if self._hello is None or packet[3] != self._hello.schema_id:
            return None
        return (len(packet) - HEADER.size - TRAILER.size) // self._hello.frame_bytes


def is_wire(data: bytes) -> bool:
    """Return whether a datagram begins with a packet whose checksum is right."""
    packets = [packet for packet in data.split(DELIMITER) if packet]
    return bool(packets) and _open(packets[0]) is not None


def _open(encoded: bytes) -> bytes | None:
    """Return a packet with its header and checksum, or None if it is damaged."""
    decoded = cobs_decode(encoded) if len(encoded) <= MAX_ENCODED else None
    if decoded is None or not HEADER.size + TRAILER.size <= len(decoded) <= MAX_DECODED:
        return None
    if decoded[0] != VERSION:
        return None
    if TRAILER.unpack(decoded[-TRAILER.size :]) != (zlib.crc32(decoded[: -TRAILER.size]),):
        return None
    return decoded
