"""One benchmark from its options to its JSON, and the loops that give the bound."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import report, step
from benchmarks.bound import Bound, weight_bytes
from benchmarks.shapes import SEQUENCES, STEPS, TRAINING
from benchmarks.vectors import N_CHAINS, Loops, lanes


def aligned(n):
    raw = np.zeros(4 * n + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4 * n].view(np.float32)


@pytest.fixture(scope="module")
def loops():
    return Loops()


def test_a_quick_run_writes_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert step.main(["--quick", "--shape", "6->32"]) == 0
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-step-alone-part-quick.json")
    document = json.loads(path.read_text())
    jobs = {row["job"] for row in document["rows"]}
    assert jobs == {"step 6->32", "chunk 6->32", "ahead 6->32"}
    own = [row for row in document["rows"] if row["contender"] == "streamrnn"]
    assert all(row["low"] <= row["us"] <= row["high"] for row in own)
    assert "step 6->32" in capsys.readouterr().out


def test_the_loop_of_multiply_adds_does_them(loops):
    data = aligned(N_CHAINS * lanes())
    data[: lanes()], data[lanes() : 2 * lanes()] = 0.5, 1.0
    loops.fma(3, data.ctypes.data)
    first = np.arange(N_CHAINS)
    want = ((first * 0.5 + 1) * 0.5 + 1) * 0.5 + 1
    np.testing.assert_array_equal(data.reshape(N_CHAINS, -1)[:, 0], want)


def test_the_loop_of_reads_reads_everything(loops):
    n = 5 * N_CHAINS
    buffer, data = aligned(n * lanes()), aligned(N_CHAINS * lanes())
    buffer[:], data[: lanes()] = np.arange(n * lanes()) % 7, 1.0
    loops.read(2, buffer.ctypes.data, n, data.ctypes.data)
    want = 2 * buffer.reshape(5, N_CHAINS * lanes()).sum(axis=0)
    np.testing.assert_array_equal(data, want)


def test_the_loop_of_cells_is_a_cell_in_powers_of_two(loops):
    n, rng = 3, np.random.default_rng(0)
    z, c, h = aligned(4 * n * lanes()), aligned(n * lanes()), aligned(n * lanes())
    z[:] = rng.normal(0, 3, len(z))
    c[:] = start = rng.normal(0, 1, len(c)).astype(np.float32)
    loops.cell(1, z.ctypes.data, c.ctypes.data, h.ctypes.data, n)
    i, f, g, o = np.exp2(z.astype(np.float64)).reshape(n, 4, lanes()).swapaxes(0, 1)
    want = start.reshape(n, -1) / (1 + f) + (1 - g) / (1 + g) / (1 + i)
    # 2e-6: five powers of two by a polynomial that is good to 2e-7.
    np.testing.assert_allclose(c.reshape(n, -1), want, atol=2e-6, rtol=2e-6)
    np.testing.assert_allclose(h.reshape(n, -1), np.tanh(want) / (1 + o), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("task", [STEPS[0], SEQUENCES[0], TRAINING[0]])
def test_a_bound_is_a_time_that_grows_with_the_work(task):
    limit = Bound()
    assert limit.sampler(task, 0.001)() > 0
    assert limit.facts.keys() <= {"gflops", "gbytes_s", "cell_ns"}
    assert all(value > 0 for value in limit.facts.values())


def test_the_bytes_of_the_weights():
    assert weight_bytes(STEPS[1]) == 4 * (4 * 64 * (6 + 64 + 1) + 6 * 65)
