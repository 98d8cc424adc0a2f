"""A linear classifier on single frames, as good as they get: memory must beat it."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from firmware_sim.signals import GESTURES, simulate

N_CLASSES = 1 + len(GESTURES)
Recording = tuple[np.ndarray, np.ndarray]


def frame_classes(person: int, seed: int, seconds: float) -> Recording:
    """Return raw frames with the magnitudes of both triads (N, 8), and the class of each."""
    frames, labels = simulate(person, seed, seconds)
    y = np.zeros(len(frames), np.int64)
    for label in labels:
        inside = (frames.t_us >= label.start_us) & (frames.t_us < label.end_us)
        y[inside] = 1 + GESTURES.index(label.name)
    x = frames.x.astype(np.float64)
    sizes = [np.linalg.norm(x[:, part], axis=1) for part in (slice(0, 3), slice(3, 6))]
    return np.column_stack([x, *sizes]), y


def runs(y: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (start, end, class) of each stretch of one class but 0."""
    edges = np.flatnonzero(np.diff(y)) + 1
    bounds = pairwise([0, *edges.tolist(), len(y)])
    return [(a, b, int(y[a])) for a, b in bounds if y[a]]


def n_events(recordings: list[Recording]) -> int:
    return sum(len(runs(y)) for _, y in recordings)


class LinearClassifier:
    """Multinomial logistic regression by Newton's method on a bound of the Hessian.

    Decision: where 1 - p(none) exceeds a threshold, runs with short gaps bridged and short runs
    dropped, the class with the largest sum over the run.
    """

    def __init__(self, balance: float) -> None:
        self.balance = balance

    def fit(self, recordings: list[Recording]) -> LinearClassifier:
        x = np.concatenate([x[::3] for x, _ in recordings])
        y = np.concatenate([y[::3] for _, y in recordings])
        self.mean, self.scale = x.mean(0), x.std(0)
        z = self._inputs(x)
        counts = np.bincount(y, minlength=N_CLASSES)
        weight = ((counts.mean() / counts) ** self.balance)[y]
        target = np.eye(N_CLASSES)[y]
        # Boehning 1992: X'X / 2 bounds the Hessian, so that each step goes down.
        bound = 0.5 * (z.T * weight) @ z + 1e-6 * len(z) * np.eye(z.shape[1])
        solve = np.linalg.inv(bound)
        self.w = np.zeros((z.shape[1], N_CLASSES))
        for _ in range(150):
            self.w -= solve @ (z.T @ ((_softmax(z @ self.w) - target) * weight[:, None]))
        rules = product((0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (6, 15), (5, 15))
        probabilities = [(self.probabilities(x), y) for x, y in recordings]
        self.rule = max(rules, key=lambda rule: _event_f1(probabilities, *rule)[0])
        return self

    def event_f1(self, recordings: list[Recording]) -> tuple[float, float]:
        """Return micro and macro event F1; any overlap with the same class is a hit, once."""
        return _event_f1([(self.probabilities(x), y) for x, y in recordings], *self.rule)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        return _softmax(self._inputs(x) @ self.w)

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack([(x - self.mean) / self.scale, np.ones(len(x))])


def _softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _detect(p: np.ndarray, threshold: float, shortest: int, gap: int) -> list[tuple[int, int, int]]:
    joined: list[list[int]] = []
    for start, end, _ in runs((1.0 - p[:, 0] > threshold).astype(np.int64)):
        if joined and start - joined[-1][1] <= gap:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [
        (start, end, 1 + int(np.argmax(p[start:end, 1:].sum(0))))
        for start, end in joined
        if end - start >= shortest
    ]


def _event_f1(
    recordings: list[Recording], threshold: float, shortest: int, gap: int
) -> tuple[float, float]:
    hits, false, missed = (np.zeros(N_CLASSES) for _ in range(3))
    for p, y in recordings:
        truth = runs(y)
        for start, end, k in _detect(p, threshold, shortest, gap):
            match = next((t for t in truth if t[2] == k and t[0] < end and start < t[1]), None)
            if match is None:
                false[k] += 1
            else:
                truth.remove(match)
                hits[k] += 1
        for _, _, k in truth:
            missed[k] += 1
    micro = 2 * hits.sum() / max(1.0, 2 * hits.sum() + false.sum() + missed.sum())
    macro = (2 * hits / np.maximum(1.0, 2 * hits + false + missed))[1:].mean()
    return float(micro), float(macro)
