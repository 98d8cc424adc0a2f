"""The arrays of a network, and what travels over the seam with them.

Letters: T time steps, B rows (sequences side by side), I inputs, H hidden units, G = 4 H gate rows
in the order i, f, g, o, C classes. All arrays are C-contiguous and of one floating dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.native import address, aligned


@dataclass(frozen=True, slots=True, eq=False)
class LayerParams:
    """Weights of one LSTM layer.

    Attributes
    ----------
    w_ih : (G, I)
        Input weights.
    w_hh : (G, H)
        Recurrent weights.
    b : (G,)
        Bias (one: PyTorch's two are added on import).
    """

    w_ih: Floats
    w_hh: Floats
    b: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Params:
    """Weights of a network: stacked LSTM layers and a linear head. Gradients have the same form.

    Attributes
    ----------
    layers : tuple of LayerParams
        From the input up; layer n + 1 reads the hidden vector of layer n.
    w_out : (C, H_last)
        Head weights.
    b_out : (C,)
        Head bias.
    """

    layers: tuple[LayerParams, ...]
    w_out: Floats
    b_out: Floats

    @property
    def n_inputs(self) -> int:
        """I of the first layer."""
        return int(self.layers[0].w_ih.shape[1])

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer."""
        return tuple(int(layer.w_hh.shape[1]) for layer in self.layers)

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.w_out.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of all arrays."""
        return self.w_out.dtype

    def arrays(self) -> Iterator[Floats]:
        """Yield every array, in a fixed order."""
        for layer in self.layers:
            yield layer.w_ih
            yield layer.w_hh
            yield layer.b
        yield self.w_out
        yield self.b_out

    def check(self) -> None:
        """Check that the arrays fit together.

        Raises
        ------
        ValueError
            No layer, a size of 0, or an array of another shape or dtype than the others ask for.
        """
        if not self.layers:
            raise ValueError("a network has no layers")
        expected, n_in = [], self.n_inputs
        for n_units in self.hidden_sizes:
            expected += [(4 * n_units, n_in), (4 * n_units, n_units), (4 * n_units,)]
            n_in = n_units
        expected += [(self.n_classes, n_in), (self.n_classes,)]
        for array, shape in zip(self.arrays(), expected, strict=True):
            if array.dtype != self.dtype or array.shape != shape or not array.size:
                raise ValueError(
                    f"weights are {array.dtype} {array.shape}, expected {self.dtype} {shape}"
                    " without a size of 0"
                )

    def with_arrays(self, arrays: list[Floats]) -> Params:
        """Return parameters of the same form made of `arrays`, in the order of `arrays()`."""
        layers = tuple(LayerParams(*arrays[3 * n : 3 * n + 3]) for n in range(len(self.layers)))
        return Params(layers, arrays[-2], arrays[-1])

    def copy(self) -> Params:
        """Return a deep copy."""
        return self.with_arrays([array.copy() for array in self.arrays()])

    def zeros_like(self) -> Params:
        """Return zeros of the same form."""
        return self.with_arrays([np.zeros_like(array) for array in self.arrays()])


Grads = Params


#: Rows of a state are padded to this, a cache line and the widest vector.
_ALIGNMENT = 64


def padded(n: int, dtype: np.dtype[Any]) -> int:
    """Return how many numbers a row of `n` takes up, padding included."""
    per_line = _ALIGNMENT // dtype.itemsize
    return -(-n // per_line) * per_line


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What the cell carries from step to step, for B rows. Kernels write it in place.

    Making one copies the arrays that are given into one piece of memory, `arena`; `h` and `c` are
    views of it, so a kernel takes a network of any depth as one argument.

    Attributes
    ----------
    h, c : tuple of (B, H) arrays, one a layer
        Hidden vector and cell state. Rows are padded, so they do not follow one another.
    arena : 1-D
        ``h[0], c[0], h[1], c[1], ...`` end to end, each (B, H padded); begins at a multiple of 64
        bytes.
    address : int
        Where `arena` begins.
    """

    h: tuple[Floats, ...]
    c: tuple[Floats, ...]
    arena: Floats = field(init=False, repr=False)
    address: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Move the arrays into the arena."""
        given = [a for pair in zip(self.h, self.c, strict=True) for a in pair]
        for h, c in zip(self.h, self.c, strict=True):
            if h.ndim != 2 or c.shape != h.shape or len(h) != len(self.h[0]):
                raise ValueError(
                    f"h is {h.shape} and c {c.shape}, expected one shape with {len(self.h[0])} rows"
                )
        dtype = given[0].dtype
        shapes = [(a.shape[0], padded(a.shape[1], dtype)) for a in given]
        arena = aligned(sum(rows * width for rows, width in shapes), dtype)
        views, at = [], 0
        for a, shape in zip(given, shapes, strict=True):
            size = shape[0] * shape[1]
            view = arena[at : at + size].reshape(shape)[:, : a.shape[1]]
            view[...] = a
            views.append(view)
            at += size
        object.__setattr__(self, "arena", arena)
        object.__setattr__(self, "address", address(arena))
        object.__setattr__(self, "h", tuple(views[0::2]))
        object.__setattr__(self, "c", tuple(views[1::2]))

    def __reduce__(self) -> tuple[type[State], tuple[tuple[Floats, ...], tuple[Floats, ...]]]:
        """Have copies of any kind made anew, with memory of their own."""
        return State, (self.h, self.c)

    @staticmethod
    def zeros(hidden_sizes: tuple[int, ...], n_rows: int, dtype: np.dtype[Any]) -> State:
        """Return the state of `n_rows` streams that have seen nothing."""
        blank = tuple(np.zeros((n_rows, n), dtype) for n in hidden_sizes)
        return State(blank, blank)

    @property
    def n_rows(self) -> int:
        """B."""
        return int(self.h[0].shape[0])

    def reset_rows(self, rows: I64) -> None:
        """Set the named rows to zero."""
        for a in (*self.h, *self.c):
            a[rows] = 0

    def copy(self) -> State:
        """Return a deep copy."""
        return State(self.h, self.c)


@dataclass(frozen=True, slots=True, eq=False)
class LossSpec:
    """Weighted cross entropy with label smoothing.

    ``sum of w[t, b] * cw[y] * CE(y) / sum of w[t, b] * cw[y]``, both over (t, b), where ``CE`` is
    taken against ``(1 - s) * onehot(y) + s / C``.

    Attributes
    ----------
    class_weights : (C,)
        cw.
    label_smoothing : float
        s, 0..1.
    """

    class_weights: Floats
    label_smoothing: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class AdamSpec:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) behind a global-norm clip.

    Attributes
    ----------
    lr, beta1, beta2, eps : float
        As in Kingma & Ba 2015; eps is added outside the root.
    weight_decay : float
        ``p -= lr * weight_decay * p`` for weight matrices, never for biases.
    clip_norm : float
        Largest global L2 norm of all gradients; 0 means no clip.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0

    def constants(self, n: int) -> tuple[float, ...]:
        """Return the factors of the n-th update, counted from 1, in the order kernels take them.

        Both betas, 1 minus each, the rate and the root of the second moment freed from their
        bias, eps, and what decay leaves of a weight.
        """
        return (
            self.beta1,
            self.beta2,
            1.0 - self.beta1,
            1.0 - self.beta2,
            self.lr / (1.0 - self.beta1**n),
            math.sqrt(1.0 - self.beta2**n),
            self.eps,
            1.0 - self.lr * self.weight_decay,
        )


@dataclass(slots=True, eq=False)
class OptState:
    """Adam's memory.

    Attributes
    ----------
    m, v : Params
        First and second moments.
    n_updates : int
        Updates done so far.
    """

    m: Params
    v: Params
    n_updates: int = 0

    @staticmethod
    def zeros(params: Params) -> OptState:
        """Return the memory of an optimiser that has not moved yet."""
        return OptState(params.zeros_like(), params.zeros_like())


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One slice of training data.

    Attributes
    ----------
    x : (T, B, I)
        Features, time first.
    targets : int64 (T, B)
        Class of each step, 0..C-1 (any value where the weight is 0).
    weights : (T, B)
        Weight of each step in the loss; 0 = ignored. Many-to-one: non-zero at the last step only.
    lengths : int64 (B,)
        Valid steps of each row, 0..T; steps behind change nothing.
    state : State
        Start state; after the update it holds the end state (truncated BPTT carries it on).
    out_mask : (B, H_last) or None
        Factors on the last hidden vector before the head (dropout, already scaled).
    """

    x: Floats
    targets: I64
    weights: Floats
    lengths: I64
    state: State
    out_mask: Floats | None = None


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What one update reports.

    Attributes
    ----------
    loss : float
        Loss of the batch before the update.
    grad_norm : float
        Global gradient norm before the clip. Not finite: the update was **not** applied.
    """

    loss: float
    grad_norm: float
