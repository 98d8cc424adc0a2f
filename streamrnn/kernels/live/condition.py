"""From a stream at its own rate to frames at the model's: filters, envelope, resampling.

Everything is a scalar loop over one frame in float64, so a stream cut anywhere gives the same bits,
and so does a stream among many. What a stream carries is one row of numbers; zeros are a new one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.kernels.jit import kernel
from streamrnn.kernels.live import condition_slots as at
from streamrnn.kernels.live.slots import LARGEST_SAMPLE
from streamrnn.kernels.objects import (
    array_data,
    f4_pointer,
    f8_pointer,
    fall_back,
    i8_pointer,
    integer,
    slots_of,
)
from streamrnn.kernels.rnn.simd import offset

#: The largest plausible sample.
_LARGEST = float(np.nextafter(np.float32(LARGEST_SAMPLE), np.float32(0)))
_SMALLEST = at.SMALLEST_MEMORY


@kernel
def _kept(value: float) -> float:
    """Return what a filter keeps: 0 for what is too small to matter."""
    return value if abs(value) > _SMALLEST else 0.0


@kernel
def _section(c: Any, z: Any, x: float, is_first: bool) -> float:
    """Take one sample through a biquad, direct form II transposed.

    At a stream's first sample the filter stands as if that sample had always been there, so an
    offset of the sensor makes no jump.
    """
    b0, b1, b2, a1, a2 = c[0], c[1], c[2], c[3], c[4]
    if is_first:
        steady = x * ((b0 + b1 + b2) / (1.0 + a1 + a2))
        z[0] = steady - b0 * x
        z[1] = b2 * x - a2 * steady
    y: float = b0 * x + z[0]
    z[0] = _kept(b1 * x - a1 * y + z[1])
    z[1] = _kept(b2 * x - a2 * y)
    return y


@kernel
def _filtered(slots: Any, state: Any, channel: int, x: float, is_first: bool) -> float:
    """Take one channel's sample through both cascades."""
    n, n_first = slots[at.N_CHANNELS], slots[at.N_SECTIONS]
    n_sections = n_first + slots[at.N_SMOOTHING]
    coefficients = f8_pointer(slots[at.COEFFICIENTS])
    memory = offset(state, at.CARRIED + n + 2 * n_sections * channel)
    y = x
    for k in range(n_first):
        c = offset(coefficients, at.N_COEFFICIENTS * k)
        y = _section(c, offset(memory, 2 * k), y, is_first)
    if slots[at.RECTIFY]:
        y = abs(y)
    for k in range(n_first, n_sections):
        c = offset(coefficients, at.N_COEFFICIENTS * k)
        y = _section(c, offset(memory, 2 * k), y, is_first)
    return y


@kernel
def _sample(value: float) -> Any:
    """Return a value as a plausible sample."""
    return np.float32(min(max(value, -_LARGEST), _LARGEST))


@kernel
def condition_frame(slots: Any, state: Any, x: Any, out: Any) -> int:
    """Take one frame of the stream, float32 (n,); write the model frames that it completes.

    A frame of the stream lasts ``STREAM_TICKS`` and one of the model ``MODEL_TICKS``, whole
    numbers, so positions are exact however long a stream goes on.

    - Equal: each frame is one.
    - The model is slower: its frame is the mean over its period, in which each frame of the stream
      has the weight of the ticks that lie in it. State: ticks of the period that are over.
    - The model is faster: its frames lie on the straight line between two frames of the stream.
      State: ticks from the last frame of the stream to the next of the model.

    Returns
    -------
    int
        How many were written to `out`, float32 (.., n): 0 to ``MOST_FRAMES``.
    """
    n, model, stream = slots[at.N_CHANNELS], slots[at.MODEL_TICKS], slots[at.STREAM_TICKS]
    carried = offset(state, at.CARRIED)
    is_first = state[at.SEEN] == 0.0
    ticks = np.int64(state[at.TICKS])
    is_faster = model < stream
    if is_faster and is_first:
        ticks = stream  # a first frame of the model stands at the first of the stream
    if is_faster:
        n_out = (stream - ticks) // model + 1 if ticks <= stream else 0
    else:
        n_out = 1 if ticks + stream >= model else 0
    n_out = min(n_out, at.MOST_FRAMES)
    inside = min(stream, model - ticks)
    for i in range(n):
        value = _filtered(slots, state, i, np.float64(x[i]), is_first)
        if is_faster:
            last = value if is_first else carried[i]
            for k in range(n_out):
                where = ticks + k * model
                share = np.float64(where) / np.float64(stream)
                line = value if where == stream else last + (value - last) * share
                out[k * n + i] = _sample(line)
            carried[i] = value
        elif model == stream:
            out[i] = _sample(value)
        else:
            total = carried[i] + value * np.float64(inside)
            if n_out:
                out[i] = _sample(total / np.float64(model))
                total = value * np.float64(stream - inside)
            carried[i] = total
    if is_faster:
        state[at.TICKS] = np.float64(ticks + n_out * model - stream)
    else:
        state[at.TICKS] = np.float64(ticks + stream - n_out * model)
    state[at.SEEN] = 1.0
    return int(n_out)


@kernel
def condition_rows(slots: Any, state: Any, x: Any, n_rows: int, out: Any, completed_by: Any) -> int:
    """Entry: `condition_frame` of frame after frame; `completed_by` gets which completed each."""
    n = slots[at.N_CHANNELS]
    n_done = 0
    for r in range(n_rows):
        n_out = condition_frame(slots, state, offset(x, r * n), offset(out, n_done * n))
        for _ in range(n_out):
            completed_by[n_done] = r
            n_done += 1
    return int(n_done)


@kernel
def condition_call(context: int, argument: int) -> int:
    """Entry: `condition_frame` of one frame of all the stream's columns, as an array.

    Returns how many model frames there are; -1, changing nothing, for a damaged frame.
    """
    slots = slots_of(context)
    data = array_data(slots, argument)
    if data == 0:
        return int(fall_back(slots, argument))
    s, frame = i8_pointer(slots), f4_pointer(data)
    columns, picked = i8_pointer(s[at.COLUMNS]), f4_pointer(s[at.PICKED])
    is_good = True
    for i in range(s[at.N_PICKED]):
        is_good &= abs(frame[columns[i]]) < LARGEST_SAMPLE
    if not is_good:
        return int(integer(-1))
    for i in range(s[at.N_PICKED]):
        picked[i] = frame[columns[i]]
    words, state = i8_pointer(s[at.SLOTS]), f8_pointer(s[at.STATE])
    return int(integer(condition_frame(words, state, picked, f4_pointer(s[at.OUT]))))


@kernel
def condition_tick(
    slots: Any, states: Any, n_state: int, rows: Any, x: Any, n_rows: int, out: Any, counts: Any
) -> None:
    """Entry: `condition_frame` of one frame of each of some streams.

    Parameters
    ----------
    slots
        Of the conditioner.
    states
        float64 (N, n_state), what each stream carries.
    n_state : int
    rows
        int64 (n_rows,), which streams.
    x
        float32 (n_rows, n)
    n_rows : int
    out
        float32 (n_rows, MOST_FRAMES, n), overwritten as far as there are frames.
    counts
        int64 (n_rows,), how many.
    """
    n = slots[at.N_CHANNELS]
    for r in range(n_rows):
        state, own = offset(states, rows[r] * n_state), offset(out, r * at.MOST_FRAMES * n)
        counts[r] = condition_frame(slots, state, offset(x, r * n), own)
