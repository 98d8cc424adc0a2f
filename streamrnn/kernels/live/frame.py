"""Arithmetic on one frame: samples, softmax, smoothing; one copy, live and offline.

Everything is a scalar loop over one frame, so a probability has the same bits whether its frame
came alone from a device or with ten thousand others from a file. Features are made in
`streamrnn.kernels.live.program`. Arguments are pointers; `slots` are int64 words of which some hold
the addresses of further arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.objects import f8_pointer
from streamrnn.kernels.rnn.simd import offset


@kernel
def scale_sample(raw: Any, scale: Any, centre: Any) -> Any:
    """Return a raw sample (int16 or float32) in physical units: the one place where it is done.

    Multiply and add are rounded separately, so that every machine gives the same bits.
    """
    return np.float32(raw) * scale + centre


@kernel
def softmax_row(logits: Any, n: int, sharpness: float, out: Any) -> Any:
    """Write the softmax of `n` float32 logits to `out`, which may be `logits`.

    They are multiplied by `sharpness` (1 / temperature) before. Returns the energy, float32: the
    logarithm of the sum of ``exp(logit)``, before any temperature.
    """
    highest = logits[0]
    for k in range(1, n):
        highest = max(highest, logits[k])
    plain = 0.0
    if sharpness != 1.0:
        for k in range(n):
            plain += math.exp(np.float64(logits[k]) - np.float64(highest))
    total = 0.0
    for k in range(n):
        e = math.exp((np.float64(logits[k]) - np.float64(highest)) * sharpness)
        out[k] = np.float32(e)
        total += e
    for k in range(n):
        out[k] = np.float32(np.float64(out[k]) / total)
    if sharpness == 1.0:
        plain = total
    return np.float32(np.float64(highest) + math.log(plain))


@kernel
def _mean_row(slots: Any, p: Any, n: int) -> None:
    """Move the plain mean of the newest frames on by `n` probabilities.

    They are rounded to multiples of 2**-40 first. Sums of those are exact, so a mean depends on its
    own frames alone, however many came before.
    """
    mean, sums = f8_pointer(slots[at.SMOOTHED]), f8_pointer(slots[at.RECENT])
    n_mean, n_seen = slots[at.N_MEAN], slots[at.N_SMOOTHED]
    oldest = offset(sums, (1 + n_seen % n_mean) * n)
    count = np.float64(min(n_seen + 1, n_mean))
    for k in range(n):
        value = math.floor(np.float64(p[k]) * at.GRID + 0.5) / at.GRID
        total = sums[k] if n_seen else 0.0
        if n_seen >= n_mean:
            total -= oldest[k]
        oldest[k] = value
        sums[k] = total + value
        mean[k] = sums[k] / count


@kernel
def smooth_row(slots: Any, p: Any, n: int) -> int:
    """Move a mean towards `n` probabilities; return the strongest class.

    Exponential: ``mean += gain * (p - mean)``, or ``mean = p`` at the first frame and with a gain
    of 1. Plain: see `_mean_row`.
    """
    if slots[at.N_MEAN]:
        _mean_row(slots, p, n)
        newest = f8_pointer(slots[at.SMOOTHED])
        strongest = 0
        for k in range(1, n):
            if newest[k] > newest[strongest]:
                strongest = k
        slots[at.N_SMOOTHED] += 1
        return strongest
    mean = f8_pointer(slots[at.SMOOTHED])
    gain = f8_pointer(slots[at.GAIN])[0]
    is_copied = slots[at.N_SMOOTHED] == 0 or gain >= 1.0
    best = 0
    for k in range(n):
        value = np.float64(p[k])
        if not is_copied:
            value = mean[k] + gain * (value - mean[k])
        mean[k] = value
        if value > mean[best]:
            best = k
    slots[at.N_SMOOTHED] += 1
    return best


@kernel
def softmax_rows(logits: Any, n_rows: int, n: int, sharpness: float, out: Any, energy: Any) -> None:
    """Entry: `softmax_row` of each row; `energy`, float32 (N,), gets each row's."""
    for r in range(n_rows):
        energy[r] = softmax_row(offset(logits, r * n), n, sharpness, offset(out, r * n))


@kernel
def smooth_rows(slots: Any, p: Any, n_rows: int, n: int, out: Any) -> None:
    """Entry: `smooth_row` of frame after frame; `out`, float64 (N, C), gets each mean."""
    mean = f8_pointer(slots[at.SMOOTHED])
    for r in range(n_rows):
        smooth_row(slots, offset(p, r * n), n)
        for k in range(n):
            out[r * n + k] = mean[k]
