"""Weights: how they start, what they are called, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import overload

import numpy as np

from streamrnn.core.types import Floats
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.model.spec import NetworkSpec, WindowSpec
from streamrnn.model.window import Weights, WindowParams

#: Start value of the forget gate's bias: a fresh cell remembers (Jozefowicz et al. 2015).
FORGET_BIAS = 1.0


def init_params(spec: NetworkSpec, seed: int) -> Params:
    """Return initial weights.

    Input, output weights and biases are uniform within ``1 / sqrt(H)`` as PyTorch's; recurrent
    weights are orthogonal gate by gate (Saxe et al. 2014); the forget bias is `FORGET_BIAS`.

    Parameters
    ----------
    spec : NetworkSpec
    seed : int
        The same seed gives the same bits.
    """
    rng = np.random.default_rng(seed)
    dtype = np.dtype(spec.dtype)
    layers = []
    width = spec.n_inputs
    for size in spec.hidden:
        bound = 1.0 / np.sqrt(size)
        w_ih = rng.uniform(-bound, bound, (4 * size, width))
        w_hh = np.concatenate([_orthogonal(rng, size) for _ in range(4)])
        b = rng.uniform(-bound, bound, 4 * size)
        b[size : 2 * size] = FORGET_BIAS
        layers.append(LayerParams(w_ih.astype(dtype), w_hh.astype(dtype), b.astype(dtype)))
        width = size
    bound = 1.0 / np.sqrt(width)
    w_out = rng.uniform(-bound, bound, (spec.n_classes, width)).astype(dtype)
    b_out = rng.uniform(-bound, bound, spec.n_classes).astype(dtype)
    return Params(tuple(layers), w_out, b_out)


def _orthogonal(
    rng: np.random.Generator, size: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))


def spec_of(params: Weights) -> NetworkSpec | WindowSpec:
    """Return the spec that `params` follow."""
    dtype = params.dtype.name
    if isinstance(params, WindowParams):
        (hidden,) = params.hidden_sizes
        return WindowSpec(params.n_inputs, params.window, hidden, params.n_classes, dtype)
    return NetworkSpec(params.n_inputs, params.hidden_sizes, params.n_classes, dtype)


def to_tensors(params: Weights) -> dict[str, Floats]:
    """Return the arrays by their names in the model file, in a fixed order; no copies."""
    names = spec_of(params).shapes()
    return dict(zip(names, params.arrays(), strict=True))


@overload
def from_tensors(spec: NetworkSpec, tensors: Mapping[str, Floats]) -> Params: ...
@overload
def from_tensors(spec: WindowSpec, tensors: Mapping[str, Floats]) -> WindowParams: ...
def from_tensors(spec: NetworkSpec | WindowSpec, tensors: Mapping[str, Floats]) -> Weights:
    """Return parameters made of named arrays, after checking them.

    Raises
    ------
    ValueError
        A name is missing or unknown, a shape or dtype is wrong, or a weight is not finite.
    """
    shapes = spec.shapes()
    missing = sorted(shapes.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - shapes.keys())
    if missing or unknown:
        raise ValueError(f"tensors missing: {missing}, unknown: {unknown}")
    arrays: list[Floats] = []
    for name, shape in shapes.items():
        array = tensors[name]
        if array.shape != shape or array.dtype != np.dtype(spec.dtype):
            raise ValueError(
                f"tensor {name} must be {spec.dtype} {shape}, got {array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"tensor {name} holds NaN or infinity")
        arrays.append(np.ascontiguousarray(array))
    if isinstance(spec, WindowSpec):
        w_in, b_in, w_out, b_out = arrays
        return WindowParams(w_in, b_in, w_out, b_out, spec.window)
    layers = tuple(LayerParams(*arrays[3 * n : 3 * n + 3]) for n in range(len(spec.hidden)))
    return Params(layers, arrays[-2], arrays[-1])


def check(params: Weights) -> None:
    """Raise ValueError unless shapes fit together, dtypes agree and every weight is finite."""
    from_tensors(spec_of(params), to_tensors(params))
