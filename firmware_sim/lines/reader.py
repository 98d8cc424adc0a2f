"""What a reader of lines can know of a stream."""

from __future__ import annotations

from firmware_sim.device.packet import Packet
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

    @property
    def n_arrived_frames(self) -> int:
        """Frames that arrived; what comes twice without a counter is counted as two, but is one."""
        return super().n_arrived_frames - (0 if self._has_seq else self.n_repeated_frames)
