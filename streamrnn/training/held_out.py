"""How a network in training does on the sessions that it does not train on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from streamrnn.core.types import F32, I64, Frames
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.events import Score, macro_f1
from streamrnn.evaluation.report import Report
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels import pointwise
from streamrnn.kernels.backend import Backend
from streamrnn.kernels.params import Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session_with_probabilities
from streamrnn.sessions.labels import frame_labels
from streamrnn.sessions.session import Session
from streamrnn.training.batches import Row, at_end, padded, trials
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import DataSet, cut
from streamrnn.training.targets import decision_for, frame_weights

#: Trials that go through the network together.
TRIALS_AT_ONCE = 64


class HeldOut(Protocol):
    """Something that scores weights."""

    def __call__(self, params: Params) -> tuple[float, float]:
        """Return the event F1, 0..1, and the loss."""
        ...


class HeldOutEvents:
    """Whole sessions through the product's own pipeline, events matched with the labels.

    Parameters
    ----------
    data : DataSet
    config : TrainConfig
    backend : Backend
    class_weights : float32 (C,)
    """

    def __init__(
        self, data: DataSet, config: TrainConfig, backend: Backend, class_weights: F32
    ) -> None:
        self._data = data
        self._config = config
        self._backend = backend
        self._class_weights = class_weights
        self._n_boundary = round(config.boundary_fraction * data.median_frames)

    def __call__(self, params: Params) -> tuple[float, float]:
        """Return the event F1, 0..1, and the loss."""
        bundle = bundle_of(self._data, self._config, params)
        report = Report(bundle.labels[1:])
        total = weight = 0.0
        for session in self._data.held_out:
            run = run_session_with_probabilities(bundle, session, self._backend)
            report.add(session, run.records)
            frames = Frames(np.empty((len(run.seq), 0), np.float32), run.seq, run.t_us)
            y = frame_labels(replace(session, frames=frames), self._data.labels)
            one, many = self._loss(run.probabilities, y)
            total += one
            weight += many
        return report.macro_f1, total / weight if weight else math.inf

    def _loss(self, probabilities: F32, y: I64) -> tuple[float, float]:
        weights = frame_weights(y, self._config.head_fraction, self._n_boundary)
        weights = weights * self._class_weights[y]
        p = probabilities[np.arange(len(y)), y].astype(np.float64)
        return float(-(weights * np.log(np.maximum(p, 1e-30))).sum()), float(weights.sum())


class HeldOutTrials:
    """Trials, each judged at its last frame; the parameters are those of `HeldOutEvents`."""

    def __init__(
        self, data: DataSet, config: TrainConfig, backend: Backend, class_weights: F32
    ) -> None:
        self._backend = backend
        self._class_weights = class_weights
        self._labels = data.labels
        stretches = [s for session in data.held_out for s in cut(session, data, config)]
        chain = FeatureChain.from_document(data.chain.to_document())
        self._rows: list[Row] = []
        for piece in trials(stretches, data.median_frames):
            chain.reset()
            self._rows.append(Row(chain.push(piece.x), piece.targets, at_end(piece), True))

    def __call__(self, params: Params) -> tuple[float, float]:
        """Return the macro F1 of the trials, 0..1, and the loss."""
        handle = self._backend.upload(params)
        n_classes = len(self._labels)
        counts = np.zeros((n_classes, n_classes), np.int64)
        total = weight = 0.0
        for a in range(0, len(self._rows), TRIALS_AT_ONCE):
            part = padded(self._rows[a : a + TRIALS_AT_ONCE], np.empty(0, np.int64))
            n_rows = len(part.lengths)
            state = self._backend.zero_state(handle, n_rows)
            logits, _ = self._backend.forward(handle, part.x, state, part.lengths)
            rows = np.arange(n_rows)
            last = np.ascontiguousarray(logits[part.lengths - 1, rows], np.float32)
            probabilities = np.empty_like(last)
            pointwise.softmax_rows(last, probabilities)
            y = part.targets[part.lengths - 1, rows]
            np.add.at(counts, (y, probabilities.argmax(axis=1)), 1)
            p = probabilities[rows, y].astype(np.float64)
            total -= float((self._class_weights[y] * np.log(np.maximum(p, 1e-30))).sum())
            weight += float(self._class_weights[y].sum())
        return trial_f1(counts), total / weight if weight else math.inf


def trial_f1(counts: I64) -> float:
    """Return the mean F1 of the classes that occur, from a (true, predicted) table."""
    by_class = {
        str(k): Score(int(counts[k].sum()), int(counts[:, k].sum()), int(counts[k, k]))
        for k in range(len(counts))
        if counts[k].sum() or counts[:, k].sum()
    }
    return macro_f1(by_class)


def bundle_of(data: DataSet, config: TrainConfig, params: Params) -> Bundle:
    """Return the model that `params` would be."""
    measured = decision_for([s.y for s in data.stretches], data.rate_hz)
    decision = DecisionConfig(**{**measured, **config.decision})
    return Bundle(
        params=params,
        features=data.chain,
        labels=data.labels,
        rate_hz=data.rate_hz,
        channels=data.channels,
        decision=decision,
        max_gap_ms=config.max_gap_ms,
        signal=data.signal,
    )


def held_out_of(
    data: DataSet, config: TrainConfig, backend: Backend, class_weights: F32
) -> HeldOut | None:
    """Return what watches a run; None when nothing is held out."""
    sessions: Sequence[Session] = data.held_out
    if not sessions:
        return None
    kind = HeldOutTrials if data.form == "trial" else HeldOutEvents
    return kind(data, config, backend, class_weights)


def warm_up(backend: Backend) -> None:
    """Compile (or load from the cache) all that training and watching call."""
    backend.warm_up(np.dtype(np.float32), training=True)
    pointwise.warm_up()
