"""Training on the CPU: buffers, checks, and the split over threads; the work is done natively.

A batch is cut into slices of `SLICE_ROWS` rows and those into at most `MAX_PARTS` parts, by the
shape of the batch alone. Each part has gradients of its own, which are added in order. So any
number of threads, each of which takes the next part, gives the same bits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels import native, threads
from streamrnn.kernels.arguments import check_output
from streamrnn.kernels.checks import no_classes
from streamrnn.kernels.native import Library, Unit, address, aligned
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
from streamrnn.kernels.rnn import job as at
from streamrnn.kernels.rnn.job import Job, whole
from streamrnn.kernels.rnn.machine import VECTOR_BYTES

_SOURCES = ("backward", "gates", "job", "learn", "loss", "machine", "simd", "taped", "tiles")
TRAIN = Unit(
    "train",
    "streamrnn.kernels.rnn.learn",
    {
        "weigh": "i8* f8* T* -> i8",
        "run_part": "i8* i8 i8 i8 T* i8 T* i8* T* i8 f8* -> f8",
        "add_parts": "T* i8 i8 i8",
        "adam_moves": "i8* i8 T* i8 f8 T* -> f8",
        "unpack": "i8* i8 T* T*",
        "pack": "i8* i8 i8* T* T* i8",
    },
    generic=True,
    sources=tuple(
        f"rnn/{name}.py"
        for name in (
            "backward",
            "gates",
            "job",
            "learn",
            "loss",
            "machine",
            "simd",
            "taped",
            "tiles",
        )
    ),
)
#: An update of fewer multiplications, which takes 0.2 ms or less, is done by one thread: waking
#: another costs as much as it saves.
MIN_SHARED = 5_000_000
#: What a run does.
BOTH = at.FORWARD | at.BACKWARD
#: What `learn.pack` writes.
_PACK, _TURN = 1, 2


@dataclass(frozen=True, slots=True)
class Tape:
    """What `forward` keeps: the tapes of all slices, and how it was called."""

    slices: Floats
    ends: I64 | None
    mask: Floats | None
    n_steps: int
    n_rows: int
    plan: I64


class Trainer:
    """A network on the way back: turned weights, and memory that updates use again and again.

    Parameters
    ----------
    params : Params
        The weights, moved in place by `update`.
    plan : int64 (L + 1, 6)
    arena : 1-D
        The packed weights (see layout.py), moved along.
    n_turned : int
        Size of the turned weights.
    """

    def __init__(self, params: Params, plan: I64, arena: Floats, n_turned: int) -> None:
        self.params, self.plan, self.arena = params, plan, arena
        self.dtype = params.dtype
        self.v = VECTOR_BYTES // self.dtype.itemsize
        self.lib = native.load(TRAIN, self.dtype)
        self.turned = aligned(n_turned, self.dtype)
        self.n_grads = whole(arena.size, self.v)
        self.table = _table(params)
        self.plain = np.zeros(int(self.table[:, 3].sum()), self.dtype)
        self.moments: tuple[Params, Params] | None = None
        self.memory: dict[str, Floats] = {}
        self.jobs: dict[tuple[int, int], Job] = {}
        self.room: _Room | None = None
        self.spec = np.zeros(2, np.float64)
        self.at = _Addresses(self)
        self._pack(self._job(0, 0), _TURN)

    def forward(
        self, x: Floats, state: State, ends: I64 | None, mask: Floats | None
    ) -> tuple[Floats, Tape]:
        """Run T steps and keep a tape.

        Parameters
        ----------
        x, state, ends, mask
            As in `Backend.forward`, checked; `state` is overwritten.
        """
        n_steps, n_rows, _ = x.shape
        logits = np.zeros((n_steps, n_rows, self.params.n_classes), self.dtype)
        job = self._new_job(n_steps, n_rows, with_inputs=True)
        job.set_state(at.STATE_H, state)
        for slot, a in ((at.X, x), (at.ENDS, ends), (at.MASK, mask), (at.LOGITS, logits)):
            job.set(slot, a)
        n_slices = -(-n_rows // at.SLICE_ROWS)
        slices = aligned(n_slices * job.tape_size, self.dtype).reshape(n_slices, job.tape_size)
        if logits.size:
            lane = _Lane(slices, job.tape_size, job.scratch(self.dtype))
            self._run(job, at.FORWARD, (0, n_slices), lane, 0)
        return logits, Tape(slices, ends, mask, n_steps, n_rows, self.plan)

    def backward(self, tape: Tape, d_logits: Floats, d_state: State) -> tuple[Grads, Floats]:
        """Go back over a tape; return the gradients at the weights and at the inputs.

        Parameters
        ----------
        tape : Tape
        d_logits, d_state
            As in `Backend.backward`, checked; `d_state` is overwritten.

        Raises
        ------
        ValueError
            A network of other sizes, or of another dtype, left the tape.
        """
        if tape.slices.dtype != self.dtype or not np.array_equal(tape.plan, self.plan):
            raise ValueError("it is another network's tape")
        d_x = np.zeros((tape.n_steps, tape.n_rows, self.params.n_inputs), self.dtype)
        self.plain[:] = 0
        if d_x.size:
            job = self._new_job(tape.n_steps, tape.n_rows, with_inputs=True)
            job.set_state(at.D_STATE_H, d_state)
            for slot, a in (
                (at.ENDS, tape.ends),
                (at.MASK, tape.mask),
                (at.D_LOGITS, d_logits),
                (at.D_X, d_x),
            ):
                job.set(slot, a)
            slices, parts = tape.slices.copy(), part_bounds(tape.n_rows)
            grads, work = self._grads(len(parts)), job.scratch(self.dtype)
            for part, (begin, end) in enumerate(parts):
                lane = _Lane(slices[begin:], job.tape_size, work)
                self._run(job, at.BACKWARD, (begin, end), lane, address(grads[part]))
            self._sum(job, len(parts), address(grads))
        sizes = self.table[:, 3]
        flat = zip(np.split(self.plain, np.cumsum(sizes)[:-1]), self.params.arrays(), strict=True)
        return self.params.with_arrays([g.reshape(a.shape).copy() for g, a in flat]), d_x

    def update(
        self, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState, n_threads: int
    ) -> UpdateResult:
        """Do one update: forward, loss, back-propagation, clip, Adam.

        Parameters
        ----------
        batch, loss, adam, opt
            As in `Backend.train_step`; arrays are checked for dtype, shape and layout.
        n_threads : int
            How many may work; the bits do not depend on it.

        Raises
        ------
        ValueError
            A target that has a weight is no class; nothing was changed.
        """
        n_steps, n_rows = batch.targets.shape
        parts = part_bounds(n_rows) if n_steps else []
        job = self._job(n_steps, n_rows)
        job.set_state(at.STATE_H, batch.state)
        for slot, a in (
            (at.X, batch.x),
            (at.ENDS, batch.lengths),
            (at.MASK, batch.out_mask),
            (at.TARGETS, batch.targets),
            (at.WEIGHTS, batch.weights),
            (at.CLASS_WEIGHTS, loss.class_weights),
        ):
            job.set(slot, a)
        self.spec[1] = loss.label_smoothing
        if self.lib.weigh(job.address, self.at.spec, self.at.arena):
            raise no_classes(batch.targets, self.params.n_classes)
        n_lanes = max(1, min(n_threads, len(parts)))
        may_share = n_lanes > 1 and n_steps * n_rows * self.plain.size >= MIN_SHARED
        room = self._room(job, len(parts), n_lanes if may_share else 1)
        shares = may_share and job.pace.shares()
        losses = [0.0] * len(parts)

        def run(thread: int, part: int) -> None:
            losses[part] = self._run(job, BOTH, parts[part], room.lanes[thread], room.grads[part])

        started = time.perf_counter()
        threads.share(run, len(parts), n_lanes if shares else 1)
        if may_share:
            job.pace.note(time.perf_counter() - started, shared=shares)
        if parts:
            self._sum(job, len(parts), room.grads[0])
        else:
            self.plain[:] = 0
        norm = self._move(adam, opt)
        if math.isfinite(norm):
            self._pack(job, _PACK | _TURN)
        return UpdateResult(sum(losses), norm)

    def _run(self, job: Job, what: int, slices: tuple[int, int], lane: _Lane, grads: int) -> float:
        loss = self.lib.run_part(
            job.address, what, *slices, lane.tape, lane.tape_stride, lane.work, lane.limits,
            grads, self.n_grads if what & at.BACKWARD else 0, self.at.spec,
        )  # fmt: skip
        return float(loss)

    def _sum(self, job: Job, n_parts: int, grads: int) -> None:
        """Add the gradients of all parts, and write them in plain layout."""
        self.lib.add_parts(grads, self.n_grads, n_parts, self.n_grads)
        self.lib.unpack(job.layers_address, len(self.plan) - 1, grads, self.at.plain)

    def _move(self, adam: AdamSpec, opt: OptState) -> float:
        """Move the weights by the plain gradients, unless their norm is not finite; return it."""
        known = self.moments
        if known is None or known[0] is not opt.m or known[1] is not opt.v:
            _set_moments(self.table, self.params, opt)
            self.moments = opt.m, opt.v
        return _move(self.lib, (self.at.table, len(self.table)), self.plain, adam, opt)

    def _pack(self, job: Job, what: int) -> None:
        where = self.at
        n_layers = len(self.plan) - 1
        self.lib.pack(job.layers_address, n_layers, where.table, where.arena, where.turned, what)

    def _new_job(self, n_steps: int, n_rows: int, *, with_inputs: bool) -> Job:
        job = Job(self.plan, n_steps, n_rows, self.v, with_inputs=with_inputs)
        job.set(at.ARENA, self.arena)
        job.set(at.TURNED, self.turned)
        return job

    def _job(self, n_steps: int, n_rows: int) -> Job:
        """Return the job of an update; those of the last shapes are kept."""
        key = (n_steps, n_rows)
        if key not in self.jobs:
            if len(self.jobs) >= 8:
                self.jobs.clear()
            self.jobs[key] = self._new_job(n_steps, n_rows, with_inputs=False)
        return self.jobs[key]

    def _room(self, job: Job, n_parts: int, n_lanes: int) -> _Room:
        """Return the buffers of an update: those of the last one, if it was alike."""
        room = self.room
        if room is None or room.job is not job or len(room.lanes) != n_lanes:
            tapes = self._take("tapes", n_lanes * job.tape_size).reshape(n_lanes, job.tape_size)
            lanes = [_Lane(tape, 0, job.scratch(self.dtype)) for tape in tapes]
            room = _Room(job, lanes, [address(g) for g in self._grads(n_parts)])
            self.room = room
        return room

    def _grads(self, n: int) -> Floats:
        """Return a row for the gradients of each part."""
        return self._take("grads", n * self.n_grads).reshape(n, self.n_grads)

    def _take(self, name: str, n: int) -> Floats:
        """Return memory for n floats, the same again and again; only a larger one is new."""
        if name not in self.memory or self.memory[name].size < n:
            self.memory.pop(name, None)
            self.memory[name] = aligned(n, self.dtype)
        return self.memory[name][:n]


class _Addresses:
    """Where the arrays of a trainer stand that stay."""

    def __init__(self, trainer: Trainer) -> None:
        self.arena, self.turned = address(trainer.arena), address(trainer.turned)
        self.plain, self.table = address(trainer.plain), address(trainer.table)
        self.spec = address(trainer.spec)


class _Lane:
    """What a thread works in: the tape of its first slice, the way to the next, and scratch."""

    def __init__(self, tape: Floats, tape_stride: int, work: Floats) -> None:
        self._limits: I64 = np.zeros(at.SLICE_ROWS, np.int64)
        self._tape, self._work = tape, work
        self.tape, self.tape_stride = address(tape), tape_stride
        self.work, self.limits = address(work), address(self._limits)


@dataclass(frozen=True, slots=True)
class _Room:
    """The buffers of an update: a lane a thread, and where each part's gradients go."""

    job: Job
    lanes: list[_Lane]
    grads: list[int]


def part_bounds(n_rows: int) -> list[tuple[int, int]]:
    """Return the first slice of each part of a batch, and the one behind its last."""
    n_slices = -(-n_rows // at.SLICE_ROWS)
    size = max(1, -(-n_slices // at.MAX_PARTS))
    return [(k, min(k + size, n_slices)) for k in range(0, n_slices, size)]


def adam_update(params: Params, grads: Grads, adam: AdamSpec, opt: OptState) -> float:
    """Move `params` by clipped AdamW unless the norm is not finite; return the norm."""
    table, lib = _table(params), native.load(TRAIN, params.dtype)
    _set_moments(table, params, opt)
    plain = np.concatenate([g.ravel() for g in grads.arrays()])
    return _move(lib, (address(table), len(table)), plain, adam, opt)


def _table(params: Params) -> I64:
    """Return the table of `learn.adam_moves`, without the moments."""
    table: I64 = np.zeros((sum(1 for _ in params.arrays()), 5), np.int64)
    for row, a in zip(table, params.arrays(), strict=True):
        row[0], row[3], row[4] = address(a), a.size, a.ndim == 2
    return table


def _set_moments(table: I64, params: Params, opt: OptState) -> None:
    arrays = zip(table, params.arrays(), opt.m.arrays(), opt.v.arrays(), strict=True)
    for row, p, m, v in arrays:
        check_output("Adam's first moment", m, p.dtype, p.shape)
        check_output("Adam's second moment", v, p.dtype, p.shape)
        row[1:3] = address(m), address(v)


def _move(
    lib: Library, table: tuple[int, int], plain: Floats, adam: AdamSpec, opt: OptState
) -> float:
    """Move the arrays of a table, which is given by its address and length."""
    n = opt.n_updates + 1
    constants = np.array([1.0, *adam.constants(n)], plain.dtype)
    norm = lib.adam_moves(
        *table, plain.ctypes.data, plain.size, adam.clip_norm, constants.ctypes.data
    )
    if math.isfinite(norm):
        opt.n_updates = n
    return float(norm)
