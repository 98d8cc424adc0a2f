"""Consistent Overhead Byte Stuffing (Cheshire & Baker, IEEE/ACM Trans. Networking 7(2), 1999)."""

from __future__ import annotations

from streamrnn.kernels.codec.memory import (
    Address,
    copy64,
    load_byte,
    lowest_bit,
    matches64,
    store_u8,
)
from streamrnn.kernels.jit import kernel

_FULL = 255
_UNROLLED = 4


@kernel
def find_zero(start: Address, stop: Address) -> Address:
    """Return where the first 0 from `start` on is, or `stop`.

    Up to `slots.SLACK` bytes behind `stop` are read, and do not matter.
    """
    i = start
    while i < stop:
        mask = matches64(i, 0)
        if mask != 0:
            found: int = i + lowest_bit(mask)
            return min(found, stop)
        i += 64
    return stop


@kernel
def _decode_short(start: Address, stop: Address) -> Address:
    """Put the zeros back into a packet too short for a full run; return where its runs end.

    Each code but the first stands where a 0 was. The delimiter is a code that leads to itself, so
    it does not matter how often it is followed: there is one hard-to-guess branch for four codes.
    """
    i = start
    while i < stop:
        for _ in range(_UNROLLED):
            code = load_byte(i)
            store_u8(min(i, stop), 0)
            i += code
    return i


@kernel
def _decode_long(start: Address, stop: Address, target: Address) -> int:
    """Decode any packet to `target`, run by run; return its length, or -1.

    Most runs are short: one copy, of which the rest is overwritten by the next.
    """
    i = start
    n = 0
    code = _FULL
    while i < stop:
        code = load_byte(i)
        if i + code > stop:
            return -1
        k = 0
        while True:
            copy64(target + n + k, i + 1 + k)
            k += 64
            if k >= code - 1:
                break
        i += code
        n += code - 1
        store_u8(target + n, 0)
        n += code < _FULL
    return n - (code < _FULL)


@kernel
def cobs_decode(start: Address, stop: Address, target: Address) -> tuple[Address, int]:
    """Decode one packet, in place if it is short.

    Parameters
    ----------
    start, stop : int
        Addresses of its first byte, and of the delimiter behind it; there is no other 0. It is
        overwritten. Up to `slots.COBS_SLACK` bytes behind it are read, and do not matter.
    target : int
        Address of ``stop - start + slots.SLACK`` bytes; may be overwritten.

    Returns
    -------
    packet : int
        Address of what was decoded.
    n : int
        Its length, or -1 if the last run is longer than the packet.
    """
    if stop - start < _FULL:
        n = stop - start - 1
        if _decode_short(start, stop) != stop:
            n = -1
        return start + 1, n
    return target, _decode_long(start, stop, target)
