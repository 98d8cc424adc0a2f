"""Damaged packets in bulk: a block of sent packets in, the bytes that arrive out.

Every mutant is followed by a delimiter of its own, so that it cannot spoil the next one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F32, I64, U8
from streamrnn.wire.encode import Encoder, quantise
from streamrnn.wire.packet import HEADER, TRAILER, VERSION, PacketType
from streamrnn.wire.schema import ChannelGroup, Hello

#: Longest burst that a CRC of 32 bits always sees.
BURST_BITS = 32
MOST_FLIPS = 8
#: Header fields and the checksum: first byte and length; see docs/wire.md.
_FIELDS = ((0, 1), (1, 1), (2, 1), (3, 1), (4, 4), (8, 8), (-4, 4))
_LONGEST_RUN = 254

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Packets of one length, in the order in which they are sent.

    Attributes
    ----------
    hello : bytes
        What explains them.
    n_each : int
        Frames of a packet.
    body : uint8 (N, n_body)
        Header, payload and checksum.
    wire : uint8 (N, n_wire)
        Behind COBS, with the delimiter.
    x, seq, t_us : float32 (N * n_each, C), int64, int64
        The frames that a reader must get.
    """

    hello: bytes
    n_each: int
    body: U8
    wire: U8
    x: F32
    seq: I64
    t_us: I64


def send(groups: Sequence[ChannelGroup], n_each: int, n_packets: int, rng: Rng) -> Sent:
    """Return packets with samples of a sensor: small numbers, so that many bytes are 0 or 255."""
    hello = Hello("board", "1", "b", 1000.0, tuple(groups))
    n_frames = n_packets * n_each
    wanted = rng.normal(0, 200, (n_frames, hello.n_channels)) * [
        group.scale for group in groups for _ in group.names
    ]
    raw = quantise(wanted, hello)
    columns = zip(raw, groups, strict=True)
    x = [r.astype(np.float32) * np.float32(g.scale) + np.float32(g.offset) for r, g in columns]
    rows = np.concatenate([np.ascontiguousarray(r).view(np.uint8) for r in raw], axis=1)
    payload = rows.reshape(n_packets, -1)
    seq = np.arange(n_frames, dtype=np.int64) + int(rng.integers(1, 1 << 20))
    t_us = seq * 1000
    heads = [
        HEADER.pack(VERSION, PacketType.DATA, 0, 0, s, t)
        for s, t in zip(seq[::n_each].tolist(), t_us[::n_each].tolist(), strict=True)
    ]
    bodies = [head + data.tobytes() for head, data in zip(heads, payload, strict=True)]
    body = _matrix([one + TRAILER.pack(zlib.crc32(one)) for one in bodies])
    return Sent(
        Encoder().hello(hello), n_each, body, stuffed(body), np.concatenate(x, axis=1), seq, t_us
    )


def _matrix(rows: Sequence[bytes]) -> U8:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def stuffed(body: U8) -> U8:
    """Return the rows behind COBS, each with its delimiter; a row is shorter than 254 bytes."""
    n, length = body.shape
    if length >= _LONGEST_RUN:
        raise ValueError(f"rows of {length} bytes need codes within")
    out = np.zeros((n, length + 2), np.uint8)
    out[:, 1:-1] = body
    # The place of the next zero at or behind each place; the end counts as one.
    places = np.where(out[:, 1:] == 0, np.arange(length + 1, dtype=np.uint8), np.uint8(255))
    following = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    out[:, 0] = following[:, 0] + 1
    is_zero = out[:, 1:-1] == 0
    distances = following[:, 1:] - np.arange(length, dtype=np.uint8)
    out[:, 1:-1][is_zero] = distances[is_zero]
    return out


# ---- what happens to the bytes of a block; each returns whole rows, or rows and what stays


def flip(rows: U8, rng: Rng) -> U8:
    """Flip 1 to 8 bits of each row; the same bit twice is as it was."""
    n, length = rows.shape
    out = rows.copy()
    n_flips = rng.integers(1, MOST_FLIPS + 1, n)
    bits = rng.integers(0, 8 * length, (MOST_FLIPS, n), dtype=np.uint16)
    for j in range(MOST_FLIPS):
        at = np.flatnonzero(n_flips > j)
        bit = bits[j, at]
        out[at, bit >> 3] ^= (1 << (bit & 7)).astype(np.uint8)
    return out


def burst(rows: U8, rng: Rng) -> U8:
    """Damage up to 32 neighbouring bits of each row, the first and the last of them for sure.

    Bits are counted as a UART sends them, the lowest of a byte first: as the checksum counts them.
    """
    n, length = rows.shape
    n_bits = rng.integers(1, BURST_BITS + 1, n).astype(np.uint64)
    start = (rng.random(n) * (8 * length - n_bits + 1)).astype(np.uint64)
    one = np.uint64(1)
    pattern = rng.integers(0, 1 << 32, n, dtype=np.uint64) & ((one << n_bits) - one)
    pattern = (pattern | one | (one << (n_bits - one))) << (start & np.uint64(7))
    out = np.zeros((n, length + 4), np.uint8)
    out[:, :length] = rows
    at, column = np.arange(n), (start >> np.uint64(3)).astype(np.int64)
    for k in range(5):
        part = (pattern >> np.uint64(8 * k)).astype(np.uint8)
        out[at, np.minimum(column + k, length + 3)] ^= part
    return out[:, :length]


def swap(rows: U8, rng: Rng) -> U8:
    """Exchange two bytes of each row: neighbours in every second one."""
    n, length = rows.shape
    out = rows.copy()
    at, first = np.arange(n), rng.integers(0, length - 1, n)
    second = np.where(at % 2 == 0, first + 1, rng.integers(0, length, n))
    out[at, first], out[at, second] = rows[at, second], rows[at, first]
    return out


def insert(rows: U8, rng: Rng) -> U8:
    """Put a byte in between: any, or the one before it once more."""
    n, length = rows.shape
    at, column = np.arange(n), np.arange(length + 1)
    place = rng.integers(0, length, len(rows))
    out = np.take_along_axis(rows, np.maximum(column - (column > place[:, None]), 0), axis=1)
    value = np.where(rng.random(n) < 0.5, out[at, place], rng.integers(0, 256, n))
    out[at, place] = value.astype(np.uint8)
    return out


def header(rows: U8, rng: Rng) -> U8:
    """Overwrite one field of the header, or the checksum, with a random number."""
    n, length = rows.shape
    out = rows.copy()
    which = rng.integers(0, len(_FIELDS), n)
    for k, (start, n_bytes) in enumerate(_FIELDS):
        at = np.flatnonzero(which == k)
        columns = np.arange(start, start + n_bytes) % length
        out[at[:, None], columns] = rng.integers(0, 256, (len(at), n_bytes), dtype=np.uint8)
    return out


Kept = tuple[U8, npt.NDArray[np.bool_]]


def lose(rows: U8, rng: Rng) -> Kept:
    """Lose 1 to 4 bytes of each row, anywhere."""
    n, length = rows.shape
    keep = np.ones((n, length), np.bool_)
    n_lost = rng.integers(1, 5, n)
    for j in range(4):
        at = np.flatnonzero(n_lost > j)
        keep[at, rng.integers(0, length, len(at))] = False
    return rows, keep


def truncate(rows: U8, rng: Rng) -> Kept:
    """Cut each row: its end, its beginning, or a piece in the middle."""
    n, length = rows.shape
    low, high = np.sort(rng.integers(0, length + 1, (2, n)), axis=0)
    which = np.arange(n) % 3
    high = np.minimum(np.maximum(high, low + 1), length)
    low = np.minimum(low, high - 1)
    column = np.arange(length)
    lost = (column >= low[:, None]) & (column < high[:, None])
    lost[which == 0] = column >= low[which == 0][:, None]
    lost[which == 1] = column < high[which == 1][:, None]
    return rows, ~lost


def splice(rows: U8, rng: Rng) -> Kept:
    """Join the beginning of a packet and the end of the next; half of the rows come out."""
    first, second = rows[0::2], rows[1::2]
    n, length = first.shape
    out = np.concatenate([first, second], axis=1)
    cut = rng.integers(0, length, len(first))
    other = np.where(np.arange(n) % 2 == 0, cut, rng.integers(1, length + 1, n))
    column = np.arange(length)
    keep = np.concatenate([column < cut[:, None], column >= other[:, None]], axis=1)
    return out, keep


#: Damage to the bytes on the wire, and to the packet before COBS.
ON_WIRE: dict[str, Callable[[U8, Rng], U8 | Kept]] = {
    "bit flips on the wire": flip,
    "burst on the wire": burst,
    "bytes swapped": swap,
    "byte inserted": insert,
    "bytes lost": lose,
    "cut": truncate,
    "splice of two packets": splice,
}
IN_PACKET: dict[str, Callable[[U8, Rng], U8]] = {
    "bit flips in the packet": flip,
    "burst in the packet": burst,
    "header field": header,
}
KINDS = (*ON_WIRE, *IN_PACKET)


def mutate(sent: Sent, kind: str, rng: Rng) -> tuple[bytes, int, int]:
    """Damage every packet of a block.

    Returns
    -------
    stream : bytes
        The mutants, each with a delimiter behind it.
    n_mutants : int
    n_same : int
        Mutants that are what was sent, as far as that is known beforehand: the damage undid itself.
    """
    if kind in IN_PACKET:
        body = IN_PACKET[kind](sent.body, rng)
        n_same = int((body == sent.body).all(axis=1).sum())
        return stuffed(body).tobytes(), len(body), n_same
    made = ON_WIRE[kind](sent.wire, rng)
    if isinstance(made, tuple):
        rows, keep = _guarded(made[0]), np.pad(made[1], ((0, 0), (0, 1)), constant_values=True)
        return rows[keep].tobytes(), len(rows), 0
    is_same = (made == sent.wire).all(axis=1) if made.shape == sent.wire.shape else None
    n_same = 0 if is_same is None else int(is_same.sum())
    return _guarded(made).tobytes(), len(made), n_same


def _guarded(rows: U8) -> U8:
    return np.pad(rows, ((0, 0), (0, 1)))
