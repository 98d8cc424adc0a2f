"""Filters, envelope and resampling between a stream and the model: arrays and checks.

The compiled loops stand in `streamrnn.kernels.live.condition`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native, pycall
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.live import condition_slots as at
from streamrnn.kernels.live.slots import LARGEST_SAMPLE
from streamrnn.kernels.live.units import CONDITION

if TYPE_CHECKING:
    from fractions import Fraction

#: Most model frames that one frame of the stream completes.
MOST_FRAMES = at.MOST_FRAMES
#: Ticks are exact in float64 far beyond this.
_MOST_TICKS = 2**40


class ConditionKernel:
    """The conditioning loop and what it carries of one stream.

    Parameters
    ----------
    sections, smoothing : float64 (k, 6)
        Second-order sections of both cascades, ``b0 b1 b2 a0 a1 a2`` each, a0 = 1, stable. They
        run in float64, direct form II transposed, as `scipy.signal.sosfilt` does; at a stream's
        first sample they stand as if that sample had always been there.
    rectify : bool
        Take absolute values between the cascades.
    ratio : Fraction
        Frames of the stream a frame of the model, 1/2 or more.
    n_channels : int
        n.

    Attributes
    ----------
    n_channels : int
    n_state : int
        How many numbers a stream carries.
    """

    def __init__(
        self, sections: F64, smoothing: F64, *, rectify: bool, ratio: Fraction, n_channels: int
    ) -> None:
        cascades = [np.asarray(c, np.float64).reshape(-1, 6) for c in (sections, smoothing)]
        both = np.concatenate(cascades)
        if not (both[:, 3] == 1.0).all():
            raise ValueError("a section's a0 must be 1")
        if ratio * MOST_FRAMES < 1 or ratio.numerator > _MOST_TICKS:
            raise ValueError(f"{ratio} frames of the stream a frame of the model, 1/2 is the least")
        self.n_channels = n_channels
        self.n_state = at.state_size(n_channels, len(both))
        self._model, self._stream = ratio.numerator, ratio.denominator
        self._coefficients: F64 = np.ascontiguousarray(both[:, [0, 1, 2, 4, 5]])
        self._slots: I64 = np.zeros(at.N_CONDITION_SLOTS, np.int64)
        self._slots[[at.N_CHANNELS, at.N_SECTIONS, at.N_SMOOTHING]] = (
            n_channels,
            *map(len, cascades),
        )
        self._slots[at.RECTIFY] = rectify
        self._slots[[at.MODEL_TICKS, at.STREAM_TICKS]] = self._model, self._stream
        self._slots[at.COEFFICIENTS] = native.address(self._coefficients)
        self.slots_at = native.address(self._slots)
        self._state = self.new_states(1)
        self.state_at = native.address(self._state)
        self._run = native.load(CONDITION).condition_rows

    def new_states(self, n_streams: int) -> F64:
        """Return what as many new streams carry, float64 (n_streams, n_state)."""
        return np.zeros((n_streams, self.n_state), np.float64)

    def fits(self, states: F64) -> bool:
        """Return whether `states`, float64 (n, n_state), can be those of streams."""
        ticks, seen = states[:, at.TICKS], states[:, at.SEEN]
        return bool(
            np.isfinite(states).all()
            and (ticks == np.floor(ticks)).all()
            and ((ticks >= 0) & (ticks <= self._model)).all()
            and np.isin(seen, (0.0, 1.0)).all()
        )

    def push(self, x: F32) -> tuple[F32, I64]:
        """Take the next frames.

        Parameters
        ----------
        x : float32 (N, n)
            Finite.

        Returns
        -------
        y : float32 (M, n)
            Frames at the model's rate. Always finite.
        completed_by : int64 (M,)
            Which of the N frames completed each, 0..N-1.
        """
        x = as_argument("x", x, np.float32, (None, self.n_channels))
        most = len(x) * self._stream // self._model + 1
        y, completed_by = np.empty((most, self.n_channels), np.float32), np.empty(most, np.int64)
        address = native.address
        n_out = self._run(
            self.slots_at, self.state_at, address(x), len(x), address(y), address(completed_by)
        )
        return y[:n_out], completed_by[:n_out]

    def reset(self) -> None:
        """Forget all frames."""
        self._state[:] = 0


class FrameConditioner:
    """One stream's frames one by one, from all its columns, as one compiled call.

    Parameters
    ----------
    kernel : ConditionKernel
        Whose stream goes on; the same bits as its `push`.
    columns : int64 (n,)
        The model's among the stream's columns.
    n_columns : int
        How many the stream has.

    Attributes
    ----------
    push : callable
        Takes a float32 array of ``n_columns`` samples; returns how many model frames it completes,
        0 to `MOST_FRAMES`, or -1 for a frame with a sample that is NaN or beyond 1e18 in the
        model's columns, which changes nothing.
    frames : tuple of float32 (1, n)
        Those model frames, in order; overwritten by the next call.
    newest : float32 (n,)
        The model's columns of the newest frame of the stream.
    """

    def __init__(self, kernel: ConditionKernel, columns: I64, n_columns: int) -> None:
        n = kernel.n_channels
        if len(columns) != n or not 0 <= columns.min() <= columns.max() < n_columns:
            raise ValueError(f"columns are {columns}, expected {n} of 0..{n_columns - 1}")
        self._kernel, self._n_columns = kernel, n_columns
        self._columns = np.array(columns, np.int64)
        self._out: F32 = np.zeros((MOST_FRAMES, n), np.float32)
        self.newest: F32 = np.zeros(n, np.float32)
        self.frames = tuple(self._out[k : k + 1] for k in range(MOST_FRAMES))
        slots, address = pycall.context(at.N_CALL_SLOTS), native.address
        slots[[at.N_PICKED, at.SLOTS, at.STATE]] = n, kernel.slots_at, kernel.state_at
        slots[at.COLUMNS], slots[at.PICKED] = address(self._columns), address(self.newest)
        slots[at.OUT] = address(self._out)
        self.push = pycall.method(
            "push", native.load(CONDITION).address("condition_call"), slots, self._convert,
            dtype=np.float32, n_elements=n_columns, n_columns=n_columns,
        )  # fmt: skip

    def push_rows(self, x: F32) -> tuple[F32, I64]:
        """Take the next frames, of the model's columns alone; see `ConditionKernel.push`."""
        self.newest[:] = x[-1]
        return self._kernel.push(x)

    def reset(self) -> None:
        """Forget all frames."""
        self._kernel.reset()

    def _convert(self, x: Any) -> int:
        """Take a frame that the kernel did not, or say what is wrong."""
        a = np.asarray(x)
        if a.dtype != np.float32 or a.size != self._n_columns:
            raise ValueError(
                f"a frame is {a.dtype} of {a.size} samples, expected float32 of {self._n_columns}"
            )
        picked = a.reshape(-1)[self._columns]
        if not (np.abs(picked) < LARGEST_SAMPLE).all():
            return -1
        y, _ = self.push_rows(picked[None])
        self._out[: len(y)] = y
        return len(y)


class ManyConditioned:
    """Conditioning of many streams; the same bits as for each stream alone.

    Parameters
    ----------
    kernel : ConditionKernel
        What to do. What it carries itself is left alone.
    n_streams : int
        N.

    Attributes
    ----------
    states : float64 (N, n_state)
        What each stream carries.
    """

    def __init__(self, kernel: ConditionKernel, n_streams: int) -> None:
        self._kernel = kernel
        self.states = kernel.new_states(n_streams)
        self._states_at = native.address(self.states)
        self._run = native.load(CONDITION).condition_tick

    def push(self, x: F32, rows: I64) -> tuple[F32, I64]:
        """Take one more frame of some streams.

        Parameters
        ----------
        x : float32 (n_rows, n), C-contiguous
            Finite samples.
        rows : int64 (n_rows,), C-contiguous
            Which streams, 0..N-1, each once. Neither is checked.

        Returns
        -------
        y : float32 (n_rows, MOST_FRAMES, n)
            Frames at the model's rate; what stands behind those that there are has no meaning.
        counts : int64 (n_rows,)
            How many there are of each stream.
        """
        kernel, address, n_rows = self._kernel, native.address, len(rows)
        y = np.empty((n_rows, MOST_FRAMES, kernel.n_channels), np.float32)
        counts = np.empty(n_rows, np.int64)
        self._run(
            kernel.slots_at, self._states_at, kernel.n_state, address(rows), address(x), n_rows,
            address(y), address(counts),
        )  # fmt: skip
        return y, counts

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self.states[rows] = 0
