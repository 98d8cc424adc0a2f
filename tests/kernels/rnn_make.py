"""Random networks, batches and states for the kernel tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamrnn.kernels.params import LayerParams, Params, State


@dataclass(frozen=True)
class Shape:
    """Sizes of a network and of what it is run on.

    Weights are within `weight` of 0: wide networks with large ones are chaotic, and soon make any
    rounding a large one.
    """

    n_in: int
    hidden: tuple[int, ...]
    n_classes: int
    n_steps: int
    n_rows: int
    seed: int = 0
    weight: float = 0.7


def make_params(shape: Shape, dtype: str) -> Params:
    """Return weights large enough for every gate to work."""
    rng = np.random.default_rng(shape.seed)

    def draw(*size: int) -> np.ndarray:
        return rng.uniform(-shape.weight, shape.weight, size).astype(dtype)

    layers, width = [], shape.n_in
    for n in shape.hidden:
        layers.append(LayerParams(draw(4 * n, width), draw(4 * n, n), draw(4 * n)))
        width = n
    return Params(tuple(layers), draw(shape.n_classes, width), draw(shape.n_classes))


def draw(shape: Shape, dtype: str, *size: int, salt: int = 1) -> np.ndarray:
    """Return standard normal numbers."""
    rng = np.random.default_rng([shape.seed, salt, *size])
    return rng.standard_normal(size).astype(dtype)


def make_state(shape: Shape, dtype: str, salt: int = 2) -> State:
    """Return a state that is not zero."""
    sizes = [(shape.n_rows, n) for n in shape.hidden]
    h = tuple(draw(shape, dtype, *size, salt=salt) for size in sizes)
    c = tuple(draw(shape, dtype, *size, salt=salt + 1) for size in sizes)
    return State(h, c)


def make_lengths(shape: Shape) -> np.ndarray:
    """Return lengths from 0 to T."""
    rng = np.random.default_rng([shape.seed, 5])
    return rng.integers(0, shape.n_steps + 1, shape.n_rows)


def row_of(state: State, row: int) -> State:
    """Return one row of a state."""
    rows = slice(row, row + 1)
    return State(tuple(a[rows] for a in state.h), tuple(a[rows] for a in state.c))


def assert_close(got: np.ndarray, expected: np.ndarray, tolerance: float | None = None) -> None:
    """Hold a backend to the oracle: float32 2e-5, float64 1e-11, of the largest value or of 1."""
    if tolerance is None:
        tolerance = 2e-5 if expected.dtype == np.float32 else 1e-11
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)
