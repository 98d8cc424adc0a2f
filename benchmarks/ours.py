"""Our side of every comparison: the one place that knows this project's interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer
from benchmarks.shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Task
from streamrnn.core.types import F32
from streamrnn.kernels.features import FeatureKernel, plain
from streamrnn.kernels.live.pusher import Pusher
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState
from streamrnn.kernels.pointwise import Smoother
from streamrnn.kernels.rnn.cpu import CpuBackend
from streamrnn.kernels.rnn.stepper import Stepper

NAME = "streamrnn"


class Ours(Peer):
    """The CPU backend, the head's outputs included."""

    name = NAME
    packages = ("streamrnn",)

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        self.backend = CpuBackend(n_threads)

    def _parts(self, task: Task) -> tuple[Any, Any, F32]:
        """Return handle, state and logits (B, C)."""
        handle = self.backend.upload(task.params)
        state = self.backend.zero_state(handle, task.n_rows)
        return handle, state, np.zeros((task.n_rows, N_CLASSES), np.float32)

    def step(self, task: Task) -> Job | None:
        handle, state, logits = self._parts(task)
        step = self.backend.stepper(handle, state, logits).step
        return Job(step, lambda _: logits[0].copy(), gives_logits=True)

    def chunk(self, task: Task) -> Job | None:
        handle, state, _ = self._parts(task)
        forward, x = self.backend.forward, task.x
        return Job(
            lambda: forward(handle, x, state)[0], lambda y: np.array(y[:, 0]), gives_logits=True
        )

    def streams(self, task: Task) -> Job | None:
        handle, state, logits = self._parts(task)
        step, x = self.backend.stepper(handle, state, logits).step, task.x[0]
        if self.n_threads > 1:  # a stepper is for one
            advance = self.backend.step
            return Job(
                lambda: advance(handle, x, state, logits),
                lambda _: logits.copy(),
                gives_logits=True,
            )
        return Job(lambda: step(x), lambda _: logits.copy(), gives_logits=True)

    def sequence(self, task: Task) -> Job | None:
        handle, state, _ = self._parts(task)
        forward, x = self.backend.forward, task.x

        def run() -> Any:
            state.arena[:] = 0
            return forward(handle, x, state)[0]

        return Job(run, np.array, gives_logits=True)

    def train(self, task: Task) -> Job | None:
        handle, state, _ = self._parts(task)
        shape = (task.n_steps, task.n_rows)
        targets, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        targets[-1], weights[-1] = task.labels, 1.0
        lengths = np.full(task.n_rows, task.n_steps, np.int64)
        batch = Batch(task.x, targets, weights, lengths, state)
        loss = LossSpec(np.ones(N_CLASSES, np.float32))
        adam = AdamSpec(LEARNING_RATE, clip_norm=CLIP_NORM)
        opt = OptState.zeros(task.params)
        train_step = self.backend.train_step

        def update() -> float:
            state.arena[:] = 0
            return float(train_step(handle, batch, loss, adam, opt).loss)

        return Job(update)


def stepper(task: Task) -> Stepper:
    """Return one stream of the network of `task`."""
    backend = CpuBackend()
    handle = backend.upload(task.params)
    logits = np.zeros((1, N_CLASSES), np.float32)
    return backend.stepper(handle, backend.zero_state(handle, 1), logits)


def push(task: Task) -> tuple[Callable[[bytes], int], list[bytes]]:
    """Return what takes a frame as it came over the wire, and frames.

    int16 samples are scaled, turned into features (scaled and squashed, as many as samples), run
    through the network, and their probabilities smoothed.
    """
    n = task.n_inputs
    none = np.zeros((0, 3), np.int64)
    features = FeatureKernel(plain(np.zeros(n), np.ones(n), none, asinh=True, differences=False))
    factors = np.tile(np.array([1 / 4096, 0.0], np.float32), (n, 1))
    smoother = Smoother(N_CLASSES, 0.2)
    pusher = Pusher(stepper(task), features, smoother, np.arange(n), n, factors)
    raw = np.clip(task.x[:, 0] * 4096, -32768, 32767).astype("<i2")
    return pusher.push_samples, [frame.tobytes() for frame in raw]
