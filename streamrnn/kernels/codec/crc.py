"""CRC-32 as zlib, Ethernet and PNG have it: polynomial 0xEDB88320, reflected, inverted."""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.codec.memory import Address, load_u8, load_u64
from streamrnn.kernels.jit import kernel


def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Return the tables of slicing-by-8 (Kounavis & Berry 2005); row k: a byte k further on."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, 8):
        tables[k] = (tables[k - 1] >> np.uint32(8)) ^ tables[0, tables[k - 1] & np.uint32(255)]
    return tables


TABLES = _tables()


@kernel
def crc32(data: Address, n: int) -> np.uint32:
    """Return the CRC-32 of `n` bytes."""
    low = np.uint64(255)
    crc = np.uint32(0xFFFFFFFF)
    i = 0
    while i + 8 <= n:
        word = load_u64(data, i) ^ np.uint64(crc)
        crc = (
            TABLES[7, word & low]
            ^ TABLES[6, (word >> np.uint64(8)) & low]
            ^ TABLES[5, (word >> np.uint64(16)) & low]
            ^ TABLES[4, (word >> np.uint64(24)) & low]
            ^ TABLES[3, (word >> np.uint64(32)) & low]
            ^ TABLES[2, (word >> np.uint64(40)) & low]
            ^ TABLES[1, (word >> np.uint64(48)) & low]
            ^ TABLES[0, word >> np.uint64(56)]
        )
        i += 8
    while i < n:
        index = np.uint32(load_u8(data, i)) ^ (crc & np.uint32(255))
        crc = (crc >> np.uint32(8)) ^ TABLES[0, index]
        i += 1
    return crc ^ np.uint32(0xFFFFFFFF)
