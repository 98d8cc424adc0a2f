"""What stands where in the words and the state that conditioning kernels share with Python."""

from __future__ import annotations

from streamrnn.kernels.pycall import N_HEAD

# Words: channels, sections of the first cascade, whether its output is rectified, sections of the
# second cascade, how many ticks a frame of the model and one of the stream last, and the addresses
# of float64 (sections, 5) coefficients and of the float64 (N_STATE_HEAD + ...) state.
(
    N_CHANNELS, N_SECTIONS, RECTIFY, N_SMOOTHING, MODEL_TICKS, STREAM_TICKS, COEFFICIENTS,
) = range(7)  # fmt: skip
N_CONDITION_SLOTS = 7

# Words of a `condition_call` context behind the head that all contexts have: the model's COLUMNS,
# int64 (N_PICKED,), among those of the stream, PICKED of them of the newest frame, and the
# conditioner's words and state; OUT gets the model's frames.
N_PICKED, COLUMNS, PICKED, SLOTS, STATE, OUT, BEHIND = range(N_HEAD, N_HEAD + 7)
N_CALL_SLOTS = BEHIND - N_HEAD

#: Coefficients of a section: b0, b1, b2, a1, a2, where a0 is 1.
N_COEFFICIENTS = 5

# State of a stream, float64: ticks (see `condition_frame`), 1 behind the first frame, what the
# resampling carries of each channel, two numbers a section and channel.
TICKS, SEEN, CARRIED = range(3)

#: Most model frames that one frame of the stream completes.
MOST_FRAMES = 2
#: A filter's memory below this is set to 0, before it gets so small that processors are slow.
SMALLEST_MEMORY = 1e-100


def state_size(n_channels: int, n_sections: int) -> int:
    """Return how many numbers a stream carries through `n_sections` of both cascades."""
    return CARRIED + n_channels * (1 + 2 * n_sections)
