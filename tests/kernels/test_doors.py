"""What does not fit together is refused before a kernel, which checks nothing, gets its address."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_make import Shape, make_params

from streamrnn.kernels import get_backend
from streamrnn.kernels.features import plain
from streamrnn.kernels.params import LayerParams, Params, State

BACKENDS = pytest.mark.parametrize("name", ["numpy", "cpu"])


def zeros(*shape):
    return np.zeros(shape, np.float32)


@BACKENDS
@pytest.mark.parametrize(
    ("layers", "head"),
    [
        ([((32, 3), (32, 8), (32,))], ((2, 8), (1,))),
        ([((32, 3), (32, 8), (32,))], ((2, 9), (2,))),
        ([((32, 3), (32, 8), (31,))], ((2, 8), (2,))),
        ([((32, 3), (30, 8), (32,))], ((2, 8), (2,))),
        ([((32, 3), (32, 8), (32,)), ((32, 9), (32, 8), (32,))], ((2, 8), (2,))),
        ([((32, 0), (32, 8), (32,))], ((2, 8), (2,))),
        ([((32, 3), (32, 8), (32,))], ((0, 8), (0,))),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, layers, head):
    made = tuple(LayerParams(*map(lambda s: zeros(*s), shapes)) for shapes in layers)
    with pytest.raises(ValueError, match="weights are float32"):
        get_backend(name).upload(Params(made, *(zeros(*shape) for shape in head)))


@BACKENDS
def test_weights_of_two_dtypes_or_without_a_layer_are_refused(name):
    backend, params = get_backend(name), make_params(Shape(3, (8,), 2, 1, 1), "f4")
    arrays = list(params.arrays())
    arrays[1] = arrays[1].astype("f8")
    with pytest.raises(ValueError, match=r"weights are float64 .*, expected float32"):
        backend.upload(params.with_arrays(arrays))
    with pytest.raises(ValueError, match="no layers"):
        backend.upload(Params((), zeros(2, 8), zeros(2)))


@pytest.mark.parametrize(
    ("h", "c"),
    [
        ([(4, 8)], [(4, 1)]),
        ([(64, 8)], [(1, 8)]),
        ([(4, 8), (1, 8)], [(4, 8), (1, 8)]),
        ([(8,)], [(8,)]),
    ],
)
def test_states_that_do_not_fit_are_refused(h, c):
    with pytest.raises(ValueError, match="expected one shape with"):
        State(tuple(zeros(*s) for s in h), tuple(zeros(*s) for s in c))


@pytest.mark.parametrize("hidden", [(40,), (8, 8), (24, 8)])
def test_the_tape_of_another_network_is_refused(hidden):
    backend, states = get_backend("cpu"), (8, 24)
    ours = backend.upload(make_params(Shape(3, states, 2, 1, 1), "f4"))
    other = backend.upload(make_params(Shape(3, hidden, 2, 1, 1), "f4"))
    mask = zeros(9, states[-1])
    _, tape = backend.forward(
        ours, zeros(20, 9, 3), backend.zero_state(ours, 9), None, mask, keep_tape=True
    )
    with pytest.raises(ValueError, match="another network's tape"):
        backend.backward(other, tape, zeros(20, 9, 2))


@pytest.mark.parametrize(
    ("n_scales", "triads", "message"),
    [
        (1, np.zeros((0, 3), int), "3 offsets, but 1 scales"),
        (3, np.array([[0, 1, 3]]), "beyond the 3 that there are"),
        (3, np.array([[0, 1]]), "expected three columns each"),
    ],
)
def test_features_that_do_not_fit_are_refused(n_scales, triads, message):
    with pytest.raises(ValueError, match=message):
        plain(np.zeros(3), np.ones(n_scales), triads, asinh=False, differences=False)
