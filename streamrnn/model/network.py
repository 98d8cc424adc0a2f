"""A network on a device: weights, a backend, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.backend import Backend
from streamrnn.kernels.live.pusher import Row
from streamrnn.kernels.params import Params, State


class Network:
    """Weights uploaded to a backend.

    Parameters
    ----------
    params : Params
        Copied.
    backend : Backend
    precision : str
        See `Backend.upload`.
    """

    def __init__(self, params: Params, backend: Backend, precision: str = "exact") -> None:
        self.backend = backend
        self._dtype = params.dtype
        self._n_classes = params.n_classes
        self._handle = backend.upload(params, precision=precision)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of weights, features and logits."""
        return self._dtype

    def row(self) -> Row | None:
        """Return one fresh stream for compiled code; None where there is no such thing."""
        if self._dtype != np.float32:
            return None
        logits = np.zeros((1, self._n_classes), np.float32)
        stepper = self.backend.stepper(self._handle, self.new_state(1), logits)
        return stepper if isinstance(stepper, Row) else None

    def new_state(self, n_rows: int = 1) -> State:
        """Return a fresh state for `n_rows` streams."""
        return self.backend.zero_state(self._handle, n_rows)

    def step(self, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame, in place; see `Backend.step`."""
        self.backend.step(self._handle, x, state, logits)

    def forward(self, x: Floats, state: State, lengths: I64 | None = None) -> Floats:
        """Run T steps and return the logits (T, B, C); see `Backend.forward`."""
        logits, _ = self.backend.forward(self._handle, x, state, lengths)
        return logits
