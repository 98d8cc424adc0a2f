"""The cell's activations: close to the truth, the same in a lane as alone, NaN only for NaN."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn import gates
from streamrnn.kernels.rnn.simd import lanes, load, store


@kernel
def by_vectors(z, sigmoid, tanh):
    for k in range(0, z.size, lanes(z)):
        store(sigmoid, k, gates.sigmoid(load(z, k)))
        store(tanh, k, gates.tanh(load(z, k)))


@kernel
def by_scalars(z, sigmoid, tanh):
    for k in range(z.size):
        sigmoid[k] = gates.sigmoid(z[k])
        tanh[k] = gates.tanh(z[k])


def activations(z):
    results = []
    for function in (by_vectors, by_scalars):
        out = np.empty_like(z), np.empty_like(z)
        function(z, *out)
        results.append(out)
    (sigmoid, tanh), (sigmoid1, tanh1) = results
    assert np.array_equal(sigmoid, sigmoid1, equal_nan=True)
    assert np.array_equal(tanh, tanh1, equal_nan=True)
    return sigmoid, tanh


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1.5e-7), ("float64", 3e-16)])
def test_close_to_the_truth_and_the_same_in_a_lane(dtype, error):
    z = np.concatenate([np.linspace(-25, 25, 16000), np.linspace(-1e3, 1e3, 1600)]).astype(dtype)
    sigmoid, tanh = activations(z)
    exact = z.astype(np.longdouble)
    assert np.abs(sigmoid - 1 / (1 + np.exp(-exact))).max() < error
    assert np.abs(tanh - np.tanh(exact)).max() < error


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_and_nan(dtype):
    z = np.array([0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan, 1e-30] * 2, dtype)
    sigmoid, tanh = activations(z)
    assert np.array_equal(sigmoid[:3], [0.5, 0.5, 1])
    assert 0 <= sigmoid[3] < 1e-12
    assert np.array_equal(tanh[:6], [0, 0, 1, -1, 1, -1])
    assert np.isnan(sigmoid[6])
    assert np.isnan(tanh[6])
    assert tanh[7] == 0
