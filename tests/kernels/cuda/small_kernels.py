"""Kernels that are right, for tests that make them wrong. Compiled for the device alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.words import load4, shared_floats, store4
from streamrnn.kernels.jit import fma


def chain(n_steps: int) -> Callable[..., None]:
    """Return a kernel: a recurrence through shared memory, as the network's are.

    ``h[u] = fma(w, h[n - 1 - u], x[block, u])``, each step; arguments w (1,), x and out
    (n_blocks, n threads).
    """

    def kernel(w: Any, x: Any, out: Any) -> None:
        unit, n = np.uint32(cuda.threadIdx.x), np.uint32(cuda.blockDim.x)
        at = np.uint32(cuda.blockIdx.x) * n + unit
        h = shared_floats()
        h[unit] = np.float32(0.0)
        cuda.syncthreads()
        for _ in range(n_steps):
            value = fma(w[np.uint32(0)], h[n - np.uint32(1) - unit], x[at])
            cuda.syncthreads()
            h[unit] = value
            cuda.syncthreads()
        out[at] = h[unit]

    return kernel


def quads() -> Callable[..., None]:
    """Return a kernel: four numbers a thread, doubled; arguments a and out."""

    def kernel(a: Any, out: Any) -> None:
        at = np.uint32(4) * np.uint32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        a0, a1, a2, a3 = load4(a, at)
        store4(out, at, a0 + a0, a1 + a1, a2 + a2, a3 + a3)

    return kernel
