"""ONNX Runtime: `run`, and `io_binding` on buffers that stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.peers.onnx_model import onnx_model, state_names
from benchmarks.shapes import Task


class OrtRun(Peer):
    """`InferenceSession.run`, the state handed back in."""

    name = "ONNX Runtime run"
    packages = ("onnxruntime", "onnx")

    def _session(self, task: Task, n_steps: int) -> Any:
        ort = library("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = onnx_model(task, n_steps).SerializeToString()
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _carrying(self, task: Task, n_steps: int) -> Any:
        session, names = self._session(task, n_steps), state_names(task)
        outputs = ["y", *(f"{name}_next" for name in names)]
        feed: dict[str, Any] = _zero_state(task)

        def advance(x: Any) -> Any:
            feed["x"] = x
            y, *state = session.run(outputs, feed)
            feed.update(zip(names, state, strict=True))
            return y

        return advance

    def step(self, task: Task) -> Job | None:
        return Job(self._carrying(task, 1), lambda y: y[0, 0], (1, 1, -1))

    def chunk(self, task: Task) -> Job | None:
        advance = self._carrying(task, task.n_steps)
        return Job(lambda: advance(task.x), lambda y: y[:, 0])

    def streams(self, task: Task) -> Job | None:
        advance = self._carrying(task, 1)
        return Job(lambda: advance(task.x), lambda y: y[0])

    def sequence(self, task: Task) -> Job | None:
        session = self._session(task, task.n_steps)
        feed = {"x": task.x, **_zero_state(task)}
        return Job(lambda: session.run(["y"], feed)[0])


class OrtBinding(OrtRun):
    """Two bindings in turn: what one writes as the next state the other reads."""

    name = "ONNX Runtime io_binding"

    def _bound(self, task: Task, n_steps: int) -> tuple[Any, Any, Any]:
        """Return (run, input array, output array)."""
        session, ort = self._session(task, n_steps), library("onnxruntime")
        x = np.zeros((n_steps, task.n_rows, task.n_inputs), np.float32)
        y = np.zeros((n_steps, task.n_rows, task.n_hidden), np.float32)
        states = [
            {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in _zero_state(task).items()}
            for _ in range(2)
        ]
        bindings = []
        for now, following in (states, states[::-1]):
            binding = session.io_binding()
            binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
            binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
            for name in state_names(task):
                binding.bind_ortvalue_input(name, now[name])
                binding.bind_ortvalue_output(f"{name}_next", following[name])
            bindings.append(binding)
        turn = [0]
        run_binding = session.run_with_iobinding

        def run() -> Any:
            run_binding(bindings[turn[0]])
            turn[0] ^= 1
            return y

        run.keep = (states, x)  # type: ignore[attr-defined]
        return run, x, y

    def step(self, task: Task) -> Job | None:
        run, x, _ = self._bound(task, 1)
        flat = x.reshape(-1)

        def advance(frame: Any) -> Any:
            flat[:] = frame
            return run()

        return Job(advance, lambda y: y[0, 0].copy())

    def chunk(self, task: Task) -> Job | None:
        run, x, _ = self._bound(task, task.n_steps)
        x[:] = task.x
        return Job(run, lambda y: y[:, 0].copy())

    def streams(self, task: Task) -> Job | None:
        run, x, _ = self._bound(task, 1)
        x[:] = task.x
        return Job(run, lambda y: y[0].copy())

    def sequence(self, task: Task) -> Job | None:
        return None  # the state would not start from zero, and nothing is saved beside so much work


def _zero_state(task: Task) -> dict[str, Any]:
    shape = (1, task.n_rows, task.n_hidden)
    return {name: np.zeros(shape, np.float32) for name in state_names(task)}
