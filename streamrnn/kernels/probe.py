"""Two loops that only measure: the rate of multiply-adds, and how fast memory is read."""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.host import N_CHAINS
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.simd import broadcast, lanes, load, store


@kernel
def fma_rate(a: Any, n: int) -> None:
    """Do `n` times `N_CHAINS` multiply-adds of vectors, none of which waits for its neighbours.

    ``a[0]`` is the factor; the chains begin at ``a[1], a[2], ...``. Overwrites the first vectors.
    """
    x = broadcast(a, 0)
    s0, s1, s2, s3 = broadcast(a, 1), broadcast(a, 2), broadcast(a, 3), broadcast(a, 4)
    s4, s5, s6, s7 = broadcast(a, 5), broadcast(a, 6), broadcast(a, 7), broadcast(a, 8)
    for _ in range(n):
        s0, s1, s2, s3 = fma(s0, x, x), fma(s1, x, x), fma(s2, x, x), fma(s3, x, x)
        s4, s5, s6, s7 = fma(s4, x, x), fma(s5, x, x), fma(s6, x, x), fma(s7, x, x)
    store(a, 0, s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)


@kernel
def read_rate(a: Any, n: int, n_times: int, out: Any) -> None:
    """Read `n` vectors `n_times`, `N_CHAINS` in a turn, with a multiply-add each."""
    w = lanes(a)
    x = broadcast(out, 0)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = x
    for _ in range(n_times):
        for turn in range(n // N_CHAINS):
            k = turn * N_CHAINS * w
            s0, s1 = fma(load(a, k), x, s0), fma(load(a, k + w), x, s1)
            s2, s3 = fma(load(a, k + 2 * w), x, s2), fma(load(a, k + 3 * w), x, s3)
            s4, s5 = fma(load(a, k + 4 * w), x, s4), fma(load(a, k + 5 * w), x, s5)
            s6, s7 = fma(load(a, k + 6 * w), x, s6), fma(load(a, k + 7 * w), x, s7)
    store(out, 0, s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)
