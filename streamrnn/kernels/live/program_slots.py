"""What stands where in a feature program: its words, its operations, and what they do.

A program works on one float64 vector a frame (the work). An operation reads some places of it, in
any order, and writes places in a row; what it carries from frame to frame is its part of the
stream's memory, float64, whose first number is how many frames the stream has had.
"""

from __future__ import annotations

# Words of a program: how many operations and samples a frame, and the addresses of int64 (n, 7)
# operations, int64 places that they read, float64 numbers that they know, a stream's float64 memory
# and the float64 work.
(
    N_OPERATIONS, N_SAMPLES, OPERATIONS, READS, NUMBERS, MEMORY, WORK,
) = range(7)  # fmt: skip
N_PROGRAM_SLOTS = 7

# Words of an operation: what it does, how often, on how many places each, and where its reads,
# writes (in the work, of STORE in the features), numbers and memory begin.
(
    CODE, COUNT, WIDTH, READS_AT, WRITES_AT, NUMBERS_AT, MEMORY_AT,
) = range(7)  # fmt: skip
N_OPERATION_WORDS = 7

# Codes. n is COUNT, d is WIDTH; [numbers] and {memory} behind each.
(
    LOAD,  # n samples, (x - offset) / scale, damaged ones held [n offsets, n scales] {n}
    LENGTHS,  # of n vectors of d
    STORE,  # n features, as they are times a gain [n gains]
    STORE_ASINH,  # n features, asinh(2 z gain) [n gains]
    STORE_LOG,  # n features, log(1 + 4 z gain) of what is above 0 [n gains]
    DIFFERENCES,  # of n places from the frame before {n}
    ADAPT,  # n places that share a spread [prior, settle, is_kept, is_centred] {n means, 1}
    SLOW,  # running means of n places [gain] {n}
    MINUS,  # n places less n others
    SPLIT,  # n vectors of 3, each with one of 3 behind it: the parts along it and across it
    DOTS,  # n pairs of vectors of d: u.v / sqrt(u.u + v.v)
    TRIPLES,  # n triples of vectors of 3: their volume / (sum of squares)
    DIRECTIONS,  # n vectors of d, brought towards length 1 [softness]
    POINTS,  # n points of d [reference, mirror, gain] {size, reference}
) = range(14)  # fmt: skip
N_CODES = 14

# Mirrors of POINTS.
MIRROR_NONE, MIRROR_ALWAYS, MIRROR_LEFT = range(3)
