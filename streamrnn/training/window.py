"""Training of the window network: the same slices, loss and optimiser as the recurrent one's.

`WindowTrainer` has the methods of a backend that a training run calls, so the run, its batches,
variations, targets, schedule, watching and checkpoints are one and the same for both networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from streamrnn.core.types import F64, I64, Floats
from streamrnn.kernels.params import (
    AdamSpec,
    Batch,
    LossSpec,
    OptState,
    Params,
    State,
    UpdateResult,
)
from streamrnn.kernels.rnn.reference import adam_update
from streamrnn.model.spec import WindowSpec
from streamrnn.model.window import WindowParams

#: A window is as long as a median gesture, within these bounds (frames).
WINDOW_BOUNDS = (8, 128)
#: A window of many features is shorter: it holds at most so many numbers.
WINDOW_NUMBERS = 2048
#: Most numbers of windows that are laid out at once; bounds the memory.
NUMBERS_AT_ONCE = 1 << 21
#: A product of at most so many multiplications is no work for several threads (OpenBLAS shares
#: those above 2**18): no sum depends on their number, and none waits for the others.
PIECE = 1 << 17
#: Rows of such a product.
ROWS = 64


def window_spec(n_inputs: int, hidden: int, n_classes: int, median_frames: float) -> WindowSpec:
    """Return the network for gestures of a length.

    Parameters
    ----------
    n_inputs : int
        Features a frame.
    hidden, n_classes : int
    median_frames : float
        Median length of a gesture.
    """
    low, high = WINDOW_BOUNDS
    high = max(1, min(high, WINDOW_NUMBERS // n_inputs))
    return WindowSpec(n_inputs, int(min(max(round(median_frames), low), high)), hidden, n_classes)


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """What `WindowTrainer.forward` keeps for `WindowTrainer.backward`.

    Attributes
    ----------
    frames : (W + T, B, I)
        The windows before the first step, and the features.
    hidden : (T, B, H)
        After the rectifier, before the mask.
    out_mask : (B, H) or None
    """

    frames: Floats
    hidden: Floats
    out_mask: Floats | None


class WindowTrainer:
    """What a training run calls of a `Backend`, for `WindowParams`, in NumPy."""

    name = "numpy"

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Do nothing: there is nothing to compile."""

    def upload(self, params: WindowParams) -> WindowParams:
        """Return a copy of the weights: the handle."""
        return params.copy()

    def download(self, handle: WindowParams) -> WindowParams:
        """Return a copy of the weights."""
        return handle.copy()

    def zero_state(self, handle: WindowParams, n_rows: int) -> State:
        """Return empty windows for `n_rows` lanes."""
        return handle.new_state(n_rows)

    def reset_rows(self, state: State, rows: I64) -> None:
        """Empty the windows of the named rows."""
        state.reset_rows(rows)

    def forward(
        self,
        handle: WindowParams,
        x: Floats,
        state: State,
        lengths: I64 | None = None,
        out_mask: Floats | None = None,
        *,
        keep_tape: bool = False,
    ) -> tuple[Floats, Tape | None]:
        """Run T steps; see `Backend.forward`. Windows reach into the frames of the last call."""
        n_steps, n_rows, n_inputs = x.shape
        window = handle.window
        before = state.h[0].reshape(n_rows, window, n_inputs).transpose(1, 0, 2)
        frames = np.concatenate([before, x])
        hidden = np.empty((n_steps, n_rows, handle.w_in.shape[0]), x.dtype)
        for part, windows in _windows(frames, window):
            rows = np.maximum(_product(windows, handle.w_in.T) + handle.b_in, 0)
            hidden[part] = rows.reshape(hidden[part].shape)
        masked = hidden if out_mask is None else hidden * out_mask
        rows = _product(masked.reshape(-1, hidden.shape[2]), handle.w_out.T) + handle.b_out
        logits = rows.reshape(n_steps, n_rows, -1)
        ends = np.full(n_rows, n_steps) if lengths is None else lengths
        logits[np.arange(n_steps)[:, None] >= ends] = 0
        for b, end in enumerate(ends.tolist()):
            state.h[0][b] = frames[end : end + window, b].ravel()
        return logits, Tape(frames, hidden, out_mask) if keep_tape else None

    def backward(self, handle: WindowParams, tape: Tape, d_logits: Floats) -> WindowParams:
        """Return the gradients of the weights; `d_logits` is 0 behind a row's length."""
        hidden = tape.hidden if tape.out_mask is None else tape.hidden * tape.out_mask
        d_rows = d_logits.reshape(-1, d_logits.shape[-1])
        grads = handle.zeros_like()
        grads.w_out[:] = _outer(d_rows, hidden.reshape(len(d_rows), -1))
        grads.b_out[:] = d_rows.sum(axis=0)
        d_hidden = _product(d_rows, handle.w_out).reshape(hidden.shape)
        if tape.out_mask is not None:
            d_hidden *= tape.out_mask
        d_hidden *= tape.hidden > 0
        for part, windows in _windows(tape.frames, handle.window):
            d_part = d_hidden[part].reshape(len(windows), -1)
            grads.w_in[:] += _outer(d_part, windows)
            grads.b_in[:] += d_part.sum(axis=0)
        return grads

    def train_step(
        self, handle: WindowParams, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update: forward, loss, gradients, clip, Adam. `handle`, `opt`, state change."""
        logits, tape = self.forward(
            handle, batch.x, batch.state, batch.lengths, batch.out_mask, keep_tape=True
        )
        assert tape is not None
        value, d_logits = cross_entropy(logits, batch, loss)
        grads = self.backward(handle, tape, d_logits)
        # The optimiser goes through the arrays and asks for nothing else.
        norm = adam_update(cast(Params, handle), cast(Params, grads), adam, opt)
        return UpdateResult(value, norm)


def cross_entropy(logits: Floats, batch: Batch, loss: LossSpec) -> tuple[float, Floats]:
    """Return the loss that `LossSpec` defines and its gradient: the oracle's, all steps at once.

    Parameters
    ----------
    logits : (T, B, C)
    batch : Batch
    loss : LossSpec

    Returns
    -------
    loss : float
        0 when no step has any weight; the gradient is then zero too.
    d_logits : (T, B, C)
    """
    n_classes = logits.shape[-1]
    d_logits = np.zeros_like(logits)
    in_reach = np.arange(len(logits))[:, None] < batch.lengths
    used = (batch.weights != 0) & in_reach
    y = batch.targets[used]
    weights = batch.weights[used].astype(np.float64) * np.asarray(loss.class_weights, np.float64)[y]
    total = float(weights.sum())
    if total == 0.0:
        return 0.0, d_logits
    weights /= total
    wanted = np.full((len(y), n_classes), loss.label_smoothing / n_classes)
    wanted[np.arange(len(y)), y] += 1.0 - loss.label_smoothing
    z: F64 = logits[used].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    d_logits[used] = weights[:, None] * (np.exp(log_p) - wanted)
    return float(-(weights * (wanted * log_p).sum(axis=1)).sum()), d_logits


def _windows(frames: Floats, window: int) -> Iterator[tuple[slice, Floats]]:
    """Yield steps and their windows (steps * B, W * I), some steps at a time."""
    n_steps = len(frames) - window
    _, n_rows, n_inputs = frames.shape
    views = np.lib.stride_tricks.sliding_window_view(frames, window, axis=0)[1:]
    size = max(1, NUMBERS_AT_ONCE // (n_rows * window * n_inputs))
    for first in range(0, n_steps, size):
        part = slice(first, min(first + size, n_steps))
        rows = views[part].transpose(0, 1, 3, 2)
        yield part, rows.reshape(-1, window * n_inputs)


def _product(a: Floats, b: Floats) -> Floats:
    """Return ``a @ b``, (R, K) by (K, N), in pieces too small for a BLAS to share among threads."""
    total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    size = max(1, PIECE // (ROWS * b.shape[1]))
    for rows in _blocks(len(a)):
        part = a[rows].reshape(-1, min(ROWS, rows.stop - rows.start), a.shape[1])
        sums = total[rows].reshape(*part.shape[:2], -1)
        for k in range(0, a.shape[1], size):
            sums += part[:, :, k : k + size] @ b[k : k + size]
    return total


def _outer(a: Floats, b: Floats) -> Floats:
    """Return ``a.T @ b``, (R, M) by (R, N), in pieces too small for a BLAS to share."""
    total = np.zeros((a.shape[1], b.shape[1]), a.dtype)
    size = max(1, PIECE // (ROWS * a.shape[1]))
    for rows in _blocks(len(a)):
        n = min(ROWS, rows.stop - rows.start)
        left = a[rows].reshape(-1, n, a.shape[1]).transpose(0, 2, 1)
        right = b[rows].reshape(-1, n, b.shape[1])
        for k in range(0, b.shape[1], size):
            total[:, k : k + size] += (left @ right[:, :, k : k + size]).sum(axis=0)
    return total


def _blocks(n: int) -> Iterator[slice]:
    """Yield all rows that make whole blocks of `ROWS`, then the rest."""
    whole = n - n % ROWS
    if whole:
        yield slice(0, whole)
    if whole < n:
        yield slice(whole, n)
