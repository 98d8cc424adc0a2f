"""The firmware of a board that prints: it streams from power-up and hears nothing."""

from __future__ import annotations

from typing import Any

from firmware_sim.device import N_END_MARKERS, Device
from firmware_sim.device.fetch import Cut
from firmware_sim.device.packer import Packer
from firmware_sim.device.packet import Packet
from firmware_sim.lines.forms import LineWriter
from firmware_sim.origins.origin import Origin
from streamrnn.wire.packet import PacketType

#: A board that says no HELLO says it in ages.
_NEVER_US = 1 << 62


class _Liner(Packer):
    """Makes lines where a `Packer` makes packets."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def pack(self, cut: Cut, seq: int, t_us: int) -> bytes:
        return self._writer.line(cut.payload, seq, t_us)


class TextDevice(Device):
    """A board that prints each frame of an origin as a line.

    Parameters
    ----------
    origin : Origin
    writer : LineWriter
        Made for the origin's HELLO.
    **settings
        Clock, jitter, UART, boot and seed, as `Device` has them.

    Notes
    -----
    Its pieces are lines (all lines of a frame in one, where a form needs several), DATA for whoever
    asks their kind. Label boundaries are known (`truth`), but not said.
    """

    def __init__(self, origin: Origin, writer: LineWriter, **settings: Any) -> None:
        self.writer = writer
        super().__init__(origin, **settings, frames_per_packet=1)

    def handle(self, data: bytes) -> None:
        """Take no notice of what the host says."""

    def _begin(self, power_us: int) -> None:
        super()._begin(power_us)
        self._packer = _Liner(self.writer)

    def _say_hello(self) -> list[Packet]:
        """Begin to print, at the time of what would have been the first HELLO."""
        self._is_up = True
        self._start()
        self._next_hello_us = _NEVER_US
        return []

    def _send(self) -> list[Packet]:
        return [packet for packet in super()._send() if packet.kind is not PacketType.EVENT]

    def _announce_end(self) -> None:
        """Say nothing: a board that prints just stops."""
        self._n_ends = N_END_MARKERS
