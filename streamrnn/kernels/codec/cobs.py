"""Consistent Overhead Byte Stuffing (Cheshire & Baker, IEEE/ACM Trans. Networking 7(2), 1999)."""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.codec.memory import (
    Address,
    copy32,
    load_u8,
    lowest_bit,
    matches32,
    store_u8,
)
from streamrnn.kernels.jit import kernel


@kernel
def find_zero(data: Address, start: int, stop: int) -> int:
    """Return the index of the first 0 in ``data[start:stop]``, or `stop`.

    Up to `memory.SLACK` bytes behind `stop` are read, and do not matter.
    """
    i = start
    while i < stop:
        mask = matches32(data, i, np.uint8(0))
        if mask != 0:
            found: int = i + lowest_bit(mask)
            return min(found, stop)
        i += 32
    return stop


@kernel
def cobs_decode(source: Address, start: int, stop: int, target: Address) -> int:
    """Decode one packet.

    Parameters
    ----------
    source, start, stop : int
        ``source[start:stop]`` is the packet without its delimiter and holds no 0; up to
        `memory.SLACK` bytes behind it are read, and do not matter.
    target : int
        Address of ``stop - start + memory.SLACK`` bytes; overwritten.

    Returns
    -------
    int
        Decoded length, or -1 if the last run is longer than the packet.
    """
    i = start
    n = 0
    code = 255
    while i < stop:
        code = int(load_u8(source, i))
        if i + code > stop:
            return -1
        # Most runs are short: one copy of 32 bytes and one 0 without a branch; what is too much
        # is overwritten by the next run.
        copy32(target, n, source, i + 1)
        copied = 32
        while copied < code - 1:
            copy32(target, n + copied, source, i + 1 + copied)
            copied += 32
        i += code
        n += code - 1
        store_u8(target, n, np.uint8(0))
        n += code < 255
    return n - (code < 255)
