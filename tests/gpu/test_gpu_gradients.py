"""Values and gradients of large networks against float64: NumPy's, and PyTorch's on the device."""

from __future__ import annotations

import gpu_sizes
import numpy as np
import pytest
import wide_lstm
from rnn_make import Shape, draw, make_lengths, make_params, make_state

F32 = "float32"
LARGE = [gpu_sizes.large(seed) for seed in gpu_sizes.seeds(6)]
#: float32 has 6e-8; a sum over all rows and steps, of parts that are sums themselves, some hundreds
#: of it. Relative to the largest number of the array.
TOLERANCE = 2e-5
TORCH_SIZES = (
    [Shape(3, (8,), 2, 4, 3)]
    if gpu_sizes.SMALL
    else [
        Shape(6, (64,), 5, 100, 64, weight=0.12),
        Shape(6, (128, 128), 5, 50, 256, weight=0.09),
        Shape(64, (512,), 5, 30, 64, weight=0.04),
        Shape(33, (100,), 7, 40, 133, weight=0.1),
    ]
)


def assert_near(got, expected):
    """Hold an array to float64, relative to its largest number."""
    assert got.shape == expected.shape
    scale = np.abs(expected).max(initial=1e-3)
    assert np.abs(got - expected).max(initial=0.0) <= TOLERANCE * scale


@pytest.mark.parametrize("shape", LARGE, ids=gpu_sizes.name)
def test_large_networks_equal_float64(backend, shape):
    params, lengths = make_params(shape, F32), make_lengths(shape)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_classes)
    mask = draw(shape, F32, shape.n_rows, shape.hidden[-1], salt=9)
    start, d_end = make_state(shape, F32), make_state(shape, F32, salt=7)
    expected = wide_lstm.forward_and_backward(params, x, start, d_logits, lengths, mask, d_end)
    for row, end in enumerate(lengths):
        x[end:, row], d_logits[end:, row] = np.nan, np.nan
    handle, state = backend.upload(params), start.copy()
    logits, tape = backend.forward(handle, x, state, lengths, mask, keep_tape=True)
    grads, d_x, d_start = backend.backward(handle, tape, d_logits, d_end)
    assert_near(logits, expected[0])
    for got, wanted in (
        (state.h, expected[1]),
        (state.c, expected[2]),
        (tuple(grads.arrays()), expected[3]),
        ((d_x,), (expected[4],)),
        (d_start.h, expected[5]),
        (d_start.c, expected[6]),
    ):
        for a, b in zip(got, wanted, strict=True):
            assert_near(a, b)


@pytest.mark.parametrize("shape", TORCH_SIZES, ids=gpu_sizes.name)
def test_gradients_equal_those_of_torch_in_float64(backend, torch, shape):
    params = make_params(shape, F32)
    n_layers, n_hidden = len(shape.hidden), shape.hidden[0]
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_classes)
    where = "cuda" if torch.cuda.is_available() else "cpu"

    def tensor(a):
        return torch.from_numpy(np.ascontiguousarray(a)).to(where, torch.float64)

    lstm = torch.nn.LSTM(shape.n_in, n_hidden, n_layers, device=where, dtype=torch.float64)
    head = torch.nn.Linear(n_hidden, shape.n_classes, device=where, dtype=torch.float64)
    with torch.no_grad():
        for n, layer in enumerate(params.layers):
            getattr(lstm, f"weight_ih_l{n}").copy_(tensor(layer.w_ih))
            getattr(lstm, f"weight_hh_l{n}").copy_(tensor(layer.w_hh))
            getattr(lstm, f"bias_ih_l{n}").copy_(tensor(layer.b))
            getattr(lstm, f"bias_hh_l{n}").zero_()
        head.weight.copy_(tensor(params.w_out))
        head.bias.copy_(tensor(params.b_out))
    inputs = tensor(x).requires_grad_()
    outputs = head(lstm(inputs)[0])
    (outputs * tensor(d_logits)).sum().backward()

    handle = backend.upload(params)
    logits, tape = backend.forward(
        handle, x, backend.zero_state(handle, shape.n_rows), keep_tape=True
    )
    grads, d_x, _ = backend.backward(handle, tape, d_logits)

    def numbers(a):
        return a.detach().cpu().numpy()

    assert_near(logits, numbers(outputs))
    assert_near(d_x, numbers(inputs.grad))
    for n, layer in enumerate(grads.layers):
        assert_near(layer.w_ih, numbers(getattr(lstm, f"weight_ih_l{n}").grad))
        assert_near(layer.w_hh, numbers(getattr(lstm, f"weight_hh_l{n}").grad))
        assert_near(layer.b, numbers(getattr(lstm, f"bias_ih_l{n}").grad))
    assert_near(grads.w_out, numbers(head.weight.grad))
    assert_near(grads.b_out, numbers(head.bias.grad))
