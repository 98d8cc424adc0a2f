"""From the start of a process to its first result.

    python -m benchmarks.startup [--peers] [--quick] [--shape 'run, warm']

`run, warm`: ``streamrnn run`` on a board behind a pseudo-terminal, compiled code in the cache,
until the first event is printed. `run, cold`: the same with an empty cache, so all is compiled.
`--help`: what a mistyped command waits for. Each peer imports its library, makes or loads the same
network and runs one frame, without a board; the network is 6->64.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import contest, environment, measure
from benchmarks.end_to_end import Board, blinking_model
from benchmarks.peers import ALL
from benchmarks.peers.litert import tflite_file
from benchmarks.peers.onnx_model import onnx_model
from benchmarks.shapes import Task

WARM, COLD, HELP = "run, warm", "run, cold", "--help"
#: Seconds.
LIMITS = {WARM: 0.5, COLD: 6.0}
N_STARTS = 10
_RATE_HZ = 1000.0
_TASK = Task("step", 6, 64)

#: What each peer runs, with the path of its model behind it.
SCRIPTS = {
    "LiteRT": """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
i = Interpreter(sys.argv[1], num_threads=1)
i.allocate_tensors()
for d in i.get_input_details(): i.set_tensor(d["index"], np.zeros(d["shape"], np.float32))
i.invoke()
print(i.get_tensor(i.get_output_details()[0]["index"])[0, 0])
""",
    "ONNX Runtime run": """
import sys, numpy as np, onnxruntime as ort
s = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
z = np.zeros((1, 1, 64), np.float32)
print(s.run(["y"], {"x": np.ones((1, 1, 6), np.float32), "h0": z, "c0": z})[0][0, 0, 0])
""",
    "OpenVINO": """
import sys, numpy as np, openvino as ov
r = ov.Core().compile_model(sys.argv[1], "CPU").create_infer_request()
z = np.zeros((1, 1, 64), np.float32)
print(r.infer({"x": np.ones((1, 1, 6), np.float32), "h0": z, "c0": z})["y"][0, 0, 0])
""",
    "torch LSTMCell": """
import torch
with torch.inference_mode(): print(float(torch.nn.LSTMCell(6, 64)(torch.ones(1, 6))[0][0, 0]))
""",
    "JAX": """
import jax, jax.numpy as jnp
w, z = jnp.ones((70, 256)), jnp.zeros(64)
def step(x, h, c):
    i, f, g, o = jnp.split(jnp.concatenate([x, h]) @ w, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c
print(float(jax.jit(step)(jnp.ones(6), z, z)[0][0]))
""",
    "Keras": """
import numpy as np, keras
m = keras.Sequential([keras.Input((1, 6), batch_size=1), keras.layers.LSTM(64, stateful=True)])
print(float(m(np.ones((1, 1, 6), np.float32))[0, 0]))
""",
    "NumPy": """
import numpy as np
w, b = np.ones((256, 70), np.float32), np.zeros(256, np.float32)
i, f, g, o = np.split(np.tanh(w @ np.ones(70, np.float32) + b), 4)
print(np.tanh(i * g)[0])
""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("startup", __doc__.splitlines()[0]).parse_args(arguments)
    n_starts = measure.MIN_ROUNDS if options.quick else N_STARTS
    peers, notes = contest.installed(["step"]) if options.peers else ([], [])
    if options.peers:  # it has no job `step`, and a start all the same
        peers += [peer for peer in ALL if peer.name == "Keras" and not peer.missing()]
    subprocess.run([sys.executable, "-m", "streamrnn", "warmup"], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        blinking_model(model, _RATE_HZ)
        paths = _models(folder, {peer.name for peer in peers})
        starts: dict[str, Callable[[], float]] = {
            WARM: partial(first_event, model),
            HELP: partial(whole, [sys.executable, "-m", "streamrnn", "--help"]),
        }
        for peer in peers:
            if peer.name in SCRIPTS:
                script = [sys.executable, "-c", SCRIPTS[peer.name], str(paths.get(peer.name, ""))]
                starts[peer.name] = partial(whole, script)
        if options.shape:
            starts = {name: start for name, start in starts.items() if name in options.shape}
        for start in starts.values():
            start()  # files come into memory
        samples = measure.round_robin(starts, n_starts) if starts else {}
        if options.quick:
            notes.append(f"{COLD}: not measured, it takes too long for a check")
        elif not options.shape or COLD in options.shape:
            cold = partial(cold_start, model)
            samples |= measure.round_robin({COLD: cold}, measure.MIN_ROUNDS)
    settings = {"n_starts": n_starts, "network": "6->64", "peers": contest.versions(peers)}
    rows, met = _rows(samples), _verdicts(samples)
    return contest.conclude("startup", options, rows, met, settings, notes=notes)


def _models(folder: Path, names: set[str]) -> dict[str, Path]:
    """Write the files that peers load."""
    paths: dict[str, Path] = {}
    if names & {"ONNX Runtime run", "OpenVINO"}:
        path = folder / "step.onnx"
        path.write_bytes(onnx_model(_TASK, 1).SerializeToString())
        paths |= {"ONNX Runtime run": path, "OpenVINO": path}
    if "LiteRT" in names:
        paths["LiteRT"] = tflite_file(_TASK)
    return paths


def whole(command: list[str]) -> float:
    """Return the seconds from the start of a process to its end."""
    start_s = perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return perf_counter() - start_s


def first_event(model: Path, variables: dict[str, str] | None = None) -> float:
    """Return the seconds from the start of ``streamrnn run`` to its first line."""
    board = Board(_RATE_HZ, 50, wait_for_start=True)
    board.start()
    command = [sys.executable, "-m", "streamrnn", "run", str(model)]
    start_s = perf_counter()
    with subprocess.Popen(
        [*command, "--source", f"serial:{board.path}"], env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = perf_counter() - start_s
        process.terminate()
        _, errors = process.communicate()
    os.close(board.slave)
    os.close(board.master)
    if b'"event"' not in line:
        raise SystemExit(f"streamrnn run gave no event: {errors[-300:].decode(errors='replace')}")
    return took_s


def cold_start(model: Path) -> float:
    """Return the same with an empty cache of compiled code."""
    with tempfile.TemporaryDirectory() as cache:
        os.chmod(cache, 0o700)
        return first_event(model, {"STREAMRNN_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache})


def _rows(samples: dict[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    for name, seconds in sorted(samples.items(), key=lambda item: float(np.median(item[1]))):
        figure = measure.median(seconds)
        ours = name in (WARM, COLD, HELP)
        row = {
            "job": f"start: {name}" if ours else "start: library, one step",
            "contender": "streamrnn" if ours else name,
            "s": figure.value, "low": figure.low, "high": figure.high,
        }  # fmt: skip
        rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    return rows


def _verdicts(samples: dict[str, list[float]]) -> dict[str, bool]:
    met = {}
    for name, limit in LIMITS.items():
        if name in samples:
            figure = measure.median(samples[name])
            met[f"{name}: <= {limit:g} s: {figure}"] = figure.reaches(limit, at_least=False)
    return met


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
