"""Training on a device: back through time, the loss, and Adam; the host gives batches.

Nothing but the inputs goes to the device in an update, and the loss, the norm and the end state
come back. Weights, gradients and the optimiser's moments stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import Floats
from streamrnn.kernels.arguments import check_output
from streamrnn.kernels.checks import no_classes
from streamrnn.kernels.cuda.exact import back_launches, forward
from streamrnn.kernels.cuda.exact.backward import Work, go_back
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.network import Network, Tape, flat, unflat
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

_FLOAT = np.dtype(np.float32)
_FLOAT_BYTES = _FLOAT.itemsize


class Trainer:
    """A network on the way back.

    The moments of an `OptState` stand on the device from the first `update` with it until
    `write_moments`, which brings them into its arrays. In between these are stale: they must be
    neither read nor changed, and no other handle may be trained with the same `OptState`. What is
    done to them afterwards counts, as they are taken up again by the next update. So are other ones
    at any time: those before are brought back first.

    Parameters
    ----------
    network : Network
        Its weights are moved by `update`.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._device, self._layout = network, network.device, network.layout
        n = self._layout.n_plain
        places = Places()
        at = [places.add(n) for _ in range(4)]
        sums_at = places.add(3 * back_launches.NORM_BLOCKS)
        self._memory = Buffer(self._device, places.n_bytes)
        base = self._memory.address
        self._grads, self._m, self._v, self._is_matrix = (base + offset for offset in at)
        self._norm_sums = base + sums_at
        decays = [np.full(a.size, a.ndim == 2, np.int32) for a in network.params.arrays()]
        self._device.write(self._is_matrix, np.concatenate(decays))
        self._moments: tuple[Params, Params] | None = None
        self._is_ahead = False
        self._room: _Room | None = None

    def backward(
        self, tape: Tape, d_logits: Floats, d_state: State | None
    ) -> tuple[Grads, Floats, State]:
        """Go back over a tape.

        Parameters
        ----------
        tape, d_logits, d_state
            As in `Backend.backward`, checked; not changed.

        Returns
        -------
        grads, d_x, d_state0
            As in `Backend.backward`.

        Raises
        ------
        ValueError
            A network of other sizes left the tape.
        """
        if tape.layout != self._layout:
            raise ValueError("it is another network's tape")
        sizes = self._layout.hidden_sizes
        start = State.zeros(sizes, tape.n_rows, _FLOAT) if d_state is None else d_state.copy()
        d_x = np.zeros((tape.n_steps, tape.n_rows, self._layout.n_inputs), np.float32)
        if d_x.size:
            work = Work(self._layout, tape.n_steps, tape.n_rows, keeps_tape=True)
            base = self._network.workspace.take(work.n_bytes)
            self._device.write(base + work.d_logits, d_logits)
            self._device.write(base + work.d_state, start.arena)
            go_back(self._network, tape, work, base, self._grads)
            self._device.read(base + work.d_x, d_x)
            self._device.read(base + work.d_state, start.arena)
        else:
            self._device.zero(self._grads, _FLOAT_BYTES * self._layout.n_plain)
        numbers = np.empty(self._layout.n_plain, np.float32)
        self._device.read(self._grads, numbers)
        return unflat(self._network.params, numbers), d_x, start

    def update(self, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState) -> UpdateResult:
        """Do one update: forward, loss, back-propagation, clip, Adam.

        Parameters
        ----------
        batch, loss, adam, opt
            As in `Backend.train_step`; arrays are checked for dtype, shape and layout. The
            arrays of `opt` follow at `write_moments`; `opt.n_updates` is right at once.

        Raises
        ------
        ValueError
            A target that has a weight is no class; nothing was changed.
        BackendUnavailable
            The device has too little memory left; nothing was changed.
        """
        total = _total_weight(batch, loss)
        n_steps, n_rows = batch.targets.shape
        room = self._take_room(n_steps, n_rows)
        self._take_up(opt)
        n_all = n_steps * n_rows
        if n_all:
            self._run(room, batch, loss, total)
        else:
            self._device.zero(self._grads, _FLOAT_BYTES * self._layout.n_plain)
        norm_at = room.base + room.work.sums + _FLOAT_BYTES * back_launches.loss_blocks(n_all)
        self._move(adam, opt.n_updates + 1, norm_at)
        results = np.empty(back_launches.loss_blocks(n_all) + 1, np.float32)
        self._device.read(room.base + room.work.sums, results)
        if n_all:
            self._device.read(room.tape.state, batch.state.arena)
        norm = float(results[-1])
        if math.isfinite(norm):
            opt.n_updates += 1
            self._is_ahead = True
        return UpdateResult(float(results[:-1].sum(dtype=np.float64)), norm)

    def write_moments(self) -> None:
        """Bring the moments back into the arrays that they came from, if they have moved."""
        if self._moments is not None and self._is_ahead:
            for at, form in zip((self._m, self._v), self._moments, strict=True):
                numbers = np.empty(self._layout.n_plain, np.float32)
                self._device.read(at, numbers)
                for a, moved in zip(form.arrays(), unflat(form, numbers).arrays(), strict=True):
                    a[...] = moved
        self._moments, self._is_ahead = None, False

    def _take_up(self, opt: OptState) -> None:
        """Bring the moments to the device, unless they are there."""
        known = self._moments
        if known is not None and known[0] is opt.m and known[1] is opt.v:
            return
        for name, form in (("first", opt.m), ("second", opt.v)):
            for p, a in zip(self._network.params.arrays(), form.arrays(), strict=True):
                check_output(f"Adam's {name} moment", a, _FLOAT, p.shape)
        self.write_moments()
        self._device.write(self._m, flat(opt.m))
        self._device.write(self._v, flat(opt.v))
        self._moments = opt.m, opt.v

    def _take_room(self, n_steps: int, n_rows: int) -> _Room:
        """Return the memory of an update: that of the last one, if it was alike."""
        room = self._room
        if room is None or (room.tape.n_steps, room.tape.n_rows) != (n_steps, n_rows):
            self._room = room = None  # first give back, then ask
            work = Work(self._layout, n_steps, n_rows, keeps_tape=False)
            tape, memory = Tape(self._network, n_steps, n_rows), Buffer(self._device, work.n_bytes)
            self._room = room = _Room(tape, work, memory)
        return room

    def _run(self, room: _Room, batch: Batch, loss: LossSpec, total: float) -> None:
        """Go forwards and back; leave the gradients and the parts of the loss."""
        device, tape, work, base = self._device, room.tape, room.work, room.base
        n_all = tape.n_steps * tape.n_rows
        tape.fill(device, batch.x, batch.state, batch.lengths, batch.out_mask)
        for at, a in (
            (work.targets, batch.targets),
            (work.weights, batch.weights),
            (work.class_weights, loss.class_weights),
        ):
            device.write(base + at, a)
        forward.run_taped(self._network, tape)
        back_launches.loss(
            device,
            logits=tape.logits,
            targets=base + work.targets,
            weights=base + work.weights,
            class_weights=base + work.class_weights,
            d_logits=base + work.d_logits,
            sums=base + work.sums,
            n_all=n_all,
            n_rows=tape.n_rows,
            n_classes=self._layout.n_classes,
            scale=1.0 / total if total else 0.0,
            smoothing=loss.label_smoothing,
            ends=tape.ends,
        )
        device.zero(base + work.d_state, _FLOAT_BYTES * work.n_state)
        go_back(self._network, tape, work, base, self._grads)

    def _move(self, adam: AdamSpec, n: int, norm_at: int) -> None:
        """Move the weights by the gradients, for the n-th time, unless the norm is not finite."""
        size = self._layout.n_plain
        back_launches.norm(self._device, self._grads, self._norm_sums, size)
        back_launches.adam(
            self._device,
            p=self._network.plain,
            g=self._grads,
            m=self._m,
            v=self._v,
            is_matrix=self._is_matrix,
            sums=self._norm_sums,
            norm=norm_at,
            n=size,
            clip=adam.clip_norm,
            constants=adam.constants(n),
        )
        self._network.pack()


@dataclass(frozen=True, slots=True)
class _Room:
    """The memory of an update."""

    tape: Tape
    work: Work
    memory: Buffer

    @property
    def base(self) -> int:
        """Address from which the offsets in `work` count."""
        return self.memory.address


def _total_weight(batch: Batch, loss: LossSpec) -> float:
    """Return the sum of all weights, classes' included, in float64.

    One sum for each class, steps and rows ascending, then the classes': steps behind all ends
    change nothing.

    Raises
    ------
    ValueError
        A target that has a weight is no class.
    """
    n_classes, targets, weights = len(loss.class_weights), batch.targets, batch.weights
    if not targets.size:
        return 0.0
    if targets.min() < 0 or targets.max() >= n_classes:
        used = weights != 0
        if np.any(used & ((targets < 0) | (targets >= n_classes))):
            raise no_classes(targets, n_classes)
        targets = np.where(used, targets, 0)
    if batch.lengths.min() < len(targets):
        weights = np.where(np.arange(len(targets))[:, None] < batch.lengths, weights, 0)
    sums = np.bincount(targets.ravel(), weights.ravel(), n_classes).tolist()
    factors = loss.class_weights.astype(np.float64).tolist()
    return float(sum(a * b for a, b in zip(sums, factors, strict=True)))
