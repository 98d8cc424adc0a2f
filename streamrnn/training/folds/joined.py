"""Trials as a stream: how a recogniser will meet them, with null before, between and behind.

A decision that is chosen on bare trials knows no null: the lowest threshold would be the best. What
is made up here is what training makes up too, so false events in real null may be more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamrnn.core.types import F32, NULL_CLASS, Frames, Label
from streamrnn.features import sensors as kinds
from streamrnn.features.sensors import sensors
from streamrnn.sessions.session import Session
from streamrnn.training.augment import Piece
from streamrnn.training.config import TrainConfig
from streamrnn.training.folds.splits import Fold
from streamrnn.training.rows import RowMaker

#: So many trials make a stream.
TRIALS = 8


def joined_trials(fold: Fold, config: TrainConfig) -> Fold:
    """Return a fold whose left-out trials of each person and rate are streams of some trials.

    Parameters
    ----------
    fold : Fold
        Its left-out sessions hold one gesture from end to end, or none.
    config : TrainConfig
        Gaps, and the seed of their lengths and of the order.
    """
    rng = np.random.default_rng(config.seed)
    groups: dict[tuple[str, float], list[Session]] = {}
    for n in rng.permutation(len(fold.left_out)).tolist():
        session = fold.left_out[n]
        if len(session):
            groups.setdefault((session.subject, session.info.rate_hz), []).append(session)
    streams: list[Session] = []
    names: list[str] = []
    for _, trials in sorted(groups.items(), key=lambda item: item[0]):
        for a in range(0, len(trials), TRIALS):
            part = trials[a : a + TRIALS]
            streams.append(_joined(part, config, rng))
            names.append(f"{len(part)} trials joined, number {len(names) + 1}")
    return replace(fold, left_out=streams, left_out_names=tuple(names))


def _joined(trials: list[Session], config: TrainConfig, rng: np.random.Generator) -> Session:
    info = trials[0].info
    pieces = [_piece(session) for session in trials]
    spread = np.concatenate([piece.x for piece in pieces]).std(axis=0)
    lengths = [len(piece.targets) for piece in pieces]
    maker = RowMaker(pieces, info.channels, spread, float(np.median(lengths)), config)
    blocks: list[Piece] = [maker.null(None, pieces[0], maker.gap(rng), rng)]
    edges: list[tuple[Session, int, int]] = []
    n_frames = len(blocks[0].targets)
    for n, (session, piece) in enumerate(zip(trials, pieces, strict=True)):
        following = pieces[n + 1] if n + 1 < len(pieces) else None
        null = maker.null(piece, following, maker.gap(rng), rng)
        edges.append((session, n_frames, n_frames + len(piece.targets)))
        blocks += [piece, null]
        n_frames += len(piece.targets) + len(null.targets)
    seq = np.arange(n_frames, dtype=np.int64)
    t_us = np.round(seq * (1e6 / info.rate_hz)).astype(np.int64)
    labels = [
        Label(session.labels[0].name, int(t_us[a]), int(t_us[b]), session.labels[0].source)
        for session, a, b in edges
        if session.labels
    ]
    frames = Frames(np.concatenate([block.x for block in blocks]), seq, t_us)
    return Session(info, frames, t_us * 1000, labels, metadata=dict(trials[0].metadata))


def _piece(session: Session) -> Piece:
    """Return the frames of a trial and the sensors at rest."""
    x = session.frames.x
    good = x[np.isfinite(x).all(axis=1)]
    rest: F32 = (
        (good if len(good) else np.zeros_like(x[:1]))
        .mean(axis=0, dtype=np.float64)
        .astype(np.float32)
    )
    for sensor in sensors(session.info.channels):
        if sensor.kind in (kinds.RATE, kinds.FIELD, kinds.TRIAD, kinds.EMG):
            rest[list(sensor.columns)] = 0.0
    kind = np.full(len(x), NULL_CLASS + 1 if session.labels else NULL_CLASS, np.int64)
    return Piece(x, kind, np.ones(len(x), np.float32), rest)
