"""The network as an ONNX model, for the runtimes that read one."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import library
from benchmarks.shapes import Task
from streamrnn.core.types import F32


def state_names(task: Task) -> list[str]:
    """Return the names of the state's inputs; its outputs have ``_next`` behind."""
    return [f"{part}{n}" for n in range(task.n_layers) for part in "hc"]


def onnx_model(task: Task, n_steps: int) -> Any:
    """Return a model ``x (T, B, I), h0, c0, ... -> y (T, B, H), h0_next, c0_next, ...``."""
    onnx = library("onnx")
    make, floats = onnx.helper, onnx.TensorProto.FLOAT
    n_rows, n_hidden = task.n_rows, task.n_hidden
    inputs = [make.make_tensor_value_info("x", floats, [n_steps, n_rows, task.n_inputs])]
    outputs = [make.make_tensor_value_info("y", floats, [n_steps, n_rows, n_hidden])]
    for name in state_names(task):
        state = [1, n_rows, n_hidden]
        inputs.append(make.make_tensor_value_info(name, floats, state))
        outputs.append(make.make_tensor_value_info(f"{name}_next", floats, state))
    nodes, constants = [], [_constant("shape", np.array([n_steps, n_rows, n_hidden]))]
    below = "x"
    for n, layer in enumerate(task.params.layers):
        bias = np.concatenate([_by_iofc(layer.b), np.zeros_like(layer.b)])
        constants += [
            _constant(f"w{n}", _by_iofc(layer.w_ih)[None]),
            _constant(f"r{n}", _by_iofc(layer.w_hh)[None]),
            _constant(f"b{n}", bias[None]),
        ]
        above = "y" if n == task.n_layers - 1 else f"y{n}"
        nodes.append(
            make.make_node(
                "LSTM",
                [below, f"w{n}", f"r{n}", f"b{n}", "", f"h{n}", f"c{n}"],
                [f"all{n}", f"h{n}_next", f"c{n}_next"],
                hidden_size=n_hidden,
            )
        )
        nodes.append(make.make_node("Reshape", [f"all{n}", "shape"], [above]))
        below = above
    graph = make.make_graph(nodes, "lstm", inputs, outputs, constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _constant(name: str, array: Any) -> Any:
    return library("onnx").numpy_helper.from_array(np.ascontiguousarray(array), name)


def _by_iofc(a: F32) -> F32:
    """Return gate rows i, f, g, o in ONNX's order i, o, f, c."""
    i, f, g, o = np.split(a, 4)
    return np.concatenate([i, o, f, g])
