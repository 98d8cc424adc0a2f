"""One stream in a network, ready to be stepped: what a live run holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels import native, pycall
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.params import State
from streamrnn.kernels.rnn import layout
from streamrnn.kernels.rnn.units import CALL, LIVE

#: Slots of the context of `step_call`: addresses of header, state and logits.
PLAN, MEMORY, LOGITS = range(pycall.N_HEAD, pycall.N_HEAD + 3)


class Stepper:
    """Steps one stream; `step` and `ahead` allocate nothing and take no lock.

    Parameters
    ----------
    header : int64
        The network's; copied.
    plan : int64 (L + 1, 6)
        The network's.
    state : State of one row
        Advanced in place. Others may read and write it between the calls.
    logits : (1, C), C-contiguous
        Overwritten by every step.
    keep : object
        What the header's addresses point into.

    Attributes
    ----------
    step : callable
        Takes the features of one frame, (I,) or (1, I), of the network's dtype; returns None.
    header, memory : int
        Addresses of the header and of the state, for fused kernels (see live.py).
    n_inputs, n_classes : int
        I and C.
    """

    def __init__(self, header: I64, plan: I64, state: State, logits: Floats, keep: object) -> None:
        dtype = state.arena.dtype
        self.n_inputs, self.n_classes = int(plan[0, layout.N_IN]), int(plan[-1, layout.N_UNITS])
        check_output("logits", logits, dtype, (1, self.n_classes))
        self._state, self._logits, self._keep = state, logits, keep
        self._scratch = native.aligned(layout.scratch_size(plan, dtype), dtype)
        self._header = header.copy()
        self._header[layout.SCRATCH] = native.address(self._scratch)
        self.header, self.memory = native.address(self._header), native.address(state.arena)
        is_single = dtype == np.float32
        library = native.load(CALL) if is_single else native.load(LIVE, dtype)
        self._step, self._ahead = library.step, library.ahead
        self._logits_at = native.address(logits)
        self.step: Callable[[Floats], Any] = self._converted_step
        if is_single:
            self._slots = pycall.context(3)
            self._slots[[PLAN, MEMORY, LOGITS]] = self.header, self.memory, self._logits_at
            self.step = pycall.method(
                "step", library.address("step_call"), self._slots, self._converted_step,
                dtype=dtype, n_elements=self.n_inputs,
            )  # fmt: skip

    def ahead(self) -> None:
        """Do the part of the next step that needs no frame; changes no result.

        It is for the time when nothing else is to be done: the next step is then the faster the
        more hidden units there are for an input. If the state is written in between, the step does
        without.
        """
        self._ahead(self.header, self.memory)

    def reset(self) -> None:
        """Forget all frames."""
        self._state.arena[:] = 0

    def _converted_step(self, x: Any) -> None:
        """Take any features that can be read, or say what is wrong with them."""
        a = np.asarray(x)
        shape = (1, self.n_inputs) if a.ndim == 2 else (self.n_inputs,)
        a = as_argument("x", a, self._state.arena.dtype, shape)
        self._step(self.header, self.memory, native.address(a), self._logits_at)
