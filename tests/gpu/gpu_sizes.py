"""Seeded sizes of networks: many on a GPU, few and small where something stands in for it."""

from __future__ import annotations

import os

import numpy as np
from rnn_make import Shape

MODE = os.environ.get("STREAMRNN_GPU", "")
SMALL = MODE == "interpreter"


def seeds(n: int) -> range:
    """Return `n` seeds, or the first two of them on an interpreter."""
    return range(min(n, 2) if SMALL else n)


def some(seed: int) -> Shape:
    """Return sizes from 1 on, and around those of a vector, a warp and a tile; 1 to 3 layers."""
    rng = np.random.default_rng([seed, 71])

    def pick(*sizes: int) -> int:
        return int(rng.choice(sizes))

    if SMALL:
        return Shape(pick(1, 3), (pick(2, 5), 3)[: pick(1, 2)], pick(1, 3), 3, pick(2, 3), seed)
    hidden = tuple(
        pick(*range(1, 10), 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 70)
        for _ in range(pick(1, 2, 3))
    )
    return Shape(
        n_in=pick(*range(1, 10), 31, 32, 33, 63),
        hidden=hidden,
        n_classes=pick(*range(1, 7), 15, 16, 17, 33),
        n_steps=pick(*range(1, 6), 15, 16, 17),
        n_rows=pick(*range(1, 10), 15, 16, 17, 35),
        seed=seed,
        weight=min(0.7, 2.5 / max(hidden) ** 0.5),
    )


def wide(seed: int) -> Shape:
    """Return networks of up to 512 units and 256 inputs, on few steps and rows."""
    rng = np.random.default_rng([seed, 72])

    def pick(*sizes: int) -> int:
        return int(rng.choice(sizes))

    if SMALL:
        return Shape(5, (33,), 2, 2, 2, seed, weight=0.3)
    hidden = tuple(
        pick(96, 100, 127, 128, 129, 192, 255, 256, 257, 384, 511, 512)
        for _ in range(pick(1, 1, 2))
    )
    return Shape(
        n_in=pick(1, 6, 32, 33, 64, 100, 129, 255, 256),
        hidden=hidden,
        n_classes=pick(1, 5, 17, 64),
        n_steps=pick(1, 2, 3, 5),
        n_rows=pick(1, 2, 7, 8, 9, 17),
        seed=seed,
        weight=1.5 / max(hidden) ** 0.5,
    )


def large(seed: int) -> Shape:
    """Return what training and evaluation run: up to thousands of rows and hundreds of steps."""
    rng = np.random.default_rng([seed, 73])

    def pick(*sizes: int) -> int:
        return int(rng.choice(sizes))

    if SMALL:
        return Shape(4, (9, 5), 3, 5, 7, seed, weight=0.5)
    n_hidden = pick(33, 64, 100, 128, 256, 512)
    n_rows = pick(64, 133, 500, 1024, 2049)
    # So many that the reference takes some seconds.
    budget = 1.5e10 / (n_hidden * (n_hidden + 32) * n_rows)
    return Shape(
        n_in=pick(3, 6, 33, 64),
        hidden=(n_hidden,) * pick(1, 2),
        n_classes=5,
        n_steps=int(np.clip(budget, 3, 300)),
        n_rows=n_rows,
        seed=seed,
        weight=n_hidden**-0.5,
    )


def name(shape: Shape) -> str:
    """Return sizes in short, for a test's name."""
    hidden = "-".join(map(str, shape.hidden))
    return f"{shape.n_in}-{hidden}-{shape.n_classes}.T{shape.n_steps}.B{shape.n_rows}.s{shape.seed}"
