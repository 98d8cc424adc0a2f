"""The loss that `LossSpec` defines, row by row, and its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamrnn.kernels.jit import apart, fma, kernel
from streamrnn.kernels.rnn import job as at
from streamrnn.kernels.rnn.gates import LOG2_E, exp2
from streamrnn.kernels.rnn.simd import lanes, like, load, offset, pointer_like, store, zeros

#: What of the loss is no address: the sum of all weights, and the label smoothing.
TOTAL, SMOOTHING = 0, 1


@kernel
def weigh(job: Any, spec: Any, like_weights: Any) -> int:
    """Write the sum of all weights to `spec`; return 0, or -1 where a used target is no class.

    `like_weights` is any pointer to the batch's floats.
    """
    weights = pointer_like(like_weights, job[at.WEIGHTS])
    class_weights = pointer_like(like_weights, job[at.CLASS_WEIGHTS])
    targets, ends = pointer_like(job, job[at.TARGETS]), pointer_like(job, job[at.ENDS])
    n_classes = pointer_like(job, job[at.LAYERS])[job[at.N_LAYERS] * at.N_COLUMNS + at.N_UNITS]
    n_rows = job[at.N_ROWS]
    total = 0.0
    for t in range(job[at.N_STEPS]):
        for row in range(n_rows):
            here = t * n_rows + row
            if weights[here] != 0:
                y = targets[here]
                if y < 0 or y >= n_classes:
                    return -1
                if t < ends[row]:
                    total += np.float64(weights[here]) * np.float64(class_weights[y])
    spec[TOTAL] = total
    return 0


@apart
def loss_row(job: Any, z: Any, limit: int, row: int, t: int, spec: Any) -> float:
    """Turn the logits of one row into their gradient, and return the row's part of the loss.

    Both are 0 where the row has no weight or has ended.
    """
    v = lanes(z)
    last = offset(pointer_like(job, job[at.LAYERS]), job[at.N_LAYERS] * at.N_COLUMNS)
    n_classes, c_padded = last[at.N_UNITS], last[at.N_PADDED]
    here = t * job[at.N_ROWS] + row
    used = t < limit and spec[TOTAL] != 0.0
    if used:
        used = pointer_like(z, job[at.WEIGHTS])[here] != 0
    if not used:
        for k in range(0, c_padded, v):
            store(z, k, zeros(z))
        return 0.0
    y = pointer_like(job, job[at.TARGETS])[here]
    weight = np.float64(pointer_like(z, job[at.WEIGHTS])[here])
    weight *= np.float64(pointer_like(z, job[at.CLASS_WEIGHTS])[y]) / spec[TOTAL]
    top, plain = z[0], 0.0
    for k in range(n_classes):
        top = max(top, z[k])
        plain += np.float64(z[k])
    hit = np.float64(z[y] - top)
    for k in range(0, c_padded, v):
        x = load(z, k)
        store(z, k, exp2(x - like(x, top), LOG2_E))
    total = 0.0
    for k in range(n_classes):
        total += np.float64(z[k])
    smooth, rest = spec[SMOOTHING] / n_classes, 1.0 - spec[SMOOTHING]
    for k in range(0, c_padded, v):
        x = load(z, k)
        store(z, k, fma(x, like(x, weight / total), like(x, -weight * smooth)))
    z[y] -= weight * rest
    for k in range(n_classes, c_padded):
        z[k] = 0
    loss = math.log(total) - rest * hit - smooth * (plain - n_classes * np.float64(top))
    return float(weight * loss)
