"""Kernels for the tests of machine code; only the compiler imports this."""

from __future__ import annotations

from numba import cuda


def double(*, times: int):
    """Return a kernel that multiplies n numbers by 2, so many times."""

    def tiny(x, n):
        i = cuda.grid(1)
        if i < n:
            for _ in range(times):
                x[i] = x[i] * 2

    return tiny


def muddle():
    """Return a kernel that makes no sense."""

    def bad(x):
        x[0] = x + "a"

    return bad
