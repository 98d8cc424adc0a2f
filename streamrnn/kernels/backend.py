"""The seam: what a compute device must do, and how one is chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from streamrnn.core.errors import BackendUnavailable, ConfigError
from streamrnn.core.text import did_you_mean
from streamrnn.core.types import I64, Floats
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

_LOG = logging.getLogger(__name__)

#: A network's weights in a device's own layout. Private to the backend that made it.
Handle = Any
#: What `forward` keeps for `backward`. Private to the backend that made it.
Tape = Any


class Stepper(Protocol):
    """Streams of one network, ready to be stepped with as little ado as the device allows."""

    @property
    def step(self) -> Callable[[Floats], Any]:
        """What takes the features of one frame of each row, (B, I), or (I,) for one row.

        It does what `Backend.step` does with the state and logits that the stepper was made for.
        A float32 array that is C-contiguous is taken fastest.
        """
        ...

    def ahead(self) -> None:
        """Do what can be done of the next step without its frame; changes no result."""
        ...

    def reset(self) -> None:
        """Set the state to zero."""
        ...


class Streams(Protocol):
    """Many streams of one network, each with a state that stays where the network runs.

    A stream's results have the same bits as if it were stepped alone, whatever rows it is ticked
    together with.
    """

    @property
    def n_streams(self) -> int:
        """N."""
        ...

    def tick(self, x: Floats, logits: Floats, rows: I64 | None = None) -> None:
        """Advance streams by one frame.

        Parameters
        ----------
        x : (n, I)
            Features; read only.
        logits : (n, C), C-contiguous
            Overwritten.
        rows : int64 (n,) or None
            Which streams, 0..N-1, each at most once, in any order; row r of `x` and of `logits` is
            stream ``rows[r]``'s. The others keep their state. None means all N, in order.

        Raises
        ------
        ValueError
            Another shape or dtype, a stream that is not there or that is named twice; no state
            has changed then.
        """
        ...

    def reset(self, rows: I64 | None = None) -> None:
        """Set the state of the named streams, or of all, to zero; errors as `tick`."""
        ...

    def snapshot(self, rows: I64 | None = None) -> State:
        """Return a copy of the named streams' state, or of all, on the host; errors as `tick`."""
        ...

    def restore(self, state: State, rows: I64 | None = None) -> None:
        """Set the state of the named streams, or of all, to the rows of `state`; errors as `tick`.

        The state may come from another backend's streams.
        """
        ...


class Backend(Protocol):
    """A device that runs whole networks (stacked LSTM layers and a linear head).

    Laws (tests/kernels/test_contract.py holds every backend to them): equal to the oracle within
    float32 2e-5 or float64 1e-11; `forward` equals repeated `step`, bit for bit; a row of a batch
    equals the same row alone, bit for bit; steps behind a row's length change nothing; summation
    follows docs/adr/0001-order-of-summation.md.
    """

    name: str

    def warm_up(self, dtype: np.dtype[Any], *, training: bool = False) -> None:
        """Compile (or load from the cache) all that `step` and `forward` need for `dtype`.

        With `training` also what `backward` and `train_step` need. Nothing compiles later.
        """
        ...

    def upload(self, params: Params, *, precision: str = "exact") -> Handle:
        """Return the weights in the device's layout.

        Parameters
        ----------
        params : Params
            Copied.
        precision : {"exact", "bf16"}
            ``bf16`` rounds the layers' weights to bfloat16, for inference only: each is off by up
            to 2**-8 of itself, which moves hidden values and logits by some thousandths. Half the
            memory is read. Sums and cell states stay in the dtype of `params`; where a device has
            units for such products (``cuda``), inputs and hidden values are rounded too. What
            gives the same bits in one precision does so in the other; backends may round an odd
            one of a pair of weights up or down.

        Raises
        ------
        ValueError
            Another precision, or a dtype that is neither float32 nor float64.
        """
        ...

    def download(self, handle: Handle) -> Params:
        """Return a copy of the weights of `handle` in plain layout.

        What `train_step` moved last is brought up to date with them: the arrays of its `opt`.
        """
        ...

    def zero_state(self, handle: Handle, n_rows: int) -> State:
        """Return a fresh state for `n_rows` streams."""
        ...

    def reset_rows(self, state: State, rows: I64) -> None:
        """Set the named rows of `state` to zero, in place."""
        ...

    def step(self, handle: Handle, x: Floats, state: State, logits: Floats) -> None:
        """Advance every row by one frame, in place, allocating nothing.

        Parameters
        ----------
        handle : Handle
        x : (B, I), C-contiguous
            Features; read only.
        state : State of B rows
            Overwritten.
        logits : (B, C), C-contiguous
            Overwritten.
        """
        ...

    def stepper(self, handle: Handle, state: State, logits: Floats) -> Stepper:
        """Return what steps the rows of `state` again and again.

        Parameters
        ----------
        handle : Handle
        state : State of B rows
            Overwritten by each step; may be read and written between steps.
        logits : (B, C), C-contiguous
            Overwritten by each step.
        """
        ...

    def streams(self, handle: Handle, n_streams: int) -> Streams:
        """Return `n_streams` fresh streams whose state stays on the device.

        Raises
        ------
        ValueError
            Fewer than one.
        BackendUnavailable
            More than the device has memory for.
        """
        ...

    def forward(
        self,
        handle: Handle,
        x: Floats,
        state: State,
        lengths: I64 | None = None,
        out_mask: Floats | None = None,
        *,
        keep_tape: bool = False,
    ) -> tuple[Floats, Tape | None]:
        """Run T steps.

        Parameters
        ----------
        handle : Handle
        x : (T, B, I), C-contiguous
        state : State of B rows
            Overwritten with each row's state at its own length.
        lengths : int64 (B,) or None
            Valid steps of each row; None means T.
        out_mask : (B, H_last) or None
            Factors on the last hidden vector before the head.
        keep_tape : bool
            Keep what `backward` needs.

        Returns
        -------
        logits : (T, B, C)
            0 behind a row's length.
        tape : Tape or None
        """
        ...

    def backward(
        self,
        handle: Handle,
        tape: Tape,
        d_logits: Floats,
        d_state: State | None = None,
    ) -> tuple[Grads, Floats, State]:
        """Back-propagate through time, exactly.

        Parameters
        ----------
        handle : Handle
            The same weights as in `forward`.
        tape : Tape
        d_logits : (T, B, C)
            Values behind a row's length are ignored.
        d_state : State or None
            Gradient at the end state; None means zero.

        Returns
        -------
        grads : Params
        d_x : (T, B, I)
            0 behind a row's length.
        d_state0 : State
            Gradient at the start state.
        """
        ...

    def train_step(
        self, handle: Handle, batch: Batch, loss: LossSpec, adam: AdamSpec, opt: OptState
    ) -> UpdateResult:
        """Do one update: forward, loss, BPTT, clip, Adam. `handle`, `opt`, `batch.state` change.

        The moments in `opt` may stay on the device between updates: its arrays are right after
        `download`, and are read again then. `opt.n_updates` is right at once.
        """
        ...


#: Names that `get_backend` knows.
NAMES = ("numpy", "cpu", "cuda", "auto")


def get_backend(name: str = "cpu", *, n_threads: int = 1) -> Backend:
    """Return the backend called `name`.

    Parameters
    ----------
    name : {"numpy", "cpu", "cuda", "auto"}
        ``numpy`` is the plain oracle, ``cpu`` the compiled kernels, ``cuda`` a GPU, and ``auto``
        what `choose` says.
    n_threads : int
        How many may work on one update, or on one large tick or sequence; the result does not
        depend on it. The cpu backend alone makes use of it.

    Raises
    ------
    ConfigError
        No such backend; the nearest name is given.
    BackendUnavailable
        There is no GPU that can be used; the line says why, and what to install.
    """
    if name == "auto":
        name, why = choose()
        _LOG.info("backend %s: %s", name, why)
    if name == "numpy":
        from streamrnn.kernels.rnn.reference import NumpyBackend

        return NumpyBackend()
    if name == "cpu":
        from streamrnn.kernels.rnn.cpu import CpuBackend

        return CpuBackend(n_threads)
    if name == "cuda":
        from streamrnn.kernels.cuda.driver import open_device

        device = open_device()  # says at once what is missing
        from streamrnn.kernels.cuda.backend import CudaBackend

        return CudaBackend(device)
    hint = did_you_mean(name, NAMES)
    raise ConfigError(f"no backend {name!r}{hint}; known: {', '.join(NAMES)}")


def choose() -> tuple[str, str]:
    """Return the quickest backend that can be used here, and why it is that one.

    Returns
    -------
    name : {"cuda", "cpu"}
    why : str
        The GPU's name, or what is missing for one.
    """
    from streamrnn.kernels.cuda import cubins, driver
    from streamrnn.kernels.cuda.catalogue import catalogue

    try:
        device = driver.open_device()
        cubins.check(catalogue(device.capability), device.capability)
    except BackendUnavailable as error:
        return "cpu", str(error)
    return "cuda", device.name
