"""Held-out runs with known answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import I64
from streamrnn.evaluation.events import Segment
from streamrnn.evaluation.heldout import HeldOutRun

LABELS = ("none", "left", "right")
RATE_HZ = 50.0
PERIOD_US = 20_000
#: Frames of a gesture.
LENGTH = 25


def run_of(
    probabilities: np.ndarray,
    truth: Sequence[tuple[int, int, str]] = (),
    *,
    labels: tuple[str, ...] = LABELS,
    name: str = "run",
    subject: str = "",
    energy: np.ndarray | None = None,
    breaks: Sequence[int] = (),
) -> HeldOutRun:
    """Return a run; `truth` and `breaks` in frames."""
    n = len(probabilities)
    seq: I64 = np.arange(n, dtype=np.int64)
    y = np.zeros(n, np.int64)
    for start, end, label in truth:
        y[start:end] = labels.index(label)
    return HeldOutRun(
        name=name,
        subject=subject,
        labels=labels,
        rate_hz=RATE_HZ,
        probabilities=np.ascontiguousarray(probabilities, np.float32),
        energy=np.full(n, np.inf, np.float32) if energy is None else energy.astype(np.float32),
        seq=seq,
        t_us=seq * PERIOD_US,
        breaks=np.array([(row, row * PERIOD_US) for row in breaks], np.int64).reshape(-1, 2),
        truth=[Segment(a * PERIOD_US, b * PERIOD_US, label) for a, b, label in truth],
        y=y,
        null_s=int((y == 0).sum()) / RATE_HZ,
        duration_s=n / RATE_HZ,
    )


def made(
    n_gestures: int = 40,
    *,
    peak: float = 0.95,
    fakes: Sequence[float] = (),
    null_frames: int = 0,
    gap: int = 35,
    n_fake: int = 18,
    seed: int = 0,
) -> HeldOutRun:
    """Return a run in which everything is known.

    Each gesture is answered from its tenth frame on, by an activity of `peak`, until five frames
    behind its end; every other gesture is ``left``. Then come false bumps of `n_fake` frames with
    the given activities, as ``left``, a second apart, and at last `null_frames` of silence.
    """
    rng = np.random.default_rng(seed)
    n = n_gestures * (LENGTH + gap) + gap + len(fakes) * 70 + null_frames
    p = np.zeros((n, 3))
    p[:, 1:] = rng.uniform(0.002, 0.01, (n, 2))
    truth, at = [], gap
    for k in range(n_gestures):
        which = k % 2
        truth.append((at, at + LENGTH, LABELS[1 + which]))
        p[at + 10 : at + LENGTH + 5, 1 + which] = peak
        at += LENGTH + gap
    for fake in fakes:
        p[at + 10 : at + 10 + n_fake, 1] = fake
        at += 70
    p[:, 1:] *= np.minimum(1.0, 0.999 / p[:, 1:].sum(axis=1))[:, None]
    p[:, 0] = 1.0 - p[:, 1:].sum(axis=1)
    return run_of(p, truth)


def noisy(n: int, seed: int, *, n_classes: int = 3, noise: float = 1.5) -> HeldOutRun:
    """Return a run over smooth noise with gestures in it: errors of every kind."""
    rng = np.random.default_rng(seed)
    labels = ("none", *(f"g{k}" for k in range(1, n_classes)))
    truth, y, at = [], np.zeros(n, np.int64), 20
    while at + 40 < n:
        length, k = int(rng.integers(18, 32)), int(rng.integers(1, n_classes))
        truth.append((at, at + length, labels[k]))
        y[at : at + length] = k
        at += length + int(rng.integers(8, 60))
    z = rng.normal(size=(n, n_classes)) * noise
    kernel = np.exp(-np.arange(8) / 3)
    z = np.stack([np.convolve(column, kernel)[:n] for column in z.T], axis=1)
    z[np.arange(n), np.roll(y, 6)] += 4.0
    energy = np.log(np.exp(z).sum(axis=1))
    p = np.exp(z - energy[:, None])
    return run_of(p, truth, labels=labels, energy=energy, name=f"noisy {seed}")
