"""The way back: a hand that went somewhere comes back, and that is no gesture.

Behind a turn to the left a hand turns to the right, and whoever cuts recordings by gestures seldom
has that in the null class. A movement played backwards in time is made of what was recorded:
rates change their sign, accelerations do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import F32, NULL_CLASS, Channel
from streamrnn.features.sensors import motion_order
from streamrnn.training.augment import Piece

#: The way back is that much slower or faster: logarithm of the speed, from and to.
SPEEDS = (-1.0, 0.2)
#: Gestures shorter than this are no ways, frames.
MIN_FRAMES = 6


class Returner:
    """Puts the way back behind gestures.

    Parameters
    ----------
    channels : sequence of Channel
        The columns of the pieces.

    Attributes
    ----------
    is_possible : bool
        Whether any channel feels motion.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._order = np.array([motion_order(channel) for channel in channels])
        self._sign: F32 = np.where(self._order == 1, -1.0, 1.0).astype(np.float32)
        self.is_possible = bool(self._order.any())

    def __call__(self, piece: Piece, rng: np.random.Generator) -> Piece:
        """Return `piece` with its gesture backwards at its end, as null; new arrays.

        Channels that feel no motion are played backwards as they are.
        """
        active = np.flatnonzero(piece.targets != NULL_CLASS)
        if len(active) < MIN_FRAMES:
            return piece
        speed = math.exp(rng.uniform(*SPEEDS))
        backwards = (piece.x[active[0] : active[-1] + 1] - piece.rest)[::-1]
        at = np.linspace(0, len(backwards) - 1, max(MIN_FRAMES, round(len(backwards) / speed)))
        left = at.astype(np.int64)
        right = np.minimum(left + 1, len(backwards) - 1)
        share = (at - left).astype(np.float32)[:, None]
        way = backwards[left] * (1 - share) + backwards[right] * share
        way = piece.rest + way * self._sign * np.float32(speed) ** self._order
        return Piece(
            np.concatenate([piece.x, way.astype(np.float32)]),
            np.concatenate([piece.targets, np.full(len(way), NULL_CLASS, np.int64)]),
            np.concatenate([piece.weights, np.ones(len(way), np.float32)]),
            piece.rest,
            piece.session,
        )
