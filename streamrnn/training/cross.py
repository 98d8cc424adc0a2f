"""Cross-validation: what models that never saw a recording say about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from streamrnn.core.errors import TrainingError
from streamrnn.kernels.backend import Backend
from streamrnn.sessions.labels import class_names
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import features_of, form_of, prepare
from streamrnn.training.fit import Progress, fit_data
from streamrnn.training.folds.joined import joined_trials
from streamrnn.training.folds.splits import Fold, split_folds
from streamrnn.training.folds.store import FoldStore


def cross_validate(
    sessions: Sequence[Session],
    config: TrainConfig,
    backend: Backend,
    names: Sequence[str] | None = None,
    *,
    by: str = "auto",
    directory: Path | None = None,
    resume: bool = False,
    progress: Callable[[int, int, Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[str, list[Fold]]:
    """Train a model for each part and run it on what was left out.

    Parameters
    ----------
    sessions : sequence of Session
    config : TrainConfig
        Nobody in `held_out` is heeded; all else holds for every part, `fold_epochs` of the epochs.
    backend : Backend
        Runs the left-out sessions.
    names, by
        See `split_folds`.
    directory : Path or None
        Keeps the runs of each finished part, and a checkpoint of the part in work.
    resume : bool
        Take over what stands in `directory`, where it is of these sessions and options.
    progress : callable, optional
        Gets the part, counted from 1, how many there are, and the news of an epoch.
    should_stop : callable, optional
        Asked before every update.

    Returns
    -------
    by : str
    folds : list of Fold
        With their runs.

    Raises
    ------
    TrainingStopped
        `should_stop` said so.
    TrainingError
        A part that cannot be trained, a checkpoint of another run.
    """
    way, folds = split_folds(sessions, config, names, by)
    labels = class_names(sessions)
    epochs = max(1, round(config.fold_epochs * config.epochs))
    config = replace(
        config,
        labels=form_of(sessions, config, labels),
        features=features_of(sessions, config.features, sessions[0].info).config,
        epochs=epochs,
        min_updates=round(config.fold_epochs * config.min_updates),
        class_updates=round(config.fold_epochs * config.class_updates),
        held_out=(),
        held_out_fraction=0.0,
        patience=0,
    )
    done = []
    for n, fold in enumerate(folds, 1):
        store = FoldStore(directory, n, fold, config, resume=resume)
        runs = store.load()
        if runs is None:
            shown = None if progress is None else partial(progress, n, len(folds))
            try:
                bundle = fit_data(
                    prepare(fold.training, config, labels=labels),
                    config,
                    checkpoint_dir=store.checkpoints,
                    resume=store.has_checkpoint,
                    progress=shown,
                    should_stop=should_stop,
                )
            except TrainingError as error:
                what = f"cross-validation {n} of {len(folds)}: {error}"
                raise type(error)(what) from error
            asked = joined_trials(fold, config) if config.labels == "rows" else fold
            runs = asked.asked(bundle, backend)
            store.save(runs)
        done.append(replace(fold, runs=runs))
    return way, done


def share_interval(n_hit: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of which `n_hit` of `n` were seen (Clopper & Pearson 1934).

    Parameters
    ----------
    n_hit, n : int
    confidence : float
        0..1.

    Returns
    -------
    low, high : float
        0 and 1 when n is 0.
    """
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2
    low = float(betaincinv(n_hit, n - n_hit + 1, tail)) if n_hit else 0.0
    high = float(betaincinv(n_hit + 1, n - n_hit, 1.0 - tail)) if n_hit < n else 1.0
    return low, high if math.isfinite(high) else 1.0
