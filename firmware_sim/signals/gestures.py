"""Gestures, near-gestures and idle movements as smooth strokes of a hand.

A stroke moves one coordinate of the hand from rest to rest with the least jerk: the profile
``10 u^3 - 15 u^4 + 6 u^5`` that people's reaching movements follow (Flash and Hogan, "The
coordination of arm movements", J. Neurosci. 5, 1985).

``out-in`` and ``in-out`` are the same two strokes in another order. Each half ends in the posture
that it began in but for the heading, which an IMU cannot see: no single frame tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from firmware_sim.signals.people import Person

#: Coordinates of the hand: three angles (rad) and three displacements (m), by index.
ROLL, PITCH, YAW, FORWARD, SIDE, UP = range(6)

#: The classes of the simulated signals, in no order of importance.
GESTURES = ("circle", "double-tap", "in-out", "out-in", "twist")


class Stroke(NamedTuple):
    """One coordinate's smooth way from rest to rest."""

    axis: int
    start_s: float
    duration_s: float
    amount: float


class Movement(NamedTuple):
    """Strokes that begin at 0 s and are over at `duration_s`."""

    strokes: list[Stroke]
    duration_s: float


class Manner(NamedTuple):
    """How a movement is done this time: factors on its size and its duration."""

    amount: float
    time: float


Half: TypeAlias = Callable[[Person, Manner, np.random.Generator, float], Movement]


def perform(name: str, person: Person, rng: np.random.Generator) -> Movement:
    """Return one performance of gesture `name`, a little different each time."""
    return _gesture(name, person, _manner(person, rng), rng)


def perform_near(person: Person, rng: np.random.Generator) -> Movement:
    """Return something that begins, or looks, like a gesture and is none.

    Half of them are one half of a gesture, with a slow way back; the others are a whole gesture
    done much too slowly or much too small.
    """
    manner = _manner(person, rng)
    kind = rng.random()
    if kind < 0.6:
        return _one_half(person, manner, rng)
    name = GESTURES[int(rng.integers(len(GESTURES)))]
    if kind < 0.8:
        slow = rng.uniform(2.6, 3.6)
        return _gesture(name, person, Manner(manner.amount, manner.time * slow), rng)
    return _gesture(name, person, Manner(manner.amount * rng.uniform(0.08, 0.2), manner.time), rng)


def fidget(
    person: Person, rng: np.random.Generator, posture: tuple[float, float], duration_s: float
) -> Movement:
    """Return aimless small movements over `duration_s`; they change the posture.

    Parameters
    ----------
    person : Person
    rng : Generator
    posture : tuple of float
        Roll and pitch left by what came before, rad; fidgeting pulls them back to usual.
    duration_s : float
    """
    strokes: list[Stroke] = []
    left = list(posture)
    for _ in range(max(1, int(duration_s * 1.6))):
        time = min(rng.uniform(0.35, 1.1), duration_s)
        start = rng.uniform(0.0, duration_s - time)
        axis = int(rng.integers(6))
        if axis in (ROLL, PITCH):
            amount = -0.6 * left[axis] + math.radians(rng.normal(0.0, 14.0))
            left[axis] += amount
        elif axis == YAW:
            amount = math.radians(rng.normal(0.0, 22.0))
        else:
            amount = rng.normal(0.0, 0.05)
        strokes.append(Stroke(axis, start, time, amount * person.amount))
    return Movement(strokes, duration_s)


def _manner(person: Person, rng: np.random.Generator) -> Manner:
    return Manner(
        person.amount * math.exp(0.12 * _cut_normal(rng)),
        person.time * math.exp(0.09 * _cut_normal(rng)),
    )


def _cut_normal(rng: np.random.Generator) -> float:
    return min(max(float(rng.normal()), -2.0), 2.0)


def _gesture(name: str, person: Person, manner: Manner, rng: np.random.Generator) -> Movement:
    if name == "circle":
        return _circle(person, manner)
    halves = _HALVES_OF[name]
    strokes: list[Stroke] = []
    now = 0.0
    for i, half in enumerate(halves):
        if i:
            now += _pause_s(name, person, manner, rng)
        part = half(person, manner, rng, now)
        strokes += part.strokes
        now += part.duration_s
    return Movement(strokes, now)


def _pause_s(name: str, person: Person, manner: Manner, rng: np.random.Generator) -> float:
    pause = 0.15 if name == "double-tap" else person.pause_s
    return pause * manner.time * rng.uniform(0.8, 1.25)


def _one_half(person: Person, manner: Manner, rng: np.random.Generator) -> Movement:
    name = GESTURES[int(rng.integers(len(GESTURES)))]
    if name == "circle":
        whole = _circle(person, manner)
        first = Movement(
            [s for s in whole.strokes if s.start_s < 0.45 * whole.duration_s],
            0.75 * whole.duration_s,
        )
    else:
        first = _HALVES_OF[name][0](person, manner, rng, 0.0)
    back_s = first.duration_s + rng.uniform(0.4, 0.8)
    slow_s = rng.uniform(0.9, 1.5)
    strokes = list(first.strokes)
    for axis in (ROLL, PITCH, YAW):
        moved = sum(s.amount for s in first.strokes if s.axis == axis)
        if abs(moved) > 1e-9:
            strokes.append(Stroke(axis, back_s, slow_s, -moved))
    return Movement(strokes, back_s + slow_s)


def _swing(direction: float, style_name: str) -> Half:
    """Swing the forearm about the elbow; the wrist's own movements come and go within it."""

    def half(person: Person, manner: Manner, rng: np.random.Generator, start_s: float) -> Movement:
        style = person.styles[style_name]
        time = 0.34 * manner.time * style.time * rng.uniform(0.93, 1.07)
        size = manner.amount * style.amount * rng.uniform(0.92, 1.08)
        strokes = [Stroke(YAW, start_s, time, direction * math.radians(58.0) * size)]
        for axis, amount in ((ROLL, style.roll_rad), (PITCH, style.pitch_rad)):
            strokes.append(Stroke(axis, start_s, 0.5 * time, amount * manner.amount))
            strokes.append(Stroke(axis, start_s + 0.5 * time, 0.5 * time, -amount * manner.amount))
        return Movement(strokes, time)

    return half


def _turn(direction: float, style_name: str) -> Half:
    """Turn the wrist about the forearm."""

    def half(person: Person, manner: Manner, rng: np.random.Generator, start_s: float) -> Movement:
        style = person.styles["turn"]
        own = person.styles[style_name]
        time = 0.33 * manner.time * own.time * rng.uniform(0.93, 1.07)
        # Both halves by one style and size: the hand comes back to where it was.
        size = math.radians(68.0) * manner.amount * style.amount
        strokes = [Stroke(ROLL, start_s, time, direction * size)]
        strokes.append(Stroke(YAW, start_s, 0.5 * time, own.roll_rad))
        strokes.append(Stroke(YAW, start_s + 0.5 * time, 0.5 * time, -own.roll_rad))
        return Movement(strokes, time)

    return half


def _tap(person: Person, manner: Manner, rng: np.random.Generator, start_s: float) -> Movement:
    """Knock downwards: a short way down, a shorter one back."""
    style = person.styles["tap"]
    time = 0.20 * manner.time * style.time * rng.uniform(0.93, 1.07)
    depth = 0.035 * manner.amount * style.amount * rng.uniform(0.9, 1.1)
    nod = math.radians(9.0) * manner.amount
    down, up = 0.6 * time, 0.4 * time
    return Movement(
        [
            Stroke(UP, start_s, down, -depth),
            Stroke(UP, start_s + down, up, depth),
            Stroke(PITCH, start_s, down, nod),
            Stroke(PITCH, start_s + down, up, -nod),
        ],
        time,
    )


def _circle(person: Person, manner: Manner) -> Movement:
    """Out and in with the forearm, up and down a quarter later."""
    out, back = person.styles["out"], person.styles["in"]
    lift = person.styles["lift"]
    time = 0.78 * manner.time * lift.time
    wide = math.radians(46.0) * manner.amount
    high = math.radians(30.0) * manner.amount * lift.amount
    size = 0.5 * (out.amount + back.amount) * wide
    return Movement(
        [
            Stroke(YAW, 0.0, 0.5 * time, size),
            Stroke(YAW, 0.5 * time, 0.5 * time, -size),
            Stroke(PITCH, 0.0, 0.25 * time, -0.5 * high),
            Stroke(PITCH, 0.25 * time, 0.5 * time, high),
            Stroke(PITCH, 0.75 * time, 0.25 * time, -0.5 * high),
        ],
        time,
    )


_OUT, _IN = _swing(1.0, "out"), _swing(-1.0, "in")
_HALVES_OF: dict[str, tuple[Half, Half]] = {
    "out-in": (_OUT, _IN),
    "in-out": (_IN, _OUT),
    "twist": (_turn(1.0, "turn"), _turn(-1.0, "return")),
    "double-tap": (_tap, _tap),
}
