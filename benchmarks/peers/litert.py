"""LiteRT (TensorFlow Lite): one frame a call, the state carried by the caller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer, library
from benchmarks.shapes import Task

#: Converted models; git ignores the folder.
CACHE = Path(__file__).parent.parent / "cache"


class LiteRt(Peer):
    """`ai_edge_litert`'s interpreter. TensorFlow makes the file, in a process of its own."""

    name = "LiteRT"
    packages = ("ai-edge-litert",)

    @classmethod
    def missing(cls) -> str:
        needs_tensorflow = not list(CACHE.glob("*.tflite"))
        return super().missing() or (
            _TensorFlow.missing() if needs_tensorflow and _TensorFlow.missing() else ""
        )

    def step(self, task: Task) -> Job | None:
        interpreter_of = library("ai_edge_litert.interpreter").Interpreter
        path = tflite_file(task)
        interpreter = interpreter_of(str(path), num_threads=self.n_threads)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()
        n_tensors = 1 + 2 * task.n_layers
        inputs = {k: v["index"] for k, v in runner.get_input_details().items()}
        outputs = {k: v["index"] for k, v in runner.get_output_details().items()}
        pairs = [(inputs[f"s{n}"], outputs[f"t{n}"]) for n in range(n_tensors - 1)]
        blank = np.zeros((1, task.n_hidden), np.float32)
        for at, _ in pairs:
            interpreter.set_tensor(at, blank)
        x_at, y_at = inputs["x"], pairs[-2][1]
        put, get, invoke = interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke

        def advance(x: Any) -> Any:
            put(x_at, x)
            invoke()
            for to, source in pairs:
                put(to, get(source))
            return get(y_at)

        return Job(advance, lambda h: h[0], (1, -1))


class _TensorFlow(Peer):
    name = "TensorFlow"
    packages = ("tensorflow-cpu",)


def tflite_file(task: Task) -> Path:
    """Return the converted model, made if it is not there yet."""
    path = CACHE / f"step-{task.n_inputs}-{task.n_hidden}-{task.n_layers}.tflite"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        sizes = [str(n) for n in (task.n_inputs, task.n_hidden, task.n_layers)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.peers.litert", *sizes, str(path)],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    return path


def convert(task: Task, path: Path) -> None:
    """Write the network as a .tflite file: ``x, s0, s1, ... -> t0, t1, ...``, h and c in turn."""
    tf = library("tensorflow")
    constants = [
        (tf.constant(np.concatenate([p.w_ih, p.w_hh], axis=1).T.copy()), tf.constant(p.b))
        for p in task.params.layers
    ]
    state = [
        tf.TensorSpec((1, task.n_hidden), tf.float32, name=f"s{n}")
        for n in range(2 * task.n_layers)
    ]

    def step(x: Any, **states: Any) -> Any:
        following: dict[str, Any] = {}
        for n, (weights, b) in enumerate(constants):
            z = tf.matmul(tf.concat([x, states[f"s{2 * n}"]], 1), weights) + b
            i, f, g, o = tf.split(z, 4, 1)
            c = tf.sigmoid(f) * states[f"s{2 * n + 1}"] + tf.sigmoid(i) * tf.tanh(g)
            x = tf.sigmoid(o) * tf.tanh(c)
            following |= {f"t{2 * n}": x, f"t{2 * n + 1}": c}
        return following

    x = tf.TensorSpec((1, task.n_inputs), tf.float32, name="x")
    traced = tf.function(step).get_concrete_function(x, **{s.name: s for s in state})
    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module)
    path.write_bytes(converter.convert())


if __name__ == "__main__":
    n_inputs, n_hidden, n_layers = map(int, sys.argv[1:4])
    convert(Task("step", n_inputs, n_hidden, n_layers), Path(sys.argv[4]))
