"""What PyTorch computed (tests/golden/make_torch_lstm.py) is what every backend computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rnn_make import assert_close

from streamrnn.kernels.params import AdamSpec, Batch, LayerParams, LossSpec, OptState, Params, State
from streamrnn.model.convert import from_torch


def load():
    """Return all golden arrays by name."""
    with np.load(Path(__file__).parents[1] / "golden" / "torch_lstm.npz") as file:
        return {name: file[name] for name in file.files}


def part(golden, prefix):
    """Return the arrays whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


def lstm_and_its_gradients(backend, golden, dtype, case):
    g = part(golden, f"{case}.{dtype}.")
    params = from_torch(part(g, "lstm."), g["head.weight"], g["head.bias"])
    handle, state = backend.upload(params), State(tuple(g["h0"]), tuple(g["c0"]))
    logits, tape = backend.forward(handle, g["x"], state, g["lengths"], keep_tape=True)
    live = np.arange(len(logits))[:, None] < g["lengths"]
    assert_close(logits, np.where(live[..., None], g["logits"], 0))
    assert_close(np.stack(state.h), g["h"])
    assert_close(np.stack(state.c), g["c"])
    grads, d_x, d_start = backend.backward(
        handle, tape, g["d_logits"], State(tuple(g["d_h"]), tuple(g["d_c"]))
    )
    assert_close(d_x, g["d_x"])
    assert_close(np.stack(d_start.h), g["d_h0"])
    assert_close(np.stack(d_start.c), g["d_c0"])
    for n, layer in enumerate(grads.layers):
        assert_close(layer.w_ih, g[f"grad.lstm.weight_ih_l{n}"])
        assert_close(layer.w_hh, g[f"grad.lstm.weight_hh_l{n}"])
        assert_close(layer.b, g[f"grad.lstm.bias_ih_l{n}"])
        assert_close(layer.b, g[f"grad.lstm.bias_hh_l{n}"])
    assert_close(grads.w_out, g["grad.head.weight"])
    assert_close(grads.b_out, g["grad.head.bias"])


def loss_of(backend, logits, batch, spec):
    """Return the loss of given logits and its gradient, by an update that moves nothing.

    Each step is a row of one step. Its hidden vector is one unit: forget and output gates are open,
    the input gate is shut, and one cell is full. So a column of the head is what the row gets, and
    the gradient at the head is that at the logits, which is also the optimiser's first moment.
    """
    n_steps, n_rows, n_classes = logits.shape
    n, dtype = n_steps * n_rows, logits.dtype
    gates = np.repeat(np.array([-200, 200, 0, 200], dtype), n)
    layer = LayerParams(np.zeros((4 * n, 1), dtype), np.zeros((4 * n, n), dtype), gates)
    head = np.ascontiguousarray(logits.reshape(n, n_classes).T)
    params = Params((layer,), head, np.zeros(n_classes, dtype))
    cells = State((np.zeros((n, n), dtype),), (200 * np.eye(n, dtype=dtype),))
    x, ones = np.zeros((1, n, 1), dtype), np.ones(n, np.int64)
    one_step = Batch(x, batch.targets.reshape(1, n), batch.weights.reshape(1, n), ones, cells)
    handle, opt = backend.upload(params), OptState.zeros(params)
    adam = AdamSpec(lr=0.0, beta1=0.0, clip_norm=0.0)
    result = backend.train_step(handle, one_step, spec, adam, opt)
    backend.download(handle)  # and with it the moments
    return result.loss, opt.m.w_out.T.reshape(logits.shape)


def weighted_cross_entropy(backend, golden, dtype):
    g = part(golden, "loss.")
    batch = Batch(
        x=np.empty((6, 4, 1), dtype),
        targets=g["targets"],
        weights=g["weights"].astype(dtype),
        lengths=np.full(4, 6),
        state=State.zeros((1,), 4, np.dtype(dtype)),
    )
    logits, class_weights = g["logits"].astype(dtype), g["class_weights"].astype(dtype)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    value, d_logits = loss_of(backend, logits, batch, LossSpec(class_weights, 0.1))
    assert value == pytest.approx(float(g["loss"]), rel=tolerance)
    assert_close(d_logits, g["d_logits"].astype(dtype), tolerance)
    batch.weights[:] = 1
    value, _ = loss_of(backend, logits, batch, LossSpec(class_weights))
    assert value == pytest.approx(float(g["plain_loss"]), rel=tolerance)
