"""A board that prints, behind a faulty cable, and what a reader of its lines can know."""

from __future__ import annotations

from typing import Any

from firmware_sim.board import Board
from firmware_sim.device.packet import Packet
from firmware_sim.faults import FaultPlan
from firmware_sim.lines.device import TextDevice
from firmware_sim.truth import Reader
from streamrnn.wire.packet import PacketType


class TextReader(Reader):
    """What a reader of every line must count, as far as text lets it know.

    Lines with a counter are followed as packets are. Without one a lost line leaves no trace, and
    one that comes twice is two frames. A damaged line may still read as a frame, because text has
    no checksum: a host shows `counters.n_frames` and up to as many more as lines were damaged
    (`n_carried_packets` - `n_good_packets`).

    Parameters
    ----------
    first_index : int
    has_seq : bool
        The lines carry a counter.
    """

    def __init__(self, first_index: int, has_seq: bool) -> None:
        super().__init__(first_index)
        self._has_seq = has_seq

    def resync(self) -> None:
        """Forget an unfinished line."""
        super().resync()
        self._is_torn = False

    def take(self, data: bytes, packet: Packet) -> int:
        """Follow a piece; return how many frames are new by it."""
        self.counters.n_bytes += len(data)
        is_line = packet.kind is PacketType.DATA
        is_whole = is_line and data == packet.data and not self._is_torn
        if data:
            self._is_torn = not data.endswith(b"\n")
        self.n_carried_packets += is_line
        if not is_whole:
            return 0
        if self._has_seq:
            if self._hello is None or packet.boot != self._hello.boot:
                self._accept_hello(packet)  # the line itself says where it stands
            return self._accept(packet)
        self.n_good_packets += 1
        self.counters.n_packets += 1
        self.counters.n_frames += 1
        if packet.ordinal >= self.next_index:
            self._jump(packet.ordinal, 0)
            self.next_index += 1
            return 1
        n_late = self._find_late(packet.ordinal, packet.ordinal + 1)
        self.n_repeated_frames += 1 - n_late
        return n_late


class TextBoard(Board):
    """A `TextDevice` behind a faulty cable; see `Board`.

    Stream time counts from power-up, where other boards have the first START.

    Parameters
    ----------
    device : TextDevice
    faults : FaultPlan, optional
    seed : int
    transit_us : float
        As `Board` has them.
    """

    def __init__(
        self,
        device: TextDevice,
        faults: FaultPlan | None = None,
        seed: int = 0,
        *,
        transit_us: float = 0.0,
    ) -> None:
        super().__init__(device, faults, seed, transit_us=transit_us)
        self._has_seq = device.writer.has_seq
        self.reader = TextReader(device.first_index, self._has_seq)

    @property
    def is_busy(self) -> bool:
        """True as long as it has something to print: it asks nobody."""
        return not self.device.is_finished or super().is_busy

    def poll(self, now_us: int) -> list[tuple[bytes, int]]:
        """Return what goes out by `now_us`; see `Board.poll`."""
        if self._first_start_us is None:
            self._begin_stream()
        return super().poll(now_us)

    def truth(self) -> dict[str, Any]:
        """Return the counts of everything; see `Board.truth`."""
        counts = super().truth()
        if not self._has_seq:
            # A reader takes what comes twice for two frames.
            counts["n_lost_frames"] += self.reader.n_repeated_frames
        return counts
