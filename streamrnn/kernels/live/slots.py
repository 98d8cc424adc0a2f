"""What stands where in the words that frame kernels and their Python side share."""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.pycall import N_HEAD

#: Scaled samples are cut to +- this, so that one wild sample never becomes inf.
SCALED_LIMIT = 1e6
LARGEST_FLOAT = float(np.finfo(np.float32).max)
#: A sample from here up (and NaN) is damage, not a reading.
LARGEST_SAMPLE = float(np.float32(1e18))

# Words of a smoother: frames seen, and the addresses of a float64 gain and of float64 (C,) means.
# N_MEAN is the number of frames of a plain mean, 0 for an exponential one; RECENT the address of
# its float64 (1 + N_MEAN, C): sums, and the newest frames, frame t in row 1 + t % N_MEAN.
N_SMOOTHED, GAIN, SMOOTHED, N_MEAN, RECENT = range(5)
N_SMOOTHER_SLOTS = 5
#: Probabilities are rounded to multiples of 1 / GRID before a plain mean.
GRID = 2.0**40
#: Longest plain mean, in frames: sums of so many probabilities are exact.
MOST_MEAN_FRAMES = 4096

# Words of a `push` context behind the head that all contexts have. A frame of the stream has N_IN
# samples: float32, or int16 with a float32 (N_IN,) factor and offset. COLUMNS, int64 (N_PICKED,),
# are those that the model reads; PICKED holds them of the newest frame. SHARPNESS is the address of
# a float64, 1 / temperature; ENERGY that of the newest frame's, a float32. TICKS is 0, or the
# address of an int64 (4,): the processor's counter before the features of the newest frame, behind
# them, behind the network, and behind smoothing.
(
    N_IN, N_PICKED, N_CLASSES, RAW_SCALE, RAW_OFFSET, FRAME, COLUMNS, PICKED, FEATURE_SLOTS,
    FEATURES, PLAN, STATE, LOGITS, PROBABILITIES, SMOOTHER, SHARPNESS, ENERGY, TICKS,
    BEHIND,
) = range(N_HEAD, N_HEAD + 19)  # fmt: skip
N_PUSH_SLOTS = BEHIND - N_HEAD
