"""PyTorch on the CPU: LSTMCell by hand and nn.LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Task


class _Torch(Peer):
    packages = ("torch",)

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        self.torch = library("torch")
        self.torch.set_num_threads(n_threads)
        self._mode: Any = None

    def _only_infer(self) -> None:
        """Keep no graph from here on: to enter and leave the mode in each call would cost 1 us.

        A process that times inference does not train.
        """
        if self._mode is None:
            self._mode = self.torch.inference_mode()
            self._mode.__enter__()

    def _fill(self, module: Any, task: Task, n: int, suffix: str) -> None:
        layer = task.params.layers[n]
        arrays = {
            "weight_ih": layer.w_ih, "weight_hh": layer.w_hh,
            "bias_ih": layer.b, "bias_hh": np.zeros_like(layer.b),
        }  # fmt: skip
        with self.torch.no_grad():
            for name, array in arrays.items():
                getattr(module, name + suffix).copy_(self.torch.from_numpy(array))


class TorchCell(_Torch):
    """`torch.nn.LSTMCell`, layer by layer."""

    name = "torch LSTMCell"

    def _advance(self, task: Task) -> Any:
        torch = self.torch
        self._only_infer()
        cells = [torch.nn.LSTMCell(*widths).eval() for widths in task.widths]
        for n, cell in enumerate(cells):
            self._fill(cell, task, n, "")
        blank = torch.zeros(task.n_rows, task.n_hidden)
        states = [(blank, blank) for _ in cells]

        def advance(x: Any) -> Any:
            for n, cell in enumerate(cells):
                states[n] = cell(x, states[n])
                x = states[n][0]
            return x

        return advance

    def step(self, task: Task) -> Job | None:
        advance, from_numpy = self._advance(task), self.torch.from_numpy
        return Job(lambda x: advance(from_numpy(x)), lambda h: h.numpy()[0], (1, -1))

    def streams(self, task: Task) -> Job | None:
        advance, x = self._advance(task), self.torch.from_numpy(task.x[0])
        return Job(lambda: advance(x), lambda h: np.array(h.numpy()))


class TorchLstm(_Torch):
    """`torch.nn.LSTM`, and the usual way of training."""

    name = "torch nn.LSTM"

    def _module(self, task: Task) -> Any:
        module = self.torch.nn.LSTM(task.n_inputs, task.n_hidden, task.n_layers)
        for n in range(task.n_layers):
            self._fill(module, task, n, f"_l{n}")
        return module

    def _carrying(self, task: Task) -> Any:
        self._only_infer()
        torch, module = self.torch, self._module(task).eval()
        blank = torch.zeros(task.n_layers, task.n_rows, task.n_hidden)
        state = [(blank, blank)]

        def advance(x: Any) -> Any:
            y, state[0] = module(x, state[0])
            return y

        return advance

    def step(self, task: Task) -> Job | None:
        advance, from_numpy = self._carrying(task), self.torch.from_numpy
        return Job(lambda x: advance(from_numpy(x)), lambda y: y.numpy()[0, 0], (1, 1, -1))

    def chunk(self, task: Task) -> Job | None:
        advance, x = self._carrying(task), self.torch.from_numpy(task.x)
        return Job(lambda: advance(x), lambda y: y.numpy()[:, 0])

    def streams(self, task: Task) -> Job | None:
        advance, x = self._carrying(task), self.torch.from_numpy(task.x)
        return Job(lambda: advance(x), lambda y: np.array(y.numpy()[0]))

    def sequence(self, task: Task) -> Job | None:
        self._only_infer()
        module, x = self._module(task).eval(), self.torch.from_numpy(task.x)
        return Job(lambda: module(x)[0], lambda y: y.numpy())

    def train(self, task: Task) -> Job | None:
        torch, lstm = self.torch, self._module(task)
        head = torch.nn.Linear(task.n_hidden, N_CLASSES)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(task.params.w_out))
            head.bias.copy_(torch.from_numpy(task.params.b_out))
        for n in range(task.n_layers):  # two biases that are added would learn twice as fast as one
            getattr(lstm, f"bias_hh_l{n}").requires_grad_(False)
        params = [p for p in (*lstm.parameters(), *head.parameters()) if p.requires_grad]
        adam = torch.optim.Adam(params, LEARNING_RATE, fused=True)
        x, labels = torch.from_numpy(task.x), torch.from_numpy(task.labels)
        loss_of = torch.nn.CrossEntropyLoss()

        def update() -> float:
            adam.zero_grad()
            loss = loss_of(head(lstm(x)[0][-1]), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, CLIP_NORM)
            adam.step()
            return float(loss.detach())

        return Job(update)
