"""What a GPU computes in exact precision has the bits of the CPU kernels, each time again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import gpu_sizes
import numpy as np
import pytest
from rnn_make import Shape, draw, make_lengths, make_params, make_state
from update_laws import make_batch

from streamrnn.kernels.params import AdamSpec, LossSpec, OptState

F32 = "float32"
N_REPEATS = 2 if gpu_sizes.SMALL else 50
SIZES = [
    make(seed)
    for make, n in ((gpu_sizes.some, 40), (gpu_sizes.wide, 20), (gpu_sizes.large, 12))
    for seed in gpu_sizes.seeds(n)
]
#: More blocks than any GPU runs at once, and few enough steps to be repeated often.
BUSY = (
    [Shape(3, (9,), 2, 3, 5)]
    if gpu_sizes.SMALL
    else [
        Shape(6, (64,), 5, 60, 4096, weight=0.12),
        Shape(6, (128, 128), 5, 30, 1024, weight=0.09),
        Shape(64, (512,), 5, 20, 130, weight=0.04),
    ]
)
shapes = pytest.mark.parametrize("shape", SIZES, ids=gpu_sizes.name)
busy_shapes = pytest.mark.parametrize("shape", BUSY, ids=gpu_sizes.name)


def bits(*arrays):
    """Return a digest of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for a in arrays:
        digest.update(np.ascontiguousarray(a).data)
    return digest.hexdigest()


@shapes
def test_forward_has_the_bits_of_the_cpu(backend, cpu, shape):
    params, lengths = make_params(shape, F32), make_lengths(shape)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    mask = draw(shape, F32, shape.n_rows, shape.hidden[-1], salt=9)
    ends = []
    for which in (backend, cpu):
        state = make_state(shape, F32)
        logits, _ = which.forward(which.upload(params), x, state, lengths, mask)
        ends.append((logits, *state.h, *state.c))
    for got, expected in zip(*ends, strict=True):
        assert np.array_equal(got, expected)


@shapes
def test_a_tape_changes_no_bit(backend, shape):
    params, lengths = make_params(shape, F32), make_lengths(shape)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    handle, found = backend.upload(params), []
    for keep in (False, True):
        state = make_state(shape, F32)
        logits, _ = backend.forward(handle, x, state, lengths, keep_tape=keep)
        found.append(bits(logits, *state.h, *state.c))
    assert found[0] == found[1]


@busy_shapes
def test_a_run_gives_the_same_bits_each_time(backend, shape):
    handle = backend.upload(make_params(shape, F32))
    x, lengths = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in), make_lengths(shape)
    found = set()
    for _ in range(N_REPEATS):
        state = make_state(shape, F32)
        logits, _ = backend.forward(handle, x, state, lengths)
        found.add(bits(logits, *state.h, *state.c))
    assert len(found) == 1


@busy_shapes
def test_gradients_are_the_same_bits_each_time(backend, shape):
    shape = replace(shape, n_steps=min(shape.n_steps, 20))
    handle = backend.upload(make_params(shape, F32))
    x, lengths = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in), make_lengths(shape)
    d_logits = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_classes)
    found = set()
    for _ in range(N_REPEATS):
        _, tape = backend.forward(handle, x, make_state(shape, F32), lengths, keep_tape=True)
        grads, d_x, d_start = backend.backward(handle, tape, d_logits)
        found.add(bits(*grads.arrays(), d_x, *d_start.h, *d_start.c))
    assert len(found) == 1


@busy_shapes
def test_updates_are_the_same_bits_each_time(backend, shape):
    shape = replace(shape, n_steps=min(shape.n_steps, 20))
    params, spec = make_params(shape, F32), LossSpec(np.ones(shape.n_classes, F32), 0.1)
    found = set()
    for _ in range(max(2, N_REPEATS // 5)):
        handle, opt, batch = backend.upload(params), OptState.zeros(params), make_batch(shape, F32)
        results = [
            backend.train_step(handle, batch, spec, AdamSpec(1e-3), opt)
            for _ in range(min(3, N_REPEATS))
        ]
        moved = backend.download(handle)
        numbers = np.array([(r.loss, r.grad_norm) for r in results])
        found.add(bits(numbers, *moved.arrays(), *opt.m.arrays(), *opt.v.arrays()))
    assert len(found) == 1
