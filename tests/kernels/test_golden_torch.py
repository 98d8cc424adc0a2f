"""Oracle and kernels against what PyTorch computed (tests/golden/make_torch_lstm.py)."""

from __future__ import annotations

import golden_laws
import pytest
from golden_laws import part
from rnn_make import assert_close

from streamrnn.kernels import get_backend
from streamrnn.kernels.params import AdamSpec, OptState, Params
from streamrnn.kernels.rnn import reference, training


@pytest.fixture(scope="module")
def golden():
    return golden_laws.load()


@pytest.mark.parametrize("name", ["numpy", "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
def test_lstm_and_its_gradients(golden, name, dtype, case):
    golden_laws.lstm_and_its_gradients(get_backend(name), golden, dtype, case)


@pytest.mark.parametrize("name", ["numpy", "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weighted_cross_entropy(golden, name, dtype):
    golden_laws.weighted_cross_entropy(get_backend(name), golden, dtype)


@pytest.mark.parametrize("name", ["numpy", "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("case", "decay"), [("adam", 0.0), ("adamw", 0.3)])
def test_adam(golden, name, dtype, case, decay):
    g = {k: v.astype(dtype) for k, v in part(golden, f"{case}.").items()}
    update = reference.adam_update if name == "numpy" else training.adam_update
    params = Params((), g["matrix0"].copy(), g["bias0"].copy())
    adam = AdamSpec(0.05, 0.8, 0.95, 1e-6, weight_decay=decay, clip_norm=0.0)
    opt = OptState.zeros(params)
    tolerance = 3e-6 if dtype == "float32" else 1e-14
    for n in range(1, 4):
        grads = Params((), g[f"g_matrix{n}"], g[f"g_bias{n}"])
        norm = update(params, grads, adam, opt)
        assert norm == pytest.approx(float(g[f"norm{n}"]), rel=tolerance)
        assert_close(params.w_out, g[f"matrix{n}"], tolerance)
        assert_close(params.b_out, g[f"bias{n}"], tolerance)
