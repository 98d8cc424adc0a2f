"""Variation of recorded pieces: turned, faster or slower, larger or smaller, noisier.

All pieces of an epoch are varied together, in a few operations on long arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import F32, F64, I64, Channel
from streamrnn.features import sensors as kinds
from streamrnn.features.sensors import motion_order, sensors, triads
from streamrnn.training.config import AugmentConfig

#: A piece keeps at least so many frames when it is played faster.
MIN_FRAMES = 4
#: Share of `AugmentConfig.amplitude` that each three-axis sensor has for itself.
OWN_SHARE = 0.4
#: Time runs at least at this share of its speed inside a piece, however it is bent.
SLOWEST = 0.1
#: Channels of these kinds have a gain each.
_LOOSE = (kinds.EMG, kinds.HAND, kinds.OTHER)


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
    noise : (n,)
        What the noise of each channel is measured in.
    """

    def __init__(
        self, config: AugmentConfig, channels: Sequence[Channel], noise: F32 | F64
    ) -> None:
        self.config = config
        self._noise = np.asarray(noise, np.float32)
        self._triads = [list(columns) for columns in triads(channels)]
        self._order = np.array([motion_order(channel) for channel in channels])
        found = sensors(channels)
        self._sensors = [list(sensor.columns) for sensor in found]
        self._droppable = [list(s.columns) for s in found if s.kind == kinds.OTHER]
        self._rings = [list(s.columns) for s in found if s.kind == kinds.EMG]
        self._planes = [list(s.columns[:2]) for s in found if s.kind == kinds.POSITION]
        self._loose = [c for s in found if s.kind in _LOOSE for c in s.columns]
        self._session_gains: dict[int, F32] = {}

    def new_epoch(self) -> None:
        """Have the factors of each session drawn anew."""
        self._session_gains.clear()

    def __call__(self, piece: Piece, rng: np.random.Generator) -> Piece:
        """Return a variation of one piece; its arrays are new."""
        (varied,) = self.many([piece], rng)
        return varied

    def many(self, pieces: Sequence[Piece], rng: np.random.Generator) -> list[Piece]:
        """Return a variation of each piece; their arrays are new, and views of shared ones.

        Parameters
        ----------
        pieces : sequence of Piece
            At least one.
        rng : numpy.random.Generator
            What it gives one piece depends on all others.
        """
        config = self.config
        rest = np.stack([piece.rest for piece in pieces])
        lengths = np.array([len(piece.targets) for piece in pieces])
        owner = np.repeat(np.arange(len(pieces)), lengths)
        deviation = np.concatenate([piece.x for piece in pieces]) - rest[owner]
        targets = np.concatenate([piece.targets for piece in pieces])
        weights = np.concatenate([piece.weights for piece in pieces])
        if config.speed or config.warp:
            time = _Time(config, lengths, rng)
            deviation = time.resampled(deviation)
            for order in (1, 2):
                columns = np.flatnonzero(self._order == order)
                deviation[:, columns] *= (time.speed**order)[:, None]
            targets, weights = targets[time.nearest], weights[time.nearest]
            owner, lengths = time.owner, time.lengths
        gains = self._gains(pieces, rng)
        if gains is not None:
            deviation *= gains[owner]
        if config.ring_shift and self._rings:
            deviation = np.take_along_axis(deviation, self._shifts(len(pieces), rng)[owner], 1)
        x = rest[owner] + deviation
        self._turn(x, rest, owner, rng)
        if config.jitter:
            noise = rng.standard_normal(x.shape, np.float32)
            x += noise * (np.float32(config.jitter) * self._noise)
        x = x.astype(np.float32, copy=False)
        edges = [0, *np.cumsum(lengths).tolist()]
        return [
            Piece(x[a:b], targets[a:b], weights[a:b], piece.rest, piece.session)
            for piece, a, b in zip(pieces, edges, edges[1:], strict=False)
        ]

    def _gains(self, pieces: Sequence[Piece], rng: np.random.Generator) -> F32 | None:
        """Return factors (P, n) of each piece's deviation from rest, None where all are 1."""
        config, shape = self.config, (len(pieces), len(self._noise))
        logs = np.zeros(shape, np.float32)
        if config.amplitude:
            logs += rng.normal(0.0, config.amplitude, (shape[0], 1))
            for columns in self._triads:
                logs[:, columns] += rng.normal(0.0, OWN_SHARE * config.amplitude, (shape[0], 1))
        if config.channel_gain and self._loose:
            logs[:, self._loose] += rng.normal(
                0.0, config.channel_gain, (shape[0], len(self._loose))
            )
        if config.session_gain:
            logs += np.stack([self._session_gain(piece.session, rng) for piece in pieces])
        gains = np.exp(logs)
        if config.dropout and self._droppable and len(self._sensors) > 1:
            gone = rng.random((shape[0], len(self._droppable))) < config.dropout
            if len(self._droppable) == len(self._sensors):
                gone[gone.all(axis=1)] = False
            for n, columns in enumerate(self._droppable):
                gains[:, columns] *= ~gone[:, n, None]
        return None if (gains == 1.0).all() else gains

    def _session_gain(self, session: int, rng: np.random.Generator) -> F32:
        if session not in self._session_gains:
            logs = np.zeros(len(self._noise), np.float32)
            for columns in self._sensors:
                logs[columns] = rng.normal(0.0, self.config.session_gain)
            self._session_gains[session] = logs
        return self._session_gains[session]

    def _shifts(self, n_pieces: int, rng: np.random.Generator) -> I64:
        """Return which column each column of each piece is taken from, int64 (P, n)."""
        source = np.tile(np.arange(len(self._noise)), (n_pieces, 1))
        for ring in self._rings:
            most = min(self.config.ring_shift, len(ring) // 2)
            by = rng.integers(-most, most + 1, (n_pieces, 1))
            source[:, ring] = np.array(ring)[(np.arange(len(ring)) + by) % len(ring)]
        return source

    def _turn(self, x: F32, rest: F32, owner: I64, rng: np.random.Generator) -> None:
        """Turn sensors in space and positions in their plane, in place."""
        config = self.config
        if config.rotation_deg and self._triads:
            turns = random_rotations(rng, config.rotation_deg, len(rest))[owner]
            for columns in self._triads:
                x[:, columns] = np.einsum("nij,nj->ni", turns, x[:, columns])
        if config.plane_deg and self._planes:
            angle = np.radians(rng.normal(0.0, config.plane_deg, len(rest)))
            cos, sin = np.cos(angle)[owner, None], np.sin(angle)[owner, None]
            across = [columns[0] for columns in self._planes]
            along = [columns[1] for columns in self._planes]
            x0 = rest[:, across].mean(axis=1)[owner, None]
            y0 = rest[:, along].mean(axis=1)[owner, None]
            dx, dy = x[:, across] - x0, x[:, along] - y0
            x[:, across] = x0 + cos * dx - sin * dy
            x[:, along] = y0 + sin * dx + cos * dy


class _Time:
    """How time runs in variations of some pieces.

    Attributes
    ----------
    lengths : int64 (P,)
        Frames of each variation.
    owner, nearest : int64 (M,)
        The piece of each frame, and the nearest frame of the input.
    speed : float32 (M,)
        How fast time runs there.
    """

    def __init__(self, config: AugmentConfig, lengths: I64, rng: np.random.Generator) -> None:
        n = len(lengths)
        factor = np.exp(rng.uniform(-config.speed, config.speed, n)) if config.speed else np.ones(n)
        self.lengths = np.maximum(MIN_FRAMES, np.round(lengths / factor)).astype(np.int64)
        self.owner = owner = np.repeat(np.arange(n), self.lengths)
        first = np.cumsum(self.lengths) - self.lengths
        share = (np.arange(len(owner)) - first[owner]) / (self.lengths - 1)[owner]
        swing = np.ones(len(owner))
        if config.warp:
            share, swing = _bent(share, rng.normal(0.0, config.warp, (2, n))[:, owner])
        starts = np.cumsum(lengths) - lengths
        position = np.minimum(share * (lengths - 1)[owner], (lengths - 1)[owner])
        left = position.astype(np.int64)
        self._left = starts[owner] + left
        self._right = starts[owner] + np.minimum(left + 1, (lengths - 1)[owner])
        self._share = (position - left).astype(np.float32)[:, None]
        self.nearest = starts[owner] + np.rint(position).astype(np.int64)
        self.speed = (factor[owner] * swing).astype(np.float32)

    def resampled(self, x: F32) -> F32:
        """Return frames between those of `x`, by linear interpolation, float32 (M, n)."""
        between: F32 = x[self._left] * (1 - self._share) + x[self._right] * self._share
        return between


def _bent(share: F64, swing: F64) -> tuple[F64, F64]:
    """Bend time that runs from 0 to 1, its ends in place.

    Parameters
    ----------
    share : float64 (M,)
        0..1.
    swing : float64 (2, M)
        How far half a wave and a whole wave swing about the mean speed.

    Returns
    -------
    share, speed : float64 (M,)
        `speed` is the derivative, `SLOWEST` or more.
    """
    swing = swing * np.minimum(1.0, (1.0 - SLOWEST) / np.maximum(np.abs(swing).sum(axis=0), 1e-9))
    angle = np.pi * np.array([[1.0], [2.0]]) * share
    waves = np.array([[np.pi], [2.0 * np.pi]])
    return share + (swing * np.sin(angle) / waves).sum(axis=0), 1.0 + (swing * np.cos(angle)).sum(
        axis=0
    )


def random_rotations(rng: np.random.Generator, deg: float, n: int) -> F32:
    """Return turns by N(0, deg) about axes drawn evenly from the sphere (Rodrigues).

    Returns
    -------
    float32 (n, 3, 3)
    """
    axis = rng.normal(size=(n, 3))
    x, y, z = (axis / np.linalg.norm(axis, axis=1, keepdims=True)).T
    angle = (math.radians(deg) * rng.normal(size=n))[:, None, None]
    none = np.zeros(n)
    k = np.stack([none, -z, y, z, none, -x, -y, x, none], axis=1).reshape(n, 3, 3)
    turn: F64 = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    return turn.astype(np.float32)
