"""Streams whose state is on the host: ticks over a backend's `step`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.checks import check_state
from streamrnn.kernels.params import Params, State, padded


class _Steps(Protocol):
    """The part of a backend that ticks need."""

    def zero_state(self, handle: Any, n_rows: int) -> State: ...

    def step(self, handle: Any, x: Floats, state: State, logits: Floats) -> None: ...

    def stepper(self, handle: Any, state: State, logits: Floats) -> Any: ...


class Rows:
    """Checks which streams are meant, and what a tick is given.

    Parameters
    ----------
    n_streams : int
        N.

    Raises
    ------
    ValueError
        Fewer than one stream.
    """

    def __init__(self, n_streams: int) -> None:
        if n_streams < 1:
            raise ValueError(f"n_streams is {n_streams}, expected 1 or more")
        self._all: I64 = np.arange(n_streams, dtype=np.int64)
        self._marks: I64 = np.empty(n_streams, np.int64)

    def checked(self, rows: I64 | None) -> tuple[I64 | None, int]:
        """Return the rows as a kernel takes them, None for all in order, and how many they are.

        Raises
        ------
        ValueError
            Not int64 (n,), a stream that is not there, or one that is named twice.
        """
        n_streams = len(self._all)
        if rows is None:
            return None, n_streams
        rows = as_argument("rows", rows, np.int64, (None,))
        n = len(rows)
        if not n:
            return rows, n
        if rows.min() < 0 or rows.max() >= n_streams:
            wrong = rows[(rows < 0) | (rows >= n_streams)][0]
            raise ValueError(f"rows name stream {wrong}, expected 0..{n_streams - 1}")
        if n == n_streams and np.array_equal(rows, self._all):
            return None, n
        twice = repeated(rows, self._marks)
        if twice is not None:
            raise ValueError(f"rows name stream {twice} more than once")
        return rows, n

    def checked_tick(
        self, params: Params, x: Floats, logits: Floats, rows: I64 | None
    ) -> tuple[Floats, I64 | None, int]:
        """Return the inputs of a tick, and what `checked` does; errors as `Streams.tick`."""
        rows, n = self.checked(rows)
        x = as_argument("x", x, params.dtype, (n, params.n_inputs))
        check_output("logits", logits, params.dtype, (n, params.n_classes))
        return x, rows, n


def repeated(rows: I64, marks: I64) -> int | None:
    """Return a row that is named more than once, None if there is none.

    Parameters
    ----------
    rows : int64 (n,)
        Numbers in 0..N-1.
    marks : int64 (N,)
        Scratch.
    """
    order = np.arange(len(rows))
    marks[rows] = order
    is_other = marks[rows] != order
    return int(rows[is_other][0]) if is_other.any() else None


class HostStreams:
    """Streams over a backend that steps states on the host; see `Streams`.

    All streams are stepped where they lie. Some of them are brought together first, and put back
    afterwards; for all of them in another order, it is the frames that are moved.

    Parameters
    ----------
    backend : Backend
    handle : Handle
    params : Params
        The handle's; their sizes and dtype are read, not their values.
    n_streams : int
        N.
    is_shared : bool
        The backend shares the rows of a step between threads, which its steppers do not.
    """

    def __init__(
        self,
        backend: _Steps,
        handle: Any,
        params: Params,
        n_streams: int,
        *,
        is_shared: bool = False,
    ) -> None:
        self._rows = Rows(n_streams)
        self._backend, self._handle, self._params = backend, handle, params
        self._is_shared = is_shared
        self._whole = self._some = self._block(n_streams)

    @property
    def n_streams(self) -> int:
        """N."""
        return self._whole.state.n_rows

    def tick(self, x: Floats, logits: Floats, rows: I64 | None = None) -> None:
        """Advance streams by one frame."""
        whole = self._whole
        x, rows, n = self._rows.checked_tick(self._params, x, logits, rows)
        if rows is None:
            whole.step(x)
            logits[...] = whole.logits
        elif n == self.n_streams:
            in_order = np.empty_like(x)
            in_order[rows] = x
            whole.step(in_order)
            np.take(whole.logits, rows, axis=0, out=logits, mode="clip")
        elif n:
            some = self._gathered(rows)
            some.step(x)
            logits[...] = some.logits
            _scatter(some.parts, whole.parts, rows)

    def reset(self, rows: I64 | None = None) -> None:
        """Set the state of streams to zero."""
        rows, _ = self._rows.checked(rows)
        if rows is None:
            self._whole.state.arena[:] = 0
        else:
            self._whole.state.reset_rows(rows)

    def snapshot(self, rows: I64 | None = None) -> State:
        """Return a copy of the state of streams."""
        state, (rows, _) = self._whole.state, self._rows.checked(rows)
        if rows is None:
            return state.copy()
        return State(tuple(a[rows] for a in state.h), tuple(a[rows] for a in state.c))

    def restore(self, state: State, rows: I64 | None = None) -> None:
        """Set the state of streams to the rows of `state`."""
        whole, (rows, n) = self._whole, self._rows.checked(rows)
        check_state(self._params, state, n)
        if rows is None:
            whole.state.arena[:] = state.arena
        else:
            _scatter(_parts(state), whole.parts, rows)

    def _block(self, n_rows: int) -> _Block:
        """Return memory for some streams, and what steps them."""
        backend, handle = self._backend, self._handle
        state = backend.zero_state(handle, n_rows)
        logits = np.empty((n_rows, self._params.n_classes), self._params.dtype)

        def step(x: Floats) -> None:
            backend.step(handle, x, state, logits)

        own = step if self._is_shared else backend.stepper(handle, state, logits).step
        return _Block(state, _parts(state), logits, own)

    def _gathered(self, rows: I64) -> _Block:
        """Return a block of some streams; the memory is that of the last time if it fits."""
        if self._some.state.n_rows != len(rows):
            self._some = self._block(len(rows))
        for source, to in zip(self._whole.parts, self._some.parts, strict=True):
            np.take(source, rows, axis=0, out=to, mode="clip")  # "raise" would copy once more
        return self._some


@dataclass(frozen=True, slots=True)
class _Block:
    """Streams side by side.

    Attributes
    ----------
    state : State
    parts : list of arrays
        Its h and c; see `_parts`.
    logits : (n, C)
        Overwritten by `step`.
    step : callable
        Takes features (n, I).
    """

    state: State
    parts: list[Floats]
    logits: Floats
    step: Callable[[Floats], Any]


def _scatter(source: list[Floats], to: list[Floats], rows: I64) -> None:
    for some, whole in zip(source, to, strict=True):
        whole[rows] = some


def _parts(state: State) -> list[Floats]:
    """Return h and c of each layer with the padding of their rows, each contiguous."""
    parts, at, n = [], 0, state.n_rows
    for a in (array for pair in zip(state.h, state.c, strict=True) for array in pair):
        width = padded(a.shape[1], a.dtype)
        parts.append(state.arena[at : at + n * width].reshape(n, width))
        at += n * width
    return parts
