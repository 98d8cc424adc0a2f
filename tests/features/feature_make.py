"""Channels, frames and turns for the tests of features."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import Channel


def channels(names: str, unit: str = "") -> tuple[Channel, ...]:
    return tuple(Channel(name, unit) for name in names.split())


def axes(*stems: str, of: str = "xyz") -> str:
    return " ".join(f"{stem}_{axis}" for stem in stems for axis in of)


IMU = (*channels(axes("acc"), "m/s^2"), *channels(axes("gyro"), "rad/s"))
HAND = channels(axes(*(f"lm{k}" for k in range(6)), of="xy") + " handedness")
BODY = channels(axes("left_hand", "right_hand", "spine", "head"))
TIP = channels("tip_x tip_y")
MUSCLES = channels(" ".join(f"emg{k}" for k in range(4)))
MIXED = (*IMU, *channels("flex1 flex2"))


def smooth(seed: int, n: int, width: int) -> np.ndarray:
    """Return sums of a few slow waves and a little noise, (n, width)."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None, None] / 50.0
    waves = np.sin(
        2 * np.pi * rng.uniform(0.2, 4.0, (width, 5)) * t + rng.uniform(0, 6, (width, 5))
    )
    noise = 0.02 * rng.normal(size=(n, width))
    return (waves * rng.normal(size=(width, 5))).sum(axis=2) + noise


def imu(seed: int, n: int = 200) -> np.ndarray:
    """Return (n, 6): accelerations with gravity, and rates."""
    x = smooth(seed, n, 6)
    x[:, :3] += (1.0, 2.0, 9.5)
    return x.astype(np.float32)


def rotation(seed: int) -> np.ndarray:
    """Return a random turn, (3, 3), without a mirror."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))
