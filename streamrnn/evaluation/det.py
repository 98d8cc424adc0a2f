"""Misses against false activations, from kept runs: what another common threshold would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamrnn.core.types import NULL_CLASS
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.budget import THRESHOLDS, with_threshold
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.choosing.tally import tally
from streamrnn.evaluation.heldout import HeldOutRun, breaks_of
from streamrnn.evaluation.metrics.frames import frame_classes
from streamrnn.evaluation.results import SessionResult
from streamrnn.runtime.bundle import Bundle


@dataclass(frozen=True, slots=True)
class DetCurve:
    """Detection error trade-off.

    Attributes
    ----------
    points : list of (float, float)
        False activations per `unit`, and share of the gestures missed, 0..1; by rising threshold.
    here : (float, float)
        The same of the decision as it is.
    unit : str
        ``an hour``, or ``per 1,000 frames`` (without a gesture) where the rate is nominal.
    """

    points: list[tuple[float, float]]
    here: tuple[float, float]
    unit: str


def det_curve(results: Sequence[SessionResult]) -> DetCurve | None:
    """Return the trade-off over common thresholds.

    Any overlap is a hit, false activations are events that overlap no gesture, and thresholds of
    single classes are left out of all points but `here`.

    Parameters
    ----------
    results : sequence of SessionResult
        Of one or several models; those without a kept run are left out.

    Returns
    -------
    DetCurve or None
        None without gestures or without frames outside them.
    """
    by_model: dict[int, tuple[Bundle, list[HeldOutRun]]] = {}
    for result in results:
        if result.run is not None and result.bundle is not None:
            group = by_model.setdefault(id(result.bundle), (result.bundle, []))
            group[1].append(_held_out(result, result.bundle))
    models = [
        (Rerun(runs, bundle.labels, bundle.rate_hz), bundle) for bundle, runs in by_model.values()
    ]
    runs = [run for rerun, _ in models for run in rerun.runs]
    n_true = sum(len(run.truth) for run in runs)
    null_frames = sum(int((run.y == NULL_CLASS).sum()) for run in runs)
    if not n_true or not null_frames:
        return None
    nominal = any(result.nominal for result in results)
    exposure = null_frames / 1000 if nominal else sum(run.null_s for run in runs) / 3600

    def point(threshold: float | None) -> tuple[float, float]:
        n_false = n_hit = 0
        for rerun, bundle in models:
            # The rows are at the model's temperature already.
            config = replace(bundle.decision, temperature=1.0)
            if threshold is not None:
                config = with_threshold(_common(config), threshold)
            counts = tally(rerun.runs, rerun.found(config))
            n_false += counts.n_false
            n_hit += counts.n_hit
        return n_false / exposure, 1 - n_hit / n_true

    unit = "per 1,000 frames" if nominal else "an hour"
    return DetCurve([point(threshold) for threshold in THRESHOLDS], point(None), unit)


def _common(config: DecisionConfig) -> DecisionConfig:
    """Return a decision without thresholds of single classes."""
    own = {
        name: {key: value for key, value in options.items() if key not in ("enter", "exit")}
        for name, options in config.per_class.items()
    }
    return replace(config, per_class={name: options for name, options in own.items() if options})


def _held_out(result: SessionResult, bundle: Bundle) -> HeldOutRun:
    run = result.run
    if run is None:
        raise ValueError(f"{result.name}: its run was not kept")
    truth = [segment for segment in result.truth if segment.label in bundle.labels]
    y = frame_classes(truth, bundle.labels, run.t_us)
    return HeldOutRun(
        name=result.name,
        subject=result.subject,
        labels=bundle.labels,
        rate_hz=bundle.rate_hz,
        probabilities=run.probabilities,
        energy=run.energy,
        seq=run.seq,
        t_us=run.t_us,
        breaks=breaks_of(run.records, run.seq),
        truth=truth,
        y=y,
        null_s=int((y == NULL_CLASS).sum()) / bundle.rate_hz,
        duration_s=len(y) / bundle.rate_hz,
    )
