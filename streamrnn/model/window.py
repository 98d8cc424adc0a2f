"""A small MLP on sliding windows: the baseline that a cell with a state of its own must beat.

Every frame is judged by the last W frames of features, zeros before the first::

    hidden = max(0, b1 + w1 window)      logits = b2 + w2 hidden

The window is the network's only memory. Frames go through one by one, by the very same calls on
arrays of the same shape, so a block gives the same bits as its frames; and by einsum, not by a
BLAS, whose sums may depend on threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import I64, Floats
from streamrnn.kernels.backend import Backend
from streamrnn.kernels.params import Params, State
from streamrnn.model.network import Network
from streamrnn.model.spec import WindowSpec


@dataclass(frozen=True, slots=True, eq=False)
class WindowParams:
    """Weights of a window network. Gradients have the same form.

    Attributes
    ----------
    w_in : (H, W * I)
        Weights of the hidden units: the oldest frame's features first.
    b_in : (H,)
    w_out : (C, H)
        Head weights.
    b_out : (C,)
    window : int
        W, frames that are looked at.
    """

    w_in: Floats
    b_in: Floats
    w_out: Floats
    b_out: Floats
    window: int

    @property
    def n_inputs(self) -> int:
        """I."""
        return int(self.w_in.shape[1]) // self.window

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """H of each layer; there is one."""
        return (int(self.w_in.shape[0]),)

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
        yield from (self.w_in, self.b_in, self.w_out, self.b_out)

    def with_arrays(self, arrays: Sequence[Floats]) -> WindowParams:
        """Return parameters of the same form made of `arrays`, in the order of `arrays()`."""
        w_in, b_in, w_out, b_out = arrays
        return WindowParams(w_in, b_in, w_out, b_out, self.window)

    def copy(self) -> WindowParams:
        """Return a deep copy."""
        return self.with_arrays([array.copy() for array in self.arrays()])

    def zeros_like(self) -> WindowParams:
        """Return zeros of the same form."""
        return self.with_arrays([np.zeros_like(array) for array in self.arrays()])

    def new_state(self, n_rows: int) -> State:
        """Return the state of `n_rows` streams that have seen nothing.

        ``h[0]`` is (B, W * I), the last W frames, oldest first; ``c`` is not used.
        """
        return State.zeros((int(self.w_in.shape[1]),), n_rows, self.dtype)


#: The weights of any network that a model file can hold.
Weights: TypeAlias = Params | WindowParams


def init_window_params(spec: WindowSpec, seed: int) -> WindowParams:
    """Return initial weights: uniform, of the variance of He et al. 2015 for the hidden units.

    Parameters
    ----------
    spec : WindowSpec
    seed : int
        The same seed gives the same bits.
    """
    rng = np.random.default_rng(seed)
    dtype = np.dtype(spec.dtype)
    n_wide = spec.window * spec.n_inputs
    bound_in, bound_out = np.sqrt(6.0 / n_wide), 1.0 / np.sqrt(spec.hidden)
    return WindowParams(
        rng.uniform(-bound_in, bound_in, (spec.hidden, n_wide)).astype(dtype),
        np.zeros(spec.hidden, dtype),
        rng.uniform(-bound_out, bound_out, (spec.n_classes, spec.hidden)).astype(dtype),
        np.zeros(spec.n_classes, dtype),
        spec.window,
    )


class WindowNetwork:
    """A window network with the face of `Network`; NumPy runs it, whatever the backend.

    Parameters
    ----------
    params : WindowParams
        Copied.
    backend : Backend
        Kept for whoever asks.
    precision : str
        ``exact``: there is no other.

    Raises
    ------
    ConfigError
        Another precision.
    """

    def __init__(self, params: WindowParams, backend: Backend, precision: str = "exact") -> None:
        if precision != "exact":
            raise ConfigError(
                f"a window network is held as it was trained, not in {precision}: "
                "leave out --precision"
            )
        self.backend = backend
        self._params = params.copy()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of weights, features and logits."""
        return self._params.dtype

    def row(self) -> None:
        """Return None: compiled code has no such stream."""
        return

    def new_state(self, n_rows: int = 1) -> State:
        """Return a fresh state for `n_rows` streams."""
        return self._params.new_state(n_rows)

    def step(self, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame, in place.

        Parameters
        ----------
        x : (B, I)
        state : State of B rows
            Overwritten.
        logits : (B, C)
            Overwritten.
        """
        for b in range(state.n_rows):
            self._step_row(x[b], state.h[0][b], logits[b])

    def forward(self, x: Floats, state: State, lengths: I64 | None = None) -> Floats:
        """Run T steps of (T, B, I) and return the logits (T, B, C), 0 behind a row's length."""
        logits = np.zeros((len(x), state.n_rows, self._params.n_classes), self.dtype)
        for b in range(state.n_rows):
            n_steps = len(x) if lengths is None else int(lengths[b])
            for t in range(n_steps):
                self._step_row(x[t, b], state.h[0][b], logits[t, b])
        return logits

    def _step_row(self, x: Floats, window: Floats, logits: Floats) -> None:
        params = self._params
        window[: -len(x)] = window[len(x) :]
        window[-len(x) :] = x
        hidden = np.maximum(np.einsum("hk,k->h", params.w_in, window) + params.b_in, 0)
        logits[:] = np.einsum("ch,h->c", params.w_out, hidden) + params.b_out


def open_network(
    params: Weights, backend: Backend, precision: str = "exact"
) -> Network | WindowNetwork:
    """Return the network that the weights are of; see `Network`."""
    if isinstance(params, WindowParams):
        return WindowNetwork(params, backend, precision)
    return Network(params, backend, precision)
