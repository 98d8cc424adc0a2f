"""Variation of recorded pieces: turned, faster or slower, larger or smaller, noisier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import F32, F64, I64, Channel
from streamrnn.features.sensors import motion_order, triads
from streamrnn.training.config import AugmentConfig

#: A piece keeps at least so many frames when it is played faster.
MIN_FRAMES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stretch of frames to learn from.

    Attributes
    ----------
    x : float32 (N, n)
        Samples.
    targets : int64 (N,)
        Class of each frame.
    weights : float32 (N,)
        Weight of each frame in the loss.
    rest : float32 (n,)
        Samples of the sensor at rest (an accelerometer feels gravity).
    session : int
        Which recording it was cut from.
    """

    x: F32
    targets: I64
    weights: F32
    rest: F32
    session: int = 0


class Augmenter:
    """Vary pieces of one kind of stream.

    Parameters
    ----------
    config : AugmentConfig
    channels : sequence of Channel
        The columns of the pieces.
    spread : (n,)
        Typical deviation of each channel from rest.
    """

    def __init__(
        self, config: AugmentConfig, channels: Sequence[Channel], spread: F32 | F64
    ) -> None:
        self.config = config
        self._triads = [list(columns) for columns in triads(channels)]
        self._order = np.array([motion_order(channel) for channel in channels], np.float32)
        self._spread = np.asarray(spread, np.float32)

    def __call__(self, piece: Piece, rng: np.random.Generator) -> Piece:
        """Return a variation of `piece`; its arrays are new."""
        config = self.config
        deviation = piece.x - piece.rest
        rest = piece.rest
        targets, weights = piece.targets, piece.weights
        if config.speed:
            factor = math.exp(rng.uniform(-config.speed, config.speed))
            deviation, nearest = resample(deviation, factor)
            deviation *= np.float32(factor) ** self._order
            targets, weights = targets[nearest], weights[nearest]
        if config.amplitude:
            deviation *= self._amplitude(rng)
        x = rest + deviation
        if config.rotation_deg and self._triads:
            turn = random_rotation(rng, config.rotation_deg)
            for columns in self._triads:
                x[:, columns] = x[:, columns] @ turn.T
        if config.jitter:
            noise = rng.standard_normal(x.shape, np.float32)
            x += noise * (np.float32(config.jitter) * self._spread)
        return Piece(x.astype(np.float32), targets, weights, rest, piece.session)

    def _amplitude(self, rng: np.random.Generator) -> F32:
        spread = self.config.amplitude
        factors = np.full(len(self._spread), math.exp(rng.normal() * spread), np.float32)
        for columns in self._triads:
            factors[columns] *= np.float32(math.exp(rng.normal() * spread * 0.4))
        return factors


def resample(x: F32, factor: float) -> tuple[F32, I64]:
    """Play `x` `factor` times as fast, by linear interpolation.

    Returns
    -------
    x : float32 (M, n)
    nearest : int64 (M,)
        The frame of the input nearest to each frame of the output.
    """
    n_after = max(MIN_FRAMES, round(len(x) / factor))
    position = np.linspace(0, len(x) - 1, n_after)
    left = position.astype(np.int64)
    right = np.minimum(left + 1, len(x) - 1)
    share = (position - left).astype(np.float32)[:, None]
    return x[left] * (1 - share) + x[right] * share, np.rint(position).astype(np.int64)


def random_rotation(rng: np.random.Generator, deg: float) -> F32:
    """Return a turn by N(0, deg) about an axis drawn evenly from the sphere (Rodrigues).

    Returns
    -------
    float32 (3, 3)
    """
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = math.radians(rng.normal() * deg)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: F64 = np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)
    return turn.astype(np.float32)
