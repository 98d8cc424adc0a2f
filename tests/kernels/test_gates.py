"""The cell's arithmetic: close to the truth, the same in a lane as alone, NaN only for NaN."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.objects import f4_pointer, f8_pointer
from streamrnn.kernels.rnn.gates import cell
from streamrnn.kernels.rnn.simd import lanes, load, offset, store

F32, F64 = np.dtype("float32"), np.dtype("float64")


@cache
def kernels(dtype):
    """Return two kernels over n cells, z (4, n): one by vectors, one by scalars."""
    pointer = f4_pointer if dtype == F32 else f8_pointer

    @kernel
    def by_vectors(z_at, n, c_at, h_at):
        i, c, h = pointer(z_at), pointer(c_at), pointer(h_at)
        f, g, o = offset(i, n), offset(i, 2 * n), offset(i, 3 * n)
        for k in range(0, n, lanes(i)):
            c1, h1 = cell(load(i, k), load(f, k), load(g, k), load(o, k), load(c, k))
            store(c, k, c1)
            store(h, k, h1)

    @kernel
    def by_scalars(z_at, n, c_at, h_at):
        z, c, h = pointer(z_at), pointer(c_at), pointer(h_at)
        for k in range(n):
            c[k], h[k] = cell(z[k], z[k + n], z[k + 2 * n], z[k + 3 * n], c[k])

    return by_vectors, by_scalars


def run(z, c):
    """Return c and h after a step, the same by vectors and by scalars; n is a multiple of 16."""
    results = []
    z = np.ascontiguousarray(z)
    for step in kernels(z.dtype):
        c1, h = c.copy(), np.empty_like(c)
        step(z.ctypes.data, len(c), c1.ctypes.data, h.ctypes.data)
        results.append((c1, h))
    for vector, scalar in zip(*results, strict=True):
        assert np.array_equal(vector, scalar, equal_nan=True)
    return results[0]


def truth(z, c):
    i, f, g, o = z.astype(np.longdouble)
    sigmoid = [1 / (1 + np.exp(-gate)) for gate in (i, f, o)]
    c = sigmoid[1] * c.astype(np.longdouble) + sigmoid[0] * np.tanh(g)
    return c, sigmoid[2] * np.tanh(c)


@pytest.mark.parametrize("reach", [0.01, 1, 10, 100, 1e4])
@pytest.mark.parametrize(("dtype", "c_error", "h_error"), [(F32, 4e-7, 3e-7), (F64, 1e-15, 1e-15)])
def test_close_to_the_truth_and_the_same_in_a_lane(dtype, c_error, h_error, reach):
    rng = np.random.default_rng(0)
    z = rng.uniform(-reach, reach, (4, 16384)).astype(dtype)
    c = rng.uniform(-3, 3, 16384).astype(dtype)
    c1, h = run(z, c)
    exact_c, exact_h = truth(z, c)
    assert (np.abs(c1 - exact_c) <= c_error * np.maximum(1, np.abs(exact_c))).all()
    assert np.abs(h - exact_h).max() < h_error


@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_cell_of_zeros_stays_exactly_zero(dtype):
    for zero in (0.0, -0.0):
        c, h = run(np.full((4, 16), zero, dtype), np.zeros(16, dtype))
        assert not c.any()
        assert not h.any()


@pytest.mark.parametrize("dtype", [F32, F64])
def test_saturated_gates_keep_write_or_forget(dtype):
    for big in (200.0, 1e30, np.inf):
        z = np.zeros((4, 16), dtype)
        z[:, 0] = -big, big, 0, big  # keep c
        z[:, 1] = big, -big, big, big  # write 1
        z[:, 2] = big, -big, -big, big  # write -1
        z[:, 3] = -big, -big, 0, -big  # forget, and say nothing
        c, h = run(z, np.full(16, 0.75, dtype))
        assert c[:3].tolist() == [0.75, 1, -1]
        assert h[0] == pytest.approx(np.tanh(0.75), abs=1.5e-7)
        assert abs(c[3]) < 1e-12
        assert abs(h[3]) < 1e-24


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("payload", [0, 1, 12345])
def test_nan_gives_nan(dtype, payload):
    word = np.uint32 if dtype == F32 else np.uint64
    quiet = np.array([np.nan], dtype).view(word) | word(payload)
    for place in range(5):
        z, c = np.zeros((4, 16), dtype), np.zeros(16, dtype)
        (c if place == 4 else z[place])[3] = quiet.view(dtype)[0]
        c1, h = run(z, c)
        assert np.isnan(h[3])
        assert np.isnan(c1[3]) == (place != 3)  # the output gate does not touch c
        assert not np.isnan(np.delete(h, 3)).any()
