"""From the samples of a frame to smoothed probabilities, in one call that allocates nothing.

It calls what the stages call, frame after frame: features, network, softmax, smoothing. So it gives
the same bits as the stages one by one.
"""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import apart, kernel, ticks
from streamrnn.kernels.live import slots as at
from streamrnn.kernels.live.frame import scale_sample, smooth_row, softmax_row
from streamrnn.kernels.live.program import program_row
from streamrnn.kernels.objects import (
    array_data,
    bytes_data,
    bytes_size,
    f4_pointer,
    f8_pointer,
    fall_back,
    i2_pointer,
    i8_pointer,
    integer,
    is_bytes,
    slots_of,
)
from streamrnn.kernels.rnn.live import ahead_row, step_row
from streamrnn.kernels.rnn.simd import offset


@kernel
def _note(s: Any, which: int) -> None:
    """Note the time where it is asked for."""
    if s[at.TICKS]:
        i8_pointer(s[at.TICKS])[which] = ticks()


@apart
def _advance(s: Any) -> int:
    """Decide on the frame that stands in PICKED; return the strongest class."""
    features, logits = f4_pointer(s[at.FEATURES]), f4_pointer(s[at.LOGITS])
    _note(s, 0)
    program_row(i8_pointer(s[at.FEATURE_SLOTS]), f4_pointer(s[at.PICKED]), features)
    _note(s, 1)
    step_row(i8_pointer(s[at.PLAN]), f4_pointer(s[at.STATE]), features, logits)
    _note(s, 2)
    p, n = f4_pointer(s[at.PROBABILITIES]), s[at.N_CLASSES]
    energy = f4_pointer(s[at.ENERGY])
    energy[0] = softmax_row(logits, n, f8_pointer(s[at.SHARPNESS])[0], p)
    strongest = smooth_row(i8_pointer(s[at.SMOOTHER]), p, n)
    _note(s, 3)
    return int(strongest)


@kernel
def _push(s: Any, frame: Any) -> int:
    """Decide on a frame of the stream; return -1, changing nothing, if it is damaged."""
    columns, picked = i8_pointer(s[at.COLUMNS]), f4_pointer(s[at.PICKED])
    is_good = True
    for i in range(s[at.N_PICKED]):
        is_good &= abs(frame[columns[i]]) < at.LARGEST_SAMPLE
    if not is_good:
        return -1
    for i in range(s[at.N_PICKED]):
        picked[i] = frame[columns[i]]
    return _advance(s)


@kernel
def push_samples(context: int, argument: int) -> int:
    """Entry: decide on one frame of int16 samples, as bytes."""
    slots = slots_of(context)
    s = i8_pointer(slots)
    if not is_bytes(slots, argument) or bytes_size(argument) != 2 * s[at.N_IN]:
        return int(fall_back(slots, argument))
    raw, frame = i2_pointer(bytes_data(argument)), f4_pointer(s[at.FRAME])
    scale, centre = f4_pointer(s[at.RAW_SCALE]), f4_pointer(s[at.RAW_OFFSET])
    for i in range(s[at.N_IN]):
        frame[i] = scale_sample(raw[i], scale[i], centre[i])
    return int(integer(_push(s, frame)))


@kernel
def push_frame(context: int, argument: int) -> int:
    """Entry: decide on one frame of float32 samples, as an array."""
    slots = slots_of(context)
    data = array_data(slots, argument)
    if data == 0:
        return int(fall_back(slots, argument))
    return int(integer(_push(i8_pointer(slots), f4_pointer(data))))


@kernel
def push_rows(s: Any, x: Any, n_rows: int, probabilities: Any, smoothed: Any, energy: Any) -> None:
    """Entry: decide on frame after frame of picked samples; write what is held after each."""
    n, n_picked = s[at.N_CLASSES], s[at.N_PICKED]
    picked, p = f4_pointer(s[at.PICKED]), f4_pointer(s[at.PROBABILITIES])
    means = f8_pointer(i8_pointer(s[at.SMOOTHER])[at.SMOOTHED])
    newest = f4_pointer(s[at.ENERGY])
    for r in range(n_rows):
        row = offset(x, r * n_picked)
        for i in range(n_picked):
            picked[i] = row[i]
        _advance(s)
        for k in range(n):
            probabilities[r * n + k] = p[k]
            smoothed[r * n + k] = means[k]
        energy[r] = newest[0]


@kernel
def ahead(plan: Any, state: Any) -> None:
    """Entry: `ahead_row`."""
    ahead_row(plan, state)
