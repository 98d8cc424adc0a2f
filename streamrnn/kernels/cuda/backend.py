"""The CUDA backend: checks arguments, and brings arrays to the device and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.checks import check_state, checked_batch, checked_ends, checked_mask
from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.exact import back_launches, forward, launches
from streamrnn.kernels.cuda.exact.streams import DeviceStreams
from streamrnn.kernels.cuda.memory import Places
from streamrnn.kernels.cuda.network import MOST_UNITS, PRECISIONS, Network, Tape
from streamrnn.kernels.cuda.stepper import Stepper, Ticker
from streamrnn.kernels.cuda.tensor.streams import TensorStreams
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
#: A run that keeps no tape takes up about so much memory at once, however long it is: it is done
#: in pieces of steps. Enough for a device to be busy; what a piece reads of the one before is near.
PIECE_BYTES = 256 << 20


class CudaBackend:
    """Runs networks in float32 on a CUDA device. See `Backend` for what each method promises.

    A handle, and all that is made of it, is used by one thread at a time.

    Parameters
    ----------
    device : Device
    """

    name = "cuda"

    def __init__(self, device: Device) -> None:
        self.device = device

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Compile the kernels, or load them."""
        _check_dtype(dtype)
        kernels = launches.kernels(training=training)
        if training:
            kernels += back_launches.kernels()
        self.device.prepare(kernels)

    def upload(self, params: Params, *, precision: str = "exact") -> Network:
        """Return a handle on a copy of the weights, on the device until the handle dies.

        Raises
        ------
        ValueError
            Weights that are not float32, more than 512 hidden units in a layer, or another
            precision.
        BackendUnavailable
            The device has too little memory left.
        """
        _check_dtype(params.dtype)
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        params.check()
        if max(params.hidden_sizes) > MOST_UNITS:
            raise ValueError(
                f"a layer has {max(params.hidden_sizes)} hidden units,"
                f" the cuda backend takes up to {MOST_UNITS}"
            )
        return Network(self.device, params, precision)

    def download(self, handle: Network) -> Params:
        """Return a copy of the weights; bring the moments into the `OptState` trained with last."""
        handle.write_moments()
        return handle.read()

    def zero_state(self, handle: Network, n_rows: int) -> State:
        """Return the state of streams that have seen nothing."""
        return State.zeros(handle.layout.hidden_sizes, n_rows, _FLOAT)

    def reset_rows(self, state: State, rows: I64) -> None:
        """Set the named rows to zero."""
        state.reset_rows(rows)

    def step(self, handle: Network, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame."""
        layout, n_rows = handle.layout, state.n_rows
        check_state(handle.params, state, n_rows)
        x = as_argument("x", x, _FLOAT, (n_rows, layout.n_inputs))
        check_output("logits", logits, _FLOAT, (n_rows, layout.n_classes))
        ticker = handle.ticker
        if ticker is None or ticker.n_rows != n_rows:
            ticker = handle.ticker = Ticker(handle, n_rows)
        ticker.run(handle, x, state, logits)

    def stepper(self, handle: Network, state: State, logits: Floats) -> Stepper:
        """Return what steps the rows of `state` again and again."""
        check_state(handle.params, state, state.n_rows)
        return Stepper(handle, state, logits)

    def streams(self, handle: Network, n_streams: int) -> DeviceStreams | TensorStreams:
        """Return fresh streams whose state stays on the device."""
        kind = TensorStreams if TensorStreams.supports(handle) else DeviceStreams
        return kind(handle, n_streams)

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
        layout, n_rows = handle.layout, state.n_rows
        check_state(handle.params, state, n_rows)
        x = as_argument("x", x, _FLOAT, (None, n_rows, layout.n_inputs))
        ends = None if lengths is None else checked_ends(lengths, len(x), n_rows)
        mask = checked_mask(handle.params, out_mask, n_rows)
        logits = np.zeros((len(x), n_rows, layout.n_classes), np.float32)
        if keep_tape:
            handle.check_exact()
            tape = Tape(handle, len(x), n_rows)
            if logits.size:
                tape.fill(self.device, x, state, ends, mask)
                forward.run_taped(handle, tape)
                self.device.read(tape.logits, logits)
                self.device.read(tape.state, state.arena)
            return logits, tape
        if logits.size:
            self._run_in_pieces(handle, x, state, ends, mask, logits)
        return logits, None

    def _run_in_pieces(
        self,
        handle: Network,
        x: Floats,
        state: State,
        ends: I64 | None,
        mask: Floats | None,
        logits: Floats,
    ) -> None:
        """Run inputs of any length; memory is bounded, and the bits are those of one piece."""
        device, layout = self.device, handle.layout
        n_steps, n_rows, _ = x.shape
        n_piece = forward.steps_within(layout, n_steps, n_rows, PIECE_BYTES)
        places = Places()
        at_x = places.add(n_piece * n_rows * layout.n_inputs)
        at_logits = places.add(n_piece * n_rows * layout.n_classes)
        at_state, at_ends = places.add(state.arena.size), places.add(n_rows)
        at_mask = places.add(0 if mask is None else mask.size)
        scratch = forward.plan_scratch(layout, n_piece, n_rows, places)
        base = handle.workspace.take(places.n_bytes)
        device.write(base + at_state, state.arena)
        if ends is not None:
            device.write(base + at_ends, ends.astype(np.int32))
        if mask is not None:
            device.write(base + at_mask, mask)
        for begin in range(0, n_steps, n_piece):
            piece = x[begin : begin + n_piece]
            device.write(base + at_x, piece)
            rows = forward.Rows(
                len(piece),
                n_rows,
                base + at_state,
                n_rows,
                ends=0 if ends is None else base + at_ends,
                t_from=begin,
                mask=0 if mask is None else base + at_mask,
            )
            forward.run(handle, rows, base + at_x, base + at_logits, base, scratch)
            device.read(base + at_logits, logits[begin : begin + n_piece])
        device.read(base + at_state, state.arena)

    def backward(
        self,
        handle: Network,
        tape: Tape,
        d_logits: Floats,
        d_state: State | None = None,
    ) -> tuple[Grads, Floats, State]:
        """Back-propagate through time."""
        layout = handle.layout
        shape = (tape.n_steps, tape.n_rows, layout.n_classes)
        d_logits = as_argument("d_logits", d_logits, _FLOAT, shape)
        if d_state is not None:
            check_state(handle.params, d_state, tape.n_rows)
        grads, d_x, d_start = handle.trainer.backward(tape, d_logits, d_state)
        return grads, d_x, d_start

    def train_step(
        self, handle: Network, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update on the device.

        `opt.m` and `opt.v` live on the device while the handle is trained with the same `opt`;
        `download` brings them back into it.
        """
        checked, checked_loss = checked_batch(handle.params, batch, loss)
        result: UpdateResult = handle.trainer.update(checked, checked_loss, adam, opt)
        return result


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype != np.float32:
        raise ValueError(f"weights are {dtype}, the cuda backend takes float32")
