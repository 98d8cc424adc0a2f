"""Ours on the GPU: what the benchmarks time, on data that is on the device and with its copies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu_race import Clock, HostClock, Racer
from benchmarks.gpu_replay import profile, resident
from benchmarks.gpu_report import OURS
from benchmarks.gpu_shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Sequences, Streams
from streamrnn.kernels import get_backend
from streamrnn.kernels.cuda.exact import forward
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.network import Network
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, State, UpdateResult

Floats = npt.NDArray[np.float32]
#: A contender and what it computed, to be compared.
Made = tuple[Racer, list[Floats]]
#: Where the interpreter stands, which is a tool of the tests.
_INTERPRETER = Path(__file__).parent.parent / "tests" / "kernels" / "cuda"
#: A tick of the exact kernels takes up so much memory at once beside the state.
_PIECE_BYTES = 256 << 20


class _MarkClock:
    """The device's own events."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._begin: Any = None

    def begin(self) -> None:
        self._begin = self._device.mark()

    def end_s(self) -> float:
        return float(self._device.elapsed_ms(self._begin, self._device.mark())) / 1e3


@dataclass(frozen=True)
class _Updates:
    """Does updates with one batch: Adam as `gpu_torch.training` has it."""

    backend: Any
    handle: Network
    opt: OptState
    batch: Batch
    loss: LossSpec
    adam: AdamSpec

    def __call__(self, state: State) -> UpdateResult:
        batch = replace(self.batch, state=state)
        result: UpdateResult = self.backend.train_step(
            self.handle, batch, self.loss, self.adam, self.opt
        )
        return result


class Ours:
    """The backend, and ready-made work for it.

    Parameters
    ----------
    interpreter : bool
        The compiled kernels are read by a program; nothing is fast, and no GPU is needed.

    Raises
    ------
    BackendUnavailable
        There is no GPU.
    """

    def __init__(self, *, interpreter: bool) -> None:
        self.backend: Any = _interpreted() if interpreter else _on_gpu()
        self.device: Any = self.backend.device
        self.clock: Clock = HostClock() if interpreter else _MarkClock(self.device)
        self._small: Network | None = None

    def launch(self) -> None:
        """Start a small kernel: the weights of a tiny network are packed again."""
        if self._small is None:
            self._small = self.backend.upload(Sequences(1, 1, 1, 1).params)
        self._small.pack()

    def sequences(self, shape: Sequences, inputs: Sequence[Floats], precision: str) -> Made:
        """Return runs from state zero over resident inputs, one set after the other."""
        device = self.device
        network = self.backend.upload(shape.params, precision=precision)
        n, places = shape.n_row_steps, Places()
        sets = [places.add(x.size) for x in inputs]
        n_state = forward.state_size(network.layout, shape.n_rows)
        state, logits = places.add(n_state), places.add(n * N_CLASSES)
        scratch = forward.plan_scratch(network.layout, shape.n_steps, shape.n_rows, places)
        memory = Buffer(device, places.n_bytes)
        base = memory.address
        for at, x in zip(sets, inputs, strict=True):
            device.write(base + at, x)
        found = np.full((shape.n_steps, shape.n_rows, N_CLASSES), np.nan, np.float32)
        device.write(base + logits, found)  # what is not written is seen
        rows = forward.Rows(shape.n_steps, shape.n_rows, base + state, shape.n_rows)
        turn = 0

        def run() -> None:
            nonlocal turn
            device.zero(memory.address + state, 4 * n_state)
            forward.run(network, rows, base + sets[turn], base + logits, base, scratch)
            turn = (turn + 1) % len(sets)

        run()
        device.read(base + logits, found)
        return self._racer(precision, "resident", run), [found]

    def host_sequences(self, shape: Sequences, inputs: Sequence[Floats], precision: str) -> Racer:
        """Return `forward` as everybody calls it: arrays of the host in, arrays of the host out."""
        handle = self.backend.upload(shape.params, precision=precision)
        turn = 0

        def run() -> None:
            nonlocal turn
            state = self.backend.zero_state(handle, shape.n_rows)
            self.backend.forward(handle, inputs[turn], state)
            turn = (turn + 1) % len(inputs)

        return self._racer(precision, "host", run)

    def training(self, shape: Sequences, x: Floats, n_losses: int) -> Made:
        """Return updates on what an earlier one brought to the device.

        What it computed are the losses of the first updates, each from state zero.

        Raises
        ------
        RuntimeError
            On the device alone an update does not move the weights as a whole one does.
        """
        updates = self._updates(shape, x)
        losses = [updates(self._blank(shape)).loss for _ in range(n_losses)]
        state = self._blank(shape)
        updates(state)
        weights, opt = self.backend.download(updates.handle), updates.opt
        same = replace(
            updates,
            handle=self.backend.upload(weights),
            opt=OptState(opt.m.copy(), opt.v.copy(), opt.n_updates),
        )
        call = resident(self.device, partial(updates, state))
        call()
        same(state.copy())
        both = (self.backend.download(which.handle).arrays() for which in (updates, same))
        if not all(np.array_equal(a, b) for a, b in zip(*both, strict=True)):
            raise RuntimeError("on the device alone an update moves the weights elsewhere")
        return self._racer("exact", "resident", call), [np.array(losses, np.float32)]

    def host_training(self, shape: Sequences, x: Floats) -> Racer:
        """Return `train_step` as everybody calls it."""
        return self._racer("exact", "host", partial(self._updates(shape, x), self._blank(shape)))

    def profile(self, shape: Sequences, x: Floats) -> str:
        """Return where the time of an update goes, phase by phase in order, in words."""
        call = partial(self._updates(shape, x), self._blank(shape))
        call()
        return ", ".join(f"{what} {1e3 * s:.3g}" for what, s in profile(self.device, call))

    def _updates(self, shape: Sequences, x: Floats) -> _Updates:
        size = (shape.n_steps, shape.n_rows)
        lengths = np.full(shape.n_rows, shape.n_steps, np.int64)
        return _Updates(
            self.backend,
            self.backend.upload(shape.params),
            OptState.zeros(shape.params),
            Batch(x, shape.targets, np.ones(size, np.float32), lengths, self._blank(shape)),
            LossSpec(np.ones(N_CLASSES, np.float32)),
            AdamSpec(LEARNING_RATE, clip_norm=CLIP_NORM),
        )

    def _blank(self, shape: Sequences) -> State:
        return State.zeros(shape.params.hidden_sizes, shape.n_rows, np.dtype(np.float32))

    def fleet(self, shape: Streams, frames: Floats, precision: str) -> Made:
        """Return ticks of all streams on resident frames; see `gpu_torch.fleet`."""
        device = self.device
        network = self.backend.upload(shape.params, precision=precision)
        places = Places()
        x, logits = places.add(frames.size), places.add(shape.n_streams * N_CLASSES)
        memory = Buffer(device, places.n_bytes)
        at_x, at_logits = memory.address + x, memory.address + logits
        device.write(at_x, frames)
        streams = self.backend.streams(network, shape.n_streams)
        advance: Callable[[], None] = (
            partial(streams.advance, at_x, at_logits, shape.n_streams)
            if hasattr(streams, "advance")
            else self._exact_tick(network, shape, at_x, at_logits)
        )

        def tick(memory: Buffer = memory) -> None:  # which lives as long as this
            advance()

        found = []
        for _ in range(2):
            now = np.full((shape.n_streams, N_CLASSES), np.nan, np.float32)
            device.write(at_logits, now)
            tick()
            device.read(at_logits, now)
            found.append(now)
        return self._racer(precision, "resident", tick), found

    def _exact_tick(
        self, network: Network, shape: Streams, x: int, logits: int
    ) -> Callable[[], None]:
        """Return a tick as `DeviceStreams` does it, without its copies: in pieces of rows."""
        layout, n = network.layout, shape.n_streams
        places = Places()
        n_state = forward.state_size(layout, n)
        state = places.add(n_state)
        n_piece = forward.rows_within(layout, n, _PIECE_BYTES)
        scratch = forward.plan_scratch(layout, 1, n_piece, places)
        memory = Buffer(self.device, places.n_bytes)
        base = memory.address
        self.device.zero(base + state, 4 * n_state)

        def tick() -> None:
            for begin in range(0, n, n_piece):
                piece = forward.Rows(
                    1, min(n_piece, n - begin), memory.address + state, n, first_row=begin
                )
                at_x, at_logits = x + 4 * begin * shape.n_in, logits + 4 * begin * N_CLASSES
                forward.run(network, piece, at_x, at_logits, base, scratch)

        return tick

    def _racer(self, precision: str, mode: str, call: Callable[[], Any]) -> Racer:
        return Racer(OURS, precision, mode, call, self.clock)


def _on_gpu() -> Any:
    return get_backend("cuda")


def _interpreted() -> Any:
    """Return the backend on a program that reads the compiled kernels."""
    if str(_INTERPRETER) not in sys.path:
        sys.path.append(str(_INTERPRETER))
    from simulated import SimulatedDevice  # type: ignore[import-not-found]

    from streamrnn.kernels.cuda.backend import CudaBackend

    return CudaBackend(SimulatedDevice())
