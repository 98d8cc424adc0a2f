"""The machine, as far as it matters to kernels: what it can do, and how fast it measurably is."""

from __future__ import annotations

import platform
from collections.abc import Callable
from time import perf_counter

import llvmlite.binding as llvm
import numpy as np

from streamrnn.kernels import native
from streamrnn.kernels.native import Unit
from streamrnn.kernels.rnn.machine import VECTOR_BYTES

#: Multiply-adds of vectors in one turn of `fma_rate`, and vectors in one turn of `read_rate`.
N_CHAINS = 8
#: A measurement is the best of this many, each about `_BURST_S` long.
_N_BURSTS = 60
_BURST_S = 0.01

PROBE = Unit(
    "probe",
    "streamrnn.kernels.probe",
    {"fma_rate": "f4* i8", "read_rate": "f4* i8 i8 f4*"},
    sources=("probe.py", "host.py", "rnn/simd.py", "rnn/machine.py"),
)

#: What decides how fast kernels are, by the kind of processor, in LLVM's words.
_FEATURES = {
    "x86_64": (
        *("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl"),
        *("avx512bf16", "avx512vnni", "pclmul", "vpclmulqdq"),
    ),
    "aarch64": ("neon", "fullfp16", "dotprod", "bf16", "i8mm", "sve", "sve2", "aes", "crc"),
}


def cpu_name() -> str:
    """Return what the processor calls itself, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model", "cpu model") and value.strip():
                    return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def features() -> dict[str, bool]:
    """Return which features that matter the processor has."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    has = llvm.get_host_cpu_features()
    return {name: bool(has.get(name, False)) for name in _FEATURES.get(machine, ())}


def flops_per_s() -> float:
    """Return the rate of float32 multiply-adds on one core, two operations each."""
    lib = native.load(PROBE)
    lanes = VECTOR_BYTES // 4
    a = native.aligned(max(lanes, N_CHAINS + 1), np.float32)
    at = native.address(a)

    def work(n: int) -> None:
        a[:] = 0.5  # it falls to the fixed point of x -> x / 2 + 1 / 2: no number gets denormal
        lib.fma_rate(at, n)

    return 2 * N_CHAINS * lanes * _rate(work, 1000)


def read_bytes_per_s(n_bytes: int) -> float:
    """Return how fast one core reads `n_bytes` again and again, from wherever they stay."""
    lib = native.load(PROBE)
    block = N_CHAINS * VECTOR_BYTES
    n_vectors = max(1, round(n_bytes / block)) * N_CHAINS
    a = native.aligned(n_vectors * VECTOR_BYTES // 4, np.float32)
    out = native.aligned(VECTOR_BYTES // 4, np.float32)
    at, out_at = native.address(a), native.address(out)
    return n_vectors * VECTOR_BYTES * _rate(lambda n: lib.read_rate(at, n_vectors, n, out_at), 4)


def best_s(work: Callable[[], object], burst_s: float = _BURST_S) -> float:
    """Return the seconds of one call of `work`: the best of some bursts, the machine being shared.

    Parameters
    ----------
    work : callable
    burst_s : float
        About how long a burst shall last.
    """

    def repeat(n: int) -> None:
        for _ in range(n):
            work()

    return 1.0 / _rate(repeat, 1, burst_s)


def _rate(work: Callable[[int], None], n: int, burst_s: float = _BURST_S) -> float:
    """Return how many times a second ``work(n)`` does what it does `n` times."""
    while _seconds(work, n) < burst_s / 4:
        n *= 2
    n = max(1, round(n * burst_s / _seconds(work, n)))
    return n / min(_seconds(work, n) for _ in range(_N_BURSTS))


def _seconds(work: Callable[[int], None], n: int) -> float:
    begin_s = perf_counter()
    work(n)
    return perf_counter() - begin_s
