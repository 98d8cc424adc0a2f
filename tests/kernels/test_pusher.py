"""A frame in one call: whatever it comes in, and only with stages that fit together."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.kernels import get_backend, pycall
from streamrnn.kernels.features import FeatureKernel, plain
from streamrnn.kernels.live.pusher import Pusher
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.kernels.pointwise import Smoother
from streamrnn.model.network import Network

N_COLUMNS, N_PICKED, N_CLASSES = 5, 3, 4


def make(*, n_features=N_PICKED, n_smoothed=N_CLASSES, factors=None):
    rng = np.random.default_rng(3)
    shapes = (32, n_features), (32, 8), (32,), (N_CLASSES, 8), (N_CLASSES,)
    arrays = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
    params = Params((LayerParams(*arrays[:3]),), *arrays[3:])
    row = Network(params, get_backend("cpu")).row()
    none = np.zeros((0, 3), np.int64)
    program = plain(np.zeros(n_features), np.ones(n_features), none, asinh=False, differences=False)
    features = FeatureKernel(program)
    columns = np.array([4, 0, 2])
    smoother = Smoother(n_smoothed, 0.5)
    return Pusher(row, features, smoother, columns, N_COLUMNS, factors)


def tagged(frame):
    """Return the frame with a dtype that is float32 and yet not NumPy's one object for it."""
    return frame.astype(np.dtype(np.float32, metadata={"unit": "g"}))


def spread(frame):
    return np.repeat(frame, 2)[::2]


@pytest.mark.parametrize("form", [tagged, spread, lambda frame: frame.view(np.recarray)])
@pytest.mark.parametrize("is_known", [True, False])
def test_frames_of_any_form_give_what_plain_ones_give(monkeypatch, form, is_known):
    plain = make()
    monkeypatch.setattr(pycall, "_layout_is_known", lambda: is_known)
    other = make()
    for frame in np.random.default_rng(5).normal(size=(20, N_COLUMNS)).astype(np.float32):
        assert other.push_frame(form(frame)) == plain.push_frame(frame)
        assert other.smoothed.tobytes() == plain.smoothed.tobytes()
        assert other.picked.tobytes() == plain.picked.tobytes()


@pytest.mark.parametrize("form", [bytearray, memoryview])
@pytest.mark.parametrize("is_known", [True, False])
def test_samples_of_any_form_give_what_bytes_give(monkeypatch, form, is_known):
    factors = np.random.default_rng(7).normal(size=(N_COLUMNS, 2)).astype(np.float32)
    plain = make(factors=factors)
    monkeypatch.setattr(pycall, "_layout_is_known", lambda: is_known)
    other = make(factors=factors)
    for frame in np.random.default_rng(9).integers(-9, 9, (20, N_COLUMNS)).astype("<i2"):
        raw = frame.tobytes()
        assert other.push_samples(form(raw)) == plain.push_samples(raw)
        assert other.smoothed.tobytes() == plain.smoothed.tobytes()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_damaged_frame_changes_nothing(monkeypatch, is_known):
    monkeypatch.setattr(pycall, "_layout_is_known", lambda: is_known)
    pusher = make()
    pusher.push_frame(tagged(np.ones(N_COLUMNS)))
    before = pusher.smoothed.copy(), pusher.picked.copy()
    assert pusher.push_frame(tagged(np.full(N_COLUMNS, np.nan))) == -1
    np.testing.assert_array_equal(pusher.smoothed, before[0])
    np.testing.assert_array_equal(pusher.picked, before[1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_smoothed": 2}, "2 smoothed classes for the network's 4"),
        ({"n_features": 2}, "features of 2 columns, but 3 are named"),
        ({"factors": np.ones((4, 2), np.float32)}, r"factors are \(4, 2\), expected \(5, 2\)"),
    ],
)
def test_stages_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)
