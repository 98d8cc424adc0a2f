"""Run in a process of its own: kernels under Numba's own runtime, which counts allocations.

The compiler of units has no allocator to link, so it would refuse a kernel that allocates. Here the
same kernels are compiled the ordinary way, where they could, and are counted.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from numba import njit
from numba.core.runtime import rtsys

from streamrnn.core.types import Channel
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.kernels import get_backend, native
from streamrnn.kernels.live import push
from streamrnn.kernels.live.pusher import Pusher
from streamrnn.kernels.objects import f4_pointer, f8_pointer, i8_pointer
from streamrnn.kernels.pointwise import Smoother
from streamrnn.kernels.rnn import layout, rows
from streamrnn.model.network import Network
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec


@njit
def push_rows(s, x, n, probabilities, smoothed, energy):
    push.push_rows(
        i8_pointer(s), f4_pointer(x), n, f4_pointer(probabilities), f8_pointer(smoothed),
        f4_pointer(energy),
    )  # fmt: skip


@njit
def tick(header, state, x, logits, n_rows, work):
    rows.run(
        i8_pointer(header), f4_pointer(state), f4_pointer(x), i8_pointer(0), f4_pointer(0),
        f4_pointer(logits), 1, n_rows, 0, n_rows, f4_pointer(work),
    )  # fmt: skip


@njit
def a_kernel_that_allocates(n):
    return np.zeros(n).sum()


def allocations(function, *arguments) -> int:
    """Return how often one call allocates, once it is compiled."""
    function(*arguments)
    before = rtsys.get_allocation_stats()
    for _ in range(100):
        function(*arguments)
    after = rtsys.get_allocation_stats()
    return (after.alloc - before.alloc) + (after.mi_alloc - before.mi_alloc)


def main() -> None:
    rng = np.random.default_rng(0)
    channels = [Channel(name) for name in ("acc_x", "acc_y", "acc_z")]
    x = rng.normal(size=(7, 3)).astype(np.float32)
    chain = FeatureChain.fit([x], channels, 100.0, FeatureConfig(differences=True))
    params = init_params(NetworkSpec(chain.n_outputs, (20, 17), 4), seed=0)
    network = Network(params, get_backend("cpu"))
    row = network.row()
    assert row is not None
    pusher = Pusher(row, chain.kernel, Smoother(4, 0.5), np.arange(3), 3)
    p, smoothed, energy = np.zeros((7, 4), np.float32), np.zeros((7, 4)), np.zeros(7, np.float32)
    address = native.address

    n_rows = 9
    handle = network._handle
    state = network.new_state(n_rows)
    frames = rng.normal(size=(n_rows, chain.n_outputs)).astype(np.float32)
    logits = np.zeros((n_rows, 4), np.float32)
    work = native.aligned(layout.work_size(handle.plan, np.dtype(np.float32), 1), np.float32)
    sys.stdout.write(json.dumps({
        "push": allocations(
            push_rows, pusher._slots_at, address(x), 7, address(p), address(smoothed),
            address(energy),
        ),
        "tick": allocations(
            tick, handle.header_at, address(state.arena), address(frames), address(logits),
            n_rows, address(work),
        ),
        "other": allocations(a_kernel_that_allocates, 1000),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
