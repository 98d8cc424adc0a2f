"""Streams whose state stays on the GPU keep their laws, for any number of them."""

from __future__ import annotations

import gpu_sizes
import numpy as np
import pytest
import streams_laws
from rnn_make import Shape, draw, make_params, make_state

from streamrnn.kernels import get_backend

F32 = "float32"
SIZES = [gpu_sizes.some(seed) for seed in gpu_sizes.seeds(25)] + [
    gpu_sizes.wide(seed) for seed in gpu_sizes.seeds(6)
]
shapes = pytest.mark.parametrize("shape", SIZES, ids=gpu_sizes.name)
MANY = (
    [Shape(3, (8,), 2, 2, 9)]
    if gpu_sizes.SMALL
    else [
        Shape(6, (64,), 5, 4, 100_003, weight=0.12),
        Shape(6, (128,), 5, 3, 20_001, weight=0.09),
        Shape(6, (32, 32), 5, 3, 50_000, weight=0.18),
    ]
)


@shapes
@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_a_stream_is_the_same_stepped_alone(backend, shape, precision):
    streams_laws.a_stream_is_the_same_stepped_alone(backend, F32, shape, precision)


@shapes
def test_a_snapshot_goes_on_anywhere(backend, shape):
    streams_laws.a_snapshot_goes_on_anywhere(backend, backend, F32, shape)
    streams_laws.a_snapshot_goes_on_anywhere(backend, get_backend("numpy"), F32, shape)


def test_a_snapshot_is_a_copy(backend):
    streams_laws.a_snapshot_is_a_copy(backend, F32, streams_laws.ODD)


def test_nan_stays_in_its_stream(backend):
    streams_laws.nan_stays_in_its_stream(backend, F32, streams_laws.ODD)


def test_wrong_ticks_are_named(backend):
    streams_laws.wrong_ticks_are_named(backend, F32, streams_laws.ODD)


@pytest.mark.parametrize("shape", MANY, ids=gpu_sizes.name)
def test_many_streams_have_the_bits_of_the_cpu(backend, cpu, shape):
    """All of them, then some in any order, tick by tick."""
    rng = np.random.default_rng(5)
    params, start = make_params(shape, F32), make_state(shape, F32)
    fleets = []
    for which in (backend, cpu):
        fleets.append(which.streams(which.upload(params), shape.n_rows))
        fleets[-1].restore(start)
    for t in range(shape.n_steps):
        rows = None if t == 0 else rng.permutation(shape.n_rows)[: 1 + shape.n_rows // (t + 1)]
        n = shape.n_rows if rows is None else len(rows)
        x = draw(shape, F32, n, shape.n_in, salt=40 + t)
        got, expected = (np.full((n, shape.n_classes), np.nan, F32) for _ in range(2))
        fleets[0].tick(x, got, rows)
        fleets[1].tick(x, expected, rows)
        assert np.array_equal(got, expected)
    assert np.array_equal(fleets[0].snapshot().arena, fleets[1].snapshot().arena)
