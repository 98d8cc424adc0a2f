"""The CPU backend: checks arguments, owns the arenas, and calls the compiled entries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels import jit
from streamrnn.kernels.params import (
    AdamSpec,
    Batch,
    Grads,
    LossSpec,
    OptState,
    Params,
    State,
    UpdateResult,
    padded,
)
from streamrnn.kernels.rnn import forward, infer, layout, learn

#: Every kernel that Python calls.
ENTRIES = (
    infer.run_entry,
    forward.turn_entry,
    learn.backward_entry,
    learn.loss_entry,
    learn.square_sum_entry,
    learn.adam_entry,
)
_NO_ENDS = np.empty(0, np.int64)


class Network:
    """The handle: a network's weights in plain layout and packed, and the buffers of training.

    Attributes
    ----------
    params : Params
        The weights, which `train_step` moves.
    plan, arena, turned
        See layout.py.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.dtype = params.dtype
        self.plan, n_arena, n_turned = layout.make_plan(params)
        self.arena = np.zeros(n_arena, self.dtype)
        self.views = layout.Views(self.plan, self.arena, head_by_class=False)
        self.n_turned = n_turned
        self.turned: Floats | None = None
        self.no_mask = np.empty((0, 0), self.dtype)
        self.grads = params.zeros_like()
        self.packed_grads = np.zeros_like(self.arena)
        self.grad_views = layout.Views(self.plan, self.packed_grads, head_by_class=True)
        self.rooms: dict[tuple[int, int], _Room] = {}
        self.pack()

    def pack(self) -> None:
        """Bring the packed weights up to date; the turned ones only once they are in use."""
        self.views.write(self.params)
        if self.turned is not None:
            forward.turn_entry(self.plan, self.arena, self.turned)

    def turn(self) -> Floats:
        """Return the turned weights."""
        if self.turned is None:
            self.turned = np.zeros(self.n_turned, self.dtype)
            forward.turn_entry(self.plan, self.arena, self.turned)
        return self.turned

    def work_size(self, n_steps: int) -> int:
        """Return the size of the work space of going back through `n_steps` steps."""
        v = padded(1, self.dtype)
        return int(learn.work_size.py_func(self.plan, v, n_steps))  # type: ignore[attr-defined]

    def tape_size(self, n_steps: int) -> int:
        """Return the size of one slice's buffer on a tape of `n_steps` steps."""
        size = forward.layer_at.py_func  # type: ignore[attr-defined]
        return int(size(self.plan, len(self.plan), infer.TAPE_ROWS, n_steps, True))

    def room(self, n_steps: int, n_rows: int) -> _Room:
        """Return the buffers of an update of this shape; those of the last shapes are kept."""
        key = (n_steps, n_rows)
        if key not in self.rooms:
            if len(self.rooms) >= 4:
                self.rooms.clear()
            self.rooms[key] = _Room(
                tape=np.empty((1, self.tape_size(n_steps)), self.dtype),
                work=np.empty(self.work_size(n_steps), self.dtype),
                logits=np.empty((n_steps * n_rows, self.params.n_classes), self.dtype),
                d_state=np.empty(2 * n_rows * sum(self.params.hidden_sizes), self.dtype),
            )
        return self.rooms[key]


@dataclass(frozen=True, slots=True)
class _Room:
    """Buffers of one slice on its way forwards and backwards; see `learn.backward_entry`."""

    tape: Floats
    work: Floats
    logits: Floats
    d_state: Floats


@dataclass(frozen=True, slots=True)
class _Tape:
    """What `forward` keeps: the buffers of all slices, and how it was called."""

    slices: Floats
    ends: I64
    mask: Floats
    n_steps: int
    n_rows: int


class CpuBackend:
    """Runs networks in compiled code on one core. See `Backend` for what each method promises."""

    name = "cpu"

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Compile the entries for `dtype`, or load them from the cache."""
        _compile(np.dtype(dtype), training)

    def upload(self, params: Params) -> Network:
        """Return a handle on a packed copy of the weights."""
        if params.dtype not in (np.float32, np.float64):
            raise ValueError(f"weights are {params.dtype}, expected float32 or float64")
        self.warm_up(params.dtype)
        return Network(params.with_arrays([np.array(a, order="C") for a in params.arrays()]))

    def download(self, handle: Network) -> Params:
        """Return a copy of the weights."""
        return handle.params.copy()

    def zero_state(self, handle: Network, n_rows: int) -> State:
        """Return the state of streams that have seen nothing."""
        return State.zeros(handle.params.hidden_sizes, n_rows, handle.dtype)

    def reset_rows(self, state: State, rows: I64) -> None:
        """Set the named rows to zero."""
        for a in (*state.h, *state.c):
            a[rows] = 0

    def step(self, handle: Network, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame."""
        self._checked_step(handle, x, state, logits)

    def forward(
        self,
        handle: Network,
        x: Floats,
        state: State,
        lengths: I64 | None = None,
        out_mask: Floats | None = None,
        *,
        keep_tape: bool = False,
    ) -> tuple[Floats, _Tape | None]:
        """Run T steps."""
        params = handle.params
        n_rows = state.n_rows
        _check_state(params, state)
        x = jit.as_argument("x", x, handle.dtype, (None, n_rows, params.n_inputs))
        n_steps = len(x)
        ends = _NO_ENDS if lengths is None else _checked_ends(lengths, n_steps, n_rows)
        mask = _checked_mask(handle, out_mask, n_rows)
        logits = np.zeros((n_steps, n_rows, params.n_classes), handle.dtype)
        n_slices = -(-n_rows // infer.TAPE_ROWS) if keep_tape else 0
        tape = np.empty((n_slices, handle.tape_size(n_steps) if keep_tape else 0), handle.dtype)
        infer.fill_inputs(x, ends, tape, 0, n_rows if keep_tape else 0)
        if n_rows and n_steps:
            flat = _flat(state)
            infer.run_entry(
                handle.plan, handle.arena, x.reshape(-1, params.n_inputs), n_steps, flat,
                ends, mask, logits.reshape(-1, params.n_classes), tape, 0, n_rows,
            )  # fmt: skip
            _unflatten(flat, state)
        return logits, _Tape(tape, ends, mask, n_steps, n_rows) if keep_tape else None

    def backward(
        self,
        handle: Network,
        tape: _Tape,
        d_logits: Floats,
        d_state: State | None = None,
    ) -> tuple[Grads, Floats, State]:
        """Back-propagate through time."""
        params = handle.params
        n_steps, n_rows = tape.n_steps, tape.n_rows
        shape = (n_steps, n_rows, params.n_classes)
        d_logits = jit.as_argument("d_logits", d_logits, handle.dtype, shape)
        self.warm_up(handle.dtype, training=True)
        start = self.zero_state(handle, n_rows) if d_state is None else d_state.copy()
        _check_state(params, start)
        packed = np.zeros_like(handle.arena)
        d_x = np.zeros((n_steps, n_rows, params.n_inputs), handle.dtype)
        flat = _flat(start)
        if n_rows and n_steps:
            learn.backward_entry(
                handle.plan, handle.turn(), tape.slices.copy(),
                np.empty(handle.work_size(n_steps), handle.dtype), tape.ends, tape.mask,
                d_logits.reshape(-1, params.n_classes), flat, packed,
                d_x.reshape(-1, params.n_inputs), n_steps, 0, n_rows, True, True,
            )  # fmt: skip
        _unflatten(flat, start)
        grads = params.zeros_like()
        layout.Views(handle.plan, packed, head_by_class=True).read(grads)
        return grads, d_x, start

    def train_step(
        self, handle: Network, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update, in buffers that the handle keeps."""
        params, dtype = handle.params, handle.dtype
        n_rows = batch.state.n_rows
        _check_state(params, batch.state)
        x = jit.as_argument("batch.x", batch.x, dtype, (None, n_rows, params.n_inputs))
        n_steps = len(x)
        targets, weights = _checked_targets(handle, batch, n_steps)
        class_weights = jit.as_argument(
            "class_weights", loss.class_weights, dtype, (params.n_classes,)
        )
        self.warm_up(dtype, training=True)
        ends = _checked_ends(batch.lengths, n_steps, n_rows)
        mask = _checked_mask(handle, batch.out_mask, n_rows)
        room = handle.room(n_steps, n_rows)
        flat, tape, logits = x.reshape(-1, params.n_inputs), room.tape, room.logits
        handle.packed_grads[:] = 0
        value, state = 0.0, _flat(batch.state)
        for row in range(0, n_rows if n_steps else 0, infer.TAPE_ROWS):
            behind = min(row + infer.TAPE_ROWS, n_rows)
            infer.fill_inputs(x, ends, tape, row, behind)
            infer.run_entry(
                handle.plan, handle.arena, flat, n_steps, state, ends, mask, logits,
                tape, row, behind,
            )  # fmt: skip
            value += learn.loss_entry(
                logits, targets, weights, class_weights, loss.label_smoothing, ends, logits,
                row, behind,
            )  # fmt: skip
            room.d_state[:] = 0
            learn.backward_entry(
                handle.plan, handle.turn(), tape, room.work, ends, mask, logits, room.d_state,
                handle.packed_grads, handle.no_mask, n_steps, row, behind, True, False,
            )  # fmt: skip
        _unflatten(state, batch.state)
        handle.grad_views.read(handle.grads)
        norm = adam_update(params, handle.grads, adam, opt)
        if math.isfinite(norm):
            handle.pack()
        return UpdateResult(value, norm)

    def _checked_step(self, handle: Network, x: Floats, state: State, logits: Floats) -> None:
        """Do what `step` could not: copy what a kernel cannot read, or say what is wrong."""
        params, n_rows = handle.params, state.n_rows
        _check_state(params, state)
        x = jit.as_argument("x", x, handle.dtype, (n_rows, params.n_inputs))
        jit.check_output("logits", logits, handle.dtype, (n_rows, params.n_classes))
        flat = _flat(state)
        infer.run_entry(
            handle.plan, handle.arena, x, 1, flat, _NO_ENDS, handle.no_mask, logits,
            handle.no_mask, 0, n_rows,
        )  # fmt: skip
        _unflatten(flat, state)


@cache
def _compile(dtype: np.dtype[Any], training: bool) -> None:
    a1, a2, plan = jit.array(dtype, 1), jit.array(dtype, 2), jit.array(np.int64, 2)
    ends, n, real = jit.array(np.int64, 1), jit.scalar(np.int64), jit.scalar(np.float64)
    flag = jit.scalar(np.bool_)
    jit.specialise(infer.run_entry, (plan, a1, a2, n, a1, ends, a2, a2, a2, n, n))
    if not training:
        return
    jit.specialise(forward.turn_entry, (plan, a1, a1))
    jit.specialise(
        learn.backward_entry,
        (plan, a1, a2, a1, ends, a2, a2, a1, a1, a2, n, n, n, flag, flag),
    )
    jit.specialise(learn.loss_entry, (a2, plan, a2, a1, real, ends, a2, n, n))
    jit.specialise(learn.square_sum_entry, (a1,))
    jit.specialise(learn.adam_entry, (a1,) * 4 + (real,) * 7)


def adam_update(params: Params, grads: Grads, adam: AdamSpec, opt: OptState) -> float:
    """Move `params` by clipped AdamW unless the norm is not finite; return the norm."""
    flat = [g.reshape(-1) for g in grads.arrays()]
    norm = math.sqrt(sum(learn.square_sum_entry(g) for g in flat))
    if not math.isfinite(norm):
        return norm
    arrays = list(zip(params.arrays(), flat, opt.m.arrays(), opt.v.arrays(), strict=True))
    for p, _, m, v in arrays:
        jit.check_output("Adam's first moment", m, p.dtype, p.shape)
        jit.check_output("Adam's second moment", v, p.dtype, p.shape)
    scale = adam.clip_norm / norm if 0.0 < adam.clip_norm < norm else 1.0
    opt.n_updates += 1
    rate = adam.lr / (1.0 - adam.beta1**opt.n_updates)
    root = math.sqrt(1.0 - adam.beta2**opt.n_updates)
    for p, g, m, v in arrays:
        shrink = 1.0 - adam.lr * adam.weight_decay if p.ndim == 2 else 1.0
        learn.adam_entry(
            p.reshape(-1), g, m.reshape(-1), v.reshape(-1),
            scale, adam.beta1, adam.beta2, rate, root, adam.eps, shrink,
        )  # fmt: skip
    return norm


def _flat(state: State) -> Floats:
    """Return a state's arrays end to end, without padding."""
    return np.concatenate([a.ravel() for pair in zip(state.h, state.c, strict=True) for a in pair])


def _unflatten(flat: Floats, state: State) -> None:
    at = 0
    for pair in zip(state.h, state.c, strict=True):
        for a in pair:
            a[...] = flat[at : at + a.size].reshape(a.shape)
            at += a.size


def _check_state(params: Params, state: State) -> None:
    sizes = tuple(a.shape[1] for a in state.h)
    if sizes != params.hidden_sizes or state.arena.dtype != params.dtype:
        raise ValueError(
            f"state is {state.arena.dtype} of hidden sizes {sizes},"
            f" expected {params.dtype} of {params.hidden_sizes}"
        )


def _checked_ends(lengths: I64, n_steps: int, n_rows: int) -> I64:
    ends = jit.as_argument("lengths", lengths, np.int64, (n_rows,))
    if n_rows and (ends.min() < 0 or ends.max() > n_steps):
        raise ValueError(f"lengths are {ends}, expected {n_rows} numbers in 0..{n_steps}")
    return ends


def _checked_mask(handle: Network, out_mask: Floats | None, n_rows: int) -> Floats:
    if out_mask is None:
        return handle.no_mask
    shape = (n_rows, handle.params.hidden_sizes[-1])
    return jit.as_argument("out_mask", out_mask, handle.dtype, shape)


def _checked_targets(handle: Network, batch: Batch, n_steps: int) -> tuple[I64, Floats]:
    shape = (n_steps, batch.state.n_rows)
    targets = jit.as_argument("batch.targets", batch.targets, np.int64, shape)
    weights = jit.as_argument("batch.weights", batch.weights, handle.dtype, shape)
    n_classes = handle.params.n_classes
    used = targets[weights != 0]
    if used.size and (used.min() < 0 or used.max() >= n_classes):
        raise ValueError(
            f"batch.targets reach from {used.min()} to {used.max()}, expected 0..{n_classes - 1}"
        )
    return targets, weights
