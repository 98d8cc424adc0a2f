"""The recipe that needs no options: from labelled sessions to a model that says how good it is.

1. Cross-validation: models that never saw a recording are asked about it.
2. The decision (thresholds, durations) is chosen on what they said.
3. The model itself is trained on everything, for a fixed number of epochs.

What is held out by the user takes the place of step 1: it is watched, never trained on, the best
epoch by it is kept, and the decision is chosen on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrnn.core.text import printable
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.events import Score, macro_f1, match, scores
from streamrnn.evaluation.heldout import HeldOutRun, run_held_out
from streamrnn.evaluation.tune import Tuned, tune
from streamrnn.kernels.backend import Backend, get_backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.digest import frames_digest
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.cross import cross_validate, share_interval
from streamrnn.training.data import DataSet, prepare
from streamrnn.training.fit import Progress, TrainingRun

#: What a split is called in a sentence.
WAYS = {
    "subject": "each person's recordings by a model that never saw that person",
    "session": "each recording by a model that never saw it; nobody said who is in them, or "
    "one person alone does some gesture",
    "time": "parts of the recordings by a model that saw the others: strangers and other days "
    "may be harder",
    "held out": "those who were held out; they also chose the epoch and, where they are one alone, "
    "when the model fires: that flatters",
}


@dataclass(frozen=True, slots=True)
class RecipeProgress:
    """News of one epoch.

    Attributes
    ----------
    part, n_parts : int
        Trainings so far, this one counted, and of how many: the folds, and the model itself.
    news : Progress
    seconds_left : float
        Of all of it, if it goes on as fast.
    """

    part: int
    n_parts: int
    news: Progress
    seconds_left: float


class _Clock:
    """Says how long the rest takes."""

    def __init__(self, show: Callable[[RecipeProgress], None] | None) -> None:
        self._show = show
        self._started_s = time.monotonic()
        self._first: float | None = None

    def __call__(self, part: int, n_parts: int, news: Progress) -> None:
        """Pass on the news of one epoch."""
        if self._show is None:
            return
        done = part - 1 + news.epoch / news.n_epochs
        if self._first is None:  # a resumed run begins somewhere
            self._first = done - 1 / news.n_epochs
        seconds = (time.monotonic() - self._started_s) / (done - self._first)
        self._show(RecipeProgress(part, n_parts, news, seconds * (n_parts - done)))


def train(
    sessions: Sequence[Session],
    config: TrainConfig,
    names: Sequence[str] | None = None,
    *,
    directory: Path | None = None,
    resume: bool = False,
    on_data: Callable[[DataSet], None] | None = None,
    progress: Callable[[RecipeProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Bundle:
    """Train a model.

    Parameters
    ----------
    sessions : sequence of Session
        Labelled recordings of one device layout.
    config : TrainConfig
    names : sequence of str or None
        What to call each session in messages, its file; None: ``session 1`` and so on.
    directory : Path or None
        Gets checkpoints after every epoch and the runs of every fold; None keeps nothing on disk.
    resume : bool
        Go on from what stands in `directory`; data and configuration must be the same.
    on_data : callable, optional
        Called once, with what the model is trained on, before anything is trained.
    progress : callable, optional
        Called after every epoch.
    should_stop : callable, optional
        Asked before every update.

    Returns
    -------
    Bundle
        ``training`` says where it came from: ``cross_validation`` (see `appraise`), ``sessions``
        (names and digests of those it was trained on), ``learning_curve``, ``config`` and the
        numbers of frames.

    Raises
    ------
    TrainingError
        Nothing to learn from, a run that diverged, a checkpoint of another run.
    TrainingStopped
        `should_stop` said so.
    ConfigError
        A channel, class or subject that does not exist.
    """
    names = names or [f"session {n + 1}" for n in range(len(sessions))]
    data = prepare(sessions, config, names)
    if on_data is not None:
        on_data(data)
    backend = get_backend(config.backend, n_threads=config.threads)
    backend.warm_up(np.dtype(np.float32), training=True)
    run = TrainingRun(data, config, backend, directory, should_stop)
    if resume:
        run.resume()
    else:
        run.save()
    asked = _Asked(sessions, names, data, config, backend)
    n_parts, clock = 1, _Clock(progress)
    if not data.held_out and config.folds:
        n_parts = asked.cross_validate(directory, clock, should_stop, resume=resume) + 1
    run.to_end(lambda news: clock(n_parts, n_parts, news))
    bundle = run.bundle()
    if data.held_out:
        asked.held_out(bundle)
    return asked.decided(bundle)


class _Asked:
    """What models say of recordings that they never saw."""

    def __init__(
        self,
        sessions: Sequence[Session],
        names: Sequence[str],
        data: DataSet,
        config: TrainConfig,
        backend: Backend,
    ) -> None:
        self._sessions = sessions
        self._names = names
        self._data = data
        self._config = config
        self._backend = backend
        self._by = ""
        self._parts: list[tuple[tuple[str, ...], list[HeldOutRun]]] = []

    def cross_validate(
        self,
        directory: Path | None,
        clock: _Clock,
        should_stop: Callable[[], bool] | None,
        *,
        resume: bool,
    ) -> int:
        """Ask models of parts; return how many parts there are."""
        self._by, folds = cross_validate(
            self._sessions,
            self._config,
            self._backend,
            self._names,
            directory=directory,
            resume=resume,
            progress=lambda n, n_folds, news: clock(n, n_folds + 1, news),
            should_stop=should_stop,
        )
        self._parts = [(fold.names, fold.runs) for fold in folds]
        return len(folds)

    def held_out(self, bundle: Bundle) -> None:
        """Ask the model itself about those that were held out."""
        self._by = "held out"
        for name in self._data.held_out_names:
            runs = [
                run_held_out(bundle, session, self._backend, name=shown)
                for session, shown in zip(self._sessions, self._names, strict=True)
                if name in (session.subject or shown, session.subject)
            ]
            self._parts.append(((name,), runs))

    def decided(self, bundle: Bundle) -> Bundle:
        """Return the model with the decision that suits what was said, and what it reaches."""
        training = dict(bundle.training)
        watched = set(map(id, self._data.held_out))
        training["sessions"] = [
            {"name": name, "subject": session.subject, "sha256": frames_digest(session)}
            for session, name in zip(self._sessions, self._names, strict=True)
            if id(session) not in watched
        ]
        runs = [run for _, part in self._parts for run in part]
        if not any(run.truth for run in runs):
            training["cross_validation"] = {"by": "", "summary": _unknown(bundle, self._config)}
            return replace(bundle, training=training)
        tuned = self._tuned(runs, bundle)
        decisions = [self._on_others(n, bundle) or tuned.config for n in range(len(self._parts))]
        facts = appraise(self._by, self._parts, bundle, decisions)
        if self._data.form == "rows" and self._by != "held out":
            facts["summary"] += (
                "; the trials were joined to streams, with null made up between them"
            )
        facts["notes"] = list(tuned.notes)
        training["cross_validation"] = facts
        return replace(bundle, decision=tuned.config, training=training)

    def _tuned(self, runs: Sequence[HeldOutRun], bundle: Bundle) -> Tuned:
        fixed = tuple(self._config.decision)
        return tune(runs, bundle.labels, bundle.rate_hz, bundle.decision, fixed=fixed)

    def _on_others(self, n: int, bundle: Bundle) -> DecisionConfig | None:
        """Return the decision that the other parts choose: a part must not choose its own."""
        others = [run for k, (_, part) in enumerate(self._parts) if k != n for run in part]
        if not any(run.truth for run in others):
            return None
        return self._tuned(others, bundle).config


def appraise(
    by: str,
    parts: Sequence[tuple[tuple[str, ...], Sequence[HeldOutRun]]],
    bundle: Bundle,
    decisions: Sequence[DecisionConfig],
) -> dict[str, Any]:
    """Return how many gestures models found that they had never seen, as JSON values.

    Parameters
    ----------
    by : str
        How recordings were left out; see `WAYS`.
    parts : sequence of (names, runs)
        What each model was asked about.
    bundle : Bundle
        Labels and rate.
    decisions : sequence of DecisionConfig
        Of each part.

    Returns
    -------
    dict
        ``by``; ``folds`` (names, event F1, gestures, found, false); ``event_f1`` (of all together),
        ``mean``, ``spread`` (standard deviation of the folds, None for one), ``n_gestures``,
        ``n_found``, ``n_false``, ``found_interval`` (95 %), ``n_people``, ``classes``, ``hours``
        and a ``summary`` in plain words.
    """
    folds: list[dict[str, Any]] = []
    total: dict[str, Score] = {}
    for (names, runs), decision in zip(parts, decisions, strict=True):
        counts = _counts(runs, bundle, decision)
        for label, score in counts.items():
            total[label] = total.get(label, Score(0, 0, 0)) + score
        own = sum(counts.values(), Score(0, 0, 0))
        folds.append({
            "names": list(names),
            "event_f1": round(macro_f1(counts), 4),
            "n_gestures": own.n_true,
            "n_found": own.n_hit,
            "n_false": own.n_false,
        })  # fmt: skip
    scored = [fold["event_f1"] for fold in folds if fold["n_gestures"]]
    everything = sum(total.values(), Score(0, 0, 0))
    interval = share_interval(everything.n_hit, everything.n_true)
    runs = [run for _, part in parts for run in part]
    facts: dict[str, Any] = {
        "by": by,
        "folds": folds,
        "event_f1": round(macro_f1(total), 4),
        "mean": round(float(np.mean(scored)), 4),
        "spread": round(float(np.std(scored, ddof=1)), 4) if len(scored) > 1 else None,
        "n_gestures": everything.n_true,
        "n_found": everything.n_hit,
        "n_false": everything.n_false,
        "found_interval": [round(bound, 4) for bound in interval],
        "n_people": len({run.subject for run in runs if run.subject}),
        "classes": {
            label: {"n_gestures": s.n_true, "n_found": s.n_hit, "n_false": s.n_false}
            for label, s in sorted(total.items())
        },
        "hours": round(sum(run.duration_s for run in runs) / 3600.0, 4),
    }
    facts["summary"] = _summary(facts)
    return facts


def _counts(
    runs: Sequence[HeldOutRun], bundle: Bundle, decision: DecisionConfig
) -> dict[str, Score]:
    """Return true, found and hit gestures of each class."""
    counts: dict[str, Score] = {}
    for run, found in zip(
        runs, Rerun(runs, bundle.labels, bundle.rate_hz).found(decision), strict=True
    ):
        for label, score in scores(run.truth, found, match(run.truth, found)).items():
            counts[label] = counts.get(label, Score(0, 0, 0)) + score
    return counts


def _summary(facts: dict[str, Any]) -> str:
    """Return the figures as a sentence that a person can weigh."""
    n, hit, wrong = facts["n_gestures"], facts["n_found"], facts["n_false"]
    low, high = (round(100 * bound) for bound in facts["found_interval"])
    people = facts["n_people"]
    of = f" of {people} {'person' if people == 1 else 'people'}" if people else ""
    gestures = "gesture" if n == 1 else "gestures"
    told = "" if facts["by"] == "held out" else "cross-validated, "
    events = "event" if wrong == 1 else "events"
    return (
        f"{n} {gestures}{of}: {told}{hit} of {n} found (95 % interval {low}-{high} %), "
        f"{wrong} false {events}, event F1 {facts['event_f1']:.3f}"
    )


def _unknown(bundle: Bundle, config: TrainConfig) -> str:
    names = printable(", ".join(bundle.labels[1:]), 400)
    known = "record every gesture at least twice" if config.folds else "folds = 0 asks for that"
    return (
        f"not known how good it is: nothing was left out of training to ask about {names}; {known}"
    )
