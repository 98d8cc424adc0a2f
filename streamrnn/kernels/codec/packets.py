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
    copy32,
    load_f32,
    load_i16,
    load_u8,
    load_u32,
    load_u64,
)
from streamrnn.kernels.jit import array, kernel, scalar, specialise

HEADER_BYTES = 16
TRAILER_BYTES = 4

# Slots of `state`. The sequence and the layout are the caller's to set.
EXPECTED = 0  # index of the next frame, unwrapped
LAST_T_US = 1  # time of the last frame
SCHEMA_ID = 2  # of the DATA packets to take; -1: none
FRAME_BYTES = 3  # of one frame in a payload
N_CHANNELS = 4
N_GROUPS = 5
# These belong to the kernel.
POSITION = 6  # where to read on
ROWS = 7  # frames in the columns; the caller takes them and writes 0
PACKET_BYTES = 8  # of the packet that is handed up, without its checksum
CARRIED = 9  # bytes of an unfinished packet
DISCARDING = 10  # 1: inside an oversized packet
N_PACKETS = 11
N_FRAMES = 12
N_LOST = 13
N_DUPLICATE = 14
N_BAD_CRC = 15
N_BAD_FRAMING = 16
N_OVERSIZE = 17
N_BAD_CONTENT = 18
STATE_SLOTS = 19

# Bits of the result.
HAS_ROWS = 1
HAS_PACKET = 2
IS_FULL = 4

# Columns of `groups`.
GROUP_IS_FLOAT = 0
GROUP_CHANNELS = 1

_WRAP = 1 << 32
_HALF = 1 << 31


@kernel
def scale_sample(raw: Any, scale: np.float32, offset: np.float32) -> np.float32:
    """Return a raw sample (int16 or float32) in physical units: the one place where it is done.

    Multiply and add are rounded separately, so that every machine gives the same bits.
    """
    physical: np.float32 = np.float32(raw) * scale + offset
    return physical


@kernel
def _scale_frames(
    packet: U8, start: int, n_frames: int, groups: I64, factors: F32, n_groups: int, x: F32, to: int
) -> bool:
    """Write frames to ``x[to:]``; return False if a value is not finite."""
    huge = np.float32(np.finfo(np.float32).max)
    n_passes = n_frames
    if n_groups == 1:
        n_passes = 1  # one group: all frames are one run, which vectorises
    is_finite: Any = True
    at = start
    for _ in range(n_passes):
        for g in range(n_groups):
            scale = factors[g, 0]
            offset = factors[g, 1]
            n = groups[g, GROUP_CHANNELS]
            if n_groups == 1:
                n *= n_frames
            if groups[g, GROUP_IS_FLOAT]:
                for c in range(n):
                    value = scale_sample(load_f32(packet, at + 4 * c), scale, offset)
                    x[to + c] = value
                    is_finite &= abs(value) <= huge
                at += 4 * n
            else:
                for c in range(n):
                    value = scale_sample(load_i16(packet, at + 2 * c), scale, offset)
                    x[to + c] = value
                    is_finite &= abs(value) <= huge
                at += 2 * n
            to += n
    return bool(is_finite)


@kernel
def _take_data(
    packet: U8,
    n_bytes: int,
    state: I64,
    groups: I64,
    factors: F32,
    offsets_us: I64,
    max_t_us: int,
    x: F32,
    seq_t_us: I64,
) -> bool:
    """Append the new frames of a DATA packet to the columns; return False if they have no room."""
    frame_bytes = state[FRAME_BYTES]
    payload_bytes = n_bytes - HEADER_BYTES
    t_us = load_u64(packet, 8)
    if (
        np.int64(load_u8(packet, 3)) != state[SCHEMA_ID]
        or payload_bytes == 0
        or payload_bytes % frame_bytes != 0
        or t_us > np.uint64(max_t_us)
    ):
        state[N_BAD_CONTENT] += 1
        return True
    n_frames = payload_bytes // frame_bytes
    expected = state[EXPECTED]
    ahead = (np.int64(load_u32(packet, 4)) - expected) & (_WRAP - 1)
    n_old = 0
    if ahead >= _HALF:
        n_old = min(n_frames, _WRAP - ahead)
        ahead = ahead - _WRAP
    n_new = n_frames - n_old
    row = state[ROWS]
    if row + n_new > seq_t_us.shape[1]:
        return False
    if not _scale_frames(
        packet,
        HEADER_BYTES + n_old * frame_bytes,
        n_new,
        groups,
        factors,
        state[N_GROUPS],
        x,
        row * state[N_CHANNELS],
    ):
        state[N_BAD_CONTENT] += 1
        return True
    state[N_PACKETS] += 1
    state[N_DUPLICATE] += n_old
    if n_new == 0:
        return True
    first = expected + ahead
    last_t_us = state[LAST_T_US]
    for j in range(n_old, n_frames):
        last_t_us = max(last_t_us, np.int64(t_us) + offsets_us[j])
        seq_t_us[0, row] = first + j
        seq_t_us[1, row] = last_t_us
        row += 1
    state[LAST_T_US] = last_t_us
    state[EXPECTED] = first + n_frames
    state[N_LOST] += max(ahead, 0)
    state[N_FRAMES] += n_new
    state[ROWS] = row
    return True


@kernel
def decode_packets(
    data: U8,
    n: int,
    max_decoded: int,
    max_t_us: int,
    state: I64,
    carry: U8,
    packet: U8,
    groups: I64,
    factors: F32,
    offsets_us: I64,
    x: F32,
    seq_t_us: I64,
) -> int:
    """Decode ``data[state[POSITION] : n]``, up to the end or to something for the caller to do.

    Parameters
    ----------
    data : uint8 (>= n + memory.SLACK,)
        Read only.
    n : int
        End of the bytes in `data`.
    max_decoded : int
        Largest packet before COBS, in bytes.
    max_t_us : int
        Packets with a later time are refused.
    state : int64 (STATE_SLOTS,)
        Overwritten; zeros at the start, but for the slots of the layout.
    carry : uint8 (largest packet behind COBS + memory.SLACK,)
        Overwritten; the unfinished packet between two calls.
    packet : uint8 (largest packet behind COBS + memory.SLACK,)
        Overwritten; the packet that is handed up.
    groups : int64 (>= n_groups, 2)
        Is it float32 (else int16), and how many channels.
    factors : float32 (>= n_groups, 2)
        Scale and offset.
    offsets_us : int64 (most frames of a packet,)
        Time of frame j of a packet, behind the packet's own.
    x : float32 (rows * n_channels,)
        Overwritten; samples, a frame a row.
    seq_t_us : int64 (2, rows)
        Overwritten; index and time of each frame.

    Returns
    -------
    int
        0: all is read and there is nothing to do. Else bits: HAS_ROWS: ``state[ROWS]`` frames wait.
        HAS_PACKET: ``packet[: state[PACKET_BYTES]]`` is for the caller; call again. IS_FULL: the
        columns have no room for the next packet; take the rows and call again.
    """
    largest = carry.shape[0] - SLACK
    at = state[POSITION]
    result = 0
    while at < n:
        end = find_zero(data, at, n)
        carried = state[CARRIED]
        if state[DISCARDING] or carried + end - at > largest:
            state[N_OVERSIZE] += 1 - state[DISCARDING]
            state[DISCARDING] = 0 if end < n else 1
            state[CARRIED] = 0
            at = end + 1
            continue
        if carried > 0 or end == n:
            for i in range(0, end - at, 32):
                copy32(carry, carried + i, data, at + i)
            state[CARRIED] = carried + end - at
            at = end
            if end == n:
                break
            n_bytes = cobs_decode(carry, 0, state[CARRIED], packet)
        else:
            if end == at:
                at += 1
                continue
            n_bytes = cobs_decode(data, at, end, packet)
        if n_bytes < HEADER_BYTES + TRAILER_BYTES:
            state[N_BAD_FRAMING] += 1
        elif n_bytes > max_decoded:
            state[N_OVERSIZE] += 1
        else:
            n_bytes -= TRAILER_BYTES
            if crc32(packet, n_bytes) != load_u32(packet, n_bytes):
                state[N_BAD_CRC] += 1
            elif load_u8(packet, 0) != 1:
                state[N_BAD_CONTENT] += 1
            elif load_u8(packet, 1) != 2:
                state[PACKET_BYTES] = n_bytes
                result = HAS_PACKET
            elif not _take_data(
                packet, n_bytes, state, groups, factors, offsets_us, max_t_us, x, seq_t_us
            ):
                result = IS_FULL
                break
        state[CARRIED] = 0
        at = end + 1
        if result:
            break
    state[POSITION] = min(at, n)
    if state[ROWS] > 0:
        result |= HAS_ROWS
    return result


def prepare() -> None:
    """Compile, or load from the cache; nothing compiles later."""
    bytes_ = array(np.uint8, 1)
    int64 = scalar(np.int64)
    specialise(
        decode_packets,
        (
            bytes_,
            int64,
            int64,
            int64,
            array(np.int64, 1),
            bytes_,
            bytes_,
            array(np.int64, 2),
            array(np.float32, 2),
            array(np.int64, 1),
            array(np.float32, 1),
            array(np.int64, 2),
        ),
    )
