"""Features and smoothing of many streams; the same bits as for each stream alone."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.fleet.units import FLEET
from streamrnn.kernels.pointwise import FeatureKernel, Smoother


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
    before : float64 (N, n)
        Scaled samples of each stream's newest frame.
    n_seen : int64 (N,)
        Frames of each stream; 0 means that `before` says nothing.
    """

    def __init__(self, kernel: FeatureKernel, n_streams: int) -> None:
        self._kernel = kernel  # the words hold addresses of its arrays
        self._slots = kernel.slots.copy()
        self._slots_at = native.address(self._slots)
        self.before: F64 = np.zeros((n_streams, kernel.n_inputs), np.float64)
        self.n_seen: I64 = np.zeros(n_streams, np.int64)
        self._at = native.address(self.before), native.address(self.n_seen)

    def push(self, x: F32, rows: I64, out: F32) -> None:
        """Write the features of one more frame of some streams.

        Parameters
        ----------
        x : float32 (n_rows, n), C-contiguous
            Finite samples.
        rows : int64 (n_rows,), C-contiguous
            Which streams, 0..N-1, each once; not checked.
        out : float32 (n_rows, n_outputs), C-contiguous
            Overwritten.
        """
        kernel, n_rows = self._kernel, len(rows)
        x = as_argument("x", x, np.float32, (n_rows, kernel.n_inputs))
        check_output("out", out, np.float32, (n_rows, kernel.n_outputs))
        native.load(FLEET).tick_features(
            self._slots_at, *self._at, native.address(rows), native.address(x), n_rows,
            kernel.n_outputs, native.address(out),
        )  # fmt: skip

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self.before[rows] = 0
        self.n_seen[rows] = 0


class ManySmoothed:
    """Softmax and smoothing for many streams.

    Parameters
    ----------
    smoother : Smoother
        What to do. What it carries itself is left alone.
    n_streams : int
        N.

    Attributes
    ----------
    means : float64 (N, C)
        Of each stream, after its newest frame.
    n_seen : int64 (N,)
        Frames of each stream; 0 means that `means` says nothing.
    """

    def __init__(self, smoother: Smoother, n_streams: int) -> None:
        self._smoother = smoother  # the words hold addresses of its arrays
        self._slots = smoother.slots.copy()
        self._slots_at = native.address(self._slots)
        self.means: F64 = np.zeros((n_streams, len(smoother.value)), np.float64)
        self.n_seen: I64 = np.zeros(n_streams, np.int64)
        self._at = native.address(self.means), native.address(self.n_seen)

    def push(self, p: F32, rows: I64) -> None:
        """Turn logits into probabilities, and take them as one more frame of some streams.

        Parameters
        ----------
        p : float32 (n_rows, C), C-contiguous
            Logits; overwritten with probabilities, 0..1.
        rows : int64 (n_rows,), C-contiguous
            Which streams, 0..N-1, each once; not checked.
        """
        n_rows, n = len(rows), self.means.shape[1]
        check_output("p", p, np.float32, (n_rows, n))
        native.load(FLEET).tick_smoothed(
            self._slots_at, *self._at, native.address(rows), native.address(p), n_rows, n
        )

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self.means[rows] = 0
        self.n_seen[rows] = 0


def warm_up() -> None:
    """Compile (or load from the cache) the loops; nothing compiles later."""
    native.load(FLEET)
