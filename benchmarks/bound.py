"""The machine's limits, measured beside the contenders and by the same clock.

A bound is a time below which a job cannot be done in float32 by the known ways:

- ``step``: every weight is read once a frame, so the bytes of the weights, read again and again
  from their start with one multiply-add a vector, plus the cell's update;
- ``chunk``: as ``step``; or, where it is less, the input's products at the full rate of
  multiply-adds and only the recurrent weights read a frame;
- ``streams``, ``sequence``: the products, the head's too, at the full rate of multiply-adds, plus
  the cell's update;
- ``train``: the products of forward and backward at the full rate; no cell.

The numbers of the machine (rates, bandwidths) that led to it are in `facts`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from time import perf_counter

import numpy as np

from benchmarks.shapes import N_CLASSES, Task
from benchmarks.vectors import N_CHAINS, Loops, lanes
from streamrnn.core.types import F32

NAME = "bound"


#: Of a large page, and what NumPy asks the system to keep in large pages.
_PAGE_BYTES, _LARGE_BYTES = 1 << 21, 1 << 23


def _aligned(n: int, *, large: bool = False) -> F32:
    """Return `n` float32 zeros that begin at a page, and were written, so that they are there.

    Memory that was never written is one page of zeros over and over, always in the first cache. In
    `large` pages it is not left to chance which addresses share a line of the second cache.
    """
    page = _PAGE_BYTES if large else 4096
    raw = np.zeros(max(4 * n, _LARGE_BYTES if large else 0) + page, np.uint8)
    start = -raw.ctypes.data % page
    buffer = raw[start : start + 4 * n].view(np.float32)
    buffer[:] = 0
    return buffer


class _Core:
    """The loops on one core, on buffers of its own."""

    def __init__(self, loops: Loops) -> None:
        self.loops = loops
        self.data = _aligned(N_CHAINS * lanes())
        self.weights = _aligned(N_CHAINS * lanes())

    def multiply_adds(self, n: int) -> None:
        self.data[: lanes()], self.data[lanes() : 2 * lanes()] = 0.999, 0.001
        self.loops.fma(n, self.data.ctypes.data)

    def read(self, n_bytes: int, n_times: int) -> None:
        n_vectors = max(1, round(n_bytes / (4 * lanes() * N_CHAINS))) * N_CHAINS
        if len(self.weights) != n_vectors * lanes():
            self.weights = _aligned(n_vectors * lanes(), large=True)
        address = self.weights.ctypes.data
        self.loops.read(n_times, address, n_vectors, self.data.ctypes.data)

    def cells(self, n_units: int, n_times: int) -> None:
        n = -(-n_units // lanes())
        z, c, h = _aligned(4 * n * lanes()), _aligned(n * lanes()), _aligned(n * lanes())
        z[:] = np.random.default_rng(0).standard_normal(len(z))
        self.loops.cell(n_times, z.ctypes.data, c.ctypes.data, h.ctypes.data, n)


class Bound:
    """Takes samples of the bound of a task: seconds of one unit.

    Parameters
    ----------
    n_threads : int
        Cores that work at once; each does the same, and the rate is that of all.
    """

    def __init__(self, n_threads: int = 1) -> None:
        loops = Loops()
        self._cores = [_Core(loops) for _ in range(n_threads)]
        self._pool = ThreadPoolExecutor(n_threads)
        #: What was measured last: ``gflops``, ``gbytes_s``, ``cell_ns`` (a unit of the hidden
        #: vector).
        self.facts: dict[str, float] = {}

    def sampler(self, task: Task, burst_s: float) -> Callable[[], float]:
        """Return a function that measures the bound of one unit of `task`, in seconds."""
        if task.kind == "step":
            return partial(self._step, task, burst_s)
        if task.kind == "chunk":
            return partial(self._chunk, task, burst_s)
        if task.kind == "train":
            return lambda: task.flops / self.flops_per_s(burst_s)
        return lambda: task.flops / self.flops_per_s(burst_s / 2) + self._cell(task, burst_s / 2)

    def _timed(self, work: Callable[[_Core, int], None], n: int) -> float:
        """Return the seconds of one of `n` pieces of work; every core does `n` at once."""
        barrier = Barrier(len(self._cores))
        ends: list[tuple[float, float]] = []

        def run(core: _Core) -> None:
            work(core, max(1, n // 8))
            barrier.wait()
            start_s = perf_counter()
            work(core, n)
            ends.append((start_s, perf_counter()))

        if len(self._cores) == 1:
            run(self._cores[0])
        else:
            list(self._pool.map(run, self._cores))
        took_s = max(end for _, end in ends) - min(start for start, _ in ends)
        return took_s / (n * len(self._cores))

    def flops_per_s(self, burst_s: float) -> float:
        """Return the rate of multiply-adds of all cores, two operations each."""
        work = _Core.multiply_adds
        n_flops = 2 * N_CHAINS * lanes()
        n = round(burst_s * 1e11 / n_flops)
        rate = n_flops / self._timed(work, n)
        self.facts["gflops"] = rate / 1e9
        return rate

    def _read(self, n_bytes: int, burst_s: float) -> float:
        def work(core: _Core, n: int) -> None:
            core.read(n_bytes, n)

        seconds = self._timed(work, max(2, round(burst_s * 1.5e11 / n_bytes)))
        self.facts["gbytes_s"] = n_bytes / seconds / 1e9
        return seconds

    def _cell(self, task: Task, burst_s: float) -> float:
        n_units = task.n_hidden * task.n_layers

        def work(core: _Core, n: int) -> None:
            core.cells(n_units, n)

        seconds = self._timed(work, max(2, round(burst_s * 1e9 / n_units)))
        self.facts["cell_ns"] = seconds / n_units * 1e9
        return seconds

    def _step(self, task: Task, burst_s: float) -> float:
        return self._read(weight_bytes(task), 0.7 * burst_s) + self._cell(task, 0.3 * burst_s)

    def _chunk(self, task: Task, burst_s: float) -> float:
        whole_s = self._read(weight_bytes(task), burst_s / 4)
        recurrent = sum(16 * hidden * hidden for _, hidden in task.widths)
        products = sum(2 * 4 * hidden * inputs for inputs, hidden in task.widths)
        parts_s = self._read(recurrent, burst_s / 4) + products / self.flops_per_s(burst_s / 4)
        return min(whole_s, parts_s) + self._cell(task, burst_s / 4)


def weight_bytes(task: Task) -> int:
    """Return the bytes of all weights in float32, the head's too."""
    layers = sum(4 * hidden * (inputs + hidden + 1) for inputs, hidden in task.widths)
    return 4 * (layers + N_CLASSES * (task.n_hidden + 1))
