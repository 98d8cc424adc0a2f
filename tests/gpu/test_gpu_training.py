"""A training run on the GPU is the training run of the CPU."""

from __future__ import annotations

import gpu_sizes
import numpy as np
import pytest
from rnn_make import Shape, make_params

from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, State

F32 = "float32"
N_UPDATES = 3 if gpu_sizes.SMALL else 200
SIZES = (
    [Shape(3, (6,), 2, 4, 5)]
    if gpu_sizes.SMALL
    else [
        Shape(6, (64,), 3, 40, 64, weight=0.12),
        Shape(6, (128,), 3, 40, 64, weight=0.09),
        Shape(9, (48, 33), 4, 25, 37, weight=0.14),
    ]
)


def make_batches(shape, n):
    """Return slices of sequences whose class is told by the mean of their first input."""
    rng = np.random.default_rng([shape.seed, 81])
    for _ in range(n):
        size = (shape.n_steps, shape.n_rows)
        x = rng.standard_normal((*size, shape.n_in)).astype(F32)
        classes = rng.integers(0, shape.n_classes, shape.n_rows)
        x[..., 0] += classes.astype(F32) - (shape.n_classes - 1) / 2
        weights = np.zeros(size, F32)
        weights[shape.n_steps // 2 :] = 1
        lengths = rng.integers(shape.n_steps // 2 + 1, shape.n_steps + 1, shape.n_rows)
        state = State.zeros(shape.hidden, shape.n_rows, np.dtype(F32))
        mask = 2 * rng.integers(0, 2, (shape.n_rows, shape.hidden[-1])).astype(F32)
        yield Batch(x, np.tile(classes, (shape.n_steps, 1)), weights, lengths, state, mask)


def trained(backend, shape):
    """Return the losses and norms of a run, the weights and the optimiser's memory."""
    params = make_params(shape, F32)
    handle, opt = backend.upload(params), OptState.zeros(params)
    spec = LossSpec(np.ones(shape.n_classes, F32), 0.05)
    adam = AdamSpec(2e-3, eps=1e-4, weight_decay=0.01)
    results = [
        backend.train_step(handle, batch, spec, adam, opt)
        for batch in make_batches(shape, N_UPDATES)
    ]
    moved = backend.download(handle)
    assert opt.n_updates == N_UPDATES
    return np.array([(r.loss, r.grad_norm) for r in results]), moved, opt


@pytest.mark.parametrize("shape", SIZES, ids=gpu_sizes.name)
def test_a_run_has_the_losses_of_the_cpu(backend, cpu, shape):
    got, moved, opt = trained(backend, shape)
    expected, moved0, opt0 = trained(cpu, shape)
    assert np.isfinite(got).all()
    # At first only sums are rounded apart; later each update starts from what that made of weights.
    assert got[:5] == pytest.approx(expected[:5], rel=2e-5, abs=2e-5)
    assert got == pytest.approx(expected, rel=2e-3, abs=1e-4)
    for form, form0 in ((moved, moved0), (opt.m, opt0.m), (opt.v, opt0.v)):
        for a, b in zip(form.arrays(), form0.arrays(), strict=True):
            assert np.abs(a - b).max() <= 2e-3 * max(1.0, np.abs(b).max())
    if not gpu_sizes.SMALL:
        assert got[-20:, 0].mean() < 0.6 * got[0, 0]


@pytest.mark.parametrize("shape", SIZES, ids=gpu_sizes.name)
def test_a_run_goes_on_elsewhere(backend, cpu, shape):
    """Weights and memory move from the GPU to the CPU and back in the middle of a run."""
    params = make_params(shape, F32)
    spec, adam = LossSpec(np.ones(shape.n_classes, F32)), AdamSpec(2e-3, eps=1e-4)
    ways = []
    for route in ((backend, backend, backend), (backend, cpu, backend)):
        weights, opt, losses = params, OptState.zeros(params), []
        batches = make_batches(shape, 6)
        for which in route:
            handle = which.upload(weights)
            for _ in range(2):
                losses.append(which.train_step(handle, next(batches), spec, adam, opt).loss)
            weights = which.download(handle)
        ways.append((losses, opt.n_updates))
    assert ways[0][1] == ways[1][1] == 6
    assert ways[0][0] == pytest.approx(ways[1][0], rel=5e-5)
