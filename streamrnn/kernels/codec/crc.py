"""CRC-32 as zlib, Ethernet and PNG have it: polynomial 0xEDB88320, reflected, inverted."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.kernels import native
from streamrnn.kernels.codec.clmul import crc32_by_folding
from streamrnn.kernels.codec.memory import Address, load_byte, load_u64
from streamrnn.kernels.jit import kernel

#: Whether the processor that is compiled for multiplies without carries.
HAS_CLMUL = "+pclmul" in native.processor()[1].split(",")


def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Return the tables of slicing-by-16 (Kounavis & Berry 2005); row k: a byte k further on."""
    tables = np.zeros((16, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, 16):
        tables[k] = (tables[k - 1] >> np.uint32(8)) ^ tables[0, tables[k - 1] & np.uint32(255)]
    return tables


TABLES = _tables()


@kernel
def _of_eight(word: np.uint64, k: int) -> Any:
    """Return what 8 bytes add to the checksum of a block in which `k` follow them."""
    low = np.uint64(255)
    return (
        TABLES[k + 7, word & low]
        ^ TABLES[k + 6, (word >> np.uint64(8)) & low]
        ^ TABLES[k + 5, (word >> np.uint64(16)) & low]
        ^ TABLES[k + 4, (word >> np.uint64(24)) & low]
        ^ TABLES[k + 3, (word >> np.uint64(32)) & low]
        ^ TABLES[k + 2, (word >> np.uint64(40)) & low]
        ^ TABLES[k + 1, (word >> np.uint64(48)) & low]
        ^ TABLES[k, word >> np.uint64(56)]
    )


@kernel
def crc32_by_tables(data: Address, n: int) -> int:
    """Return the CRC-32 of `n` bytes."""
    crc = np.uint32(0xFFFFFFFF)
    i = data
    stop = data + n
    while i + 16 <= stop:
        crc = _of_eight(load_u64(i) ^ np.uint64(crc), 8) ^ _of_eight(load_u64(i + 8), 0)
        i += 16
    while i < stop:
        index = np.uint32(load_byte(i)) ^ (crc & np.uint32(255))
        crc = (crc >> np.uint32(8)) ^ TABLES[0, index]
        i += 1
    return int(crc) ^ 0xFFFFFFFF


#: The fastest here; for 4 bytes or more, and up to 15 before them are read.
crc32 = crc32_by_folding if HAS_CLMUL else crc32_by_tables
