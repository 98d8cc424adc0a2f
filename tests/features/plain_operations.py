"""What each operation of a feature program must give: plain loops over frames, in float64."""

from __future__ import annotations

import math

import numpy as np

TINY = 1e-12
LIMIT = 1e6


def load(x, offset, scale):
    """Return scaled samples, damaged ones held; a first damaged one counts as the offset."""
    good = np.concatenate([np.float32(offset)[None], x]).astype(np.float64)
    for t in range(1, len(good)):
        bad = ~np.isfinite(good[t])
        good[t, bad] = good[t - 1, bad]
    return np.clip((good[1:] - offset) / scale, -LIMIT, LIMIT)


def lengths(z):
    return np.sqrt((z**2).sum(axis=-1))


def differences(z):
    return np.concatenate([np.zeros_like(z[:1]), np.diff(z, axis=0)])


def adapted(z, *, prior, settle, is_kept, is_centred):
    mean, square, out = np.zeros(z.shape[1]), 1.0, np.empty_like(z)
    for t, row in enumerate(z):
        gain = 0.0 if t >= settle and is_kept else 1.0 / (prior + min(t, settle) + 1.0)
        if is_centred:
            mean = mean + gain * (row - mean)
        square += gain * (((row - mean) ** 2).mean() - square)
        out[t] = (row - mean) / math.sqrt(square + TINY)
    return np.clip(out, -LIMIT, LIMIT)


def slow(z, gain):
    mean, out = np.zeros(z.shape[1]), np.empty_like(z)
    for t, row in enumerate(z):
        mean = mean + max(gain, 1.0 / (t + 1)) * (row - mean)
        out[t] = mean
    return out


def split(v, along):
    direction = along / np.sqrt((along**2).sum(axis=-1, keepdims=True) + TINY)
    part = (v * direction).sum(axis=-1)
    return np.stack([part, lengths(v - part[..., None] * direction)], axis=-1)


def dots(u, v):
    return (u * v).sum(axis=-1) / np.sqrt((u**2 + v**2).sum(axis=-1) + TINY)


def triples(u, v, w):
    return (np.cross(u, v) * w).sum(axis=-1) / ((u**2 + v**2 + w**2).sum(axis=-1) + TINY)


def directions(v, softness):
    return v / np.sqrt((v**2).sum(axis=-1, keepdims=True) + softness**2 + TINY)


def points(p, reference, is_mirrored, gain):
    """Return points (T, k, d) of a body and the velocity of its reference (T, d)."""
    centre = p.mean(axis=1) if reference is None else p[:, reference]
    distances = lengths(p - centre[:, None])
    if reference is not None:
        distances = np.delete(distances, reference, axis=1)
    middle = np.sort(distances, axis=1)[:, distances.shape[1] // 2]
    size = slow(middle[:, None], gain)
    both = np.concatenate([p - centre[:, None], differences(centre)[:, None]], axis=1)
    out = np.divide(both, size[:, :, None], out=np.zeros_like(both), where=size[:, :, None] > 0)
    out[is_mirrored, :, 0] *= -1
    out = np.clip(out, -LIMIT, LIMIT)
    return out[:, :-1], out[:, -1]
