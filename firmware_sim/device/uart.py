"""A UART with a queue of finite length: what does not fit is dropped by the firmware."""

from __future__ import annotations

from collections import deque

from firmware_sim.device.packet import Packet

#: Start bit, eight data bits, stop bit.
BITS_A_BYTE = 10
_NS = 1_000_000_000


class Uart:
    """Sends packets at a baud rate.

    A packet that finds less room in the queue than it needs is dropped whole, as firmware does that
    must not wait. Only when the queue is empty it takes a packet of any length.

    Parameters
    ----------
    baud : int
        Bits a second; 10 make a byte.
    fifo_bytes : int
        Length of the queue.

    Attributes
    ----------
    n_dropped_packets, n_dropped_frames : int
    """

    def __init__(self, baud: int, fifo_bytes: int) -> None:
        self.n_dropped_packets = 0
        self.n_dropped_frames = 0
        self._baud = baud
        self._fifo_bytes = fifo_bytes
        #: When each packet's last bit has left, and the packet.
        self._queue: deque[tuple[int, Packet]] = deque()
        #: True time at which everything has left, nanoseconds.
        self._free_ns = 0

    def offer(self, packet: Packet) -> None:
        """Take a packet at its `at_us`, or drop it."""
        at_ns = packet.at_us * 1000
        waiting = max(0, self._free_ns - at_ns) * self._baud // (BITS_A_BYTE * _NS)
        if waiting and waiting + len(packet.data) > self._fifo_bytes:
            self.n_dropped_packets += 1
            self.n_dropped_frames += packet.n_frames
            return
        lasts_ns = len(packet.data) * BITS_A_BYTE * _NS // self._baud
        self._free_ns = max(self._free_ns, at_ns) + lasts_ns
        self._queue.append((-(-self._free_ns // 1000), packet))

    def take(self, until_us: int) -> list[Packet]:
        """Return the packets that have left by `until_us`, with the times at which they did."""
        out: list[Packet] = []
        while self._queue and self._queue[0][0] <= until_us:
            done_us, packet = self._queue.popleft()
            out.append(packet._replace(at_us=done_us))
        return out

    def cut(self, now_us: int) -> Packet | None:
        """Lose the queue; return the packet that was being sent, cut where it was."""
        packet: Packet | None = None
        if self._queue:
            done_us, packet = self._queue[0]
            left = (done_us - now_us) * self._baud // (BITS_A_BYTE * 1_000_000)
            n_sent = min(max(len(packet.data) - left, 1), len(packet.data) - 1)
            packet = packet._replace(n_sent=n_sent, at_us=now_us)
        self._queue.clear()
        self._free_ns = now_us * 1000
        return packet

    @property
    def next_us(self) -> int | None:
        """When the next packet has left; None when there is none."""
        return self._queue[0][0] if self._queue else None
