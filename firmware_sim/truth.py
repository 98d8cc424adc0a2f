"""What really happened, and what a reader must therefore count.

Two different things are known of a simulated stream: what was sent and what was done to it
(`Board.truth`), and what arrives. `Reader` follows what arrives by the rules of docs/wire.md: where
delimiters stand, what a packet's checksum says, which packet that was. It is told each packet's
index and kind by the board, so it never looks into a good packet, and shares no code with the
decoders but the undoing of COBS. Its `counters` are what every decoder that reads the same bytes
must show, number for number:

    decoder.counters == board.reader.counters                                             (1)

for every kind of fault, alone or with others, as long as no damaged packet has a right checksum
(`n_invented` counts those; one in 2^32 may).

Between those counters and what happened stand three laws, with the counts of `Board.truth`:

    n_frames + n_lost_frames + n_unseen_frames + n_tail_frames
        == n_frames_sent + n_skipped_frames                                               (2)
    n_frames + n_late_frames == n_frames_sent - (truth) n_lost_frames                     (3)
    n_duplicate_frames == (truth) n_duplicate_frames + n_late_frames                      (4)

A source adds one of its own, where it reads to the end and comes back each time:

    n_unplugs == n_outages                                                                (5)

- *skipped*: missing in the origin itself (a recording with losses); a loss like any other.
- *unseen*: lost where no reader can know it: before the first HELLO that arrived, and between the
  last frame or end marker of one boot and the HELLO of the next.
- *tail*: behind the last frame or end marker that arrived.
- *late*: arrived whole, but behind frames that were sent after them (reorder). A reader has counted
  them as lost by then, and refuses them as frames that were here before.

What each kind of fault adds to the counters of a reader, apart from its lost frames:

=================  ==============================================================================
drop               nothing
dup                `n_duplicate_frames`: those of the second copy (nothing for HELLO, end, ACK)
reorder            `n_duplicate_frames`: those that come late
flip, burst        `n_bad_crc` or `n_bad_framing`; one more where a zero comes about within a
                   packet; one instead of two where a delimiter goes, so that two run together
lose, insert       the same
nul                the same; nothing between two packets
stall              nothing: everything comes, but late
slow_reader        as lose: the packet that found too little room, run together with the next that
                   found some
unplug             `n_unplugs` (a source's; a decoder has no cable)
reboot             a `Gap` of reason reboot; `n_unplugs` where the cable was out, too
brownout           as reboot, and the packet that was cut: one more damaged one, or none where the
                   delimiter that a booting board sends first ends it in time
panic              as brownout; its text is one damaged packet together with the cut one
overrun at `baud`  nothing: the frames never left the board
=================  ==============================================================================

One reader's own overrun (`Counters.n_overrun_frames`), or that of a link that throws away what
nobody takes (`Board.overrun`), is not predicted: it depends on the clock on the wall. Frames that a
link threw away are missing in `n_frames` and are in `n_lost_frames` as soon as a later one arrives.
"""

from __future__ import annotations

import zlib
from collections import deque

from firmware_sim.device.packet import Packet
from streamrnn.core.types import Counters
from streamrnn.wire.control import unwrap
from streamrnn.wire.packet import (
    HEADER,
    MAX_DECODED,
    MAX_ENCODED,
    TRAILER,
    PacketType,
)
from streamrnn.wire.reference import cobs_decode

_HELLO, _DATA, _EVENT = PacketType.HELLO, PacketType.DATA, PacketType.EVENT
#: Stretches of missing frames that are remembered: reordering does not reach further back.
_MAX_GAPS = 256


class Reader:
    """What a reader of every byte must count.

    Parameters
    ----------
    first_index : int
        Of the first frame that the board will number.
    has_boot_id : bool
        What the board says of itself in its first boot has a boot id; in later ones it always has.

    Attributes
    ----------
    counters : Counters
        All that a decoder counts.
    n_boots : int
        Boots that it notices (a `Gap` each).
    n_carried_packets, n_good_packets : int
        Copies of packets that came, and those that came whole. The difference was damaged.
    n_late_frames, n_unseen_frames, n_repeated_frames : int
        See the laws; repeated ones were truly here before.
    n_invented : int
        Damaged packets with a right checksum.
    next_index : int
        Index over all boots of the frame that it expects next.
    """

    def __init__(self, first_index: int = 0, *, has_boot_id: bool = True) -> None:
        self.counters = Counters()
        self.n_boots = 0
        self.n_carried_packets = self.n_good_packets = 0
        self.n_late_frames = self.n_unseen_frames = self.n_repeated_frames = 0
        self.n_invented = 0
        self.next_index = first_index
        self._has_boot_id = has_boot_id
        self._hello: Packet | None = None
        self._expected = 0
        self._ended_at: int | None = None
        self._missing: deque[tuple[int, int]] = deque(maxlen=_MAX_GAPS)
        self.resync()

    def resync(self) -> None:
        """Forget an unfinished packet, as a host does that found its port again."""
        self._open = bytearray()
        self._is_skipping = False
        #: Packets of which the unfinished one may hold a part.
        self._near: list[Packet] = []

    @property
    def n_arrived_frames(self) -> int:
        """Frames that arrived at all."""
        return self.counters.n_frames + self.n_late_frames

    def take(self, data: bytes, packet: Packet) -> int:
        """Follow a piece; return how many frames are new by it.

        Parameters
        ----------
        data : bytes
            As it arrives.
        packet : Packet
            As it was sent; `data` is its own `data` if nothing happened to it.
        """
        self.counters.n_bytes += len(data)
        if packet.kind is None:
            return self._take_bytes(data)
        self.n_carried_packets += 1
        if data is packet.data and not self._open and not self._is_skipping:
            return self._accept(packet)
        if data:
            self._near.append(packet)
        return self._take_bytes(data)

    # ---- bytes

    def _take_bytes(self, data: bytes) -> int:
        n_before = self.counters.n_frames
        segments = data.split(b"\0")
        for segment in segments[:-1]:
            self._gather(segment)
            self._end_segment()
        self._gather(segments[-1])
        if not self._open or self._is_skipping:
            self._near.clear()
        return self.counters.n_frames - n_before

    def _gather(self, segment: bytes) -> None:
        if self._is_skipping:
            return
        self._open += segment
        if len(self._open) > MAX_ENCODED:
            self.counters.n_oversize += 1
            self._is_skipping = True
            self._open.clear()

    def _end_segment(self) -> None:
        encoded, was_skipping = bytes(self._open), self._is_skipping
        self._open.clear()
        self._is_skipping = False
        if was_skipping or not encoded:
            return
        decoded = cobs_decode(encoded)
        if decoded is None or len(decoded) < HEADER.size + TRAILER.size:
            self.counters.n_bad_framing += 1
        elif len(decoded) > MAX_DECODED:
            self.counters.n_oversize += 1
        elif TRAILER.unpack(decoded[-TRAILER.size :]) != (zlib.crc32(decoded[: -TRAILER.size]),):
            self.counters.n_bad_crc += 1
        else:
            self._identify(encoded, decoded)

    def _identify(self, encoded: bytes, decoded: bytes) -> None:
        """Find the packet that came through whole in spite of all."""
        for packet in self._near:
            sent = packet.data[:-1]
            if sent == encoded or cobs_decode(sent) == decoded:
                self._accept(packet)
                return
        self.n_invented += 1

    # ---- packets

    def _accept(self, packet: Packet) -> int:
        """Act on a packet that came whole; return how many of its frames are new."""
        self.n_good_packets += 1
        counters = self.counters
        kind = packet.kind
        if kind is _DATA:
            if self._hello is None or packet.schema != self._hello.schema:
                counters.n_bad_content += 1
                return 0
            counters.n_packets += 1
            if packet.seq != self._expected:
                return self._accept_out_of_order(packet)
            # As nearly all are: what follows is what would come of it below.
            n = packet.n_frames
            counters.n_frames += n
            self._expected += n
            if packet.ordinal != self.next_index:
                self._jump(packet.ordinal, 0)
            self.next_index = packet.ordinal + n
            return n
        if kind is _EVENT and self._hello is None:
            counters.n_bad_content += 1
            return 0
        counters.n_packets += 1
        if kind is _HELLO:
            self._accept_hello(packet)
        elif kind is _EVENT and packet.is_end:
            self._accept_end(packet)
        return 0

    def _accept_out_of_order(self, packet: Packet) -> int:
        n, index = packet.n_frames, packet.ordinal
        first = unwrap(packet.seq, self._expected)
        n_old = min(max(self._expected - first, 0), n)
        self.counters.n_duplicate_frames += n_old
        if n_old:
            n_late = self._find_late(index, index + n_old)
            self.n_late_frames += n_late
            self.n_repeated_frames += n_old - n_late
        if n_old == n:
            return 0
        n_lost = max(0, first - self._expected)
        self.counters.n_lost_frames += n_lost
        self._jump(index + n_old, n_lost)
        self.counters.n_frames += n - n_old
        self._expected = first + n
        self.next_index = index + n
        return n - n_old

    def _accept_hello(self, packet: Packet) -> None:
        old, self._hello = self._hello, packet
        if old is not None and packet.boot == old.boot:
            if packet.boot or self._has_boot_id:
                return
            # Without a boot id, one that was overtaken is taken for another boot.
            fell_back = unwrap(packet.seq, self._expected) < self._expected
            if not fell_back or (packet.seq, packet.t_us) == (old.seq, old.t_us):
                return
        if old is not None:
            self.n_boots += 1
            self._ended_at = None
        self._jump(packet.ordinal, 0)
        self._expected = packet.seq

    def _accept_end(self, packet: Packet) -> None:
        end = max(unwrap(packet.seq, self._expected), self._expected)
        if end == self._ended_at:
            return
        self._ended_at = end
        n_lost = end - self._expected
        self.counters.n_lost_frames += n_lost
        self._jump(max(packet.ordinal, self.next_index), n_lost)
        self._expected = end

    def _jump(self, index: int, n_counted: int) -> None:
        """Note that all frames before `index` are missing, `n_counted` of them knowingly."""
        if index > self.next_index:
            self._missing.append((self.next_index, index))
        self.n_unseen_frames += index - self.next_index - n_counted
        self.next_index = index

    def _find_late(self, start: int, stop: int) -> int:
        """Return how many of the frames from `start` to `stop` had been missing until now."""
        n_found = max(0, stop - max(start, self.next_index))
        rest: list[tuple[int, int]] = []
        for a, b in self._missing:
            low, high = max(a, start), min(b, stop)
            if low >= high:
                rest.append((a, b))
                continue
            n_found += high - low
            rest += [part for part in ((a, low), (high, b)) if part[0] < part[1]]
        self._missing = deque(rest, maxlen=_MAX_GAPS)
        return n_found
