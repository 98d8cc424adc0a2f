"""Numbers and small messages of the wire, version 1; docs/wire.md has the tables."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, overload

import numpy as np

from streamrnn.core.types import I64, Item

#: First byte of every packet.
VERSION = 1
#: version, type, flags, schema_id, seq, t_us.
HEADER = struct.Struct("<BBBBIQ")
#: CRC-32 behind the payload.
TRAILER = struct.Struct("<I")
#: Payload of PING and PONG.
TOKEN = struct.Struct("<Q")
#: Largest packet before COBS: header, payload and checksum, in bytes.
MAX_DECODED = 4096
#: Largest payload, in bytes.
MAX_PAYLOAD = MAX_DECODED - HEADER.size - TRAILER.size
#: Largest packet behind COBS, without the delimiter, in bytes.
MAX_ENCODED = MAX_DECODED + -(-MAX_DECODED // 254)
#: Ends every packet; COBS keeps it out of the packet itself.
DELIMITER = b"\0"
#: Device times above this are nonsense (73,000 years).
MAX_T_US = 1 << 61


class PacketType(IntEnum):
    """Second byte of a packet."""

    HELLO = 1
    DATA = 2
    EVENT = 3
    CMD = 4
    ACK = 5
    PING = 6
    PONG = 7


#: What a command may be called.
COMMANDS = ("START", "STOP", "SET_RATE", "DESCRIBE")


@dataclass(frozen=True, slots=True)
class Command:
    """A request to the device.

    Attributes
    ----------
    request_id : int
        0..2**32 - 1; the same for every retry, so that a device acts on it once.
    name : {"START", "STOP", "SET_RATE", "DESCRIBE"}
        What to do.
    args : dict of str to bool, int, float or str
        ``{"rate_hz": 200}`` of SET_RATE; else empty.
    """

    request_id: int
    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ack:
    """The device's answer to a command.

    Attributes
    ----------
    request_id : int
        Of the command.
    ok : bool
        Whether it was done.
    message : str
        Why not; printable.
    """

    request_id: int
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    """A probe of the device's clock.

    Attributes
    ----------
    token : int
        0..2**64 - 1; whatever the asking side wants to get back.
    t_us : int
        Clock of the sender, microseconds.
    """

    token: int
    t_us: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `Ping`.

    Attributes
    ----------
    token : int
        Of the ping.
    t_us : int
        Clock of the sender, microseconds.
    """

    token: int
    t_us: int


#: What a wire decoder gives, in stream order.
WireItem: TypeAlias = Item | Command | Ack | Ping | Pong


@overload
def frame_time_us(t_us: int, j: int, rate_hz: float) -> int: ...
@overload
def frame_time_us(t_us: int, j: I64, rate_hz: float) -> I64: ...
def frame_time_us(t_us: int, j: int | I64, rate_hz: float) -> int | I64:
    """Return the device time of frame `j` behind a frame at `t_us`.

    Decoder, oracle, text and playback all take their times from here, so that they cannot differ.

    Parameters
    ----------
    t_us : int
        Time of frame 0, microseconds.
    j : int or int64 array
        Frames behind it, >= 0.
    rate_hz : float
        Nominal rate, > 0.

    Returns
    -------
    int or int64 array
        Microseconds; halves are rounded up.
    """
    if float(rate_hz).is_integer():
        rate = int(rate_hz)
        behind_us: int | I64 = (j * 1_000_000 + rate // 2) // rate
    elif isinstance(j, np.ndarray):
        behind_us = np.floor(j * 1e6 / rate_hz + 0.5).astype(np.int64)
    else:
        behind_us = math.floor(j * 1e6 / rate_hz + 0.5)
    return behind_us + t_us
