"""Temperature and energy of logits, and plain means, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from streamrnn.kernels import pointwise
from streamrnn.kernels.live.slots import MOST_MEAN_FRAMES

shapes = array_shapes(min_dims=2, max_dims=2, max_side=12)
logits = arrays(np.float32, shapes, elements=st.floats(-60, 60, width=32))
shares = arrays(np.float32, shapes, elements=st.floats(0, 1, width=32))


@given(logits, st.sampled_from([0.25, 1.0, 1.5, 8.0]))
def test_energy_is_that_of_the_logits_at_any_temperature(z: np.ndarray, temperature: float):
    out = np.empty_like(z)
    energy = pointwise.softmax_rows(z, out, temperature)
    # Two roundings to float32 may differ by one unit in the last place, 2**-23 of up to 64.
    expected = np.logaddexp.reduce(z.astype(np.float64), axis=1)
    np.testing.assert_allclose(energy, expected, rtol=2.0**-23, atol=2.0**-23)
    cool = z.astype(np.float64) / temperature
    e = np.exp(cool - cool.max(axis=1, keepdims=True))
    np.testing.assert_allclose(out, e / e.sum(axis=1, keepdims=True), rtol=3e-7, atol=1e-38)
    assert energy.tobytes() == pointwise.softmax_rows(z, z).tobytes()  # in place, and plain


@given(shares, st.integers(2, 9), st.integers(0, 12))
def test_a_plain_mean_is_that_of_its_frames_in_any_blocks(p: np.ndarray, n: int, cut: int):
    smoother = pointwise.Smoother(p.shape[1], 1.0, n)
    got = np.concatenate([smoother.push(p[:cut]), smoother.push(p[cut:])])
    rounded = np.floor(p.astype(np.float64) * 2.0**40 + 0.5) / 2.0**40
    for t, mean in enumerate(got):
        own = rounded[max(0, t + 1 - n) : t + 1]
        assert mean.tolist() == (own.sum(axis=0) / len(own)).tolist()  # to the bit
    assert np.abs(got[-1] - p[max(0, len(p) - n) :].mean(axis=0, dtype=np.float64)).max() < 1e-12
    smoother.reset()
    assert smoother.push(p).tobytes() == got.tobytes()


def test_a_plain_mean_depends_on_its_own_frames_alone():
    rng = np.random.default_rng(0)
    p = rng.random((5000, 3)).astype(np.float32)
    long, late = (pointwise.Smoother(3, 1.0, MOST_MEAN_FRAMES) for _ in range(2))
    assert long.push(p)[-1].tobytes() == late.push(p[-MOST_MEAN_FRAMES:])[-1].tobytes()


def test_means_without_a_bound_are_refused():
    with pytest.raises(ValueError, match=r"a mean of 4097 frames, expected 0\.\.4096"):
        pointwise.Smoother(3, 1.0, MOST_MEAN_FRAMES + 1)
