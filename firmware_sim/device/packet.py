"""A packet on its way from the board to the host, and what the simulator knows of it."""

from __future__ import annotations

from typing import NamedTuple

from streamrnn.wire.packet import PacketType


class Packet(NamedTuple):
    """One packet on its way out.

    Attributes
    ----------
    data : bytes
        Framed, with its delimiter. Or text that is no packet, or a lone delimiter.
    kind : PacketType or None
        None: no packet.
    n_frames : int
        Frames in it; 0 unless it is DATA.
    seq, t_us : int
        Of its header.
    at_us : int
        True time at which it leaves the board.
    boot : int
        How often the board had booted again by then.
    ordinal : int
        `seq` counted on over all boots: the frames that the firmware numbered before it.
    schema : int
        Of its header.
    n_sent : int
        Only so many bytes of it were sent, because the power failed; 0: all.
    is_end : bool
        It says that the stream is over.
    """

    data: bytes
    kind: PacketType | None
    n_frames: int = 0
    seq: int = 0
    t_us: int = 0
    at_us: int = 0
    boot: int = 0
    ordinal: int = 0
    schema: int = 0
    n_sent: int = 0
    is_end: bool = False

    @property
    def sent(self) -> bytes:
        """What of it the board really sends."""
        return self.data[: self.n_sent] if self.n_sent else self.data
