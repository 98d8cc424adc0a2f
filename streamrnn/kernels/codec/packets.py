"""The streaming packet decoder: delimiter, COBS, CRC-32, sequence and scaling in one kernel.

Whole DATA packets become rows of a block of columns without Python seeing them; any other good
packet is handed up where it stands. docs/wire.md is the format, `streamrnn.wire.reference` the same
in plain Python.
"""

from __future__ import annotations

from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.buffer import answer, begin, refill, waiting
from streamrnn.kernels.codec.cobs import cobs_decode, find_zero
from streamrnn.kernels.codec.crc import crc32
from streamrnn.kernels.codec.lanes import scale_floats, scale_integers, stamp
from streamrnn.kernels.codec.memory import Address, add, get, load_byte, load_i64, load_u32, put
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.objects import bytes_data, bytes_size, fall_back, is_bytes, slots_of

HEADER_BYTES = 16
TRAILER_BYTES = 4
VERSION = 1

_DATA = 2
_WRAP = 1 << 32
_HALF = 1 << 31


@kernel
def _scale_frames(state: Address, source: Address, n_frames: int, x: Address) -> int:
    """Write frames to `x`; return 0 if all samples are finite."""
    scales, offsets, groups = get(state, at.SCALES), get(state, at.OFFSETS), get(state, at.GROUPS)
    n_groups = get(state, at.N_GROUPS)
    n_together = 1
    if n_groups == 1:
        n_together = n_frames  # one kind of samples: all frames are one run
    bad = 0
    frame = 0
    while frame < n_frames:
        i = 0
        for g in range(n_groups):
            stop = i + n_together * get(groups, 2 * g + 1)
            if get(groups, 2 * g):
                while i < stop:
                    bad |= scale_floats(source, scales, offsets, x, i, stop)
                    i += at.LANES
                    source += 4 * at.LANES
                source += 4 * (stop - i)
            else:
                while i < stop:
                    bad |= scale_integers(source, scales, offsets, x, i, stop)
                    i += at.LANES
                    source += 2 * at.LANES
                source += 2 * (stop - i)
            i = stop
        x += 4 * i
        frame += n_together
    return bad


@kernel
def _take_data(state: Address, packet: Address, n_bytes: int) -> None:
    """Append the new frames of a DATA packet to the block, which has room."""
    frame_bytes = get(state, at.FRAME_BYTES)
    n_frames = ((n_bytes - HEADER_BYTES) * get(state, at.FRAMES_A_BYTE)) >> 32
    t_us = load_i64(packet + 8)
    if (
        load_byte(packet + 3) != get(state, at.SCHEMA_ID)
        or n_frames == 0
        or n_bytes != HEADER_BYTES + n_frames * frame_bytes
        or t_us < 0  # as an unsigned number: very late
        or t_us > get(state, at.MAX_T_US)
    ):
        add(state, at.N_BAD_CONTENT, 1)
        return
    expected = get(state, at.EXPECTED)
    ahead = (load_u32(packet + 4) - expected) & (_WRAP - 1)
    if ahead >= _HALF:
        ahead -= _WRAP
    n_old = min(n_frames, max(0, -ahead))
    n_new = n_frames - n_old
    if n_new > 0:
        row = get(state, at.ROWS)
        x = get(state, at.X) + 4 * row * get(state, at.N_CHANNELS)
        if _scale_frames(state, packet + HEADER_BYTES + n_old * frame_bytes, n_new, x) != 0:
            add(state, at.N_BAD_CONTENT, 1)
            return
        first = expected + ahead
        last_t_us, delays = get(state, at.LAST_T_US), get(state, at.DELAYS)
        seqs, times = get(state, at.SEQ) + 8 * row, get(state, at.T_US) + 8 * row
        for j in range(0, n_new, at.LANES):
            stamp(seqs, times, delays + 8 * n_old, j, first + n_old, t_us, last_t_us)
        put(state, at.LAST_T_US, max(last_t_us, t_us + get(delays, n_frames - 1)))
        put(state, at.ROWS, row + n_new)
        put(state, at.EXPECTED, first + n_frames)
        add(state, at.N_LOST, max(ahead, 0))
        add(state, at.N_FRAMES, n_new)
    add(state, at.N_PACKETS, 1)
    add(state, at.N_DUPLICATE, n_old)


@kernel
def _take_packet(state: Address, start: int, stop: int) -> int:
    """Decode one encoded packet, in place; return HAS_PACKET or 0."""
    packet, n_bytes = cobs_decode(start, stop, get(state, at.PACKET))
    if n_bytes < HEADER_BYTES + TRAILER_BYTES:
        add(state, at.N_BAD_FRAMING, 1)
        return 0
    if n_bytes > get(state, at.MAX_DECODED):
        add(state, at.N_OVERSIZE, 1)
        return 0
    n_bytes -= TRAILER_BYTES
    if crc32(packet, n_bytes) != load_u32(packet + n_bytes):
        add(state, at.N_BAD_CRC, 1)
        return 0
    if load_byte(packet + 0) != VERSION:
        add(state, at.N_BAD_CONTENT, 1)
        return 0
    if load_byte(packet + 1) != _DATA:
        put(state, at.PACKET_AT, packet)
        put(state, at.PACKET_BYTES, n_bytes)
        return at.HAS_PACKET
    _take_data(state, packet, n_bytes)
    return 0


@kernel
def _decode_buffer(state: Address) -> int:
    """Decode what the buffer holds, or up to something for the caller to do."""
    largest, filled = get(state, at.MAX_ENCODED), get(state, at.FILLED)
    start, end = get(state, at.BEGIN), get(state, at.SCANNED)
    todo = 0
    while end < filled and todo == 0:
        end = find_zero(end, filled)
        n = end - start
        is_whole = end < filled
        if get(state, at.DISCARDING) != 0 or n > largest:
            add(state, at.N_OVERSIZE, 1 - get(state, at.DISCARDING))
            put(state, at.DISCARDING, not is_whole)
            end += is_whole
            start = end
        elif is_whole:
            n_rows = get(state, at.ROWS)
            room = get(state, at.MAX_ROWS) - n_rows
            # Asked before it is decoded, because it is decoded in place, and so only once.
            if n_rows > 0 and room * get(state, at.FRAME_BYTES) < n:
                todo = at.IS_FULL
            else:
                if n > 0:
                    todo = _take_packet(state, start, end)
                end += 1
                start = end
    put(state, at.BEGIN, start)
    put(state, at.SCANNED, end)
    return todo


@kernel
def resume(state: Address) -> int:
    """Entry: decode what was begun, up to its end or to something for the caller to do.

    Returns
    -------
    int
        0: all is read and there is nothing to do. Else bits. HAS_ROWS: frames wait from TAKEN to
        ROWS. HAS_PACKET: a packet is for the caller; resume. IS_FULL: the block has no room for
        the next packet; take the rows, give a new block and resume.
    """
    todo = _decode_buffer(state)
    while todo == 0 and refill(state):
        todo = _decode_buffer(state)
    return todo | int(waiting(state))


@kernel
def take(state: Address, source: Address, n: int) -> int:
    """Entry: decode `n` bytes; see `resume`. Many of them get a block of their own."""
    begin(state, source, n)
    room = get(state, at.MAX_ROWS) - get(state, at.ROWS)
    if n > get(state, at.PIECE_BYTES) and room * get(state, at.FRAME_BYTES) < n:
        return at.IS_FULL | int(waiting(state))
    return int(resume(state))


@kernel
def push(context: int, argument: int) -> int:
    """Entry, the built-in method: decode `bytes`; call Python when there is something to do."""
    state = slots_of(context)
    if not is_bytes(state, argument):
        return int(fall_back(state, argument))
    return answer(state, take(state, bytes_data(argument), bytes_size(argument)), argument)
