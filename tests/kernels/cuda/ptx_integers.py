"""Arithmetic of integers and of bits that NumPy does not have, as PTX defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def shift(function: Any) -> Callable[[Array, Array], Array]:
    """Shift by at most all bits: PTX clamps the distance, NumPy does not define it."""

    def shift(a: Array, by: Array) -> Array:
        bits = 8 * a.itemsize
        moved = function(a, np.minimum(by, np.uint32(bits - 1)).astype(a.dtype))
        if a.dtype.kind == "i" and function is np.right_shift:
            return moved
        return np.where(by >= bits, a.dtype.type(0), moved)

    return shift


def divide(a: Array, b: Array) -> Array:
    """Divide integers towards zero; all ones where b is 0."""
    safe = np.where(b == 0, b.dtype.type(1), b)
    quotient = a // safe
    if a.dtype.kind == "i":
        quotient = quotient + ((quotient < 0) & (quotient * safe != a)).astype(a.dtype)
        quotient = np.where((b == -1), -a, quotient)
    return np.where(b == 0, ~a.dtype.type(0), quotient)


def remainder(a: Array, b: Array) -> Array:
    """Return what `divide` leaves; a itself where b is 0."""
    return np.where(b == 0, a, a - divide(a, b) * b)


def bit_count(a: Array) -> Array:
    """Return how many bits are set."""
    return np.unpackbits(a.view(np.uint8).reshape(len(a), -1), axis=1).sum(axis=1, dtype=np.uint32)


def leading_zeros(a: Array) -> Array:
    """Return how many of the highest bits are 0."""
    swapped = a.byteswap().view(np.uint8).reshape(len(a), -1)
    bits = np.unpackbits(swapped, axis=1)
    return np.where(bits.any(axis=1), bits.argmax(axis=1), 8 * a.itemsize).astype(np.uint32)


def reverse_bits(a: Array) -> Array:
    """Return the bits in the opposite order."""
    bits = np.unpackbits(a.view(np.uint8).reshape(len(a), -1), axis=1, bitorder="little")
    return np.packbits(bits[:, ::-1], axis=1, bitorder="little").reshape(-1).view(a.dtype)


def extract(a: Array, start: Array, length: Array) -> Array:
    """Return bits of a, extended by their highest where a is signed (``bfe``)."""
    bits = 8 * a.itemsize
    start, length = (start & np.uint32(255)).astype(int), (length & np.uint32(255)).astype(int)
    wide = [int(v) for v in a]
    result = []
    for value, at, n in zip(wide, start, length, strict=True):
        unsigned = value & ((1 << bits) - 1)
        field = (unsigned >> at) & ((1 << n) - 1)
        if a.dtype.kind == "i" and n:
            top = min(at + n - 1, bits - 1)
            if unsigned >> top & 1:
                field |= ((1 << bits) - 1) << (top - at + 1)
        result.append(field & ((1 << bits) - 1))
    return np.array(result, f"u{a.itemsize}").view(a.dtype)


def insert(a: Array, b: Array, start: Array, length: Array) -> Array:
    """Return b with some bits taken from a (``bfi``)."""
    bits = 8 * a.itemsize
    at = (start & np.uint32(255)).astype(np.uint64)
    n = np.minimum((length & np.uint32(255)).astype(np.uint64), np.uint64(bits))
    one = np.uint64(1)
    ones = np.where(n >= 64, ~np.uint64(0), (one << np.minimum(n, np.uint64(63))) - one)
    inside = at < bits
    at = np.minimum(at, np.uint64(63))
    field = np.where(inside, ones << at, np.uint64(0))
    value = (b.astype(np.uint64) & ~field) | ((a.astype(np.uint64) << at) & field)
    return value.astype(a.dtype)


def permute(a: Array, b: Array, selector: Array) -> Array:
    """Return four of the eight bytes of a and b, or their signs (``prmt``)."""
    data = np.concatenate([v.view(np.uint8).reshape(-1, 4) for v in (a, b)], axis=1)
    result = np.empty((len(a), 4), np.uint8)
    rows = np.arange(len(a))
    for byte in range(4):
        pick = (selector >> np.uint32(4 * byte)) & np.uint32(15)
        value = data[rows, pick & np.uint32(7)]
        sign = np.where(value & 0x80, np.uint8(255), np.uint8(0))
        result[:, byte] = np.where(pick & np.uint32(8), sign, value)
    return result.reshape(-1).view(np.uint32)


def logic3(table: int) -> Callable[[Array, Array, Array], Array]:
    """Return the function of three bits that a table says (``lop3``)."""

    def lop3(a: Array, b: Array, c: Array) -> Array:
        result = np.zeros_like(a)
        for case in range(8):
            if table >> case & 1:
                term = (a if case & 4 else ~a) & (b if case & 2 else ~b)
                result |= term & (c if case & 1 else ~c)
        return result

    return lop3
