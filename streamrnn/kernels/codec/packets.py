"""The streaming packet decoder: delimiter, COBS, CRC-32, sequence and scaling in one kernel.

Whole DATA packets become rows of preallocated columns without Python seeing them; any other good
packet is handed up as bytes. What a call leaves unfinished stays in `carry`, so a packet may be cut
anywhere. docs/wire.md is the format, `streamrnn.wire.reference` the same in plain Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import F32, I64, U8
from streamrnn.kernels.codec.cobs import cobs_decode, find_zero
from streamrnn.kernels.codec.crc import crc32
from streamrnn.kernels.codec.memory import (
    SLACK,
    Address,
    add,
    address_of,
    copy32,
    get,
    load_f32,
    load_i16,
    load_u8,
    load_u32,
    load_u64,
    put,
    store_f32,
)
from streamrnn.kernels.jit import kernel, scalar, specialise

HEADER_BYTES = 16
TRAILER_BYTES = 4
VERSION = 1

# Slots of the state. The sequence is the caller's to set ...
EXPECTED = 0  # index of the next frame, unwrapped
LAST_T_US = 1  # time of the last frame
# ... the layout is set by `PacketColumns.set_layout` ...
SCHEMA_ID = 2  # of the DATA packets to take; -1: none
FRAME_BYTES = 3  # of one frame in a payload
N_CHANNELS = 4
N_GROUPS = 5
MAX_ROWS = 6
# ... and the rest belongs to the kernel.
POSITION = 7  # where to read on
ROWS = 8  # frames in the columns; the caller takes them and writes 0
PACKET_BYTES = 9  # of the packet that is handed up, without its checksum
CARRIED = 10  # bytes of an unfinished packet
DISCARDING = 11  # 1: inside an oversized packet
N_PACKETS = 12
N_FRAMES = 13
N_LOST = 14
N_DUPLICATE = 15
N_BAD_CRC = 16
N_BAD_FRAMING = 17
N_OVERSIZE = 18
N_BAD_CONTENT = 19
MAX_ENCODED = 20
MAX_DECODED = 21
MAX_T_US = 22
# Addresses of the arrays of `PacketColumns`.
INPUT = 23
CARRY = 24
PACKET = 25
GROUPS = 26
FACTORS = 27
OFFSETS = 28
X = 29
SEQ = 30
T_US = 31
STATE_SLOTS = 32

# Bits of the result.
HAS_ROWS = 1
HAS_PACKET = 2
IS_FULL = 4

_DATA = 2
_WRAP = 1 << 32
_HALF = 1 << 31
_HUGE = np.finfo(np.float32).max


@kernel
def scale_sample(raw: Any, scale: np.float32, offset: np.float32) -> np.float32:
    """Return a raw sample (int16 or float32) in physical units: the one place where it is done.

    Multiply and add are rounded separately, so that every machine gives the same bits.
    """
    physical: np.float32 = np.float32(raw) * scale + offset
    return physical


@kernel
def _scale_floats(
    packet: Address, at: int, n: int, scale: np.float32, offset: np.float32, x: Address
) -> bool:
    """Write n float32 samples to `x`; return False if one is not finite."""
    is_finite: Any = True
    for c in range(n):
        value = scale_sample(load_f32(packet, at + 4 * c), scale, offset)
        store_f32(x, 4 * c, value)
        is_finite &= abs(value) <= _HUGE
    return bool(is_finite)


@kernel
def _scale_integers(
    packet: Address, at: int, n: int, scale: np.float32, offset: np.float32, x: Address
) -> bool:
    """Write n int16 samples to `x`; return False if one is not finite."""
    is_finite: Any = True
    for c in range(n):
        value = scale_sample(load_i16(packet, at + 2 * c), scale, offset)
        store_f32(x, 4 * c, value)
        is_finite &= abs(value) <= _HUGE
    return bool(is_finite)


@kernel
def _scale_frames(state: Address, at: int, n_frames: int, x: Address) -> bool:
    """Write the frames at byte `at` of the packet to `x`; return False if one is not finite."""
    packet, groups, factors = get(state, PACKET), get(state, GROUPS), get(state, FACTORS)
    n_groups = get(state, N_GROUPS)
    n_together = 1
    if n_groups == 1:
        n_together = n_frames  # one group: all frames are one run, which vectorises
    is_finite = True
    for _ in range(n_frames // n_together):
        for g in range(n_groups):
            n = n_together * get(groups, 2 * g + 1)
            scale, offset = load_f32(factors, 8 * g), load_f32(factors, 8 * g + 4)
            if get(groups, 2 * g):
                is_finite &= _scale_floats(packet, at, n, scale, offset, x)
                at += 4 * n
            else:
                is_finite &= _scale_integers(packet, at, n, scale, offset, x)
                at += 2 * n
            x += 4 * n
    return is_finite


@kernel
def _take_data(state: Address, n_bytes: int) -> bool:
    """Append the new frames of a DATA packet to the columns; return False if they have no room."""
    packet = get(state, PACKET)
    frame_bytes = get(state, FRAME_BYTES)
    n_frames = (n_bytes - HEADER_BYTES) // frame_bytes
    t_us = load_u64(packet, 8)
    if (
        int(load_u8(packet, 3)) != get(state, SCHEMA_ID)
        or n_frames == 0
        or n_bytes != HEADER_BYTES + n_frames * frame_bytes
        or t_us > np.uint64(get(state, MAX_T_US))
    ):
        add(state, N_BAD_CONTENT, 1)
        return True
    expected = get(state, EXPECTED)
    ahead = (int(load_u32(packet, 4)) - expected) & (_WRAP - 1)
    if ahead >= _HALF:
        ahead -= _WRAP
    n_old = min(n_frames, max(0, -ahead))
    n_new = n_frames - n_old
    row = get(state, ROWS)
    if row + n_new > get(state, MAX_ROWS):
        return False
    if n_new > 0:
        x = get(state, X) + 4 * row * get(state, N_CHANNELS)
        if not _scale_frames(state, HEADER_BYTES + n_old * frame_bytes, n_new, x):
            add(state, N_BAD_CONTENT, 1)
            return True
        first = expected + ahead
        seqs, times, offsets = get(state, SEQ), get(state, T_US), get(state, OFFSETS)
        last_t_us: Any = get(state, LAST_T_US)
        for j in range(n_old, n_frames):
            last_t_us = max(last_t_us, np.int64(t_us) + get(offsets, j))
            put(seqs, row, first + j)
            put(times, row, last_t_us)
            row += 1
        put(state, ROWS, row)
        put(state, LAST_T_US, last_t_us)
        put(state, EXPECTED, first + n_frames)
        add(state, N_LOST, max(ahead, 0))
        add(state, N_FRAMES, n_new)
    add(state, N_PACKETS, 1)
    add(state, N_DUPLICATE, n_old)
    return True


@kernel
def _take_packet(state: Address, source: Address, start: int, stop: int) -> int:
    """Decode one encoded packet; return HAS_PACKET, IS_FULL (it was not taken), or 0."""
    packet = get(state, PACKET)
    n_bytes = cobs_decode(source, start, stop, packet)
    if n_bytes < HEADER_BYTES + TRAILER_BYTES:
        add(state, N_BAD_FRAMING, 1)
        return 0
    if n_bytes > get(state, MAX_DECODED):
        add(state, N_OVERSIZE, 1)
        return 0
    n_bytes -= TRAILER_BYTES
    if crc32(packet, n_bytes) != load_u32(packet, n_bytes):
        add(state, N_BAD_CRC, 1)
        return 0
    if load_u8(packet, 0) != VERSION:
        add(state, N_BAD_CONTENT, 1)
        return 0
    if load_u8(packet, 1) != _DATA:
        put(state, PACKET_BYTES, n_bytes)
        return HAS_PACKET
    return 0 if _take_data(state, n_bytes) else IS_FULL


@kernel
def decode_packets(state: Address, n: int) -> int:
    """Decode the input up to byte `n`, or to something for the caller to do.

    Parameters
    ----------
    state : int
        Address of the slots of a `PacketColumns`.
    n : int
        End of the bytes in the input.

    Returns
    -------
    int
        See `PacketColumns.decode`.
    """
    data, carry = get(state, INPUT), get(state, CARRY)
    largest = get(state, MAX_ENCODED)
    at = get(state, POSITION)
    result = 0
    while at < n and result == 0:
        end = find_zero(data, at, n)
        carried = get(state, CARRIED)
        if get(state, DISCARDING) or carried + end - at > largest:
            add(state, N_OVERSIZE, 1 - get(state, DISCARDING))
            put(state, DISCARDING, end == n)
            put(state, CARRIED, 0)
        else:
            source, start, stop = data, at, end
            if carried > 0 or end == n:
                for i in range(0, end - at, 32):
                    copy32(carry, carried + i, data, at + i)
                source, start, stop = carry, 0, carried + end - at
                put(state, CARRIED, stop)
                at = end
            if end < n and stop > start:
                result = _take_packet(state, source, start, stop)
                if result == IS_FULL:
                    break
                put(state, CARRIED, 0)
        at = end + 1
    put(state, POSITION, min(at, n))
    return result | (HAS_ROWS if get(state, ROWS) > 0 else 0)


class PacketColumns:
    """The arrays that the packet kernel reads and writes, and the kernel behind a safe door.

    Parameters
    ----------
    piece_bytes : int
        Bytes that `decode` takes at once.
    max_decoded, max_encoded : int
        Largest packet before and behind COBS, in bytes.
    max_t_us : int
        Packets with a later time are refused.

    Attributes
    ----------
    state : int64 (STATE_SLOTS,)
        See the names of the slots.
    input : uint8 (>= piece_bytes,)
        The caller's to write.
    packet : uint8 (>= max_encoded,)
        A packet that is handed up.
    x : float32 (rows * n_channels,)
        Samples, a frame a row.
    seq, t_us : int64 (rows,)
        Index and device time of each frame.
    """

    def __init__(self, piece_bytes: int, max_decoded: int, max_encoded: int, max_t_us: int) -> None:
        specialise(decode_packets, (scalar(np.int64), scalar(np.int64)))
        self.state: I64 = np.zeros(STATE_SLOTS, np.int64)
        self.input: U8 = np.zeros(piece_bytes + SLACK, np.uint8)
        self.packet: U8 = np.zeros(max_encoded + SLACK, np.uint8)
        self._carry: U8 = np.zeros(max_encoded + SLACK, np.uint8)
        self._piece_bytes = piece_bytes
        self._state_address = address_of(self.state)
        state = self.state
        state[MAX_DECODED], state[MAX_ENCODED], state[MAX_T_US] = max_decoded, max_encoded, max_t_us
        state[INPUT] = address_of(self.input)
        state[CARRY] = address_of(self._carry)
        state[PACKET] = address_of(self.packet)
        self.clear_layout()

    def clear_layout(self) -> None:
        """Take no DATA packets."""
        none = np.zeros(0, np.int64)
        self.set_layout(-1, np.zeros((0, 2), np.int64), np.zeros((0, 2), np.float32), none, 0)

    def set_layout(
        self, schema_id: int, groups: I64, factors: F32, offsets_us: I64, n_rows: int
    ) -> None:
        """Lay the columns out for a schema; rows that wait in them are lost.

        Parameters
        ----------
        schema_id : int
            Of the DATA packets to take; -1: none.
        groups : int64 (n_groups, 2)
            Of each group: 1 for float32 or 0 for int16, and how many channels.
        factors : float32 (n_groups, 2)
            Of each group: scale and offset.
        offsets_us : int64 (most frames that a packet can hold,)
            Time of frame j of a packet, behind the packet's own.
        n_rows : int
            Frames that the columns hold; at least those of one packet.
        """
        n_channels = int(groups[:, 1].sum())
        frame_bytes = int((groups[:, 1] * (2 + 2 * groups[:, 0])).sum())
        most = (int(self.state[MAX_DECODED]) - HEADER_BYTES - TRAILER_BYTES) // max(frame_bytes, 1)
        if schema_id >= 0 and not (0 < most <= len(offsets_us) and most <= n_rows):
            raise ValueError(
                f"{most} frames fit into a packet; got {len(offsets_us)} offsets, {n_rows} rows"
            )
        self._groups = np.array(groups, np.int64, order="C")
        self._factors = np.array(factors, np.float32, order="C")
        self._offsets_us = np.array(offsets_us, np.int64, order="C")
        self.x: F32 = np.zeros(n_rows * n_channels, np.float32)
        self.seq: I64 = np.zeros(n_rows, np.int64)
        self.t_us: I64 = np.zeros(n_rows, np.int64)
        state = self.state
        state[SCHEMA_ID], state[FRAME_BYTES] = schema_id, max(frame_bytes, 1)
        state[N_CHANNELS], state[N_GROUPS], state[MAX_ROWS] = n_channels, len(groups), n_rows
        state[GROUPS] = address_of(self._groups)
        state[FACTORS] = address_of(self._factors)
        state[OFFSETS] = address_of(self._offsets_us)
        state[X], state[SEQ] = address_of(self.x), address_of(self.seq)
        state[T_US] = address_of(self.t_us)
        state[ROWS] = 0

    def decode(self, n: int) -> int:
        """Decode ``input[state[POSITION] : n]``, up to the end or to something to do.

        Returns
        -------
        int
            0: all is read and there is nothing to do. Else bits. HAS_ROWS: ``state[ROWS]`` frames
            wait. HAS_PACKET: ``packet[: state[PACKET_BYTES]]`` is for the caller; call again.
            IS_FULL: the columns have no room for the next packet; take the rows and call again.
        """
        if n > self._piece_bytes:
            raise ValueError(f"n must be 0..{self._piece_bytes}, got {n}")
        return decode_packets(self._state_address, n)
