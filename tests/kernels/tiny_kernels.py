"""Kernels for tests of how kernels are compiled, kept and called; see `tiny_units`."""

from __future__ import annotations

import numpy as np

from streamrnn.kernels import pycall
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.objects import (
    array_data,
    bytes_size,
    f8_pointer,
    fall_back,
    integer,
    is_bytes,
    none,
    slots_of,
    word,
)


@kernel
def total(a, n, out):
    s = a[0] - a[0]
    for k in range(n):
        s += a[k]
    out[0] = s


@kernel
def half(n):
    return n // 2


@kernel
def add_method(context, argument):
    """Add an array of three float64 to a counter; `bytes` count their length."""
    slots = slots_of(context)
    own = f8_pointer(word(slots, 8 * pycall.N_HEAD))
    if is_bytes(slots, argument):
        own[0] += np.float64(bytes_size(argument))
        return integer(np.int64(own[0]))
    at = array_data(slots, argument)
    if at == 0:
        return fall_back(slots, argument)
    a = f8_pointer(at)
    for k in range(3):
        own[0] += a[k]
    return none(slots)


@kernel
def allocate(n):
    return len(np.zeros(n))


@kernel
def divide(n):
    if n == 0:
        raise ValueError("no")
    return 1 // n


@kernel
def speak(n):
    print(n)  # noqa: T201
    return n


@kernel
def fraction(n):
    return n / 2.0


@kernel
def muddle(n):
    return n.nothing
