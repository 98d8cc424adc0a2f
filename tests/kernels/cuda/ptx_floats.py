"""Arithmetic as PTX defines it, on NumPy arrays: one rounding where it says one.

float64 holds the product of two float32 exactly; the sum with the third is taken with its error,
so that rounding to float32 sees what was cut off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_TINY = float(np.finfo(np.float32).tiny)


def fma32(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c, rounded once to nearest, ties to even."""
    product = a.astype(np.float64)
    product *= b
    total = product + c
    low = total.view(np.int64) & 0x1FFFFFFF
    # Only a sum that looks like a tie of two float32 can be rounded wrongly the second time; below
    # the normal range ties look otherwise.
    ties = np.count_nonzero(low == 0x10000000)
    small = np.abs(total) < _TINY
    if ties or (np.count_nonzero(small) and np.count_nonzero(total[small])):
        total = _odd(product, c.astype(np.float64), total)
    return total.astype(np.float32)


def truncated(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c, rounded once towards zero (``rz``)."""
    product = a.astype(np.float64) * b
    total = _odd(product, c.astype(np.float64), product + c)
    near = total.astype(np.float32)
    back = np.nextafter(near, np.float32(0))
    return np.where((np.abs(near) > np.abs(total)) & np.isfinite(total), back, near)


def _odd(x: Array, y: Array, total: Array) -> Array:
    """Return x + y rounded to odd: with the last bit set where it is not exact (Boldo 2008)."""
    back = total - x
    error = (x - (total - back)) + (y - back)
    bits = total.view(np.int64)
    wrong = (error != 0) & np.isfinite(total) & np.isfinite(error) & (bits & 1 == 0)
    toward = np.where((error > 0) == (total > 0), 1, -1)
    return np.where(wrong, bits + toward, bits).view(np.float64)


def minimum(a: Array, b: Array) -> Array:
    """Return the smaller one; a number rather than NaN, -0 rather than +0."""
    unsigned = np.dtype(f"u{a.itemsize}")
    same = (a.view(unsigned) | b.view(unsigned)).view(a.dtype)
    return np.where(a == b, same, np.fmin(a, b))


def maximum(a: Array, b: Array) -> Array:
    """Return the larger one; a number rather than NaN, +0 rather than -0."""
    unsigned = np.dtype(f"u{a.itemsize}")
    same = (a.view(unsigned) & b.view(unsigned)).view(a.dtype)
    return np.where(a == b, same, np.fmax(a, b))


def flush(a: Array) -> Array:
    """Return denormal numbers as zeros of their sign."""
    return np.where(np.abs(a) < np.finfo(a.dtype).tiny, np.copysign(a.dtype.type(0), a), a)


def saturate(a: Array) -> Array:
    """Return a held to 0..1; 0 for NaN."""
    return np.where(np.isnan(a), a.dtype.type(0), np.clip(a, 0, 1)).astype(a.dtype)


def wide(function: Any) -> Any:
    """Make a float32 function of a float64 one: exact but for the last rounding."""
    return lambda a: function(a.astype(np.float64)).astype(np.float32)


def bf16_to_f32(bits: Array) -> Array:
    """Return bfloat16 numbers, given as their bits, as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def f32_to_bf16(a: Array, rounding: str = "rn") -> Array:
    """Return the bits of float32 numbers as bfloat16, to nearest even (rn) or to zero (rz)."""
    bits = np.ascontiguousarray(a).view(np.uint32)
    if rounding == "rn":
        up = ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
        cut = (bits + up) >> np.uint32(16)
    else:
        cut = bits >> np.uint32(16)
    return np.where(np.isnan(a), np.uint32(0x7FFF), cut).astype(np.uint16)


def to_integer(a: Array, rounding: str, target: np.dtype[Any]) -> Array:
    """Return floats as integers: rounded as rni, rzi, rmi or rpi says, held to the range."""
    round_to = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[rounding]
    whole = round_to(a.astype(np.float64))
    limits = np.iinfo(target)
    below, above = whole <= float(limits.min), whole >= float(limits.max)
    safe = np.where(below | above | np.isnan(whole), 0.0, whole)
    result = safe.astype(target)
    result = np.where(below, target.type(limits.min), result)
    result = np.where(above, target.type(limits.max), result)
    if a.itemsize == 8 or target.itemsize == 8:
        top = np.array(1 << (8 * target.itemsize - 1), f"u{target.itemsize}").view(target)
    else:
        top = np.zeros((), target)
    return np.where(np.isnan(whole), top, result)


def multiply_high(a: Array, b: Array) -> Array:
    """Return the upper half of products of integers, signed or not."""
    bits = 8 * a.itemsize
    if bits < 64:
        double = np.dtype(f"{a.dtype.kind}{2 * a.itemsize}")
        return ((a.astype(double) * b.astype(double)) >> double.type(bits)).astype(a.dtype)
    x, y = a.view(np.uint64), b.view(np.uint64)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    middle = x1 * y0 + ((x0 * y0) >> half)
    other = x0 * y1 + (middle & low)
    high = x1 * y1 + (middle >> half) + (other >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.view(a.dtype)
