"""The quick precision stays within its bound, and keeps the laws of bits."""

from __future__ import annotations

from dataclasses import replace

import gpu_sizes
import numpy as np
import pytest
import ways_laws
from rnn_make import Shape, draw, make_params, make_state

from streamrnn.kernels import get_backend

F32 = "float32"
#: Tensor cores take what the weights are multiplied by in bfloat16 too, and their tanh is the
#: device's own, to 2**-10.987.
SIGNALS_OFF, TANH_OFF = 2.0**-8, 2.0**-10.9
SIZES = [gpu_sizes.some(seed) for seed in gpu_sizes.seeds(30)] + [
    Shape(n_in, hidden, 5, 4, n_rows, seed=n_rows, weight=1.5 / hidden[0] ** 0.5)
    for n_in, hidden, n_rows in (
        [(3, (16,), 3)]
        if gpu_sizes.SMALL
        else [
            (6, (32,), 8), (6, (64,), 64), (33, (96,), 9), (6, (128,), 133), (64, (128, 128), 17),
            (6, (129,), 8), (64, (512,), 8),
        ]
    )
]  # fmt: skip
shapes = pytest.mark.parametrize("shape", SIZES, ids=gpu_sizes.name)


@shapes
def test_bf16_is_within_the_bound_of_rounded_weights(backend, shape):
    # Few steps: the bound grows with each, until it says nothing.
    shape = replace(shape, n_steps=min(shape.n_steps, 6))
    ways_laws.bf16_is_within_the_bound_of_rounded_weights(
        backend, F32, shape, SIGNALS_OFF, TANH_OFF
    )


@shapes
def test_every_way_gives_the_bits_of_a_sequence(backend, shape):
    ways_laws.every_way_gives_the_bits_of_a_sequence(backend, F32, "bf16", shape)


def test_bf16_moves_logits_by_thousandths(backend):
    n_steps = 4 if gpu_sizes.SMALL else 100
    ways_laws.bf16_moves_logits_by_thousandths(backend, F32, n_steps=n_steps)


def test_bf16_gives_back_the_weights_and_refuses_what_it_cannot(backend):
    ways_laws.bf16_gives_back_the_weights_and_refuses_what_it_cannot(backend, F32)


@pytest.mark.parametrize("n_hidden", [8] if gpu_sizes.SMALL else [32, 64, 128])
def test_long_runs_of_bf16_stay_near_the_exact_ones(backend, n_hidden):
    """Errors of a network with weights as trained ones have them do not pile up over time."""
    n_steps, n_rows = (4, 3) if gpu_sizes.SMALL else (300, 200)
    shape = Shape(6, (n_hidden,), 5, n_steps, n_rows, weight=n_hidden**-0.5)
    params, x = make_params(shape, F32), draw(shape, F32, n_steps, n_rows, 6)
    exact, quick = (
        backend.forward(backend.upload(params, precision=p), x, make_state(shape, F32))[0]
        for p in ("exact", "bf16")
    )
    error = np.abs(exact - quick)
    assert error.max() < 0.05
    assert error[-n_steps // 3 :].mean() < 3e-3


def test_the_oracle_and_the_device_round_weights_alike(backend):
    """On inputs that bfloat16 holds exactly, and one step from zero, only sums are rounded."""
    shape = Shape(4, (8,), 3, 1, 3) if gpu_sizes.SMALL else Shape(40, (64,), 5, 1, 70, weight=0.3)
    params = make_params(shape, F32)
    x = np.round(draw(shape, F32, 1, shape.n_rows, shape.n_in) * 8) / 8
    found = []
    for which in (backend, get_backend("numpy")):
        handle = which.upload(params, precision="bf16")
        state = which.zero_state(handle, shape.n_rows)
        which.forward(handle, x, state)
        found.append(state.c[0].copy())
    # Weights may be rounded up or down where two are stored as a pair: half of them, by 2**-8.
    assert np.abs(found[0] - found[1]).max() < 2e-2
