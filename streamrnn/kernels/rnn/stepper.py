"""Streams in a network, ready to be stepped: what a live run holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels import native, pycall
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.params import State
from streamrnn.kernels.rnn import layout, units

#: Slots of a stepper's context: addresses of header, state and logits; for many rows also their
#: number and the address of a run's scratch.
N_SLOTS = 5
PLAN, MEMORY, LOGITS, N_ROWS, WORK = range(pycall.N_HEAD, pycall.N_HEAD + N_SLOTS)


class Stepper:
    """Steps the rows of one state; `step` allocates nothing and takes no lock.

    Parameters
    ----------
    header : int64
        The network's; copied.
    plan : int64 (L + 1, 6)
        The network's.
    state : State of B rows
        Advanced in place. Others may read and write it between the calls.
    logits : (B, C), C-contiguous
        Overwritten by every step.
    keep : object
        What the header's addresses point into.

    Attributes
    ----------
    step : callable
        Takes the features of one frame of each row, (B, I), or (I,) for one row; returns None.
    header, memory : int
        Addresses of the header and of the state, for fused kernels of one row (see live.py).
    n_inputs, n_classes : int
        I and C.
    """

    def __init__(self, header: I64, plan: I64, state: State, logits: Floats, keep: object) -> None:
        self._dtype, self._n_rows = state.arena.dtype, state.n_rows
        self.n_inputs, self.n_classes = int(plan[0, layout.N_IN]), int(plan[-1, layout.N_UNITS])
        check_output("logits", logits, self._dtype, (self._n_rows, self.n_classes))
        self._state, self._logits, self._keep = state, logits, keep
        is_row = self._n_rows == 1
        size = (
            layout.scratch_size(plan, self._dtype)
            if is_row
            else layout.work_size(plan, self._dtype, 1)
        )
        self._scratch = native.aligned(size, self._dtype)
        self._header = header.copy()
        self._scratch_at, self._logits_at = map(native.address, (self._scratch, logits))
        self._header[layout.SCRATCH] = self._scratch_at
        self.header, self.memory = native.address(self._header), state.address

    @cached_property
    def step(self) -> Callable[[Floats], Any]:
        """See above; made when it is asked for, as a fused kernel needs no more than addresses."""
        if self._dtype != np.float32:
            return self._converted_step
        slots = pycall.context(N_SLOTS)
        slots[[PLAN, MEMORY, LOGITS]] = self.header, self.memory, self._logits_at
        slots[[N_ROWS, WORK]] = self._n_rows, self._scratch_at
        entry = "step_call" if self._n_rows == 1 else "tick_call"
        return pycall.method(
            "step", self._library.address(entry), slots, self._converted_step,
            dtype=self._dtype, n_elements=self._n_rows * self.n_inputs, n_columns=self.n_inputs,
        )  # fmt: skip

    @cached_property
    def _library(self) -> native.Library:
        is_row = self._n_rows == 1
        if self._dtype == np.float32:
            return native.load(units.CALL if is_row else units.TICK)
        return native.load(units.LIVE if is_row else units.INFER, self._dtype)

    def ahead(self) -> None:
        """Do the part of the next step that needs no frame, if there is one row.

        It is for the time when nothing else is to be done: the next step is then the faster the
        more hidden units there are for an input. If the state is written in between, the step does
        without. It changes no result.
        """
        if self._n_rows == 1:
            self._library.ahead(self.header, self.memory)

    def reset(self) -> None:
        """Forget all frames."""
        self._state.arena[:] = 0

    def _converted_step(self, x: Any) -> None:
        """Take any features that can be read, or say what is wrong with them."""
        a = np.asarray(x)
        flat = a.ndim == 1 and self._n_rows == 1
        shape = (self.n_inputs,) if flat else (self._n_rows, self.n_inputs)
        a = as_argument("x", a, self._dtype, shape)
        if self._n_rows == 0:
            return
        if self._n_rows == 1:
            self._library.step(self.header, self.memory, native.address(a), self._logits_at)
            return
        self._library.run(
            self.header, self.memory, native.address(a), None, None, self._logits_at,
            1, self._n_rows, 0, self._n_rows, self._scratch_at,
        )  # fmt: skip
