"""A report as JSON values: docs/formats.md, "Reports", has every key and its unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn import __version__
from streamrnn.evaluation.events import Rule, Score, add_scores, macro_f1
from streamrnn.evaluation.metrics.frames import frame_scores
from streamrnn.evaluation.metrics.rates import hours_needed, hours_needed_at
from streamrnn.evaluation.metrics.spread import spread
from streamrnn.evaluation.metrics.timing import percentiles
from streamrnn.evaluation.results import SessionResult

if TYPE_CHECKING:
    from streamrnn.evaluation.report import Report

#: Version of the document; a reader must ignore keys that it does not know.
REPORT_VERSION = 1


def report_document(report: Report) -> dict[str, Any]:
    """Return a report as JSON values, the same for the same report."""
    nominal, by_class = report.nominal, report.by_class
    names, table = report.frame_confusion()
    duration_s = sum(result.end_us - result.start_us for result in report.sessions) / 1e6
    return {
        "v": REPORT_VERSION,
        "streamrnn": __version__,
        "numpy": np.__version__,
        "model": report.model or None,
        "rule": rule_document(report.rule),
        "n_sessions": report.n_sessions,
        "n_subjects": len(report.groups("subject")),
        "n_frames": report.n_frames,
        "n_gaps": report.n_gaps,
        "nominal_rate": nominal,
        "duration_s": None if nominal else round(duration_s, 3),
        "macro_f1": round(report.macro_f1, 4),
        "macro": _macro(by_class),
        "total": score_document(report.total),
        "classes": {name: score_document(score) for name, score in by_class.items()},
        "confusions": [
            {"true": true, "found": found, "n": n}
            for (true, found), n in sorted(report.confusions.items())
        ],
        "unknown_labels": report.unknown_labels,
        "n_hit_apart": sum(result.n_apart for result in report.sessions),
        "false_activations": _false_activations(report),
        "delay_frames": percentiles(report.delays_frames),
        "delay_ms": None if nominal else percentiles([d / 1e3 for d in report.delays_us]),
        "earliness": _earliness(report),
        "edit_distance": _edits(report),
        "frames": {"labels": names, "confusion": table.tolist(), **_rounded(frame_scores(table))},
        "calibration": {
            "frames": report.frame_reliability.to_dict(),
            "events": report.event_reliability.to_dict(),
        },
        "delay_curve": {
            "unit": "frames" if nominal else "ms",
            "points": [
                {
                    "deadline": point.deadline,
                    "recall": round(point.recall, 4),
                    "f1": round(point.f1, 4),
                    "macro_f1": round(point.macro_f1, 4),
                }
                for point in report.delay_curve()
            ],
        },
        "subjects": _groups(report, "subject"),
        "sessions": _groups(report, "session"),
        "spread": {by + "s": _spread(report, by) for by in ("subject", "session")},
        "folds": [_fold(report, k) for k in range(len(report.folds))],
    }


def rule_document(rule: Rule) -> dict[str, Any]:
    """Return what counted as a hit."""
    overlaps, onsets = rule.kind != "onset", rule.kind != "overlap"
    return {
        "kind": rule.kind,
        "min_iou": rule.min_iou if overlaps else None,
        "onset_tolerance_ms": rule.tolerance / 1e3 if onsets else None,
    }


def score_document(score: Score) -> dict[str, Any]:
    """Return counts and shares."""
    return {
        "n_true": score.n_true,
        "n_found": score.n_found,
        "n_hit": score.n_hit,
        "n_missed": score.n_missed,
        "n_false": score.n_false,
        "precision": round(score.precision, 4),
        "recall": round(score.recall, 4),
        "f1": round(score.f1, 4),
    }


def group_scores(results: Sequence[SessionResult]) -> tuple[Score, float]:
    """Return the counts of some sessions together, and their mean F1 over classes."""
    by_class = add_scores(result.by_class for result in results)
    return sum(by_class.values(), Score(0, 0, 0)), macro_f1(by_class)


def _macro(by_class: dict[str, Score]) -> dict[str, float]:
    n = max(1, len(by_class))
    return {
        key: round(sum(getattr(score, key) for score in by_class.values()) / n, 4)
        for key in ("precision", "recall", "f1")
    }


def _false_activations(report: Report) -> dict[str, Any]:
    rate, claim = report.false_activations, report.claim_per_hour
    document: dict[str, Any] = {
        "n_in_null": rate.n,
        "n_on_other_gestures": report.confusions.total(),
        "n_repeats": report.n_repeats,
        "null_frames": report.null_frames,
        "per_1000_null_frames": _per_1000(rate.n, report.null_frames),
    }
    keys = ("null_hours", "per_hour", "low", "high", "upper", "claim_per_hour")
    if report.nominal or not rate.hours:
        return {**document, **dict.fromkeys((*keys, "hours_needed", "hours_needed_at_rate"))}
    at_rate = hours_needed_at(claim, rate.n, rate.hours, rate.confidence)
    values = (rate.hours, rate.per_hour, rate.low, rate.high, rate.upper, claim)
    return {
        **document,
        **{key: round(value, 6) for key, value in zip(keys, values, strict=True)},
        "hours_needed": round(hours_needed(claim, 0, rate.confidence), 3),
        "hours_needed_at_rate": None if at_rate is None else round(at_rate, 3),
    }


def _per_1000(n: int, n_frames: int) -> float | None:
    return round(1000 * n / n_frames, 4) if n_frames else None


def _earliness(report: Report) -> dict[str, float] | None:
    values = [timing.earliness for _, timing in report.timings]
    shares = percentiles(values)
    if shares is None:
        return None
    return {**shares, "before_end": round(sum(v < 1 for v in values) / len(values), 4)}


def _edits(report: Report) -> dict[str, Any]:
    n, n_true = report.n_edits, report.total.n_true
    return {"n": n, "per_100_gestures": round(100 * n / n_true, 2) if n_true else None}


def _groups(report: Report, by: str) -> list[dict[str, Any]]:
    rows = []
    for name, results in report.groups(by).items():
        score, macro = group_scores(results)
        hours = sum(result.null_hours for result in results)
        rows.append({
            "name": name,
            **({"subject": results[0].subject} if by == "session" else
               {"n_sessions": len(results)}),
            "n_frames": sum(result.n_frames for result in results),
            **score_document(score),
            "macro_f1": round(macro, 4),
            "n_in_null": sum(len(result.in_null) for result in results),
            "null_hours": None if report.nominal else round(hours, 6),
        })  # fmt: skip
    return rows


def _spread(report: Report, by: str) -> dict[str, Any] | None:
    both = [group_scores(results) for results in report.groups(by).values()]
    pooled = spread([score.f1 for score, _ in both])
    macro = spread([value for _, value in both])
    if pooled is None or macro is None:
        return None
    return {"f1": pooled.to_dict(), "macro_f1": macro.to_dict()}


def _fold(report: Report, k: int) -> dict[str, Any]:
    fold, (score, macro) = report.folds[k], report.of_fold(k)
    return {
        "left_out": fold.name,
        "sessions": list(fold.sessions),
        "n_frames_trained": fold.n_frames,
        **score_document(score),
        "macro_f1": round(macro, 4),
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}
