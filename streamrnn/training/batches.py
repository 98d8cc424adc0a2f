"""Batches: slices of lanes for frame labels, padded rows for trials, alone or with null between.

All randomness comes from the generator that is handed in, so an epoch can be run again bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.features.chain import FeatureChain
from streamrnn.sessions.labels import runs
from streamrnn.training.augment import Augmenter, Piece
from streamrnn.training.config import EPOCHS_TIMES, TrainConfig
from streamrnn.training.data import DataSet, Stretch
from streamrnn.training.returns import Returner
from streamrnn.training.rows import RowMaker
from streamrnn.training.targets import cut_in_gaps, frame_weights, stand_apart

#: A slice holds about so many median gestures, within these bounds (frames).
GESTURES_A_SLICE = 2
SLICE_BOUNDS = (32, 256)
#: Pieces of about so many frames are varied at once; bounds the memory.
FRAMES_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What one update learns from.

    Attributes
    ----------
    x : float32 (T, B, I)
        Features.
    targets : int64 (T, B)
    weights : float32 (T, B)
    lengths : int64 (B,)
        Valid frames of each lane.
    reset : int64 (R,)
        Lanes whose state is forgotten before this slice.
    """

    x: F32
    targets: I64
    weights: F32
    lengths: I64
    reset: I64


class Plan:
    """Draws epochs from a data set.

    Parameters
    ----------
    data : DataSet
    config : TrainConfig

    Attributes
    ----------
    n_lanes : int
        B of every slice (the last batch of rows may have fewer).
    slice_frames : int
        Longest T of a slice; 0 for rows and trials, which are as long as they are.
    n_updates : int
        Slices of an epoch, about.
    n_epochs : int
        Passes over the data: those of the configuration, or more until `min_updates` is reached.
    pieces : list of Piece
        What is drawn from: a gesture with the null frames around it, a session, or a trial.
    """

    def __init__(self, data: DataSet, config: TrainConfig) -> None:
        self._chain = FeatureChain.from_document(data.chain.to_document())
        self._augment = Augmenter(config.augment, data.channels, data.noise)
        self._config = config
        self._returner = Returner(data.channels)
        if data.form in ("trial", "rows"):
            self.pieces = trials(data.stretches, data.median_frames)
            self.slice_frames = 0
            n_rows = len(self.pieces)
            self._draw = self._trials
            if data.form == "rows":
                self._maker = RowMaker(
                    self.pieces, data.channels, data.noise, data.median_frames, config
                )
                n_rows = math.ceil(n_rows / self._maker.mean_trials)
                self._draw = self._rows
            self.n_lanes = min(config.batch_size, n_rows)
            self.n_updates = math.ceil(n_rows / self.n_lanes)
        else:
            is_cut = streams_of(data, config) == "segments"
            self.pieces = pieces(data, config, is_cut=is_cut)
            self.slice_frames = config.slice_frames or slice_frames(data.median_frames)
            self._n_frames = sum(len(piece.targets) for piece in self.pieces)
            self.n_lanes = max(1, min(config.n_lanes, self._n_frames // self.slice_frames))
            self._draw = self._joined
            if not is_cut:
                self.n_lanes = min(self.n_lanes, len(self.pieces))
                self._draw = self._consecutive
            self.n_updates = max(1, round(self._n_frames / (self.n_lanes * self.slice_frames)))
        wanted = config.min_updates
        if wanted:
            wanted = max(wanted, config.class_updates * (len(data.labels) - 1))
        n_epochs = math.ceil(wanted / self.n_updates)
        self.n_epochs = max(config.epochs, min(n_epochs, EPOCHS_TIMES * config.epochs))

    def epoch(self, rng: np.random.Generator) -> list[Slice]:
        """Return the slices of one epoch, in order."""
        self._augment.new_epoch()
        return list(self._draw(rng))

    def _varied(self, order: Sequence[int], rng: np.random.Generator) -> Iterator[Piece]:
        """Yield variations of the pieces of these numbers, made many at once."""
        behind = 0
        while behind < len(order):
            first, n_frames = behind, 0
            while behind < len(order) and n_frames < FRAMES_AT_ONCE:
                n_frames += len(self.pieces[order[behind]].targets)
                behind += 1
            yield from self._augment.many([self.pieces[n] for n in order[first:behind]], rng)

    def _features(self, x: F32) -> F32:
        self._chain.reset()
        return self._chain.push(x)

    def _joined(self, rng: np.random.Generator) -> Iterator[Slice]:
        """Join pieces in random order to lanes of whole slices, about one pass in all."""
        size, n_slices = self.slice_frames, self.n_updates
        lanes = []
        endless = self._endless(rng)
        for _ in range(self.n_lanes):
            chosen: list[Piece] = []
            n_frames = 0
            while n_frames < n_slices * size:
                chosen.append(self._returned(next(endless), rng))
                n_frames += len(chosen[-1].targets)
            lanes.append(self._lane(chosen, n_slices * size))
        x, targets, weights = (np.stack(part, axis=1) for part in zip(*lanes, strict=True))
        full = np.full(self.n_lanes, size, np.int64)
        for k in range(n_slices):
            part = slice(k * size, (k + 1) * size)
            yield Slice(x[part], targets[part], weights[part], full, self._resets(rng))

    def _returned(self, piece: Piece, rng: np.random.Generator) -> Piece:
        share = self._config.augment.returns
        if share and self._returner.is_possible and rng.random() < share:
            return self._returner(piece, rng)
        return piece

    def _endless(self, rng: np.random.Generator) -> Iterator[Piece]:
        while True:
            yield from self._varied(rng.permutation(len(self.pieces)).tolist(), rng)

    def _lane(self, chosen: list[Piece], n_frames: int) -> tuple[F32, I64, F32]:
        x = np.concatenate([piece.x for piece in chosen])[:n_frames]
        targets = np.concatenate([piece.targets for piece in chosen])[:n_frames]
        weights = np.concatenate([piece.weights for piece in chosen])[:n_frames]
        return self._features(x), targets, weights

    def _resets(self, rng: np.random.Generator) -> I64:
        drawn = rng.random(self.n_lanes) < self._config.reset_probability
        return np.flatnonzero(drawn).astype(np.int64)

    def _consecutive(self, rng: np.random.Generator) -> Iterator[Slice]:
        """Deal whole sessions to lanes; each starts a slice of its own, with a fresh state."""
        size = self.slice_frames
        lanes: list[list[Row]] = [[] for _ in range(self.n_lanes)]
        for piece in self._varied(rng.permutation(len(self.pieces)).tolist(), rng):
            features = self._features(piece.x)
            lane = min(lanes, key=len)
            for a in range(0, len(features), size):
                part = slice(a, a + size)
                lane.append(Row(features[part], piece.targets[part], piece.weights[part], a == 0))
        x, targets, weights, _ = lanes[0][0]
        nothing = Row(x[:0], targets[:0], weights[:0], True)
        for k in range(max(map(len, lanes))):
            rows = [lane[k] if k < len(lane) else nothing for lane in lanes]
            begun = np.flatnonzero([row.starts for row in rows])
            resets = np.union1d(begun, self._resets(rng)).astype(np.int64)
            yield padded(rows, resets)

    def _trials(self, rng: np.random.Generator) -> Iterator[Slice]:
        """Deal trials to batches; each row is one trial from its first frame to its last."""
        rows: list[Row] = []
        for piece in self._varied(rng.permutation(len(self.pieces)).tolist(), rng):
            rows.append(Row(self._features(piece.x), piece.targets, at_end(piece), True))
            if len(rows) == self.n_lanes:
                yield padded(rows, np.arange(len(rows), dtype=np.int64))
                rows = []
        if rows:
            yield padded(rows, np.arange(len(rows), dtype=np.int64))

    def _rows(self, rng: np.random.Generator) -> Iterator[Slice]:
        """Deal rows of one or more trials, with null between, to batches."""
        rows: list[Row] = []
        trials = self._varied(rng.permutation(len(self.pieces)).tolist(), rng)
        for row in self._maker.epoch(trials, rng, lambda n: self._augment(self.pieces[n], rng)):
            n_frames = sum(len(piece.targets) for piece in row)
            rows.append(Row(*self._lane(row, n_frames), True))
            if len(rows) == self.n_lanes:
                yield padded(rows, np.arange(len(rows), dtype=np.int64))
                rows = []
        if rows:
            yield padded(rows, np.arange(len(rows), dtype=np.int64))


class Row(NamedTuple):
    """One lane of a slice: features (N, I), targets (N,), weights (N,), and is it a beginning."""

    x: F32
    targets: I64
    weights: F32
    starts: bool


def padded(rows: Sequence[Row], reset: I64) -> Slice:
    """Return rows of different lengths as one slice; what lies behind a row's end is 0.

    Parameters
    ----------
    rows : sequence of Row
    reset : int64 (R,)
    """
    lengths = np.array([len(row.targets) for row in rows], np.int64)
    n_steps, n_rows = int(lengths.max()), len(rows)
    x = np.zeros((n_steps, n_rows, rows[0].x.shape[1]), np.float32)
    targets = np.zeros((n_steps, n_rows), np.int64)
    weights = np.zeros((n_steps, n_rows), np.float32)
    for b, row in enumerate(rows):
        valid = slice(0, lengths[b])
        x[valid, b] = row.x
        targets[valid, b] = row.targets
        weights[valid, b] = row.weights
    return Slice(x, targets, weights, lengths, reset)


def slice_frames(median_frames: float) -> int:
    """Return how many frames lie between two updates, a multiple of 16, for a median gesture."""
    low, high = SLICE_BOUNDS
    return int(min(max(16 * round(GESTURES_A_SLICE * median_frames / 16), low), high))


def streams_of(data: DataSet, config: TrainConfig) -> str:
    """Return what ``streams = "auto"`` comes to: "segments" or "sessions"."""
    if config.streams != "auto":
        return config.streams
    return "segments" if stand_apart([s.y for s in data.stretches]) else "sessions"


def pieces(data: DataSet, config: TrainConfig, *, is_cut: bool) -> list[Piece]:
    """Return what an epoch of frame labels is drawn from: sessions, or what they are cut into."""
    n_boundary = round(config.boundary_fraction * data.median_frames)
    found = []
    for stretch in data.stretches:
        weights = frame_weights(
            stretch.y,
            config.head_fraction,
            n_boundary,
            head_weight=config.head_weight,
            ramp=config.ramp,
        )
        cuts = cut_in_gaps(stretch.y) if is_cut else [(0, len(stretch.y))]
        for a, b in cuts:
            part = slice(a, b)
            x, y = stretch.x[part], stretch.y[part]
            found.append(Piece(x, y, weights[part], stretch.rest, stretch.session))
    return found


def trials(stretches: Sequence[Stretch], median_frames: float) -> list[Piece]:
    """Return every labelled interval as one example; `at_end` says where it counts.

    The time between gestures is cut into examples of the null class, as long as a median gesture.
    """
    found = []
    for stretch in stretches:
        for a, b, k in runs(stretch.y):
            n_parts = 1 if k != NULL_CLASS else max(1, round((b - a) / median_frames))
            for part in np.array_split(np.arange(a, b), n_parts):
                if len(part):
                    piece = slice(int(part[0]), int(part[-1]) + 1)
                    x, y = stretch.x[piece], stretch.y[piece]
                    weights = np.ones(len(y), np.float32)
                    found.append(Piece(x, y, weights, stretch.rest, stretch.session))
    return found


def at_end(piece: Piece) -> F32:
    """Return weights that judge a trial at its last frame."""
    weights = np.zeros(len(piece.targets), np.float32)
    weights[-1] = 1.0
    return weights
