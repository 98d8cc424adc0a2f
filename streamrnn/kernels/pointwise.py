"""Arithmetic that touches each frame by itself: softmax, smoothing.

The compiled loops stand in `streamrnn.kernels.live.frame`; here are their arrays and their checks.
"""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.live.units import FRAME


def softmax_rows(logits: F32, out: F32, temperature: float = 1.0) -> F32:
    """Write the softmax of each row.

    Parameters
    ----------
    logits : float32 (N, C), C-contiguous
    out : float32 (N, C), C-contiguous
        Overwritten with probabilities, 0..1; may be `logits` itself.
    temperature : float
        What the logits are divided by before, > 0.

    Returns
    -------
    float32 (N,)
        The energy of each row, ``log(sum(exp(logits)))`` without a temperature: small where the
        network knows no class that fits (Liu et al. 2020, "Energy-based out-of-distribution
        detection", with the sign turned).
    """
    logits = as_argument("logits", logits, np.float32, (None, None))
    check_output("out", out, np.float32, logits.shape)
    n_rows, n = logits.shape
    energy = np.empty(n_rows, np.float32)
    lib, address = native.load(FRAME), native.address
    lib.softmax_rows(address(logits), n_rows, n, 1.0 / temperature, address(out), address(energy))
    return energy


class Smoother:
    """An exponential or a plain mean over the probabilities of a stream.

    Parameters
    ----------
    n_classes : int
        C.
    gain : float
        Weight of the newest frame, 0..1; 1 smooths nothing.
    n_mean : int
        With 2 or more: the plain mean of so many frames (of all, before there are so many)
        instead, at most `MOST_MEAN_FRAMES`.

    Attributes
    ----------
    value : float64 (C,)
        The mean after the newest frame; overwritten by the next.
    recent : float64 (1 + n_mean, C) or (0, C)
        What a plain mean carries besides: sums, and the newest frames in a ring.
    slots : int64
        What a kernel knows the smoother by.
    """

    def __init__(self, n_classes: int, gain: float, n_mean: int = 0) -> None:
        if not 0 <= n_mean <= at.MOST_MEAN_FRAMES:
            raise ValueError(f"a mean of {n_mean} frames, expected 0..{at.MOST_MEAN_FRAMES}")
        self.value: F64 = np.zeros(n_classes, np.float64)
        n_rows = 1 + n_mean if n_mean > 1 else 0
        self.recent: F64 = np.zeros((n_rows, n_classes), np.float64)
        self._gain = np.array([gain], np.float64)
        self.slots: I64 = np.zeros(at.N_SMOOTHER_SLOTS, np.int64)
        self.slots[at.GAIN] = native.address(self._gain)
        self.slots[at.SMOOTHED] = native.address(self.value)
        if n_rows:
            self.slots[at.N_MEAN] = n_mean
            self.slots[at.RECENT] = native.address(self.recent)

    def reset(self) -> None:
        """Forget all frames."""
        self.slots[at.N_SMOOTHED] = 0

    def push(self, probabilities: F32) -> F64:
        """Return the mean after each of the next frames.

        Parameters
        ----------
        probabilities : float32 (N, C), C-contiguous
        """
        n = len(self.value)
        p = as_argument("probabilities", probabilities, np.float32, (None, n))
        out = np.empty((len(p), n), np.float64)
        address = native.address
        native.load(FRAME).smooth_rows(address(self.slots), address(p), len(p), n, address(out))
        return out


def warm_up() -> None:
    """Compile (or load from the cache) the loops; nothing compiles later."""
    native.load(FRAME)
