"""A report in plain words, for the terminal and for the page: one line a question."""

from __future__ import annotations

from typing import Any

from streamrnn.evaluation.events import Rule
from streamrnn.evaluation.report import Report

#: What is told, and what is to be said of it.
Line = tuple[str, str]


def lines(report: Report) -> list[Line]:
    """Return what a report says beside its table: topics, and a line or two on each."""
    document = report.to_dict()
    said = [("a hit is", rule_words(report.rule, nominal_period(report)))]
    apart = document["n_hit_apart"]
    if apart:
        said.append(("", f"{apart} of the {report.total.n_hit} hits do not overlap their gesture"))
    if report.total.n_true:
        said.append(("missed", f"{report.total.n_missed} of {report.total.n_true} gestures"))
    said += false_words(document)
    said += timing_words(document)
    edits = document["edit_distance"]
    if edits["per_100_gestures"] is not None:
        per_100 = f"{edits['per_100_gestures']:.1f} per 100 gestures"
        made = "1 edit makes" if edits["n"] == 1 else f"{edits['n']} edits make"
        said.append(("order", f"{made} the events the true sequence, {per_100}"))
    frames = document["frames"]
    shares = f"accuracy {frames['accuracy']:.3f}, mean F1 {frames['macro_f1']:.3f}"
    said.append(("frames", f"{shares} ({frames['labels'][0]} is a class here)"))
    errors = {key: part["ece"] for key, part in document["calibration"].items()}
    known = [f"{key} {error:.3f}" for key, error in errors.items() if error is not None]
    if known:
        said.append(("calibration", f"error over 15 bins: {', '.join(known)}"))
    said += spread_words(document)
    if report.n_gaps:
        said.append(("gaps", str(report.n_gaps)))
    for (true, found), n in report.confusions.most_common(5):
        said.append(("confused", f"{true} taken for {found}, {n} {'time' if n == 1 else 'times'}"))
    return said


def rule_words(rule: Rule, period_us: float | None = None) -> str:
    """Return when an event answers a gesture.

    Parameters
    ----------
    rule : Rule
        In microseconds.
    period_us : float or None
        Where the rate is nominal: the period, so that the tolerance is told in frames.
    """
    tolerance = f"{rule.tolerance / 1e3:g} ms"
    if period_us is not None:
        tolerance = f"{rule.tolerance / period_us:g} frames"
    least = f" by {rule.min_iou:g} of their union" if rule.min_iou else ""
    what = {
        "overlap": f"overlaps the gesture{least}",
        "onset": f"starts within {tolerance} of the gesture",
        "either": f"overlaps the gesture{least} or starts within {tolerance} of it",
    }[rule.kind]
    return f"an event of the same class that {what}; one event a gesture"


def false_words(document: dict[str, Any]) -> list[Line]:
    """Return how often it fires where nobody moved, and what so much data can show."""
    facts = document["false_activations"]
    n = facts["n_in_null"]
    elsewhere = (
        (facts["n_on_other_gestures"], "on other gestures"),
        (facts["n_repeats"], "twice for one gesture"),
    )
    rest = "".join(f"; {count} {where}" for count, where in elsewhere if count)
    if not facts["null_frames"]:
        return [("false", f"no frame without a gesture to count activations in{rest}")]
    if facts["per_hour"] is None:
        per_1000 = facts["per_1000_null_frames"]
        where = f"{facts['null_frames']} frames without gestures"
        return [
            ("false", f"{n} in {where}, {per_1000:.2f} per 1,000{rest}"),
            ("", "nothing is said of hours: the rate of the recordings is nominal"),
        ]
    interval = f"95 %: {facts['low']:.2f} .. {facts['high']:.2f}"
    where = f"{hours_words(facts['null_hours'])} without gestures"
    said = [("false", f"{n} in {where}, {facts['per_hour']:.2f} an hour ({interval}){rest}")]
    return [*said, ("claim", _claim(facts))]


def _claim(facts: dict[str, Any]) -> str:
    claim = f"'fewer than {facts['claim_per_hour']:g} an hour'"
    if facts["upper"] <= facts["claim_per_hour"]:
        return f"{claim} holds: at most {facts['upper']:.2f} (95 %, one-sided)"
    text = f"{claim} needs at least {hours_words(facts['hours_needed'])} without a gesture"
    text += " and without a false activation"
    so_far = facts["hours_needed_at_rate"]
    if not facts["n_in_null"]:
        return text
    if so_far is None:
        return f"{text}; what was seen speaks against it"
    return f"{text}, or {hours_words(so_far)} at the rate that was seen"


def timing_words(document: dict[str, Any]) -> list[Line]:
    """Return when events come, and what is lost if they have to come sooner."""
    in_ms, in_frames = document["delay_ms"], document["delay_frames"]
    if in_frames is None:
        return []
    frames = f"p50 {in_frames['p50']:.0f}, p95 {in_frames['p95']:.0f} frames"
    shown = f"{frames} (the rate is nominal)"
    if in_ms is not None:
        shown = f"p50 {in_ms['p50']:.0f}, p95 {in_ms['p95']:.0f} ms ({frames})"
    early = document["earliness"]
    said = [
        ("delay", f"from onset to event: {shown}"),
        (
            "earliness",
            f"{100 * early['p50']:.0f} % of the gesture had passed (p95 {100 * early['p95']:.0f} "
            f"%); {100 * early['before_end']:.0f} % of the hits came before its end",
        ),
    ]
    curve = document["delay_curve"]
    points = curve["points"]
    if len(points) > 3:
        picked = [points[(len(points) - 1) * k // 4] for k in (1, 2, 3, 4)]
        told = ", ".join(f"{p['macro_f1']:.2f} by {p['deadline']:g}" for p in picked)
        said.append(("in time", f"mean F1 of events that are out: {told} {curve['unit']}"))
    return said


def spread_words(document: dict[str, Any]) -> list[Line]:
    """Return how different people and sessions are."""
    said = []
    for by in ("subjects", "sessions"):
        both = document["spread"][by]
        if both is None or both["f1"]["n"] < 2:
            continue
        what, key = ("mean F1", "macro_f1") if by == "subjects" else ("F1", "f1")
        s = both[key]
        said.append((
            by,
            f"{s['n']}, {what} {s['min']:.2f} / {s['median']:.2f} / {s['max']:.2f} (min, median, "
            f"max); mean {s['mean']:.2f}, 95 %: {s['low']:.2f} .. {s['high']:.2f}",
        ))  # fmt: skip
    if document["n_subjects"] == 1:
        said.append(("subjects", "1: nothing is known of how others would do"))
    return said


def hours_words(hours: float) -> str:
    """Return a time as people say it."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def nominal_period(report: Report) -> float | None:
    """Return the frame period of sessions whose rate is a guess, if it is one for all."""
    periods = {result.period_us for result in report.sessions}
    return periods.pop() if report.nominal and len(periods) == 1 else None
