"""Arithmetic that touches each number by itself: feature scaling and softmax.

There is one copy of it, a scalar loop over frames, so a feature or a probability has the same bits
whether its frame came alone from a live device or with ten thousand others from a file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels.jit import array, kernel, scalar, specialise

#: Scaled samples are cut to +- this, so that one wild sample never becomes inf.
SCALED_LIMIT = 1e6


@kernel
def softmax_rows(logits: F32, out: F32) -> None:
    """Write the softmax of each row.

    Parameters
    ----------
    logits : float32 (N, C), C-contiguous
    out : float32 (N, C), C-contiguous
        Overwritten with probabilities, 0..1; may be `logits` itself.
    """
    n_rows, n_classes = logits.shape
    for n in range(n_rows):
        highest = logits[n, 0]
        for k in range(1, n_classes):
            highest = max(highest, logits[n, k])
        total = 0.0
        for k in range(n_classes):
            e = math.exp(np.float64(logits[n, k]) - np.float64(highest))
            out[n, k] = np.float32(e)
            total += e
        for k in range(n_classes):
            out[n, k] = np.float32(np.float64(out[n, k]) / total)


@kernel
def squash(value: float) -> float:
    """Return ``asinh(2 value)``, written out so that it is the same code on every machine."""
    a = 2.0 * abs(value)
    return math.copysign(math.log(a + math.sqrt(a * a + 1.0)), value)


@kernel
def scaled(sample: float, offset: float, scale: float) -> float:
    """Return ``(sample - offset) / scale``, cut to +- `SCALED_LIMIT`."""
    z = (np.float64(sample) - offset) / scale
    return min(max(z, -SCALED_LIMIT), SCALED_LIMIT)


@kernel
def feature_rows(
    x: F32,
    offset: F64,
    scale: F64,
    triads: I64,
    asinh: bool,
    magnitude: bool,
    differences: bool,
    held: F32,
    n_seen: I64,
    out: F32,
) -> None:
    """Turn frames into features, one after the other.

    Parameters
    ----------
    x : float32 (N, n), C-contiguous
        Samples. One that is not finite is replaced by the channel's last good one.
    offset, scale : float64 (n,)
        ``z = (x - offset) / scale``.
    triads : int64 (k, 3)
        Columns that are the three axes of one sensor.
    asinh, magnitude, differences : bool
        Squash every feature; add each triad's length; add ``z[t] - z[t - 1]``.
    held : float32 (n,)
        Last good sample of each channel, carried from call to call. Overwritten.
    n_seen : int64 (1,)
        Frames so far; 0 makes the first difference 0. Overwritten.
    out : float32 (N, n + k magnitude + n differences)
        Overwritten.
    """
    n_frames, n = x.shape
    n_triads = triads.shape[0]
    for t in range(n_frames):
        at = n
        if magnitude:
            at += n_triads
        for i in range(n):
            before = scaled(held[i], offset[i], scale[i])
            if math.isfinite(x[t, i]):
                held[i] = x[t, i]
            z = scaled(held[i], offset[i], scale[i])
            out[t, i] = np.float32(squash(z) if asinh else z)
            if differences:
                d = z - before
                if n_seen[0] == 0:
                    d = 0.0
                out[t, at + i] = np.float32(squash(d) if asinh else d)
        if magnitude:
            for k in range(n_triads):
                total = 0.0
                for j in range(3):
                    i = triads[k, j]
                    z = scaled(held[i], offset[i], scale[i])
                    total += z * z
                length = math.sqrt(total)
                out[t, n + k] = np.float32(squash(length) if asinh else length)
        n_seen[0] += 1


def warm_up() -> None:
    """Compile (or load from the cache) the entries of this module; nothing compiles later."""
    f32 = array(np.float32, 2)
    specialise(softmax_rows, (f32, f32))
    f64_1: Any = array(np.float64, 1)
    flag: Any = scalar(np.bool_)
    specialise(
        feature_rows,
        (
            f32,
            f64_1,
            f64_1,
            array(np.int64, 2),
            flag,
            flag,
            flag,
            array(np.float32, 1),
            array(np.int64, 1),
            f32,
        ),
    )
