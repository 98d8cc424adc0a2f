"""Our side of every comparison: the one place that knows this project's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer
from benchmarks.shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Task
from streamrnn.core.types import F32
from streamrnn.kernels import get_backend
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState

NAME = "streamrnn"


class Ours(Peer):
    """The CPU backend, the head's outputs included."""

    name = NAME
    packages = ("streamrnn",)

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        self.backend: Any = get_backend("cpu")

    def _parts(self, task: Task) -> tuple[Any, Any, F32]:
        """Return handle, state and logits (B, C)."""
        handle = self.backend.upload(task.params)
        state = self.backend.zero_state(handle, task.n_rows)
        return handle, state, np.zeros((task.n_rows, N_CLASSES), np.float32)

    def step(self, task: Task) -> Job | None:
        handle, state, logits = self._parts(task)
        if hasattr(self.backend, "stepper"):
            step = self.backend.stepper(handle, state, logits)
            return Job(step, lambda _: logits[0].copy(), (1, -1), gives_logits=True)
        advance = self.backend.step
        return Job(
            lambda x: advance(handle, x, state, logits),
            lambda _: logits[0].copy(),
            (1, -1),
            gives_logits=True,
        )

    def chunk(self, task: Task) -> Job | None:
        handle, state, _ = self._parts(task)
        forward, x = self.backend.forward, task.x
        return Job(
            lambda: forward(handle, x, state)[0], lambda y: np.array(y[:, 0]), gives_logits=True
        )

    def streams(self, task: Task) -> Job | None:
        handle, state, logits = self._parts(task)
        advance, x = self.backend.step, task.x[0]
        return Job(
            lambda: advance(handle, x, state, logits), lambda _: logits.copy(), gives_logits=True
        )

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
