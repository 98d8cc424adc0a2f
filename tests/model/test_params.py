"""Initial weights, and weights from and to other libraries."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.kernels.params import Params
from streamrnn.model.convert import from_torch, reorder_gates, to_torch
from streamrnn.model.params import check, from_tensors, init_params, spec_of, to_tensors
from streamrnn.model.spec import NetworkSpec

SPEC = NetworkSpec(6, (16, 9), 4)


def test_initial_weights_are_seeded_orthogonal_and_remember():
    params, again = init_params(SPEC, 3), init_params(SPEC, 3)
    for a, b, c in zip(params.arrays(), again.arrays(), init_params(SPEC, 4).arrays(), strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)
    assert spec_of(params) == SPEC
    for layer, size in zip(params.layers, SPEC.hidden, strict=True):
        for gate in np.split(layer.w_hh.astype(np.float64), 4):
            assert np.abs(gate @ gate.T - np.eye(size)).max() < 1e-6
        assert np.array_equal(layer.b[size : 2 * size], np.ones(size))
        assert np.abs(layer.w_ih).max() <= 1 / np.sqrt(size)
        assert np.abs(layer.w_ih).max() > 0.8 / np.sqrt(size)
    check(params)


def test_tensors_have_pytorchs_names():
    assert list(to_tensors(init_params(SPEC, 0))) == [
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "lstm.bias_ih_l0",
        "lstm.weight_ih_l1",
        "lstm.weight_hh_l1",
        "lstm.bias_ih_l1",
        "head.weight",
        "head.bias",
    ]


def test_params_that_do_not_fit_together_are_refused():
    params = init_params(SPEC, 0)
    with pytest.raises(ValueError, match=r"head.bias must be float32 \(4,\), got float32 \(3,\)"):
        check(Params(params.layers, params.w_out, params.b_out[:3]))
    with pytest.raises(ValueError, match="tensors missing"):
        from_tensors(SPEC, {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_inputs": 0}, "n_inputs must be within 1..4096, got 0"),
        ({"hidden": ()}, "hidden must name 1..8 layers, got 0"),
        ({"hidden": (4, 5000)}, r"hidden\[1\] must be within"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
    ],
)
def test_a_spec_out_of_range_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        NetworkSpec(**({"n_inputs": 3, "hidden": (4,), "n_classes": 2} | values))


def test_torch_and_back():
    params = init_params(SPEC, 1)
    lstm, weight, bias = to_torch(params)
    assert not lstm["bias_hh_l0"].any()
    back = from_torch(lstm, weight, bias)
    for a, b in zip(back.arrays(), params.arrays(), strict=True):
        assert np.array_equal(a, b)
    lstm["bias_hh_l1"] += 2
    assert np.array_equal(from_torch(lstm, weight, bias).layers[1].b, params.layers[1].b + 2)


def test_what_is_no_such_lstm_is_refused():
    lstm, weight, bias = to_torch(init_params(SPEC, 1))
    with pytest.raises(ValueError, match="no LSTM of"):
        from_torch({}, weight, bias)
    with pytest.raises(ValueError, match="layer 1 lacks one of"):
        from_torch({k: v for k, v in lstm.items() if k != "bias_hh_l1"}, weight, bias)
    with pytest.raises(ValueError, match=r"lstm.weight_hh_l0 must be"):
        from_torch(lstm | {"weight_hh_l0": lstm["weight_hh_l0"][:-4]}, weight, bias)


def test_other_gate_orders():
    ours = np.repeat(np.array(["i", "f", "g", "o"]), 2)[:, None]
    assert "".join(reorder_gates(ours, "onnx", to_ours=False)[:, 0]) == "iiooffgg"
    for library in ("torch", "keras", "onnx"):
        theirs = reorder_gates(ours, library, to_ours=False)
        assert np.array_equal(reorder_gates(theirs, library, to_ours=True), ours)
    with pytest.raises(ValueError, match="no gate order 'caffe'"):
        reorder_gates(ours, "caffe", to_ours=True)
    with pytest.raises(ValueError, match="4 H long, got 7"):
        reorder_gates(ours[:7], "onnx", to_ours=True)
