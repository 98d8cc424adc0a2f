"""From what a person does to what the sensor on the hand reads."""

from __future__ import annotations

import math

import numpy as np

from firmware_sim.signals.gestures import FORWARD, PITCH, ROLL, SIDE, UP, YAW, Stroke
from firmware_sim.signals.people import Person
from firmware_sim.signals.plan import Passage
from streamrnn.core.types import F64

_GRAVITY_M_S2 = 9.80665
_WALK_EASE_S = 0.7


class _Pose:
    """Position, speed and acceleration of the six coordinates of the hand, (6, n) each."""

    def __init__(self, n: int, rate_hz: float) -> None:
        self.t_s: F64 = np.arange(n) / rate_hz
        self.rate_hz = rate_hz
        self.at = np.zeros((6, n))
        self.speed = np.zeros((6, n))
        self.acc = np.zeros((6, n))

    def slice_of(self, start_s: float, duration_s: float) -> slice:
        """Return the frames from `start_s` on, for `duration_s`."""
        n = len(self.t_s)
        first = math.ceil(start_s * self.rate_hz - 1e-9)
        behind = math.ceil((start_s + duration_s) * self.rate_hz - 1e-9)
        return slice(min(max(first, 0), n), min(max(behind, 0), n))

    def add_stroke(self, stroke: Stroke) -> None:
        """Add a movement of least jerk."""
        axis, start_s, duration_s, amount = stroke
        part = self.slice_of(start_s, duration_s)
        u = (self.t_s[part] - start_s) / duration_s
        v = 1.0 - u
        uu = u * u
        self.at[axis, part] += amount * uu * u * (10.0 - 15.0 * u + 6.0 * uu)
        self.at[axis, part.stop :] += amount
        self.speed[axis, part] += (30.0 * amount / duration_s) * uu * v * v
        self.acc[axis, part] += (60.0 * amount / duration_s**2) * u * v * (v - u)

    def add_sine(self, axis: int, part: slice, amount: F64 | float, hz: float, phase: F64) -> None:
        """Add a sine; `phase` is its argument at each frame of `part`, rad."""
        w = 2.0 * math.pi * hz
        wave, slope = amount * np.sin(phase), amount * np.cos(phase)
        self.at[axis, part] += wave
        self.speed[axis, part] += w * slope
        self.acc[axis, part] -= w * w * wave


def render(
    person: Person,
    passage: Passage,
    first: int,
    n: int,
    *,
    rate_hz: float,
    rng: np.random.Generator,
) -> F64:
    """Return what the sensor reads during a passage.

    Parameters
    ----------
    person : Person
    passage : Passage
    first : int
        Index of the first frame in the stream: sway and tremor run on from passage to passage.
    n : int
        Number of frames.
    rate_hz : float
    rng : Generator
        Noise; takes the same numbers for the same `n`.

    Returns
    -------
    float64 (n, 6)
        acc_x..z in g, gyro_x..z in dps.
    """
    pose = _Pose(n, rate_hz)
    pose.at[ROLL] += person.roll_rad + passage.roll_rad
    pose.at[PITCH] += person.pitch_rad + passage.pitch_rad
    everything = slice(0, n)
    t_s = (first + np.arange(n)) / rate_hz
    for i, axis in enumerate((ROLL, PITCH)):
        for size, hz, phase in zip(
            person.sway_rad[i], person.sway_hz[i], person.sway_phase[i], strict=True
        ):
            pose.add_sine(axis, everything, size, hz, 2.0 * math.pi * hz * t_s + phase)
    for stroke in passage.strokes:
        pose.add_stroke(stroke)
    for start_s, duration_s in passage.walks:
        _walk(pose, person, start_s, duration_s)
    x = _sense(pose, person)
    x += _tremor(person, t_s)
    x[:, :3] = x[:, :3] @ person.mount.T + person.acc_bias_g
    x[:, 3:] = x[:, 3:] @ person.mount.T + person.gyro_bias_dps
    noise = rng.standard_normal((n, 6))
    x[:, :3] += person.acc_noise_g * noise[:, :3]
    x[:, 3:] += person.gyro_noise_dps * noise[:, 3:]
    return x


def _walk(pose: _Pose, person: Person, start_s: float, duration_s: float) -> None:
    """Add steps and a swinging arm that ease in and out."""
    part = pose.slice_of(start_s, duration_s)
    t_s = pose.t_s[part] - start_s
    edge = np.minimum(t_s, duration_s - t_s) / _WALK_EASE_S
    u = np.clip(edge, 0.0, 1.0)
    ease = u * u * (3.0 - 2.0 * u)
    step = 2.0 * math.pi * person.step_hz * t_s
    pose.add_sine(PITCH, part, ease * person.swing_rad, 0.5 * person.step_hz, 0.5 * step)
    pose.add_sine(YAW, part, ease * 0.35 * person.swing_rad, 0.5 * person.step_hz, 0.5 * step + 0.9)
    pose.add_sine(
        ROLL, part, ease * 0.25 * person.swing_rad, 0.5 * person.step_hz, 0.5 * step + 2.0
    )
    thump = person.step_g * _GRAVITY_M_S2 * ease
    pose.acc[UP, part] += thump * (np.sin(step) + 0.5 * np.sin(2.0 * step + 0.6))
    pose.acc[FORWARD, part] += 0.4 * thump * np.sin(step + 1.2)
    pose.acc[SIDE, part] += 0.3 * thump * np.sin(0.5 * step + 0.4)


def _sense(pose: _Pose, person: Person) -> F64:
    """Return specific force (g) and angular velocity (dps) in the frame of the hand.

    The hand is turned by yaw, then pitch, then roll (R = Rz Ry Rx). Displacements count in the
    frame of its heading, where the swing about the elbow adds the centripetal and the tangential
    acceleration. Rates follow from Euler's kinematic equations.
    """
    roll, pitch = pose.at[ROLL], pose.at[PITCH]
    d_roll, d_pitch, d_yaw = pose.speed[ROLL], pose.speed[PITCH], pose.speed[YAW]
    sr, cr, sp, cp = np.sin(roll), np.cos(roll), np.sin(pitch), np.cos(pitch)
    forward = pose.acc[FORWARD] - person.radius_m * (d_yaw * d_yaw + d_pitch * d_pitch)
    side = pose.acc[SIDE] + person.radius_m * pose.acc[YAW]
    up = pose.acc[UP] - person.radius_m * pose.acc[PITCH] + _GRAVITY_M_S2
    x = np.empty((len(roll), 6))
    down = sp * forward + cp * up
    x[:, 0] = cp * forward - sp * up
    x[:, 1] = cr * side + sr * down
    x[:, 2] = cr * down - sr * side
    x[:, :3] /= _GRAVITY_M_S2
    x[:, 3] = d_roll - sp * d_yaw
    x[:, 4] = cr * d_pitch + sr * cp * d_yaw
    x[:, 5] = cr * cp * d_yaw - sr * d_pitch
    x[:, 3:] *= 180.0 / math.pi
    return x


def _tremor(person: Person, t_s: F64) -> F64:
    """Return the fine shaking of a held hand, swelling and fading, (n, 6)."""
    swell = 1.0 + 0.6 * np.sin(2.0 * math.pi * 0.11 * t_s + person.tremor_phase[0])
    wave = np.sin((2.0 * math.pi * person.tremor_hz * t_s)[:, None] + person.tremor_phase[None, :])
    wave *= swell[:, None]
    wave[:, :3] *= person.tremor_g
    wave[:, 3:] *= person.tremor_dps
    return wave
