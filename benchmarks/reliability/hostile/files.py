"""Hostile files: good ones, broken with knowledge of their form or without.

Each mutant follows from its number alone, so that one that misbehaves can be made again.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.reliability.hostile import models, sessions, texts
from benchmarks.reliability.hostile.plain import plain

Maker = Callable[[bytes, random.Random], bytes]
_MAKERS: dict[str, tuple[Maker, ...]] = {
    "model": (
        plain, models.length, models.header, models.description, models.description,
        models.weights,
    ),
    "session": (
        plain, sessions.rearranged, sessions.chunk, sessions.inside, sessions.inside,
        sessions.inside,
    ),
    "toml": (plain, texts.settings, texts.settings),
    "csv": (plain, texts.table, texts.table),
    "npz": (plain,),
}  # fmt: skip


def mutant(kind: str, good: bytes, number: int) -> bytes:
    """Return mutant `number` of a good file."""
    draw = random.Random(number)
    makers = _MAKERS[kind]
    data = makers[number % len(makers)](good, draw)
    # Now and then plain damage on top of it.
    return plain(data, draw) if draw.random() < 0.1 else data
