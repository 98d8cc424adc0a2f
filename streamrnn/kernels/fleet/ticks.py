"""One frame of each of many streams: what `frame` does for a stream, over memory of all of them."""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.live import program_slots
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.live.frame import smooth_row, softmax_row
from streamrnn.kernels.live.program import program_row
from streamrnn.kernels.rnn.simd import address_of, offset


@kernel
def tick_features(
    program: Any, memory: Any, n_memory: int, rows: Any, x: Any, n_rows: int, n_out: int, out: Any
) -> None:
    """Entry: turn the frames of some streams into features.

    Parameters
    ----------
    program
        Of the feature chain; the word of its memory is overwritten.
    memory
        float64 (N, n_memory), what each stream carries.
    n_memory : int
    rows
        int64 (n_rows,), which streams.
    x
        float32 (n_rows, n)
    n_rows, n_out : int
    out
        float32 (n_rows, n_out), overwritten.
    """
    n = program[program_slots.N_SAMPLES]
    for r in range(n_rows):
        program[program_slots.MEMORY] = address_of(offset(memory, rows[r] * n_memory))
        program_row(program, offset(x, r * n), offset(out, r * n_out))


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
