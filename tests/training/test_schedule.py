"""The one-cycle schedule, against PyTorch's definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.training.schedule import one_cycle


def test_corners():
    assert one_cycle(0.0, 1.0, 0.25) == pytest.approx((1 / 25, 0.95))
    assert one_cycle(0.25, 1.0, 0.25) == pytest.approx((1.0, 0.85))
    assert one_cycle(1.0, 1.0, 0.25) == pytest.approx((1 / 25 / 1e4, 0.95))
    assert one_cycle(0.125, 1.0, 0.25)[0] == pytest.approx((1 + 1 / 25) / 2)


@given(st.floats(1e-6, 10), st.floats(0, 1))
def test_it_rises_then_falls_and_beta_goes_the_other_way(peak, warm_up):
    rates, betas = zip(
        *(one_cycle(p, peak, warm_up) for p in np.linspace(0, 1, 41)[:-1]), strict=True
    )
    top = int(np.argmax(rates))
    assert max(rates) <= peak * (1 + 1e-12)
    assert all(np.diff(rates[: top + 1]) >= -1e-12 * peak)
    assert all(np.diff(rates[top:]) <= 1e-12 * peak)
    assert min(betas) >= 0.85 - 1e-12
    assert max(betas) <= 0.95 + 1e-12
