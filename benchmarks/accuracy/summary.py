"""Folds and seeds into the rows of a table, with what the size of the test allows to say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.intervals import Interval, bootstrap, student, wilson
from benchmarks.accuracy.protocols import Protocol
from benchmarks.accuracy.uhh_rules import pair_f1
from streamrnn.evaluation.events import Score, macro_f1
from streamrnn.evaluation.metrics.frames import frame_scores
from streamrnn.evaluation.metrics.rates import poisson_upper

#: One fold of one seed, as `benchmarks.accuracy.judge` counted it.
Result = dict[str, Any]
Figures = dict[str, float | None]

_AUTHORS = ("F1 end", "F1 rule 1", "F1 IoU .5", "F1 15 frames")
_COUNTS = ("true", "missed", "confused", "false")
#: Figures that are shares of something, and so have an interval.
SHARES = (*_AUTHORS, "accuracy", "macro F1", "event F1", "accuracy new")
MAIN_MODEL = "lstm"


def rows_of(protocol: Protocol, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the rows of a set's table: folds, groups and all of the main model, then the others.

    A row of several seeds is their mean; behind the groups stand rows with the seeds' standard
    deviation and the ends of the 95 % interval.
    """
    rows: list[dict[str, Any]] = []
    models = list(dict.fromkeys(result["model"] for result in results))
    for model in models:
        own = [result for result in results if result["model"] == model]
        if model == MAIN_MODEL:
            rows += [_row(protocol, name, part) for name, part in _folds(own)]
        for name, part in _groups(own):
            rows += _with_doubt(protocol, f"{model}: {name}", part)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: _rounded(row.get(key)) for key in columns} for row in rows]


def figure(protocol: Protocol, results: Sequence[Result], row: str, name: str) -> float | None:
    """Return one figure of the main model's table, the mean over the seeds."""
    own = [result for result in results if result["model"] == MAIN_MODEL]
    for group, part in _groups(own):
        if group == row:
            return _mean_over_seeds(protocol, part).get(name)
    return None


# ---- which folds belong together


def _folds(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    names = dict.fromkeys((result["group"], result["fold"], result["other"]) for result in results)
    shown = []
    for group, fold, other in names:
        part = [r for r in results if (r["group"], r["fold"], r["other"]) == (group, fold, other)]
        shown.append((f"{group}: {fold}" if other else fold, part))
    return shown if len(shown) > 1 else []


def _groups(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Return groups of folds, extra recordings, and at last everything that targets are about."""
    asked = [result for result in results if not result["other"]]
    groups = []
    for name in dict.fromkeys(result["group"] for result in results):
        if name:
            groups.append((name, [result for result in results if result["group"] == name]))
    with_uncut = [{**result, **result["uncut"]} for result in asked if "uncut" in result]
    if with_uncut:
        groups.append(("uncut", with_uncut))
    return [*groups, ("all", asked)]


def _by_seed(results: Iterable[Result]) -> list[list[Result]]:
    seeds: dict[int, list[Result]] = {}
    for result in results:
        seeds.setdefault(result["seed"], []).append(result)
    return [seeds[seed] for seed in sorted(seeds)]


# ---- figures


def _row(protocol: Protocol, name: str, results: Sequence[Result]) -> dict[str, Any]:
    return {"what": name, **_mean_over_seeds(protocol, results)}


def _mean_over_seeds(protocol: Protocol, results: Sequence[Result]) -> Figures:
    parts = [figures_of(protocol, part) for part in _by_seed(results)]
    return {key: _mean([part[key] for part in parts]) for key in parts[0]} if parts else {}


def _with_doubt(protocol: Protocol, name: str, results: Sequence[Result]) -> list[dict[str, Any]]:
    row = _row(protocol, name, results)
    rows = [row]
    seeds = [figures_of(protocol, part) for part in _by_seed(results)]
    if len(seeds) > 1:
        spread = {key: _sd([part[key] for part in seeds]) for key in row if key in SHARES}
        rows.append({"what": f"{name}, sd of {len(seeds)} seeds", **spread})
    ends = {
        key: interval
        for key in row
        if key in SHARES and (interval := _interval(protocol, key, row[key], results)) is not None
    }
    if ends:
        rows.append({"what": f"{name}, 95 % from", **{k: low for k, (low, _) in ends.items()}})
        rows.append({"what": f"{name}, 95 % to", **{k: high for k, (_, high) in ends.items()}})
    return rows


def figures_of(protocol: Protocol, results: Sequence[Result]) -> Figures:
    """Return the figures of some folds of one seed."""
    if protocol.kind == "events":
        return _of_events(results)
    total = np.sum([np.array(result["confusion"], np.int64) for result in results], axis=0)
    pooled = frame_scores(total)
    if protocol.mean_of_folds:
        means: Figures = {
            key: _mean([result[key] for result in results]) for key in ("accuracy", "macro F1")
        }
        figures = {
            **means, "pooled accuracy": pooled["accuracy"], "pooled F1": pooled["macro_f1"]
        }  # fmt: skip
    else:
        figures = {"accuracy": pooled["accuracy"], "macro F1": pooled["macro_f1"]}
    if protocol.kind == "trials":
        hits, n = (sum(column) for column in zip(*(r["new"] for r in results), strict=True))
        figures |= {"accuracy new": hits / n if n else None, "n": float(total.sum())}
        return figures
    if protocol.kind == "frames":
        figures |= _of_found(results)
    return figures | _of_nothing(results)


def _of_events(results: Sequence[Result]) -> Figures:
    figures: Figures = {key: _mean([result[key] for result in results]) for key in _AUTHORS}
    figures |= {key: float(sum(result[key] for result in results)) for key in _COUNTS}
    n = sum(result["on nothing"] for result in results)
    thousands = sum(result["null frames"] for result in results) / 1e3
    figures["false /1000"] = n / thousands if thousands else None
    figures["at most"] = poisson_upper(n) / thousands if thousands else None
    delays = [delay for result in results for delay in result["delays"]]
    early = [delay for result in results for delay in result["early delays"]]
    return figures | _percentiles("", delays) | _percentiles("early ", early)


def _of_found(results: Sequence[Result]) -> Figures:
    total: dict[str, Score] = {}
    for result in results:
        for name, counts in result["events"].items():
            total[name] = total.get(name, Score(0, 0, 0)) + Score(*counts)
    delays = [delay for result in results for delay in result["delays ms"]]
    return {"event F1": macro_f1(total), **_percentiles("", delays, " ms")}


def _of_nothing(results: Sequence[Result]) -> Figures:
    hours = sum(result["null s"] for result in results) / 3600
    n = sum(result["on nothing"] for result in results)
    return {
        "null h": hours,
        "false /h": n / hours if hours else None,
        "at most": poisson_upper(n) / hours if hours else None,
    }


def delay_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return F1 against the time in which an event must be out, one row a time."""
    own = [r for r in results if r["model"] == MAIN_MODEL and "F1 within" in r]
    times = own[0]["F1 within"] if own else {}
    persons = list(dict.fromkeys(result["fold"] for result in own))
    rows = []
    for time in times:
        row: dict[str, Any] = {"out within frames": int(time)}
        for person in persons:
            row[person] = _mean([r["F1 within"][time] for r in own if r["fold"] == person])
        row["mean"] = _mean([r["F1 within"][time] for r in own])
        rows.append({key: _rounded(value) for key, value in row.items()})
    return rows


# ---- doubt


def _interval(
    protocol: Protocol, key: str, value: float | None, results: Sequence[Result]
) -> Interval | None:
    if value is None:
        return None
    if protocol.kind == "trials":
        n = len({digest for result in results for digest in result["trials"]})
        return wilson(value, n) if key == "accuracy" else None
    folds = list(dict.fromkeys(result["fold"] for result in results))
    if len(folds) == 1:
        if key != "F1 end":
            return None
        pairs = [(true, said) for true, said in results[0]["pairs"]]
        return bootstrap(pairs, pair_f1)
    by_fold = [
        _mean_over_seeds(protocol, [r for r in results if r["fold"] == fold]).get(key)
        for fold in folds
    ]
    interval = student([score for score in by_fold if score is not None])
    if interval is None:
        return None
    half = (interval[1] - interval[0]) / 2
    return max(0.0, value - half), min(1.0, value + half)


# ---- numbers


def _percentiles(prefix: str, values: Sequence[float], unit: str = "") -> Figures:
    if not values:
        return {f"{prefix}p50{unit}": None, f"{prefix}p95{unit}": None}
    p50, p95 = np.percentile(values, [50, 95])
    return {f"{prefix}p50{unit}": float(p50), f"{prefix}p95{unit}": float(p95)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sd(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) and math.isfinite(value) else value
