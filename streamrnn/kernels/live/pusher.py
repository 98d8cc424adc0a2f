"""The whole way of a frame, from samples to smoothed probabilities, as one compiled call."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native, pycall
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.features import FeatureKernel
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.live.units import PUSH
from streamrnn.kernels.pointwise import Smoother

#: A sample from here up (and NaN) is damage, not a reading: its frame counts as missing.
LARGEST_SAMPLE = np.float32(at.LARGEST_SAMPLE)


@runtime_checkable
class Row(Protocol):
    """One stream's place in a network of float32 on this machine's processor.

    Attributes
    ----------
    header, memory : int
        What `step_row` knows the network and the stream's state by.
    n_inputs, n_classes : int
        I and C.
    """

    header: int
    memory: int
    n_inputs: int
    n_classes: int

    def reset(self) -> None:
        """Forget all frames."""
        ...


class Pusher:
    """Features, network, softmax and smoothing of one stream, fused; the same bits as one by one.

    Parameters
    ----------
    row : Row
    features : FeatureKernel
    smoother : Smoother
    columns : int64 (n,)
        The model's among the stream's columns.
    n_columns : int
        How many the stream has.
    factors : float32 (n_columns, 2), optional
        Scale and offset of int16 samples, for `push_samples`: ``raw * scale + offset``.
    temperature : float
        What logits are divided by before the softmax, > 0.

    Attributes
    ----------
    push_frame : callable
        Takes a float32 array of ``n_columns`` samples; returns the strongest class after
        smoothing, or -1 for a frame with a sample that is NaN or beyond `LARGEST_SAMPLE`, which
        changes nothing.
    push_samples : callable
        Takes ``2 * n_columns`` bytes, little-endian int16 as they came over the wire; else the
        same.
    picked : float32 (n,)
        The model's columns of the newest frame.
    probabilities : float32 (C,)
    smoothed : float64 (C,)
    energy : float32 (1,)
        After the newest frame; see `softmax_rows`.
    ticks : int64 (4,)
        While `note_times` is on, for the newest frame: the processor's counter before the features,
        behind them, behind the network and behind smoothing. All 0 on processors without one.
    """

    def __init__(
        self,
        row: Row,
        features: FeatureKernel,
        smoother: Smoother,
        columns: I64,
        n_columns: int,
        factors: F32 | None = None,
        temperature: float = 1.0,
    ) -> None:
        if features.n_outputs != row.n_inputs:
            raise ValueError(f"{features.n_outputs} features for {row.n_inputs} network inputs")
        n_classes = row.n_classes
        if len(smoother.value) != n_classes:
            raise ValueError(
                f"{len(smoother.value)} smoothed classes for the network's {n_classes}"
            )
        if features.n_inputs != len(columns):
            raise ValueError(
                f"features of {features.n_inputs} columns, but {len(columns)} are named"
            )
        if factors is not None and factors.shape != (n_columns, 2):
            raise ValueError(f"factors are {factors.shape}, expected {(n_columns, 2)}")
        lib = native.load(PUSH)
        scales = np.ones((n_columns, 2), np.float32) if factors is None else factors
        self._row, self._features, self._smoother = row, features, smoother
        self._columns = np.array(columns, np.int64)
        if len(columns) and not 0 <= self._columns.min() <= self._columns.max() < n_columns:
            raise ValueError(f"columns are {columns}, expected 0..{n_columns - 1}")
        self._scale = np.ascontiguousarray(scales[:, 0], np.float32)
        self._offset = np.ascontiguousarray(scales[:, 1], np.float32)
        self._frame = np.zeros(n_columns, np.float32)
        self._inputs = native.aligned(row.n_inputs + 16, np.float32)
        self._logits = native.aligned(n_classes + 16, np.float32)
        self.picked: F32 = np.zeros(len(columns), np.float32)
        self.probabilities: F32 = np.zeros(n_classes, np.float32)
        self.smoothed: F64 = smoother.value
        self.energy: F32 = np.zeros(1, np.float32)
        self.ticks: I64 = np.zeros(4, np.int64)
        self._sharpness = np.array([1.0 / temperature], np.float64)
        self._slots = pycall.context(at.N_PUSH_SLOTS)
        self._fill(n_columns)
        self._rows, self._slots_at = lib.push_rows, native.address(self._slots)
        self.push_frame = pycall.method(
            "push_frame", lib.address("push_frame"), self._slots, self._convert,
            dtype=np.float32, n_elements=n_columns, n_columns=n_columns,
        )  # fmt: skip
        self.push_samples = pycall.method(
            "push_samples", lib.address("push_samples"), self._slots.copy(), self._to_bytes
        )
        self._ahead, self._row_at = lib.ahead, (row.header, row.memory)

    def _fill(self, n_columns: int) -> None:
        row, slots, address = self._row, self._slots, native.address
        slots[[at.N_IN, at.N_PICKED, at.N_CLASSES]] = n_columns, len(self.picked), row.n_classes
        slots[[at.PLAN, at.STATE]] = row.header, row.memory
        slots[at.FEATURE_SLOTS] = address(self._features.slots)
        slots[at.SMOOTHER] = address(self._smoother.slots)
        for slot, array in (
            (at.RAW_SCALE, self._scale),
            (at.RAW_OFFSET, self._offset),
            (at.FRAME, self._frame),
            (at.COLUMNS, self._columns),
            (at.PICKED, self.picked),
            (at.FEATURES, self._inputs),
            (at.LOGITS, self._logits),
            (at.PROBABILITIES, self.probabilities),
            (at.SHARPNESS, self._sharpness),
            (at.ENERGY, self.energy),
        ):
            slots[slot] = address(array)

    def note_times(self, on: bool) -> None:
        """Have `push_frame` and `push_rows` note the time between the stages, or not."""
        self._slots[at.TICKS] = native.address(self.ticks) if on else 0

    def push_rows(self, x: F32) -> tuple[F32, F64, F32]:
        """Take good frames one after the other.

        Parameters
        ----------
        x : float32 (N, n), C-contiguous
            The model's columns.

        Returns
        -------
        probabilities : float32 (N, C)
        smoothed : float64 (N, C)
        energy : float32 (N,)
        """
        x = as_argument("x", x, np.float32, (None, len(self.picked)))
        probabilities = np.empty((len(x), self._row.n_classes), np.float32)
        smoothed = np.empty(probabilities.shape, np.float64)
        energy = np.empty(len(x), np.float32)
        address = native.address
        self._rows(
            self._slots_at, address(x), len(x), address(probabilities), address(smoothed),
            address(energy),
        )  # fmt: skip
        return probabilities, smoothed, energy

    def ahead(self) -> None:
        """Do the part of the next step that needs no frame; changes no result."""
        self._ahead(*self._row_at)

    def reset(self) -> None:
        """Forget all frames."""
        self._row.reset()
        self._features.reset()
        self._smoother.reset()

    def _convert(self, x: Any) -> int:
        """Take a frame that the kernel did not, or say what is wrong."""
        a = np.asarray(x)
        if a.dtype != np.float32 or a.size != len(self._frame):
            raise ValueError(
                f"a frame is {a.dtype} of {a.size} samples, expected float32 of {len(self._frame)}"
            )
        picked = a.reshape(-1)[self._columns]
        if not (np.abs(picked) < LARGEST_SAMPLE).all():
            return -1
        _, smoothed, _ = self.push_rows(picked[None])
        return int(smoothed.argmax())

    def _to_bytes(self, raw: Any) -> int:
        """Take samples that the kernel did not, or say what is wrong."""
        data = bytes(memoryview(raw))
        if len(data) != 2 * len(self._frame):
            raise ValueError(f"a frame is {len(data)} bytes, expected {2 * len(self._frame)}")
        samples = np.frombuffer(data, "<i2").astype(np.float32)
        return self._convert(samples * self._scale + self._offset)
