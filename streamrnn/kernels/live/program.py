"""The interpreter of feature programs: one loop a frame, one copy, live and offline.

Everything is scalar float64 arithmetic on one frame, so a feature has the same bits whether its
frame came alone from a device or with ten thousand others from a file. What each operation does is
listed in `streamrnn.kernels.live.program_slots`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.live import program_slots as at
from streamrnn.kernels.live import slots
from streamrnn.kernels.objects import f8_pointer, i8_pointer
from streamrnn.kernels.rnn.simd import offset

_LIMIT, _LARGEST_FLOAT = slots.SCALED_LIMIT, slots.LARGEST_FLOAT
#: Below every square that a sensor's noise has, so that nothing is divided by 0.
_TINY = 1e-12


@kernel
def squash(value: float) -> float:
    """Return ``asinh(2 value)``, written out so that it is the same code on every machine."""
    a = 2.0 * abs(value)
    y = math.log(a + math.sqrt(a * a + 1.0))
    return -y if value < 0.0 else y


@kernel
def _cut(z: float) -> float:
    return min(max(z, -_LIMIT), _LIMIT)


@kernel
def _load(x: Any, n: int, numbers: Any, held: Any, out: Any) -> None:
    """Scale samples; one that is not finite counts as the last good one."""
    scale = offset(numbers, n)
    for k in range(n):
        if abs(x[k]) <= _LARGEST_FLOAT:
            held[k] = _cut((np.float64(x[k]) - numbers[k]) / scale[k])
        out[k] = held[k]


@kernel
def _lengths(w: Any, reads: Any, n: int, width: int, out: Any) -> None:
    for k in range(n):
        total = 0.0
        for j in range(k * width, (k + 1) * width):
            total += w[reads[j]] * w[reads[j]]
        out[k] = math.sqrt(total)


@kernel
def _differences(w: Any, reads: Any, n: int, is_first: bool, before: Any, out: Any) -> None:
    for k in range(n):
        z = w[reads[k]]
        out[k] = 0.0 if is_first else z - before[k]
        before[k] = z


@apart
def _adapt(w: Any, reads: Any, n: int, seen: float, numbers: Any, known: Any, out: Any) -> None:
    """Centre and scale by what was seen; the training data count as `prior` frames before."""
    prior, settle = numbers[0], numbers[1]
    is_kept, is_centred = numbers[2] > 0.0, numbers[3] > 0.0
    gain = 0.0 if seen >= settle and is_kept else 1.0 / (prior + min(seen, settle) + 1.0)
    squares = 0.0
    for k in range(n):
        if is_centred:
            known[k] += gain * (w[reads[k]] - known[k])
        out[k] = w[reads[k]] - known[k]
        squares += out[k] * out[k]
    known[n] += gain * (squares / n - known[n])
    factor = 1.0 / math.sqrt(max(known[n], 0.0) + _TINY)
    for k in range(n):
        out[k] = _cut(out[k] * factor)


@kernel
def _slow(w: Any, reads: Any, n: int, seen: float, numbers: Any, mean: Any, out: Any) -> None:
    """Move means: over all frames at first, exponential later."""
    gain = max(numbers[0], 1.0 / (seen + 1.0))
    for k in range(n):
        mean[k] += gain * (w[reads[k]] - mean[k])
        out[k] = mean[k]


@kernel
def _minus(w: Any, reads: Any, n: int, out: Any) -> None:
    for k in range(n):
        out[k] = w[reads[k]] - w[reads[n + k]]


@apart
def _split(w: Any, reads: Any, n: int, out: Any) -> None:
    """Write the part of each vector along another, and the length of the rest."""
    for k in range(n):
        r = offset(reads, 6 * k)
        along, squares = 0.0, 0.0
        for j in range(3):
            along += w[r[j]] * w[r[3 + j]]
            squares += w[r[3 + j]] * w[r[3 + j]]
        share = along / (squares + _TINY)
        rest = 0.0
        for j in range(3):
            z = w[r[j]] - share * w[r[3 + j]]
            rest += z * z
        out[2 * k] = along / math.sqrt(squares + _TINY)
        out[2 * k + 1] = math.sqrt(rest)


@apart
def _dots(w: Any, reads: Any, n: int, width: int, out: Any) -> None:
    for k in range(n):
        u, v = offset(reads, 2 * k * width), offset(reads, (2 * k + 1) * width)
        dot, squares = 0.0, 0.0
        for j in range(width):
            dot += w[u[j]] * w[v[j]]
            squares += w[u[j]] * w[u[j]] + w[v[j]] * w[v[j]]
        out[k] = dot / math.sqrt(squares + _TINY)


@apart
def _triples(w: Any, reads: Any, n: int, out: Any) -> None:
    for k in range(n):
        r = offset(reads, 9 * k)
        squares = 0.0
        for j in range(9):
            squares += w[r[j]] * w[r[j]]
        volume = (
            (w[r[1]] * w[r[5]] - w[r[2]] * w[r[4]]) * w[r[6]]
            + (w[r[2]] * w[r[3]] - w[r[0]] * w[r[5]]) * w[r[7]]
            + (w[r[0]] * w[r[4]] - w[r[1]] * w[r[3]]) * w[r[8]]
        )
        out[k] = volume / (squares + _TINY)


@apart
def _directions(w: Any, reads: Any, n: int, width: int, softness: float, out: Any) -> None:
    for k in range(n):
        squares = softness * softness
        for j in range(k * width, (k + 1) * width):
            squares += w[reads[j]] * w[reads[j]]
        factor = 1.0 / math.sqrt(squares + _TINY)
        for j in range(k * width, (k + 1) * width):
            out[j] = w[reads[j]] * factor


@kernel
def _middle(values: Any, n: int) -> float:
    """Return the (upper) median of `n` numbers, which are sorted in place."""
    for k in range(1, n):
        value, j = values[k], k
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    return float(values[n // 2])


@apart
def _points(
    w: Any, reads: Any, n: int, width: int, seen: float, numbers: Any, memory: Any, out: Any
) -> None:
    """Write points from a reference in sizes of the body, then the reference's own velocity.

    The size is a running mean of the median distance from the reference. A body that is a single
    place has no size: all is 0 then.
    """
    reference = int(numbers[0])
    apart_, before = offset(out, (n + 1) * width), offset(memory, 1)
    velocity = offset(out, n * width)
    for j in range(width):
        if reference >= 0:
            centre = w[reads[reference * width + j]]
        else:
            centre = 0.0
            for k in range(n):
                centre += w[reads[k * width + j]]
            centre /= n
        for k in range(n):
            out[k * width + j] = w[reads[k * width + j]] - centre
        velocity[j] = 0.0 if seen == 0.0 else centre - before[j]
        before[j] = centre
    n_apart = 0
    for k in range(n):
        if k != reference:
            squares = 0.0
            for j in range(k * width, (k + 1) * width):
                squares += out[j] * out[j]
            apart_[n_apart] = math.sqrt(squares)
            n_apart += 1
    gain = max(numbers[2], 1.0 / (seen + 1.0))
    memory[0] += gain * (_middle(apart_, n_apart) - memory[0])
    is_left = numbers[1] == at.MIRROR_LEFT and w[reads[n * width]] <= 0.5
    is_mirrored = numbers[1] == at.MIRROR_ALWAYS or is_left
    for j in range((n + 1) * width):
        z = out[j] / memory[0] if memory[0] > 0.0 else 0.0
        out[j] = _cut(-z if is_mirrored and j % width == 0 else z)


@kernel
def _store(w: Any, reads: Any, n: int, gains: Any, out: Any) -> None:
    for k in range(n):
        out[k] = np.float32(w[reads[k]] * gains[k])


@kernel
def _store_asinh(w: Any, reads: Any, n: int, gains: Any, out: Any) -> None:
    for k in range(n):
        out[k] = np.float32(squash(w[reads[k]] * gains[k]))


@kernel
def _store_log(w: Any, reads: Any, n: int, gains: Any, out: Any) -> None:
    for k in range(n):
        out[k] = np.float32(math.log(1.0 + 4.0 * max(w[reads[k]] * gains[k], 0.0)))


@apart
def _rarely(
    code: int, w: Any, reads: Any, n: int, width: int, seen: float, numbers: Any, memory: Any,
    out: Any,
) -> None:  # fmt: skip
    """Do what most programs have no use for, apart: the loop over the others stays small."""
    if code == at.ADAPT:
        _adapt(w, reads, n, seen, numbers, memory, out)
    elif code == at.SLOW:
        _slow(w, reads, n, seen, numbers, memory, out)
    elif code == at.MINUS:
        _minus(w, reads, n, out)
    elif code == at.SPLIT:
        _split(w, reads, n, out)
    elif code == at.DOTS:
        _dots(w, reads, n, width, out)
    elif code == at.TRIPLES:
        _triples(w, reads, n, out)
    elif code == at.DIRECTIONS:
        _directions(w, reads, n, width, numbers[0], out)
    elif code == at.POINTS:
        _points(w, reads, n, width, seen, numbers, memory, out)


@kernel
def program_row(program: Any, x: Any, features: Any) -> None:
    """Turn one frame, float32 (N_SAMPLES,), into features."""
    w, memory = f8_pointer(program[at.WORK]), f8_pointer(program[at.MEMORY])
    all_reads, all_numbers = i8_pointer(program[at.READS]), f8_pointer(program[at.NUMBERS])
    op = i8_pointer(program[at.OPERATIONS])
    seen = memory[0]
    for _ in range(program[at.N_OPERATIONS]):
        code, n, width = op[at.CODE], op[at.COUNT], op[at.WIDTH]
        reads, numbers = offset(all_reads, op[at.READS_AT]), offset(all_numbers, op[at.NUMBERS_AT])
        own, to = offset(memory, op[at.MEMORY_AT]), op[at.WRITES_AT]
        if code == at.STORE_ASINH:
            _store_asinh(w, reads, n, numbers, offset(features, to))
        elif code == at.LOAD:
            _load(x, n, numbers, own, offset(w, to))
        elif code == at.LENGTHS:
            _lengths(w, reads, n, width, offset(w, to))
        elif code == at.STORE:
            _store(w, reads, n, numbers, offset(features, to))
        elif code == at.STORE_LOG:
            _store_log(w, reads, n, numbers, offset(features, to))
        elif code == at.DIFFERENCES:
            _differences(w, reads, n, seen == 0.0, own, offset(w, to))
        else:
            _rarely(code, w, reads, n, width, seen, numbers, own, offset(w, to))
        op = offset(op, at.N_OPERATION_WORDS)
    memory[0] = seen + 1.0


@kernel
def program_rows(program: Any, x: Any, n_rows: int, n_out: int, out: Any) -> None:
    """Entry: `program_row` of frame after frame."""
    for r in range(n_rows):
        program_row(program, offset(x, r * program[at.N_SAMPLES]), offset(out, r * n_out))
