"""How the default recipe does on real recordings.

    python -m benchmarks.accuracy SET|all --data DIR [--seeds 3] [--jobs 1] [--resume] [--log]
    python -m benchmarks.accuracy SET --data DIR --quick
    python -m benchmarks.accuracy invariance --data DIR
    python -m benchmarks.accuracy table

Each fold is trained by `streamrnn.training.recipe.train` with nothing but a seed; ``mlp-window``,
the baseline on windows, differs in the kind of model alone. What is left out, what is scored and
what is asked stands in docs/accuracy.md. The last line of a run says which targets were reached;
the exit code is 1 when one was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from benchmarks.accuracy import invariance, table
from benchmarks.accuracy.folds import Fold
from benchmarks.accuracy.judge import judge
from benchmarks.accuracy.kept import Kept
from benchmarks.accuracy.protocols import ALIASES, PROTOCOLS, Protocol
from benchmarks.accuracy.quick import QUICK_OPTIONS, quick_folds
from benchmarks.accuracy.summary import (
    MAIN_MODEL,
    Result,
    delay_rows,
    figure,
    figures_of,
    rows_of,
)
from benchmarks.report import RESULTS, finish
from benchmarks.report import table as as_table
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.kernels.backend import Backend, get_backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.training.config import TrainConfig
from streamrnn.training.cross import cross_validate
from streamrnn.training.recipe import train

BASELINE = "mlp-window"
#: Share of a target that a quick run must reach, to show that nothing is broken.
_QUICK_SHARE = 0.6
NOTES = (
    "one recipe, no options but the seed; thresholds and times are chosen by training itself, on",
    "models that never saw the recording they are asked about, from the training part alone;",
    "the recipe was found while looking at scores on some of these people: optimistic for others;",
    "95 % intervals: Wilson for trials, Student over folds, bootstrap over decisions of one stream",
)


@dataclass(frozen=True, slots=True)
class Job:
    """One training and what it is judged on; plain values, so that another process can do it."""

    name: str
    data: str
    fold: int
    other: bool
    seed: int
    model: str
    quick: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    choices = [*PROTOCOLS, *ALIASES, "all", "invariance", "table"]
    parser.add_argument("set", choices=choices, metavar="SET", help=", ".join(choices))
    parser.add_argument("--data", type=Path, help="folder that holds the sets' folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--baseline-seeds", type=int, default=1, help=f"of {BASELINE}; 0: none")
    parser.add_argument("--jobs", type=int, default=1, help="folds trained side by side")
    parser.add_argument("--resume", action="store_true", help="go on with a run broken off")
    parser.add_argument("--log", action="store_true", help="keep the output beside the JSON")
    parser.add_argument("--quick", action="store_true", help="a check for CI, not a figure")
    options = parser.parse_args(arguments)
    if options.set == "table":
        return table.main()
    if options.data is None:
        parser.error("--data DIR is needed: the folder that holds the sets' folders")
    if options.set == "invariance":
        return invariance.main(options.data, options.seeds)
    names = list(PROTOCOLS) if options.set == "all" else [ALIASES.get(options.set, options.set)]
    codes = []
    for name in names:
        with _logged(name, options.log):
            codes.append(run_set(PROTOCOLS[name], options))
    return max(codes)


def run_set(protocol: Protocol, options: argparse.Namespace) -> int:
    """Train and judge all folds of one set, print its table, write JSON; return the exit code."""
    started = time.monotonic()
    jobs = jobs_of(protocol, options)
    print(f"{protocol.name}: {len(jobs)} trainings", flush=True)
    results = []
    kept = Kept(protocol.name + "-quick" * options.quick, resume=options.resume)
    for result in _done(jobs, options.jobs, kept):
        results.append(result)
        print(_line(protocol, result), flush=True)
    minutes = (time.monotonic() - started) / 60
    print(f"{protocol.name}: {minutes:.1f} min\n", flush=True)
    share = _QUICK_SHARE if options.quick else 1.0
    targets = reached(protocol, results, share)
    settings: dict[str, Any] = {
        "set": protocol.name,
        "seeds": 1 if options.quick else options.seeds,
        "config": config_of(jobs[0]).to_document(),
        "minutes": round(minutes, 1),
        "folds": [{k: v for k, v in result.items() if k != "trials"} for result in results],
    }
    if rows := delay_rows(results):
        settings["F1 against delay"] = rows
        print("F1 of events that are out so many frames after the true onset, class final:")
        print(as_table(rows) + "\n")
    name = f"accuracy-{protocol.name}" + ("-quick" if options.quick else "")
    return finish(name, rows_of(protocol, results), targets, settings, NOTES)


def jobs_of(protocol: Protocol, options: argparse.Namespace) -> list[Job]:
    """Return every training of a set in a fixed order."""
    data = str(options.data)
    if options.quick:
        return [Job(protocol.name, data, 0, False, 0, MAIN_MODEL, quick=True)]
    n_folds = len(protocol.folds(options.data))
    n_others = len(protocol.other_folds(options.data))
    which = [(n, False) for n in range(n_folds)] + [(n, True) for n in range(n_others)]
    runs = [(MAIN_MODEL, seed) for seed in range(options.seeds)]
    runs += [(BASELINE, seed) for seed in range(options.baseline_seeds)]
    return [
        Job(protocol.name, data, n, other, seed, model)
        for (model, seed), (n, other) in itertools.product(runs, which)
        if not (other and (model, seed) != (MAIN_MODEL, 0))
    ]


def config_of(job: Job) -> TrainConfig:
    """Return how a job is trained: the defaults, a seed, and which of the two models.

    A trial's class needs no threshold, so there is no cross-validation, which chooses thresholds
    and no weight.
    """
    config = TrainConfig(seed=job.seed)
    if PROTOCOLS[job.name].kind == "trials":
        config = replace(config, folds=0)
    if job.model != MAIN_MODEL:
        config = replace(config, model=job.model)
    return replace(config, **QUICK_OPTIONS) if job.quick else config


def work(job: Job) -> Result:
    """Train one fold and judge it."""
    protocol = PROTOCOLS[job.name]
    fold = fold_of(protocol, job)
    config = config_of(job)
    backend = get_backend(config.backend)
    started = time.monotonic()
    if protocol.kind == "events":
        bundle, inner = _with_inner(fold, config, backend)
    else:
        bundle, inner = train(fold.train, config), []
    seconds = time.monotonic() - started
    counts = judge(protocol, bundle, fold, backend, inner)
    facts = bundle.training.get("cross_validation", {})
    return {
        "fold": fold.name,
        "group": fold.group,
        "other": job.other,
        "seed": job.seed,
        "model": job.model,
        "train s": round(seconds, 1),
        "inner": facts.get("summary", ""),
        "decision": asdict(bundle.decision),
        **counts,
    }


def _with_inner(
    fold: Fold, config: TrainConfig, backend: Backend
) -> tuple[Bundle, list[HeldOutRun]]:
    """Train a fold; return the runs, too, on which training itself chose the decision."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = train(fold.train, config, directory=folder)
        _, parts = cross_validate(fold.train, config, backend, directory=folder, resume=True)
    return bundle, [run for part in parts for run in part.runs]


def fold_of(protocol: Protocol, job: Job) -> Fold:
    """Return the fold of a job."""
    data = Path(job.data)
    folds = protocol.other_folds(data) if job.other else protocol.folds(data)
    return quick_folds(folds)[job.fold] if job.quick else folds[job.fold]


def reached(protocol: Protocol, results: Sequence[Result], share: float = 1.0) -> dict[str, bool]:
    """Return each target in words, and whether it was reached."""
    said = {}
    for target in protocol.targets if share == 1 or protocol.kind == "events" else ():
        value = figure(protocol, results, target.row, target.figure)
        if share < 1 and target is not protocol.targets[0]:
            continue  # one fold, and no inner models to choose an early decision on
        least = share * target.least
        shown = "not measured" if value is None else f"{value:.3f}"
        words = f"{protocol.name}, {target.row}: {target.figure} >= {least:.4g} (is {shown})"
        said[words] = value is not None and value >= least
    return said


def _done(jobs: Sequence[Job], n_processes: int, kept: Kept) -> Iterator[Result]:
    """Yield the jobs' results in their order, however many are worked on at once."""
    todo = [job for job in jobs if kept.get(job) is None]
    with contextlib.ExitStack() as stack:
        new: Iterator[Result] = map(work, todo)
        if n_processes > 1 and len(todo) > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(n_processes))
            new = pool.imap(work, todo)
        for job in jobs:
            result = kept.get(job)
            yield kept.add(job, next(new)) if result is None else result


def _line(protocol: Protocol, result: Result) -> str:
    figures = figures_of(protocol, [result])
    shown = "  ".join(f"{key} {value:.3g}" for key, value in figures.items() if value is not None)
    other = f"{result['group']}: " if result["other"] else ""
    who = f"{result['model']} seed {result['seed']} {other}{result['fold']}"
    return f"{who:<28} {shown}  {result['train s']:.0f} s"


@contextlib.contextmanager
def _logged(name: str, wanted: bool) -> Iterator[None]:
    """Keep what is printed, in a file beside the results."""
    if not wanted:
        yield
        return
    RESULTS.mkdir(exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = RESULTS / f"{today}-accuracy-{name}.log"
    with (
        path.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(_Both(sys.stdout, file)),
    ):
        print(f"python -m benchmarks.accuracy {name}, {os.cpu_count()} cores", flush=True)
        yield


class _Both(io.TextIOBase):
    """Writes to two places."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self._to = (first, second)

    def write(self, text: str) -> int:
        for file in self._to:
            file.write(text)
        return len(text)

    def flush(self) -> None:
        for file in self._to:
            file.flush()
