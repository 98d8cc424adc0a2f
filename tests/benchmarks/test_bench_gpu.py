"""The benchmarks on a GPU, as far as they go without one: counts, timing, rows, replays."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu_race, gpu_replay, gpu_report
from benchmarks.gpu_bench import NO_GPU, judged
from benchmarks.gpu_ceilings import Ceilings
from benchmarks.gpu_race import Racer
from benchmarks.gpu_report import OURS, Outcome, Rows
from benchmarks.gpu_shapes import SEQUENCES, Sequences, Streams, weights

ROOT = Path(__file__).parents[2]
PEER = "torch nn.LSTM"
PYTEST = ("pytest", "-c", "tests/gpu/pytest.ini", "--rootdir=.", "tests/gpu")


class Clock:
    """A clock on which each call takes what it says."""

    def __init__(self):
        self.now_s = 0.0

    def begin(self):
        self.begin_s = self.now_s

    def end_s(self):
        return self.now_s - self.begin_s

    def racer(self, name, precision, mode, took_s):
        def call():
            self.now_s += took_s

        return Racer(name, precision, mode, call, self)


class Device:
    """What a GPU does for `gpu_replay`: notes what it is given, and can collect it."""

    name, capability, n_multiprocessors = "a device", (9, 0), 132

    def __init__(self):
        self.done, self.now_ms, self._collected = [], 0.0, None

    def _do(self, *what):
        if self._collected is None:
            self.done.append(what)
            self.now_ms += 1.0
        else:
            self._collected.append(what)

    def launch(self, kernel, grid):
        self._do("launch", kernel.name, grid)

    def write(self, address, source):
        assert self._collected is None
        self._do("write", address)

    def read(self, address, into):
        assert self._collected is None
        self._do("read", address)

    def copy(self, to, source, n):
        self._do("copy", to)

    def zero(self, address, n):
        self._do("zero", address)

    def mark(self):
        return self.now_ms

    def elapsed_ms(self, begin, end):
        return end - begin

    def wait(self):
        pass

    @contextmanager
    def captured(self):
        self._collected = kept = []
        yield SimpleNamespace(launch=lambda: self.done.extend(kept))
        self._collected = None


def call_of(device):
    def call():
        device.write(1, None)
        for name in ("lstm", "lstm", "product"):
            device.launch(SimpleNamespace(name=name), (1, 1))
        device.zero(2, 4)
        device.read(3, None)

    return call


def outcome_of(job, *racers, n=7):
    return Outcome(job, racers, [[racer.sample_s(1) for _ in range(n)] for racer in racers])


def test_operations_and_bytes_are_those_of_a_network_counted_by_hand():
    shape = Sequences(n_rows=2, n_steps=3, n_in=5, n_hidden=7, n_layers=2)
    below, above, head = 28 * (5 + 7), 28 * (7 + 7), 5 * 7
    assert shape.flops(training=False) == 6 * 2 * (below + above + head)
    assert shape.flops(training=True) == 6 * 2 * (3 * (below + above + head) - 28 * 5)
    n_weights = below + 28 + above + 28 + head + 5
    assert shape.n_bytes(training=False) == 4 * (6 * (5 + 5) + n_weights)
    streams = Streams(n_streams=10, n_in=3, n_hidden=4)
    assert streams.flops() == 10 * 2 * (16 * 7 + 5 * 4)
    assert streams.n_bytes() == 10 * 4 * (4 * 4 + 3 + 5)
    assert streams.n_bytes(h_bytes=2) == 10 * (2 * 4 * 6 + 4 * (3 + 5))
    assert weights(5, 7, 2).hidden_sizes == (7, 7)
    assert [str(s) for s in SEQUENCES[:2]] == ["(64,1000) 6->64", "(64,1000) 6->128"]
    assert str(Streams(1_000_000, 6, 64)) == "1e6 of 6->64"


def test_a_floor_is_the_longer_of_products_and_memory():
    ceilings = Ceilings(1e12, {"fp32": 5e13, "bf16": 8e14})
    assert gpu_report.floor(ceilings, "exact", 1e12, 1e9) == (0.02, "products")
    assert gpu_report.floor(ceilings, "bf16", 1e12, 1e10) == (0.01, "memory")
    assert gpu_report.floor(Ceilings(), "fp32", 1e12, 1e10)[0] == 0


def test_a_race_takes_as_many_rounds_as_there_is_time_for():
    clock = Clock()
    racers = [clock.racer(OURS, "exact", "resident", 0.02), clock.racer(PEER, "fp32", "eager", 0.1)]
    for allowed_s, n_rounds in ((0.0, 5), (1.0, 8), (1e9, gpu_race.MOST_ROUNDS)):
        samples = gpu_race.race(racers, allowed_s)
        assert [len(s) for s in samples] == [n_rounds, n_rounds]
        assert samples[1] == pytest.approx([0.1] * n_rounds)


def test_rows_say_how_many_times_a_peers_time_is_ours():
    clock = Clock()
    outcome = outcome_of(
        "a job",
        clock.racer(OURS, "exact", "resident", 0.002),
        clock.racer(OURS, "exact", "host", 0.003),
        clock.racer(PEER, "fp32", "eager", 0.005),
        clock.racer(PEER, "fp32", "graph", 0.004),
        clock.racer(PEER, "bf16", "graph", 0.001),
    )
    rows = outcome.rows(lambda precision: (0.0005, "memory"), per_s=lambda s: 1 / s)
    assert [row["ours_faster"] for row in rows] == [None, None, 2.5, 2.0, 0.5]
    assert [row["floor_share"] for row in rows] == pytest.approx([0.25, 0.1667, 0.1, 0.125, 0.5])
    assert rows[0]["per_s"] == 500
    jobs = ["a job", "another"]
    met = judged([outcome], jobs, ours="exact", peer=PEER, peer_precision="fp32", limit=2.5)
    assert list(met.values()) == [False, False]  # against the graph, and not measured
    (met, _) = judged(
        [outcome], jobs, ours="exact", peer=PEER, peer_precision="fp32", limit=2
    ).values()
    assert met


def test_a_row_is_on_disk_at_once_and_a_run_that_ends_leaves_one_document(tmp_path, capsys):
    rows = Rows("gpu_test", tmp_path)
    clock = Clock()
    outcome = outcome_of("a job", clock.racer(OURS, "exact", "resident", 0.002))
    for row in outcome.rows(lambda precision: (0.0, "memory")):
        rows.add(row)
    (lines,) = tmp_path.iterdir()
    assert lines.suffix == ".jsonl"
    assert json.loads(lines.read_text())["ms"] == 2.0
    code = rows.finish(Device(), {"a target": False}, Ceilings(), {}, ["a note"])
    assert code == 1
    (path,) = tmp_path.iterdir()
    document = json.loads(path.read_text())
    assert document["rows"] == rows.rows
    assert document["machine"]["gpu"]["name"] == "a device"
    assert str(Path.home()) not in path.read_text()
    assert "MISSED   a target" in capsys.readouterr().out


def test_a_replay_does_on_the_device_what_a_call_does_there():
    device = Device()
    call = call_of(device)
    call()
    wanted = [what for what in device.done if what[0] not in ("write", "read")]
    again = gpu_replay.resident(device, call)
    device.done.clear()
    again()
    assert device.done == wanted
    call()
    assert len(device.done) == len(wanted) + 6  # and copies again


def test_a_profile_is_the_phases_in_order():
    device = Device()
    phases = gpu_replay.profile(device, call_of(device))
    expected = [("write", 1), ("lstm", 2), ("product", 1), ("zero", 1), ("read", 1)]
    assert [(what, 1e3 * s) for what, s in phases] == expected
    assert "launch" not in vars(device)


def run(*words, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMRNN")}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment | variables, check=False,
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def test_without_a_gpu_there_is_one_clear_line():
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = run("benchmarks.gpu_all", **hidden)
    assert done.returncode == NO_GPU
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("no GPU: ")
    done = run(*PYTEST, **hidden)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.split("\n\n")[0].splitlines()
    assert line.startswith("ERROR: no GPU: ")


@pytest.mark.parametrize("words", [("benchmarks.gpu_all",), PYTEST])
def test_what_is_not_installed_is_one_clear_line(words, tmp_path):
    lacking = "raise ModuleNotFoundError(name='llvmlite')\n"
    (tmp_path / "llvmlite.py").write_text(lacking, encoding="utf-8")
    done = run(*words, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.split("\n\n")[0].splitlines()
    assert "llvmlite is not installed" in line


def test_what_stands_in_for_a_gpu_is_no_guess():
    done = run("benchmarks.gpu_all", STREAMRNN_GPU="interpeter")
    assert done.returncode == 1
    assert done.stderr == "STREAMRNN_GPU is 'interpeter', expected interpreter or nothing\n"


needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None,
    reason="no CUDA compiler: install the [cuda-compile] extra, then this runs on an interpreter",
)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpu_sequence", "gpu_training", "gpu_fleet"])
def test_a_benchmark_runs_on_the_interpreter_and_writes_nothing(name, tmp_path):
    done = run(f"benchmarks.{name}", "--interpreter", "--into", str(tmp_path / "results"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT A MEASUREMENT" in done.stdout
    assert "PROBLEM" not in done.stdout
    assert not (tmp_path / "results").exists()


@needs_compiler
@pytest.mark.slow
def test_the_tests_of_a_gpu_pass_on_the_interpreter():
    done = run(
        "pytest", "-c", "tests/gpu/pytest.ini", "--rootdir=.", "-p", "no:cacheprovider",
        "--budget-s=270", "tests/gpu", STREAMRNN_GPU="interpreter", PYTHONPATH=str(ROOT),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "the budget" not in done.stdout


def test_a_network_in_float64_is_the_oracle(monkeypatch):
    """The reference of large sizes, on a small one."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "gpu"))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "kernels"))
    from rnn_make import Shape, draw, make_lengths, make_params, make_state
    from wide_lstm import forward_and_backward

    from streamrnn.kernels import get_backend

    shape, f64 = Shape(3, (5, 4), 2, 6, 4, seed=3), "float64"
    params, lengths, oracle = make_params(shape, f64), make_lengths(shape), get_backend("numpy")
    x, d_logits = draw(shape, f64, 6, 4, 3), draw(shape, f64, 6, 4, 2)
    mask, d_end = draw(shape, f64, 4, 4, salt=9), make_state(shape, f64, salt=7)
    start, end = make_state(shape, f64), make_state(shape, f64)
    handle = oracle.upload(params)
    logits, tape = oracle.forward(handle, x, end, lengths, mask, keep_tape=True)
    grads, d_x, d_start = oracle.backward(handle, tape, d_logits, d_end)
    found = forward_and_backward(params, x, start, d_logits, lengths, mask, d_end)
    expected = (logits, *end.h, *end.c, *grads.arrays(), d_x, *d_start.h, *d_start.c)
    got = (found[0], *found[1], *found[2], *found[3], found[4], *found[5], *found[6])
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
