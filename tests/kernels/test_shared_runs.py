"""Runs that threads share: the same bits as alone."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_make import Shape, draw, make_lengths, make_params, make_state

from streamrnn.kernels.rnn.cpu import MIN_SHARED, CpuBackend

SHAPE = Shape(n_in=3, hidden=(40,), n_classes=2, n_steps=33, n_rows=150)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(dtype):
    params, lengths = make_params(SHAPE, dtype), make_lengths(SHAPE)
    x = draw(SHAPE, dtype, SHAPE.n_steps, SHAPE.n_rows, SHAPE.n_in)
    results = []
    for n_threads in (1, 3):
        backend = CpuBackend(n_threads=n_threads)
        handle = backend.upload(params)
        assert x.size // SHAPE.n_in * handle.arena.size > MIN_SHARED  # else they do not share
        for _ in range(2):  # once alone and once shared, in either order
            state = make_state(SHAPE, dtype)
            logits = backend.forward(handle, x, state, lengths)[0]
            results.append((logits, state.arena))
    for logits, arena in results[1:]:
        assert np.array_equal(logits, results[0][0])
        assert np.array_equal(arena, results[0][1])
