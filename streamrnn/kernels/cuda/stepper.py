"""Single steps of states that are on the host: one copy to the device, one back."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import Floats
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.cuda.exact import forward
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.network import Network
from streamrnn.kernels.params import State

_FLOAT = np.dtype(np.float32)


class Ticker:
    """Memory for single steps of `n_rows` rows, on the device and here.

    Inputs, state and logits lie behind one another in both places, so that the first two go to the
    device at once, and the last two come back at once.
    """

    def __init__(self, network: Network, n_rows: int) -> None:
        layout, places = network.layout, Places()
        self.n_rows = n_rows
        self._n_state = forward.state_size(layout, n_rows)
        self._x = places.add(n_rows * layout.n_inputs)
        self._state = places.add(self._n_state)
        self._logits = places.add(n_rows * layout.n_classes)
        staged = places.n_bytes
        self._scratch = forward.plan_scratch(layout, 1, n_rows, places)
        self._memory = Buffer(network.device, places.n_bytes)
        self._here = np.zeros(staged // _FLOAT.itemsize, np.float32)
        self._x_here = self._part(self._x, n_rows * layout.n_inputs)
        self._state_here = self._part(self._state, self._n_state)
        self._logits_here = self._part(self._logits, n_rows * layout.n_classes)
        self._going = self._here[: (self._state // _FLOAT.itemsize) + self._n_state]
        self._coming = self._here[self._state // _FLOAT.itemsize :][
            : (self._logits - self._state) // _FLOAT.itemsize + self._logits_here.size
        ]

    def _part(self, at: int, n: int) -> Floats:
        begin = at // _FLOAT.itemsize
        return self._here[begin : begin + n]

    def run(self, network: Network, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame; checked arrays, the last two are overwritten."""
        if not self.n_rows:
            return
        device, base = network.device, self._memory.address
        self._x_here[:] = x.reshape(-1)
        self._state_here[:] = state.arena
        device.write(base, self._going)
        rows = forward.Rows(1, self.n_rows, base + self._state, self.n_rows)
        at_x, at_logits = base + self._x, base + self._logits
        forward.run(network, rows, at_x, at_logits, base, self._scratch)
        device.read(base + self._state, self._coming)
        state.arena[:] = self._state_here
        logits.reshape(-1)[:] = self._logits_here


class Stepper:
    """Steps the rows of one state; see `kernels.backend.Stepper`.

    Parameters
    ----------
    network : Network
    state : State of B rows
        Advanced in place. Others may read and write it between the steps.
    logits : (B, C), C-contiguous
        Overwritten by every step.
    """

    def __init__(self, network: Network, state: State, logits: Floats) -> None:
        n_rows = state.n_rows
        check_output("logits", logits, _FLOAT, (n_rows, network.layout.n_classes))
        self._network, self._state, self._logits = network, state, logits
        self._ticker = Ticker(network, n_rows)

    def step(self, x: Floats) -> Any:
        """Take the features of one frame of each row, (B, I), or (I,) for one row."""
        n_rows, n_inputs = self._ticker.n_rows, self._network.layout.n_inputs
        a = np.asarray(x)
        shape = (n_inputs,) if a.ndim == 1 and n_rows == 1 else (n_rows, n_inputs)
        a = as_argument("x", a, _FLOAT, shape)
        self._ticker.run(self._network, a, self._state, self._logits)

    def ahead(self) -> None:
        """Do nothing: the device does a step at once."""

    def reset(self) -> None:
        """Set the state to zero."""
        self._state.arena[:] = 0
