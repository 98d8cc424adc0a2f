"""What goes wrong, and when: one `Fault` for each thing, a `FaultPlan` for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Faults that hit a share of packets, of bits, or of bytes.
PACKET_KINDS = ("drop", "dup", "reorder")
BYTE_KINDS = ("flip", "lose", "insert", "burst", "nul")
#: Faults that happen at times.
TIMED_KINDS = ("unplug", "reboot", "stall", "brownout", "panic", "slow_reader")
KINDS = (*PACKET_KINDS, *BYTE_KINDS, *TIMED_KINDS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Exactly one of `share`, `at_us` and `every_us` says when. Times are stream time: true time from
    the first START on.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    share : float
        Share of bits (flip), of packets (drop, dup, reorder) or of bytes (all others: the share of
        places where one begins) that are hit. Not of the kinds that happen at times.
    at_us : tuple of int
        Times, increasing. A fault of packets or bytes hits the next packet, once (also when several
        times have passed meanwhile).
    every_us : int
        Or again and again, first at ``from_us + every_us``.
    from_us, to_us : int or None
        The stretch of time in which it happens at all. None: from power-up (before START, too);
        without end.
    for_us : int
        How long it lasts: unplug, reboot, stall, brownout, slow_reader.
    n_bits, within_bits : int
        burst: so many bits are flipped within at most so many.
    n_bytes : int
        Length of a run: lose, insert, nul.
    n_packets : int
        reorder: held back until so many others have passed.
    buffer_bytes : int
        slow_reader: what the link keeps for its reader; what does not fit is lost.
    bytes_per_s : float
        slow_reader: how quickly it reads meanwhile. 0: not at all.
    """

    kind: str
    share: float = 0.0
    at_us: tuple[int, ...] = ()
    every_us: int = 0
    from_us: int | None = None
    to_us: int | None = None
    for_us: int = 0
    n_bits: int = 8
    within_bits: int = 32
    n_bytes: int = 1
    n_packets: int = 1
    buffer_bytes: int = 4096
    bytes_per_s: float = 0.0

    @property
    def pulls_cable(self) -> bool:
        """True if nothing passes while it lasts, and the host sees its port go."""
        return self.kind == "unplug" or (self.kind == "reboot" and self.for_us > 0)

    def times_us(self) -> Iterator[int]:
        """Give the times at which it happens, in order; nothing for a fault with a share."""
        begin_us = self.from_us or 0
        for time_us in self.at_us:
            if begin_us <= time_us and (self.to_us is None or time_us < self.to_us):
                yield time_us
        time_us = begin_us + self.every_us
        while self.every_us and (self.to_us is None or time_us < self.to_us):
            yield time_us
            time_us += self.every_us

    def is_on(self, stream_us: int | None) -> bool:
        """Return whether `stream_us` (None: before START) lies in its stretch of time."""
        if self.from_us is not None and (stream_us is None or stream_us < self.from_us):
            return False
        return self.to_us is None or stream_us is None or stream_us < self.to_us


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong.

    Attributes
    ----------
    faults : tuple of Fault
        Those of packets and bytes hit in this order: packets first, then bytes.
    """

    faults: tuple[Fault, ...] = ()

    def of(self, kinds: tuple[str, ...]) -> tuple[Fault, ...]:
        """Return the faults of some kinds."""
        return tuple(fault for fault in self.faults if fault.kind in kinds)

    @property
    def outages(self) -> tuple[Fault, ...]:
        """The faults that pull the cable."""
        return tuple(fault for fault in self.faults if fault.pulls_cable)
