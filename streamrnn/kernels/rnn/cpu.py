"""The CPU backend: checks arguments, owns the arenas, and calls the compiled entries."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels import native
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.checks import check_state, checked_batch, checked_ends, checked_mask
from streamrnn.kernels.params import (
    AdamSpec,
    Batch,
    Grads,
    LossSpec,
    OptState,
    Params,
    State,
    UpdateResult,
)
from streamrnn.kernels.rnn import layout
from streamrnn.kernels.rnn.stepper import Stepper
from streamrnn.kernels.rnn.training import TRAIN, Tape, Trainer
from streamrnn.kernels.rnn.units import CALL, INFER, LIVE
from streamrnn.kernels.streams import HostStreams
from streamrnn.kernels.threads import Pace, share

PRECISIONS = ("exact", "bf16")
#: Rows that one thread takes at a time; whole slabs.
PIECE_ROWS = 4 * layout.SLAB_ROWS
#: A run of fewer multiplications is done by one thread (it takes 0.3 ms or less): waking another
#: costs as much as it saves.
MIN_SHARED = 30_000_000


class Network:
    """The handle: a network's weights in plain layout and packed.

    Attributes
    ----------
    params : Params
        The weights, which `train_step` moves.
    plan, arena
        See layout.py.
    precision : str
        See `Backend.upload`.
    """

    def __init__(self, params: Params, precision: str) -> None:
        self.params, self.precision = params, precision
        self.dtype = params.dtype
        self.plan, n_arena, self.n_turned = layout.make_plan(params)
        self.arena = native.aligned(n_arena, self.dtype)
        layout.Views(self.plan, self.arena).write(params)
        arena_at = native.address(self.arena)
        self.header = layout.make_header(self.plan, arena_at, arena_at)
        if precision == "bf16":
            paired, n_words = layout.plan_pairs(self.plan)
            self.words = native.aligned(n_words, np.uint32)
            layout.pack_pairs(self.plan, self.arena, paired, self.words)
            words_at = native.address(self.words)
            self.header = layout.make_header(paired, words_at, arena_at, is_pairs=True)
        self.header_at = native.address(self.header)
        self._works: list[_Work] = []
        self._paces: dict[tuple[int, int], Pace] = {}

    @cached_property
    def entry(self) -> Callable[..., Any]:
        """The entry that runs any number of rows and steps."""
        run: Callable[..., Any] = native.load(INFER, self.dtype).run
        return run

    @cached_property
    def trainer(self) -> Trainer:
        """What going backwards needs besides."""
        if self.precision != "exact":
            raise ValueError(f"weights in {self.precision} are for inference only")
        return Trainer(self.params, self.plan, self.arena, self.n_turned)

    def run(
        self,
        x: Floats,
        state: State,
        logits: Floats,
        ends: I64 | None,
        mask: Floats | None,
        n_threads: int,
    ) -> None:
        """Run checked arguments, (T, B, .), through the network, rows shared between threads."""
        n_steps, n_rows, _ = x.shape
        if not logits.size:
            return
        fixed = (
            self.header_at,
            state.address,
            native.address(x),
            None if ends is None else native.address(ends),
            None if mask is None else native.address(mask),
            native.address(logits),
            n_steps,
            n_rows,
        )
        n_pieces = -(-n_rows // PIECE_ROWS)
        may_share = (
            n_threads > 1 and n_pieces > 1 and n_steps * n_rows * self.arena.size >= MIN_SHARED
        )
        if not may_share:
            self._run_rows(fixed, 0, n_rows)
            return
        pace = self._paces.setdefault((n_steps, n_rows), Pace())
        shares, started = pace.shares(), perf_counter()

        def run_piece(thread: int, piece: int) -> None:
            first = piece * PIECE_ROWS
            self._run_rows(fixed, first, min(first + PIECE_ROWS, n_rows))

        share(run_piece, n_pieces, n_threads if shares else 1)
        pace.note(perf_counter() - started, shared=shares)

    def _run_rows(self, fixed: tuple[Any, ...], row_from: int, row_to: int) -> None:
        work = self._take_work(min(fixed[6], layout.ROW_STEPS))
        self.entry(*fixed, row_from, row_to, work.address)
        self._works.append(work)

    def _take_work(self, room: int) -> _Work:
        """Return scratch that no other thread has; whoever takes it gives it back."""
        try:
            work = self._works.pop()
        except IndexError:
            return _Work(self, room)
        return work if work.room >= room else _Work(self, room)


class _Work:
    """Scratch of a run of up to `room` steps between two chunks."""

    def __init__(self, handle: Network, room: int) -> None:
        self.room = room
        size = layout.work_size(handle.plan, handle.dtype, room)
        self.memory = native.aligned(size, handle.dtype)
        self.address = native.address(self.memory)


class CpuBackend:
    """Runs networks in compiled code. See `Backend` for what each method promises.

    Parameters
    ----------
    n_threads : int
        How many may work on one update or run; the bits do not depend on it.
    """

    name = "cpu"

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Compile the units for `dtype`, or load them from the cache."""
        units = (INFER, LIVE, TRAIN) if training else (INFER, LIVE)
        parts = [native.part_of(unit, dtype) for unit in units]
        if dtype == np.float32:
            parts[1] = native.part_of(CALL)
        native.prepare(parts)
        for part in parts:
            native.load(part.unit, part.dtype or None)

    def upload(self, params: Params, *, precision: str = "exact") -> Network:
        """Return a handle on a packed copy of the weights."""
        if params.dtype not in (np.float32, np.float64):
            raise ValueError(f"weights are {params.dtype}, expected float32 or float64")
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        params.check()
        copy = params.with_arrays([np.array(a, order="C") for a in params.arrays()])
        return Network(copy, precision)

    def download(self, handle: Network) -> Params:
        """Return a copy of the weights."""
        return handle.params.copy()

    def zero_state(self, handle: Network, n_rows: int) -> State:
        """Return the state of streams that have seen nothing."""
        return State.zeros(handle.params.hidden_sizes, n_rows, handle.dtype)

    def reset_rows(self, state: State, rows: I64) -> None:
        """Set the named rows to zero."""
        state.reset_rows(rows)

    def step(self, handle: Network, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame."""
        params, n_rows = handle.params, state.n_rows
        check_state(params, state, n_rows)
        x = as_argument("x", x, handle.dtype, (n_rows, params.n_inputs))
        check_output("logits", logits, handle.dtype, (n_rows, params.n_classes))
        handle.run(x[None], state, logits, None, None, self.n_threads)

    def stepper(self, handle: Network, state: State, logits: Floats) -> Stepper:
        """Return what steps the rows of `state` again and again."""
        check_state(handle.params, state, state.n_rows)
        return Stepper(handle.header, handle.plan, state, logits, handle)

    def streams(self, handle: Network, n_streams: int) -> HostStreams:
        """Return fresh streams whose state stays here."""
        is_shared = self.n_threads > 1
        return HostStreams(self, handle, handle.params, n_streams, is_shared=is_shared)

    def forward(
        self,
        handle: Network,
        x: Floats,
        state: State,
        lengths: I64 | None = None,
        out_mask: Floats | None = None,
        *,
        keep_tape: bool = False,
    ) -> tuple[Floats, Tape | None]:
        """Run T steps."""
        params = handle.params
        n_rows = state.n_rows
        check_state(params, state, n_rows)
        x = as_argument("x", x, handle.dtype, (None, n_rows, params.n_inputs))
        ends = None if lengths is None else checked_ends(lengths, len(x), n_rows)
        mask = checked_mask(params, out_mask, n_rows)
        if keep_tape:
            return handle.trainer.forward(x, state, ends, mask)
        logits = np.zeros((len(x), n_rows, params.n_classes), handle.dtype)
        handle.run(x, state, logits, ends, mask, self.n_threads)
        return logits, None

    def backward(
        self,
        handle: Network,
        tape: Tape,
        d_logits: Floats,
        d_state: State | None = None,
    ) -> tuple[Grads, Floats, State]:
        """Back-propagate through time."""
        params = handle.params
        shape = (tape.n_steps, tape.n_rows, params.n_classes)
        d_logits = as_argument("d_logits", d_logits, handle.dtype, shape)
        start = self.zero_state(handle, tape.n_rows) if d_state is None else d_state.copy()
        check_state(params, start, tape.n_rows)
        grads, d_x = handle.trainer.backward(tape, d_logits, start)
        return grads, d_x, start

    def train_step(
        self, handle: Network, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update, in buffers that the handle keeps."""
        checked, checked_loss = checked_batch(handle.params, batch, loss)
        return handle.trainer.update(checked, checked_loss, adam, opt, self.n_threads)
