"""Features and smoothing of many streams; the same bits as for each stream alone."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native
from streamrnn.kernels.features import FeatureKernel
from streamrnn.kernels.fleet.units import FLEET
from streamrnn.kernels.pointwise import Smoother


class ManyFeatures:
    """A feature chain for many streams.

    Parameters
    ----------
    kernel : FeatureKernel
        What to do. What it carries itself is left alone.
    n_streams : int
        N.

    Attributes
    ----------
    memory : float64 (N, n_memory)
        What each stream carries from frame to frame.
    """

    def __init__(self, kernel: FeatureKernel, n_streams: int) -> None:
        self._kernel = kernel  # the words hold addresses of its arrays
        self._slots = kernel.slots.copy()
        self._slots_at = native.address(self._slots)
        self._initial = kernel.program.initial
        self.memory: F64 = np.tile(self._initial, (n_streams, 1))
        self._at = native.address(self.memory), len(self._initial)
        self._out: F32 = np.empty((0, kernel.n_outputs), np.float32)
        self._out_at = native.address(self._out)
        self._run = native.load(FLEET).tick_features

    def push(self, x: F32, rows: I64) -> F32:
        """Return the features of one more frame of some streams.

        Parameters
        ----------
        x : float32 (n_rows, n), C-contiguous
            Finite samples.
        rows : int64 (n_rows,), C-contiguous
            Which streams, 0..N-1, each once. Neither is checked.

        Returns
        -------
        float32 (n_rows, n_outputs)
            Overwritten by the next call.
        """
        n_rows, n_out = len(rows), self._kernel.n_outputs
        if len(self._out) != n_rows:
            self._out = np.empty((n_rows, n_out), np.float32)
            self._out_at = native.address(self._out)
        address = native.address
        self._run(self._slots_at, *self._at, address(rows), address(x), n_rows, n_out, self._out_at)
        return self._out

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self.memory[rows] = self._initial


class ManySmoothed:
    """Softmax and smoothing for many streams.

    Parameters
    ----------
    smoother : Smoother
        What to do. What it carries itself is left alone.
    n_streams : int
        N.
    temperature : float
        What logits are divided by before the softmax, > 0.

    Attributes
    ----------
    means : float64 (N, C)
        Of each stream, after its newest frame.
    recent : float64 (N, 1 + n_mean, C) or (N, 0, C)
        What each stream's plain mean carries, see `Smoother`.
    n_seen : int64 (N,)
        Frames of each stream; 0 means that `means` says nothing.
    """

    def __init__(self, smoother: Smoother, n_streams: int, temperature: float = 1.0) -> None:
        self._smoother = smoother  # the words hold addresses of its arrays
        self._slots = smoother.slots.copy()
        self._slots_at = native.address(self._slots)
        self.means: F64 = np.zeros((n_streams, len(smoother.value)), np.float64)
        self.n_seen: I64 = np.zeros(n_streams, np.int64)
        self.recent: F64 = np.zeros((n_streams, *smoother.recent.shape), np.float64)
        self._sharpness = 1.0 / temperature
        self._at = tuple(map(native.address, (self.means, self.recent, self.n_seen)))
        self._run = native.load(FLEET).tick_smoothed

    def push(self, p: F32, rows: I64) -> F32:
        """Turn logits into probabilities, and take them as one more frame of some streams.

        Parameters
        ----------
        p : float32 (n_rows, C), C-contiguous
            Logits; overwritten with probabilities, 0..1.
        rows : int64 (n_rows,), C-contiguous
            Which streams, 0..N-1, each once. Neither is checked.

        Returns
        -------
        float32 (n_rows,)
            The energy of each frame, see `softmax_rows`.
        """
        n_rows, address = len(rows), native.address
        energy = np.empty(n_rows, np.float32)
        self._run(
            self._slots_at, *self._at, address(rows), address(p), n_rows, self.means.shape[1],
            self._sharpness, address(energy),
        )  # fmt: skip
        return energy

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self.means[rows] = 0
        self.recent[rows] = 0
        self.n_seen[rows] = 0
