"""Softmax and feature arithmetic, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from streamrnn.kernels import pointwise

logit_arrays = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@given(logit_arrays)
def test_softmax_equals_numpy_in_float64(logits):
    out = np.empty_like(logits)
    pointwise.softmax_rows(logits, out)
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(out, e / e.sum(axis=1, keepdims=True), rtol=3e-7, atol=1e-38)
    np.testing.assert_allclose(out.sum(axis=1), 1.0, atol=1e-6)


@given(logit_arrays)
def test_a_row_of_softmax_has_the_same_bits_alone_and_in_place(logits):
    together = np.empty_like(logits)
    pointwise.softmax_rows(logits, together)
    for n in range(len(logits)):
        row = logits[n : n + 1].copy()
        pointwise.softmax_rows(row, row)
        assert row.tobytes() == together[n : n + 1].tobytes()


def test_what_is_no_float32_is_refused():
    with pytest.raises(ValueError, match="logits is float64"):
        pointwise.softmax_rows(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="overwritten"):
        pointwise.softmax_rows(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32).T)


@given(logit_arrays, st.floats(0.01, 1.0), st.data())
def test_smoothing_is_the_textbook_mean_in_any_blocks(rows, gain, data):
    rows = (np.abs(rows) / np.float32(2.0**100)).astype(np.float32)
    expected, mean = [], None
    for row in rows.tolist():
        if mean is None or gain == 1.0:
            mean = row
        else:
            mean = [m + gain * (v - m) for m, v in zip(mean, row, strict=True)]
        expected.append(mean)
    smoother = pointwise.Smoother(rows.shape[1], gain)
    cut = data.draw(st.integers(0, len(rows)))
    got = np.concatenate([smoother.push(rows[:cut]), smoother.push(rows[cut:])])
    assert got.tolist() == expected
    smoother.reset()
    assert smoother.push(rows[:1]).tolist() == rows[:1].tolist()
