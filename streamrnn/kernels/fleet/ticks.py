"""One frame of each of many streams: what `frame` does for a stream, over memory of all of them."""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.live.frame import feature_row, smooth_row, softmax_row
from streamrnn.kernels.rnn.simd import address_of, offset


@kernel
def tick_features(
    slots: Any, before: Any, n_seen: Any, rows: Any, x: Any, n_rows: int, n_out: int, out: Any
) -> None:
    """Entry: turn the frames of some streams into features.

    Parameters
    ----------
    slots
        Of the feature chain; the words of what it carries are overwritten.
    before
        float64 (N, n), the scaled samples of each stream's frame before.
    n_seen
        int64 (N,), each stream's frames.
    rows
        int64 (n_rows,), which streams.
    x
        float32 (n_rows, n)
    n_rows, n_out : int
    out
        float32 (n_rows, n_out), overwritten.
    """
    n = slots[at.N_CHANNELS]
    for r in range(n_rows):
        row = rows[r]
        slots[at.BEFORE], slots[at.N_SEEN] = address_of(offset(before, row * n)), n_seen[row]
        feature_row(slots, offset(x, r * n), offset(out, r * n_out))
        n_seen[row] = slots[at.N_SEEN]


@kernel
def tick_smoothed(
    slots: Any, means: Any, recent: Any, n_seen: Any, rows: Any, p: Any, n_rows: int, n: int,
    sharpness: float, energy: Any,
) -> None:  # fmt: skip
    """Entry: turn the logits of some streams into probabilities, and smooth them.

    Parameters
    ----------
    slots
        Of a smoother; the words of what it carries are overwritten.
    means
        float64 (N, n), each stream's mean.
    recent
        float64 (N, 1 + N_MEAN, n), what each stream's plain mean carries; unused without one.
    n_seen
        int64 (N,), each stream's frames.
    rows
        int64 (n_rows,), which streams.
    p
        float32 (n_rows, n), logits, overwritten with probabilities.
    n_rows, n : int
    sharpness : float
        1 / temperature.
    energy
        float32 (n_rows,), overwritten.
    """
    n_recent = (1 + slots[at.N_MEAN]) * n
    for r in range(n_rows):
        row, own = rows[r], offset(p, r * n)
        slots[at.SMOOTHED], slots[at.N_SMOOTHED] = address_of(offset(means, row * n)), n_seen[row]
        slots[at.RECENT] = address_of(offset(recent, row * n_recent))
        energy[r] = softmax_row(own, n, sharpness, own)
        smooth_row(slots, own, n)
        n_seen[row] = slots[at.N_SMOOTHED]
