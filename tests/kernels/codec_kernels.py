"""The parts of the codec kernels as entries, for tests of them alone."""

from __future__ import annotations

from streamrnn.kernels.codec.clmul import crc32_by_folding
from streamrnn.kernels.codec.cobs import cobs_decode, find_zero
from streamrnn.kernels.codec.crc import crc32_by_tables
from streamrnn.kernels.codec.text import _find_line_end
from streamrnn.kernels.jit import kernel

__all__ = ["crc32_by_folding", "crc32_by_tables", "find_line_end", "find_zero", "undo_cobs"]

find_line_end = _find_line_end


@kernel
def undo_cobs(start, stop, target, result):
    result[0], n = cobs_decode(start, stop, target)
    return n
