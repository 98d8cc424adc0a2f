"""NumPy: one matrix product and in-place arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer
from benchmarks.shapes import Task
from streamrnn.core.types import F32


class _Layer:
    """One layer for B streams; input and hidden vector stand side by side for one product."""

    def __init__(self, task: Task, n: int) -> None:
        layer = task.params.layers[n]
        self.n_inputs, self.n_hidden = task.widths[n]
        self.weights = np.ascontiguousarray(np.concatenate([layer.w_ih, layer.w_hh], axis=1).T)
        self.b = layer.b
        self.z = np.zeros((task.n_rows, self.n_inputs + self.n_hidden), np.float32)
        self.c = np.zeros((task.n_rows, self.n_hidden), np.float32)
        self.gates = np.empty((task.n_rows, 4 * self.n_hidden), np.float32)

    def advance(self, x: F32) -> F32:
        n, gates, c = self.n_hidden, self.gates, self.c
        self.z[:, : self.n_inputs] = x
        np.dot(self.z, self.weights, out=gates)
        gates += self.b
        gates[:, : 2 * n] *= 0.5  # a sigmoid is (1 + tanh(x / 2)) / 2
        gates[:, 3 * n :] *= 0.5
        np.tanh(gates, out=gates)
        for columns in (slice(2 * n), slice(3 * n, None)):
            gates[:, columns] += 1.0
            gates[:, columns] *= 0.5
        c *= gates[:, n : 2 * n]
        c += gates[:, :n] * gates[:, 2 * n : 3 * n]
        hidden = self.z[:, self.n_inputs :]
        np.multiply(gates[:, 3 * n :], np.tanh(c), out=hidden)
        return hidden


class NumPy(Peer):
    """What one would write without a framework."""

    name = "NumPy"
    packages = ("numpy",)

    def _advance(self, task: Task) -> Any:
        layers = [_Layer(task, n) for n in range(task.n_layers)]

        def advance(x: F32) -> F32:
            for layer in layers:
                x = layer.advance(x)
            return x

        return advance

    def step(self, task: Task) -> Job | None:
        return Job(self._advance(task), lambda h: h[0].copy())

    def streams(self, task: Task) -> Job | None:
        advance, x = self._advance(task), task.x[0]
        return Job(lambda: advance(x), np.array)
