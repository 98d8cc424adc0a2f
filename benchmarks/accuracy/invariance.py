"""What must not matter: names of classes, the order of channels, the unit of an acceleration.

    python -m benchmarks.accuracy invariance --data DIR

The same person of the UHH recordings is left out again and again, with the recordings changed in a
way that changes nothing for a user, what is said of the set among it. The score may differ by no
more than it does from seed to seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.folds import Fold
from benchmarks.accuracy.judge import judge
from benchmarks.accuracy.protocols import PROTOCOLS
from benchmarks.report import finish
from streamrnn.core.types import Channel
from streamrnn.kernels.backend import get_backend
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.recipe import train

SET, PERSON = "uhh_imu_gestures", "na"
_FIGURE = "F1 end"
_G = 9.80665
#: Standard deviations of seeds that a change may make.
_SPREADS = 2.0
#: Seeds that happen to agree say nothing smaller than this.
_LEAST = 0.02

Change = Callable[[Session], Session]


def renamed(session: Session) -> Session:
    """Return a session whose classes have other names, in another alphabetical order."""
    labels = [replace(label, name=f"g{label.name[::-1]}") for label in session.labels]
    return replace(
        session, labels=labels, metadata={**session.metadata, "gesture": "?", "source": "?"}
    )


def permuted(session: Session) -> Session:
    """Return a session with its channels in reverse order."""
    frames = session.frames
    x = np.ascontiguousarray(frames.x[:, ::-1])
    info = replace(session.info, channels=session.info.channels[::-1])
    return replace(session, info=info, frames=replace(frames, x=x))


def in_unit(unit: str, factor: float) -> Change:
    """Return a change that gives accelerations in another unit, and says so."""

    def change(session: Session) -> Session:
        is_acc = np.array([c.name.startswith("acc") for c in session.info.channels])
        channels = tuple(
            Channel(c.name, unit) if acc else c
            for c, acc in zip(session.info.channels, is_acc, strict=True)
        )
        x = session.frames.x * np.where(is_acc, factor, 1.0).astype(np.float32)
        frames = replace(session.frames, x=np.ascontiguousarray(x, np.float32))
        return replace(session, info=replace(session.info, channels=channels), frames=frames)

    return change


CHANGES: dict[str, Change] = {
    "as it is, m/s^2": in_unit("m/s^2", 1.0),
    "classes renamed": lambda session: renamed(in_unit("m/s^2", 1.0)(session)),
    "channels reversed": lambda session: permuted(in_unit("m/s^2", 1.0)(session)),
    "accelerations in g": in_unit("g", 1.0 / _G),
}


def scored(fold: Fold, change: Change, config: TrainConfig) -> float:
    """Return the figure of a fold whose recordings were all changed."""
    changed = replace(
        fold,
        train=[change(session) for session in fold.train],
        test=[change(session) for session in fold.test],
        extra={},
    )
    bundle = train(changed.train, config)
    counts = judge(PROTOCOLS[SET], bundle, changed, get_backend(config.backend))
    return float(counts[_FIGURE])


def main(data: Path, n_seeds: int) -> int:
    """Measure all changes; return 1 when one of them matters."""
    fold = next(fold for fold in PROTOCOLS[SET].folds(data) if fold.name == PERSON)
    scores: dict[str, list[float]] = {}
    for name, change in CHANGES.items():
        scores[name] = []
        for seed in range(n_seeds):
            scores[name].append(scored(fold, change, TrainConfig(seed=seed)))
            print(f"{name}, seed {seed}: {_FIGURE} {scores[name][-1]:.3f}", flush=True)
    rows, targets = compared(scores)
    return finish("accuracy-invariance", rows, targets, {"person": PERSON, "scores": scores})


def compared(
    scores: dict[str, list[float]],
) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """Return rows and targets: no change matters more than seeds do.

    Parameters
    ----------
    scores : dict of str to list of float
        One score a seed; the first entry is what the others are compared with.
    """
    spread = float(np.mean([_sd(values) for values in scores.values()]))
    allowed = max(_LEAST, _SPREADS * spread)
    base = float(np.mean(next(iter(scores.values()))))
    rows, targets = [], {}
    for name, values in scores.items():
        mean = float(np.mean(values))
        row = {"what": name, _FIGURE: mean, "sd of seeds": _sd(values), "difference": mean - base}
        rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
        if len(rows) > 1:
            targets[f"{name}: difference within {allowed:.3f}"] = abs(mean - base) <= allowed
    return rows, targets


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
