"""The oracle: a stacked LSTM in NumPy, so plain that nobody doubts it. Every backend is held to it.

The cell is Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), in the form
of PyTorch's `nn.LSTM`::

    z = (b + w_ih x) + w_hh h      i, f, g, o = z in four parts
    c = sigmoid(f) c + sigmoid(i) tanh(g)
    h = sigmoid(o) tanh(c)

Products run over k one by one, as docs/adr/0001-order-of-summation.md says, and never through a
BLAS, whose sums depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.params import (
    AdamSpec,
    Batch,
    Grads,
    LayerParams,
    LossSpec,
    OptState,
    Params,
    State,
    UpdateResult,
)
from streamrnn.kernels.streams import HostStreams


@dataclass(slots=True)
class _Network:
    """The handle: nothing but the weights, as they are used and as they were given."""

    params: Params
    given: Params


class _Stepper:
    """Streams that are stepped: no more than a step with the arguments kept."""

    def __init__(
        self, backend: NumpyBackend, handle: _Network, state: State, logits: Floats
    ) -> None:
        n_rows = state.n_rows
        self._state = state
        _check_shape("logits", logits, (n_rows, handle.params.n_classes), handle.params)

        def step(x: Floats) -> None:
            rows = x[None] if n_rows == 1 and np.ndim(x) == 1 else x
            backend.step(handle, rows, state, logits)

        self.step: Callable[[Floats], Any] = step

    def ahead(self) -> None:
        """Do nothing: nothing is gained by it here."""

    def reset(self) -> None:
        """Set the state to zero."""
        self._state.arena[:] = 0


@dataclass(frozen=True, slots=True)
class _CellTape:
    """What one cell did in one step; `live` is False in rows that had ended."""

    x: Floats
    h_before: Floats
    c_before: Floats
    i: Floats
    f: Floats
    g: Floats
    o: Floats
    tanh_c: Floats
    live: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class _Tape:
    """What `forward` did: cells[t][layer], and the vectors that the head read."""

    cells: list[list[_CellTape]]
    head_inputs: Floats
    out_mask: Floats | None


class NumpyBackend:
    """Runs networks in NumPy. See `Backend` for what each method promises."""

    name = "numpy"

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Do nothing: there is nothing to compile."""

    def upload(self, params: Params, *, precision: str = "exact") -> _Network:
        """Return a handle on a copy of the weights."""
        if precision not in ("exact", "bf16"):
            raise ValueError(f"precision is {precision!r}, expected one of exact, bf16")
        params.check()
        copy = params.copy()
        if precision == "exact":
            return _Network(copy, copy)
        for layer in copy.layers:
            for weights in (layer.w_ih, layer.w_hh):
                weights[:] = _bfloat16(weights)
        return _Network(copy, params.copy())

    def download(self, handle: _Network) -> Params:
        """Return a copy of the weights."""
        return handle.given.copy()

    def zero_state(self, handle: _Network, n_rows: int) -> State:
        """Return the state of streams that have seen nothing."""
        return State.zeros(handle.params.hidden_sizes, n_rows, handle.params.dtype)

    def reset_rows(self, state: State, rows: I64) -> None:
        """Set the named rows to zero."""
        state.reset_rows(rows)

    def step(self, handle: _Network, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame."""
        params = handle.params
        _check_shape("x", x, (state.n_rows, params.n_inputs), params)
        _check_shape("logits", logits, (state.n_rows, params.n_classes), params)
        logits[:] = self.forward(handle, x[None], state)[0][0]

    def stepper(self, handle: _Network, state: State, logits: Floats) -> _Stepper:
        """Return what steps the rows of `state` again and again."""
        return _Stepper(self, handle, state, logits)

    def streams(self, handle: _Network, n_streams: int) -> HostStreams:
        """Return fresh streams whose state stays here."""
        return HostStreams(self, handle, handle.params, n_streams)

    def forward(
        self,
        handle: _Network,
        x: Floats,
        state: State,
        lengths: I64 | None = None,
        out_mask: Floats | None = None,
        *,
        keep_tape: bool = False,
    ) -> tuple[Floats, _Tape | None]:
        """Run T steps, one at a time, through all layers."""
        params = handle.params
        n_steps, n_rows = len(x), state.n_rows
        _check_shape("x", x, (n_steps, n_rows, params.n_inputs), params)
        ends = np.full(n_rows, n_steps) if lengths is None else lengths
        if ends.shape != (n_rows,) or np.any(ends < 0) or np.any(ends > n_steps):
            raise ValueError(f"lengths are {ends}, expected {n_rows} numbers in 0..{n_steps}")
        logits = np.zeros((n_steps, n_rows, params.n_classes), params.dtype)
        head_inputs = np.zeros((n_steps, n_rows, params.hidden_sizes[-1]), params.dtype)
        cells: list[list[_CellTape]] = []
        for t in range(n_steps):
            live = t < ends
            signal = np.ascontiguousarray(x[t])
            cells.append([])
            for n, layer in enumerate(params.layers):
                h, c, trace = _cell(layer, signal, state.h[n].copy(), state.c[n].copy(), live)
                state.h[n][live] = h[live]
                state.c[n][live] = c[live]
                cells[t].append(trace)
                signal = h
            head_inputs[t] = signal if out_mask is None else signal * out_mask
            outputs = _multiply(head_inputs[t], params.w_out.T, start=params.b_out)
            logits[t][live] = outputs[live]
        return logits, _Tape(cells, head_inputs, out_mask) if keep_tape else None

    def backward(
        self,
        handle: _Network,
        tape: _Tape,
        d_logits: Floats,
        d_state: State | None = None,
    ) -> tuple[Grads, Floats, State]:
        """Back-propagate through time: the chain rule, step by step from the last."""
        params = handle.params
        grads = params.zeros_like()
        n_steps, n_rows, _ = d_logits.shape
        carried = self.zero_state(handle, n_rows) if d_state is None else d_state.copy()
        d_x = np.zeros((n_steps, n_rows, params.n_inputs), params.dtype)
        for t in reversed(range(n_steps)):
            live = tape.cells[t][0].live
            d_outputs = np.where(live[:, None], d_logits[t], 0)
            head_inputs = np.where(live[:, None], tape.head_inputs[t], 0)
            grads.w_out[:] += _multiply(d_outputs.T, head_inputs)
            grads.b_out[:] += d_outputs.sum(axis=0)
            d_signal = _multiply(d_outputs, params.w_out)
            if tape.out_mask is not None:
                d_signal = d_signal * tape.out_mask
            for n in reversed(range(len(params.layers))):
                d_signal = _cell_backward(
                    params.layers[n], grads.layers[n], tape.cells[t][n], d_signal, carried, n
                )
            d_x[t] = d_signal
        return grads, d_x, carried

    def train_step(
        self, handle: _Network, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update."""
        logits, tape = self.forward(
            handle, batch.x, batch.state, batch.lengths, batch.out_mask, keep_tape=True
        )
        assert tape is not None
        value, d_logits = cross_entropy(logits, batch, loss)
        grads, _, _ = self.backward(handle, tape, d_logits)
        return UpdateResult(value, adam_update(handle.params, grads, adam, opt))


def cross_entropy(logits: Floats, batch: Batch, loss: LossSpec) -> tuple[float, Floats]:
    """Return the loss that `LossSpec` defines, and its gradient.

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
    used = [(int(t), int(b)) for t, b in np.argwhere((batch.weights != 0) & in_reach)]
    total = 0.0
    for t, b in used:
        total += float(batch.weights[t, b]) * float(loss.class_weights[batch.targets[t, b]])
    if total == 0.0:
        return 0.0, d_logits
    value = 0.0
    for t, b in used:
        y = batch.targets[t, b]
        weight = float(batch.weights[t, b]) * float(loss.class_weights[y]) / total
        wanted = np.full(n_classes, loss.label_smoothing / n_classes)
        wanted[y] += 1.0 - loss.label_smoothing
        z = logits[t, b].astype(np.float64)
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        value -= weight * float((wanted * log_p).sum())
        d_logits[t, b] = weight * (np.exp(log_p) - wanted)
    return value, d_logits


def adam_update(params: Params, grads: Grads, adam: AdamSpec, opt: OptState) -> float:
    """Move `params` by clipped AdamW, in place, and return the gradient norm before the clip.

    A norm that is not finite moves nothing.
    """
    norm = float(np.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in grads.arrays())))
    if not np.isfinite(norm):
        return norm
    scale = adam.clip_norm / norm if 0.0 < adam.clip_norm < norm else 1.0
    opt.n_updates += 1
    rate = adam.lr / (1.0 - adam.beta1**opt.n_updates)
    root = np.sqrt(1.0 - adam.beta2**opt.n_updates)
    moved = zip(params.arrays(), grads.arrays(), opt.m.arrays(), opt.v.arrays(), strict=True)
    for p, raw, m, v in moved:
        g = raw * p.dtype.type(scale)
        decay = adam.weight_decay if p.ndim == 2 else 0.0
        p[:] = p * (1.0 - adam.lr * decay)
        m[:] = adam.beta1 * m + (1.0 - adam.beta1) * g
        v[:] = adam.beta2 * v + (1.0 - adam.beta2) * g * g
        p[:] = p - rate * m / (np.sqrt(v) / p.dtype.type(root) + adam.eps)
    return norm


def _cell(
    layer: LayerParams, x: Floats, h: Floats, c: Floats, live: np.ndarray[Any, np.dtype[np.bool_]]
) -> tuple[Floats, Floats, _CellTape]:
    """Return h, c and the tape of one step; rows that are not live keep h and c."""
    z = _multiply(x, layer.w_ih.T, start=layer.b) + _multiply(h, layer.w_hh.T)
    z_i, z_f, z_g, z_o = (np.ascontiguousarray(part) for part in np.split(z, 4, axis=1))
    i, f, g, o = _sigmoid(z_i), _sigmoid(z_f), np.tanh(z_g), _sigmoid(z_o)
    c_new = f * c + i * g
    tanh_c = np.tanh(c_new)
    h_new = o * tanh_c
    rows = live[:, None]
    trace = _CellTape(x, h, c, i, f, g, o, tanh_c, live)
    return np.where(rows, h_new, h), np.where(rows, c_new, c), trace


def _cell_backward(
    layer: LayerParams,
    grads: LayerParams,
    tape: _CellTape,
    d_signal: Floats,
    carried: State,
    n: int,
) -> Floats:
    """Add one step to `grads`, move `carried` one step back, and return the gradient at x."""
    rows = tape.live[:, None]
    d_h = d_signal + carried.h[n]
    d_c = carried.c[n] + d_h * tape.o * (1 - tape.tanh_c**2)
    d_z = np.concatenate(
        [
            d_c * tape.g * tape.i * (1 - tape.i),
            d_c * tape.c_before * tape.f * (1 - tape.f),
            d_c * tape.i * (1 - tape.g**2),
            d_h * tape.tanh_c * tape.o * (1 - tape.o),
        ],
        axis=1,
    )
    d_z = np.where(rows, d_z, 0)
    grads.w_ih[:] += _multiply(d_z.T, np.where(rows, tape.x, 0))
    grads.w_hh[:] += _multiply(d_z.T, np.where(rows, tape.h_before, 0))
    grads.b[:] += d_z.sum(axis=0)
    carried.h[n][tape.live] = _multiply(d_z, layer.w_hh)[tape.live]
    carried.c[n][tape.live] = (d_c * tape.f)[tape.live]
    return _multiply(d_z, layer.w_ih)


def _bfloat16(a: Floats) -> Floats:
    """Return the nearest bfloat16 to each number, as numbers of the same dtype."""
    bits = a.astype(np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32).astype(a.dtype)


def _multiply(a: Floats, b: Floats, start: Floats | float = 0.0) -> Floats:
    """Return ``start + a @ b``, summed over k in ascending order."""
    total = np.zeros((a.shape[0], b.shape[1]), a.dtype) + np.asarray(start, a.dtype)
    for k in range(a.shape[1]):
        total += a[:, k, None] * b[None, k]
    return total


def _sigmoid(z: Floats) -> Floats:
    with np.errstate(over="ignore"):  # exp(-z) is inf far below zero, and 1 / (1 + inf) is right
        return np.asarray(1 / (1 + np.exp(-z)))


def _check_shape(name: str, a: Floats, shape: tuple[int, ...], params: Params) -> None:
    if a.shape != shape or a.dtype != params.dtype:
        raise ValueError(f"{name} is {a.dtype} {a.shape}, expected {params.dtype} {shape}")
