"""One trained model on the recordings that its fold left out: counts and figures.

What comes out is plain numbers, lists and text, so that folds can run in processes of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.accuracy.early import choose_early
from benchmarks.accuracy.folds import Fold, piece
from benchmarks.accuracy.protocols import Protocol
from benchmarks.accuracy.uhh_rules import authors_pairs, authors_segments, pair_f1
from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.events import (
    Segment,
    macro_f1,
    match,
    overlap,
    scores,
    segments_from_labels,
)
from streamrnn.evaluation.heldout import HeldOutRun, run_held_out
from streamrnn.evaluation.metrics.frames import confusion, frame_scores
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.labels import frame_labels, runs
from streamrnn.sessions.session import Session, frame_period_us

#: An event must be out so many frames behind the true onset, in the table of F1 against delay.
DELAYS = (6, 10, 15, 20, 30, 45)
#: The delay that a target is about.
EARLY = 15

Counts = dict[str, Any]


def judge(
    protocol: Protocol,
    bundle: Bundle,
    fold: Fold,
    backend: Backend,
    inner: Sequence[HeldOutRun] = (),
) -> Counts:
    """Return what a model did on a fold's test recordings (see the functions for the keys).

    Parameters
    ----------
    protocol : Protocol
    bundle : Bundle
        Trained on the fold's training recordings.
    fold : Fold
    backend : Backend
    inner : sequence of HeldOutRun
        Cross-validation of the training recordings; early decisions are chosen on it.
    """
    if protocol.kind == "events":
        return _events(bundle, fold, backend, inner)
    how = {"frames": _frames, "windows": _windows, "trials": _trials}
    return how[protocol.kind](protocol, bundle, fold, backend)


# ---- one stream of a person, by the authors' rules


def _events(bundle: Bundle, fold: Fold, backend: Backend, inner: Sequence[HeldOutRun]) -> Counts:
    [session] = fold.test
    period_us = frame_period_us(session.info.rate_hz, session.frames.t_us)
    early = {n: choose_early(inner, bundle.decision, n * period_us) for n in DELAYS}
    counts = _by_authors(bundle, session, early, backend)
    for name, [more] in fold.extra.items():
        counts[name] = _by_authors(bundle, more, early, backend)
    counts["early"] = asdict(early[EARLY])
    return counts


def _by_authors(
    bundle: Bundle, session: Session, early: dict[int, DecisionConfig], backend: Backend
) -> Counts:
    run = run_held_out(bundle, session, backend)
    truth = segments_from_labels(session)
    n_none = sum(k == NULL_CLASS for _, _, k in runs(frame_labels(session, bundle.labels)))
    period_us = frame_period_us(session.info.rate_hz, session.frames.t_us)
    rerun = Rerun([run], bundle.labels, bundle.rate_hz)
    [found] = rerun.found(replace(bundle.decision, fire="end"))
    pairs = authors_pairs(found, truth, n_none)
    raw = authors_segments(run.probabilities, run.t_us, bundle.labels)
    strict = scores(truth, found, match(truth, found, min_iou=0.5))
    found_early = {n: rerun.found(decision)[0] for n, decision in early.items()}
    curve = {
        n: pair_f1(authors_pairs(segments, truth, n_none, within=n * period_us))
        for n, segments in found_early.items()
    }
    null_frames = int((frame_labels(session, bundle.labels) == NULL_CLASS).sum())
    return {
        "pairs": pairs,
        "F1 end": pair_f1(pairs),
        "F1 rule 1": pair_f1(authors_pairs(raw, truth, n_none)),
        "F1 IoU .5": macro_f1(strict),
        "F1 within": curve,
        "F1 15 frames": curve[EARLY],
        "true": len(truth),
        "missed": sum(said == "none" != true for true, said in pairs),
        "confused": sum(true != said and "none" not in (true, said) for true, said in pairs),
        "false": sum(true == "none" != said for true, said in pairs),
        "on nothing": _on_nothing(found, truth),
        "null frames": null_frames,
        "delays": _delays(truth, found, period_us),
        "early delays": _delays(truth, found_early[EARLY], period_us),
    }


def _on_nothing(found: Sequence[Segment], truth: Sequence[Segment]) -> int:
    """Return how many events touch no true gesture, of whatever class."""
    return sum(not any(overlap(event, true) for true in truth) for event in found)


def _delays(truth: Sequence[Segment], found: Sequence[Segment], period_us: int) -> list[float]:
    """Return, in frames, how long after its true onset each found gesture was known."""
    pairs = match(truth, found)
    return [round((found[j].decided - truth[i].start) / period_us, 2) for i, j in pairs]


# ---- every frame has a class


def _frames(protocol: Protocol, bundle: Bundle, fold: Fold, backend: Backend) -> Counts:
    n = len(bundle.labels)
    total = np.zeros((n, n), np.int64)
    events: dict[str, list[int]] = {name: [0, 0, 0] for name in bundle.labels[1:]}
    on_nothing, null_s, delays = 0, 0.0, []
    for session in fold.test:
        run = run_held_out(bundle, session, backend)
        total += confusion(frame_labels(session, bundle.labels), classes_of_frames(session, run), n)
        truth = segments_from_labels(session)
        [found] = Rerun([run], bundle.labels, bundle.rate_hz).found(bundle.decision)
        pairs = match(truth, found)
        for name, score in scores(truth, found, pairs).items():
            counts = (score.n_true, score.n_found, score.n_hit)
            events[name] = [a + b for a, b in zip(events[name], counts, strict=True)]
        on_nothing += _on_nothing(found, truth)
        null_s += run.null_s
        delays += [round((found[j].decided - truth[i].start) / 1e3, 1) for i, j in pairs]
    return {
        "confusion": total.tolist(),
        "events": events,
        "on nothing": on_nothing,
        "null s": null_s,
        "delays ms": delays,
        **_frame_figures(total),
    }


def classes_of_frames(session: Session, run: HeldOutRun) -> I64:
    """Return the likeliest class at each frame of a session: what the newest row said then."""
    rows = np.searchsorted(run.seq, session.frames.seq, side="right") - 1
    classes = run.probabilities.argmax(axis=1) if len(run) else np.zeros(1, np.int64)
    return np.where(rows < 0, NULL_CLASS, classes[np.maximum(rows, 0)]).astype(np.int64)


def _frame_figures(total: I64) -> Counts:
    figures = frame_scores(total)
    return {"accuracy": figures["accuracy"], "macro F1": figures["macro_f1"]}


# ---- windows of a stream that is read on and on


def _windows(protocol: Protocol, bundle: Bundle, fold: Fold, backend: Backend) -> Counts:
    n = len(bundle.labels)
    total = np.zeros((n, n), np.int64)
    n_rest_events, rest_s = 0, 0.0
    for session in fold.test:
        run = run_held_out(bundle, session, backend)
        size = round(protocol.window_s * session.info.rate_hz)
        y = frame_labels(session, bundle.labels)
        true, said = window_classes(session, run, y, size)
        total += confusion(true, said, n)
        if not session.labels:
            [found] = Rerun([run], bundle.labels, bundle.rate_hz).found(bundle.decision)
            n_rest_events += len(found)
            rest_s += session.duration_s
    return {
        "confusion": total.tolist(),
        "on nothing": n_rest_events,
        "null s": rest_s,
        **_frame_figures(total),
    }


def window_classes(session: Session, run: HeldOutRun, y: I64, size: int) -> tuple[I64, I64]:
    """Return the true and the likeliest class of each whole window of `size` frames.

    True is what most of its frames are; likeliest is the class with the largest mean probability
    over the frames of the window, of which each knows what came before it alone.
    """
    n_windows = len(y) // size
    rows = np.searchsorted(run.seq, session.frames.seq, side="right") - 1
    p = np.where((rows < 0)[:, None], 0.0, run.probabilities[np.maximum(rows, 0)])
    means = p[: n_windows * size].reshape(n_windows, size, -1).mean(axis=1)
    own = y[: n_windows * size].reshape(n_windows, size)
    true = [int(np.bincount(window).argmax()) for window in own]
    return np.array(true, np.int64), means.argmax(axis=1).astype(np.int64)


# ---- trials


def _trials(protocol: Protocol, bundle: Bundle, fold: Fold, backend: Backend) -> Counts:
    n = len(bundle.labels)
    null_is_a_class = any(not session.labels for session in fold.train)
    seen = {session.frames.x.tobytes() for session in fold.train}
    total = np.zeros((n, n), np.int64)
    new, digests = [0, 0], []
    for session in fold.test:
        for trial in _cut(session, protocol.window_s):
            run = run_held_out(bundle, trial, backend)
            said = trial_class(run.probabilities, null_is_a_class=null_is_a_class)
            label = trial.labels[0].name if trial.labels else bundle.labels[NULL_CLASS]
            true = bundle.labels.index(label)
            total[true, said] += 1
            digests.append(zlib.crc32(trial.frames.x.tobytes()))
            if trial.frames.x.tobytes() not in seen:
                new = [new[0] + (true == said), new[1] + 1]
    return {"confusion": total.tolist(), "new": new, "trials": digests, **_frame_figures(total)}


def _cut(session: Session, window_s: float) -> list[Session]:
    """Return a recording as it is, or its windows that begin every half window."""
    if not window_s:
        return [session]
    size = round(window_s * session.info.rate_hz)
    starts = range(0, len(session) - size + 1, size // 2)
    t_us = [*session.frames.t_us.tolist(), session.end_us]
    return [piece(session, t_us[a], t_us[a + size]) for a in starts]


def trial_class(probabilities: F32, *, null_is_a_class: bool) -> int:
    """Return the class of a whole trial: the largest evidence, later frames counting more.

    The evidence of a class is the sum over the rows t = 1..n of ``(t / n)**2 log p(t)``: a
    recurrent network knows little at the start of a trial and most at its end.

    Parameters
    ----------
    probabilities : float32 (n, C)
        Of every row of the trial, read from a fresh state.
    null_is_a_class : bool
        False: the null class is left out, since no trial is of it.
    """
    first = 0 if null_is_a_class else 1
    n = len(probabilities)
    weights = (np.arange(1, n + 1) / max(n, 1)) ** 2
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-7))
    return first + int((weights @ logs)[first:].argmax())
