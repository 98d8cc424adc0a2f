"""Simulated people: how one hand differs from another, drawn from a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import F64

#: Domain separation: person 3 and seed 3 must not share random numbers.
_PERSON_DOMAIN = 0x9E3779B9

#: The half movements that gestures are made of; each person has a style for each of them.
HALVES = ("out", "in", "turn", "return", "tap", "lift", "sink")


@dataclass(frozen=True, slots=True)
class HalfStyle:
    """How a person does one half movement.

    Attributes
    ----------
    amount, time : float
        Factors on the common size and duration.
    roll_rad, pitch_rad : float
        Size of the unwanted wrist movements that come and go within the half.
    """

    amount: float
    time: float
    roll_rad: float
    pitch_rad: float


@dataclass(frozen=True, slots=True)
class Person:
    """Everything that makes one person's stream differ from another's.

    Attributes
    ----------
    number : int
        The seed that everything is drawn from.
    amount, time : float
        Factors on the size and the duration of all movements.
    mount : float64 (3, 3)
        Rotation from the hand to the sensor: how the strap sits.
    roll_rad, pitch_rad : float
        Usual posture of the forearm.
    sway_rad, sway_hz, sway_phase : float64 (2, 3)
        Slow wandering of roll and pitch, three sines each.
    radius_m : float
        Distance from the elbow to the sensor.
    pause_s : float
        Rest between the two halves of a gesture.
    styles : dict of str to HalfStyle
    tremor_hz, tremor_g, tremor_dps : float
    tremor_phase : float64 (6,)
    acc_bias_g, gyro_bias_dps : float64 (3,)
        Offsets of the sensor.
    acc_noise_g, gyro_noise_dps : float
        Standard deviation of the white noise.
    step_hz, step_g, swing_rad : float
        Walking: steps a second, vertical acceleration, swing of the arm.
    restless : float
        Share of the pauses that are not still, 0..1.
    """

    number: int
    amount: float
    time: float
    mount: F64
    roll_rad: float
    pitch_rad: float
    sway_rad: F64
    sway_hz: F64
    sway_phase: F64
    radius_m: float
    pause_s: float
    styles: dict[str, HalfStyle]
    tremor_hz: float
    tremor_g: float
    tremor_dps: float
    tremor_phase: F64
    acc_bias_g: F64
    gyro_bias_dps: F64
    acc_noise_g: float
    gyro_noise_dps: float
    step_hz: float
    step_g: float
    swing_rad: float
    restless: float


def make_person(number: int) -> Person:
    """Return person `number` (0 or more): the same one at every call."""
    if number < 0:
        raise ValueError(f"person must be 0 or more, got {number}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_PERSON_DOMAIN, number])))
    return Person(
        number=number,
        amount=_spread(rng, 0.16),
        time=_spread(rng, 0.11),
        mount=_rotation(rng.normal(0.0, math.radians(7.0), 3)),
        roll_rad=math.radians(rng.normal(0.0, 13.0)),
        pitch_rad=math.radians(rng.normal(0.0, 8.0)),
        sway_rad=np.radians(rng.uniform(1.0, 4.0, (2, 3))),
        sway_hz=rng.uniform(0.03, 0.25, (2, 3)),
        sway_phase=rng.uniform(0.0, 2.0 * math.pi, (2, 3)),
        radius_m=float(rng.uniform(0.20, 0.32)),
        pause_s=float(rng.uniform(0.0, 0.05)),
        styles={name: _half_style(rng) for name in HALVES},
        tremor_hz=float(rng.uniform(7.5, 11.5)),
        tremor_g=float(rng.uniform(0.002, 0.012)),
        tremor_dps=float(rng.uniform(0.5, 3.0)),
        tremor_phase=rng.uniform(0.0, 2.0 * math.pi, 6),
        acc_bias_g=rng.normal(0.0, 0.02, 3),
        gyro_bias_dps=rng.normal(0.0, 1.5, 3),
        acc_noise_g=float(rng.uniform(0.006, 0.015)),
        gyro_noise_dps=float(rng.uniform(0.8, 2.5)),
        step_hz=float(rng.uniform(1.6, 2.2)),
        step_g=float(rng.uniform(0.12, 0.35)),
        swing_rad=math.radians(rng.uniform(8.0, 26.0)),
        restless=float(rng.uniform(0.1, 0.5)),
    )


def _half_style(rng: np.random.Generator) -> HalfStyle:
    return HalfStyle(
        amount=_spread(rng, 0.10),
        time=_spread(rng, 0.08),
        roll_rad=math.radians(rng.normal(0.0, 8.0)),
        pitch_rad=math.radians(rng.normal(0.0, 8.0)),
    )


def _spread(rng: np.random.Generator, sigma: float) -> float:
    """Return a log-normal factor around 1, cut at two sigmas: people differ, monsters do not."""
    return math.exp(min(max(rng.normal(0.0, sigma), -2.0 * sigma), 2.0 * sigma))


def _rotation(vector: F64) -> F64:
    """Return the rotation matrix of a rotation vector, by the formula of Rodrigues."""
    angle = float(np.sqrt(np.sum(vector * vector)))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = (float(v) / angle for v in vector)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    result: F64 = np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross)
    return result
