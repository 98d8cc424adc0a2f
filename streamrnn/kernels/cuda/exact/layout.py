"""Where a network's numbers lie on a device.

The weights stand in *plain* form, which is `Params.arrays()` end to end in one piece: what an
optimiser moves. Kernels read them *packed*, in the order in which each kernel wants them, some
twice. Every packed number is one of the plain ones or 0, so packing is one gather by a map that is
made once: ``packed[i] = plain[map[i]]``, and 0 where ``map[i]`` is negative.

Packed, for each layer (gates i, f, g, o next to one another; H padded to whole warps, the padding
is 0)::

    w       [I + H][H padded][4]   row k: w_ih[., k]; row I + k: w_hh[., k]
    bias    [H padded][4]
    w_back  [H to 4][H padded][4]  [k][4 q + gate][n] = w_hh[gate of unit k, 4 q + n]: the way back
    w_down  [4 H][I to 4]          row 4 k + gate: w_ih[gate of unit k, .]: the way back to x

and for the head::

    w_out_t [H][C to 4]
    b_out   [C to 4]
    w_out   [C][H to 4]

A column ``4 * unit + gate`` of `w` is a *packed column*; pre-activations and their gradients stand
in that order too. Columns are padded to multiples of 4, so that four are read at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamrnn.kernels.cuda.memory import ALIGNMENT_BYTES
from streamrnn.kernels.params import Params, padded

I32Array = npt.NDArray[np.int32]
_FLOAT = np.dtype(np.float32)
_LINE = ALIGNMENT_BYTES // _FLOAT.itemsize
WARP = 32


@dataclass(frozen=True)
class LayerLayout:
    """One layer: its sizes, and where its packed arrays begin, in floats.

    Attributes
    ----------
    n_in, n_units : int
        I and H.
    n_padded : int
        H in whole warps.
    w, bias, w_back, w_down : int
        See the module; `w_down` has rows of `down_stride`.
    plain : (int, int, int)
        Where w_ih, w_hh and b begin in plain form.
    """

    n_in: int
    n_units: int
    n_padded: int
    w: int
    bias: int
    w_back: int
    w_down: int
    plain: tuple[int, int, int]

    @property
    def w_stride(self) -> int:
        """Floats from one k of `w` or `w_back` to the next."""
        return 4 * self.n_padded

    @property
    def down_stride(self) -> int:
        """Floats from one row of `w_down` to the next."""
        return fours(self.n_in)


@dataclass(frozen=True)
class Layout:
    """A network: its sizes, and where everything begins, in floats.

    Attributes
    ----------
    layers : tuple of LayerLayout
    n_classes : int
        C.
    w_out_t, b_out, w_out : int
        The head; rows of `out_t_stride` and `out_stride`.
    plain_head : (int, int)
        Where w_out and b_out begin in plain form.
    n_plain, n_packed : int
        Floats in all.
    """

    layers: tuple[LayerLayout, ...]
    n_classes: int
    w_out_t: int
    b_out: int
    w_out: int
    plain_head: tuple[int, int]
    n_plain: int
    n_packed: int

    @property
    def n_inputs(self) -> int:
        """I of the first layer."""
        return self.layers[0].n_in

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer."""
        return tuple(layer.n_units for layer in self.layers)

    @property
    def n_last(self) -> int:
        """H of the last layer."""
        return self.layers[-1].n_units

    @property
    def out_t_stride(self) -> int:
        """Floats from one row of `w_out_t` to the next."""
        return fours(self.n_classes)

    @property
    def out_stride(self) -> int:
        """Floats from one row of `w_out` to the next."""
        return fours(self.n_last)


@dataclass(frozen=True)
class StatePlace:
    """Where one layer's state lies in a state's arena (`params.State`), in floats.

    Attributes
    ----------
    h, c : int
        Where the rows begin.
    stride : int
        From one row to the next.
    """

    h: int
    c: int
    stride: int


def fours(n: int) -> int:
    """Return n rounded up to a multiple of 4."""
    return -(-n // 4) * 4


def make_layout(params: Params) -> Layout:
    """Return where the numbers of a network lie."""
    plain = _ends(array.size for array in params.arrays())
    at, layers = 0, []

    def take(n_floats: int) -> int:
        nonlocal at
        begin, at = at, -(-(at + n_floats) // _LINE) * _LINE
        return begin

    n_in = params.n_inputs
    for number, n_units in enumerate(params.hidden_sizes):
        n_padded = -(-n_units // WARP) * WARP
        layers.append(
            LayerLayout(
                n_in=n_in,
                n_units=n_units,
                n_padded=n_padded,
                w=take((n_in + n_units) * 4 * n_padded),
                bias=take(4 * n_padded),
                w_back=take(fours(n_units) * 4 * n_padded),
                w_down=take(4 * n_units * fours(n_in)),
                plain=(plain[3 * number], plain[3 * number + 1], plain[3 * number + 2]),
            )
        )
        n_in = n_units
    n_classes = params.n_classes
    return Layout(
        layers=tuple(layers),
        n_classes=n_classes,
        w_out_t=take(n_in * fours(n_classes)),
        b_out=take(fours(n_classes)),
        w_out=take(n_classes * fours(n_in)),
        plain_head=(plain[-3], plain[-2]),
        n_plain=plain[-1],
        n_packed=at,
    )


def make_map(layout: Layout) -> I32Array:
    """Return, for each packed number, which plain one it is; -1 for padding."""
    gather = np.full(layout.n_packed, -1, np.int32)
    for layer in layout.layers:
        n_in, n_units, width = layer.n_in, layer.n_units, layer.n_padded
        w_ih, w_hh, bias = (
            _indices(at, shape)
            for at, shape in zip(
                layer.plain,
                ((4, n_units, n_in), (4, n_units, n_units), (4, n_units)),
                strict=True,
            )
        )
        w = _view(gather, layer.w, (n_in + n_units, width, 4))
        w[:n_in, :n_units] = w_ih.transpose(2, 1, 0)
        w[n_in:, :n_units] = w_hh.transpose(2, 1, 0)
        _view(gather, layer.bias, (width, 4))[:n_units] = bias.T
        turned = np.full((fours(n_units), 4, width), -1, np.int32)  # [k][gate][j]
        turned[:n_units, :, :n_units] = w_hh.transpose(1, 0, 2)
        w_back = _view(gather, layer.w_back, (fours(n_units), width // 4, 4, 4))
        w_back[...] = turned.reshape(fours(n_units), 4, width // 4, 4).transpose(0, 2, 1, 3)
        down = _view(gather, layer.w_down, (n_units, 4, layer.down_stride))
        down[:, :, :n_in] = w_ih.transpose(1, 0, 2)
    n_last, n_classes = layout.n_last, layout.n_classes
    w_out = _indices(layout.plain_head[0], (n_classes, n_last))
    _view(gather, layout.w_out_t, (n_last, layout.out_t_stride))[:, :n_classes] = w_out.T
    b_out = _indices(layout.plain_head[1], (n_classes,))
    _view(gather, layout.b_out, (n_classes,))[:] = b_out
    _view(gather, layout.w_out, (n_classes, layout.out_stride))[:, :n_last] = w_out
    return gather


def state_places(hidden_sizes: tuple[int, ...], n_rows: int) -> tuple[list[StatePlace], int]:
    """Return where each layer's state lies in an arena as of `params.State`, and its floats."""
    places, at = [], 0
    for n_units in hidden_sizes:
        stride = padded(n_units, _FLOAT)
        places.append(StatePlace(at, at + n_rows * stride, stride))
        at += 2 * n_rows * stride
    return places, at


def _ends(sizes: Iterable[int]) -> list[int]:
    """Return where arrays begin that lie end to end, and behind them the end of the last."""
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    return ends


def _indices(begin: int, shape: tuple[int, ...]) -> I32Array:
    size = int(np.prod(shape))
    return np.arange(begin, begin + size, dtype=np.int32).reshape(shape)


def _view(packed: I32Array, begin: int, shape: tuple[int, ...]) -> I32Array:
    size = int(np.prod(shape))
    return packed[begin : begin + size].reshape(shape)
