"""What happens to whole packets: drop, dup, reorder."""

from __future__ import annotations

from firmware_sim.device.packet import Packet
from firmware_sim.faults.hits import Hits, generator
from firmware_sim.faults.plan import PACKET_KINDS, FaultPlan


class PacketFaults:
    """Drops, doubles and delays packets.

    Parameters
    ----------
    plan : FaultPlan
    seed : int
        >= 0.

    Attributes
    ----------
    n_dropped, n_doubled, n_delayed : int
        Packets.
    hits : list of (str, int)
        Kinds, and how often each hit the last packet.
    """

    def __init__(self, plan: FaultPlan, seed: int = 0) -> None:
        self.n_dropped = self.n_doubled = self.n_delayed = 0
        self.hits: list[tuple[str, int]] = []
        self._faults = [
            (fault, Hits(fault, generator(seed, 2 * index)))
            for index, fault in enumerate(plan.faults)
            if fault.kind in PACKET_KINDS
        ]
        #: Packets that are held back, and how many others each still lets pass.
        self._held: list[tuple[int, Packet]] = []

    def __bool__(self) -> bool:
        """Return whether there is anything to do at all."""
        return bool(self._faults)

    @property
    def n_held(self) -> int:
        """Packets that are held back."""
        return len(self._held)

    def apply(self, packet: Packet, stream_us: int | None) -> list[Packet]:
        """Return the packets that go out instead of this one, in order."""
        self.hits = []
        n_copies = 1
        delay = 0
        for fault, hits in self._faults:
            if not hits.within(1, stream_us):
                continue
            self.hits.append((fault.kind, 1))
            if fault.kind == "drop":
                n_copies = 0
            elif fault.kind == "dup":
                n_copies += n_copies > 0
            else:
                delay = max(delay, fault.n_packets)
        self.n_dropped += not n_copies
        self.n_doubled += n_copies > 1
        out = [packet] * n_copies
        if delay and n_copies:
            # Of two copies, one comes late.
            self.n_delayed += 1
            out.pop()
        waiting: list[tuple[int, Packet]] = []
        for left, held in self._held:
            if left > 1:
                waiting.append((left - 1, held))
            else:
                out.append(held)
        self._held = waiting
        if delay and n_copies:
            self._held.append((delay, packet))
        return out

    def flush(self) -> list[Packet]:
        """Return what is still held back, when nothing follows that it could wait for."""
        out = [packet for _, packet in self._held]
        self._held = []
        return out
