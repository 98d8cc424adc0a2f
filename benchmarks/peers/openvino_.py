"""OpenVINO: a stateful model, its input tensor shared."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.peers.onnx_model import onnx_model, state_names
from benchmarks.shapes import Task
from streamrnn.core.types import F32


class OpenVino(Peer):
    """`InferRequest` with the state kept inside."""

    name = "OpenVINO"
    packages = ("openvino", "onnx")

    def __init__(self, n_threads: int) -> None:
        super().__init__(n_threads)
        self._inputs: list[F32] = []

    def _request(self, task: Task, n_steps: int, *, keeps_state: bool) -> tuple[Any, Any]:
        """Return a request and its input array."""
        ov = library("openvino")
        core = ov.Core()
        model = core.read_model(onnx_model(task, n_steps).SerializeToString())
        if keeps_state:
            passes = library("openvino.passes")
            manager = passes.Manager()
            manager.register_pass(
                passes.MakeStateful({name: f"{name}_next" for name in state_names(task)})
            )
            manager.run_passes(model)
        settings = {
            "INFERENCE_NUM_THREADS": self.n_threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
        }
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        x = np.zeros((n_steps, task.n_rows, task.n_inputs), np.float32)
        self._inputs.append(x)  # the request reads it but does not keep it alive
        request.set_input_tensor(0, ov.Tensor(x, shared_memory=True))
        if not keeps_state:
            blank = np.zeros((1, task.n_rows, task.n_hidden), np.float32)
            for name in state_names(task):
                request.set_tensor(name, ov.Tensor(blank.copy()))
        return request, x

    def _carrying(self, task: Task, n_steps: int) -> tuple[Any, Any]:
        request, x = self._request(task, n_steps, keeps_state=True)

        def run() -> Any:
            request.infer(share_outputs=True)
            return request.get_output_tensor(0).data

        return run, x

    def step(self, task: Task) -> Job | None:
        run, x = self._carrying(task, 1)
        flat = x.reshape(-1)

        def advance(frame: Any) -> Any:
            flat[:] = frame
            return run()

        return Job(advance, lambda y: y.reshape(-1).copy())

    def chunk(self, task: Task) -> Job | None:
        run, x = self._carrying(task, task.n_steps)
        x[:] = task.x
        return Job(run, lambda y: y.reshape(task.n_steps, -1).copy())

    def streams(self, task: Task) -> Job | None:
        run, x = self._carrying(task, 1)
        x[:] = task.x
        return Job(run, lambda y: y.reshape(task.n_rows, -1).copy())

    def sequence(self, task: Task) -> Job | None:
        request, x = self._request(task, task.n_steps, keeps_state=False)
        x[:] = task.x

        def run() -> Any:
            request.infer(share_outputs=True)
            return request.get_tensor("y").data

        return Job(run, np.array)
