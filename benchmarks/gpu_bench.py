"""What the benchmarks on a GPU share: options, the device, PyTorch beside it, the rows."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import gpu_ceilings, gpu_race, gpu_report
from benchmarks.gpu_ours import Ours
from benchmarks.gpu_race import Budget, Racer
from benchmarks.gpu_report import OURS, Outcome, Rows
from benchmarks.gpu_torch import PRECISIONS, TorchGpu
from benchmarks.measure import Interval
from benchmarks.report import RESULTS
from streamrnn.core.errors import StreamRNNError

#: Names what stands in for the GPU, with small sizes and no figures.
VARIABLE = "STREAMRNN_GPU"
#: Exit code of a benchmark that found no GPU.
NO_GPU = 3
#: A job is not begun with less.
_LEAST_S = 3.0
#: Part of a job's time that goes into samples; the rest makes networks and captures graphs.
_FOR_SAMPLES = 0.5


def options_of(
    program: str, doc: str, budget_s: float, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read the options that every benchmark on a GPU has."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{program}", description=doc.splitlines()[0]
    )
    made.add_argument("--budget-s", type=float, default=budget_s, help="begin no job after that")
    made.add_argument("--into", type=Path, default=RESULTS, help="folder of the results")
    made.add_argument("--shape", action="append", default=[], help="only this one; repeatable")
    made.add_argument(
        "--interpreter",
        action="store_true",
        default=stands_in(),
        help="small sizes on an interpreter: shows that it runs, measures nothing",
    )
    return made.parse_args(arguments)


def stands_in() -> bool:
    """Return whether STREAMRNN_GPU asks for the interpreter.

    Raises
    ------
    SystemExit
        It names something else.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "interpreter"):
        raise SystemExit(f"{VARIABLE} is {value!r}, expected interpreter or nothing")
    return bool(value)


class Bench:
    """One benchmark while it runs.

    Parameters
    ----------
    name : str
    options : Namespace
        Of `options_of`.

    Raises
    ------
    SystemExit
        There is no GPU; one clear line.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.budget = Budget(options.budget_s)
        self.stands_in: bool = options.interpreter
        self.only: list[str] = options.shape
        self.notes: list[str] = []
        #: What went wrong: each makes the run fail at its end.
        self.problems: list[str] = []
        try:
            self.ours = Ours(interpreter=self.stands_in)
        except StreamRNNError as error:
            print(f"no GPU: {error}", file=sys.stderr)
            raise SystemExit(NO_GPU) from None
        self.torch = self._torch()
        self.rows = Rows(name, None if self.stands_in else options.into)
        print(f"{name} on {self.ours.device.name}", flush=True)
        self.ceilings = gpu_ceilings.measured(
            self.ours.device, self.ours.clock, self.torch, self.ours.launch, small=self.stands_in
        )
        print(f"  {self.ceilings}", flush=True)

    def _torch(self) -> TorchGpu | None:
        try:
            return TorchGpu(stands_in=self.stands_in)
        except ImportError as error:
            self.notes.append(f"peers not measured: {error}")
            return None

    def jobs(self, shapes: Sequence[Any]) -> list[tuple[Any, int]]:
        """Yield the shapes that were asked for, each with how many are left."""
        wanted = [s for s in shapes if not self.only or str(s) in self.only]
        if not wanted:
            known = ", ".join(f"'{s}'" for s in shapes)
            raise SystemExit(f"no shape is called {self.only}; known: {known}")
        return [(shape, len(wanted) - n) for n, shape in enumerate(wanted)]

    def begins(self, shape: Any) -> bool:
        """Return whether there is time for one more job; note it if not."""
        if self.budget.left_s >= _LEAST_S or self.stands_in:
            print(f"{shape} ...", flush=True)
            return True
        self.notes.append(f"{shape}: not measured, the budget was spent")
        return False

    def entrant(self, what: str, make: Callable[[], tuple[Racer, Any]]) -> tuple[Racer, Any] | None:
        """Return a contender and what it computed; None, and a note, if it cannot run."""
        try:
            return make()
        except (RuntimeError, ValueError, MemoryError) as error:
            words = f"{what}: not measured, {_line(error)}"
            print(f"  {words}", flush=True)
            (self.problems if what.startswith(OURS) else self.notes).append(words)
            return None

    def check(
        self,
        what: str,
        got: Sequence[npt.NDArray[Any]],
        expected: Sequence[npt.NDArray[Any]],
        tolerance: float,
    ) -> bool:
        """Return whether what was computed is right; else it is a problem, and not timed."""
        for a, b in zip(got, expected, strict=True):
            worst = float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else np.inf
            if not worst <= tolerance:
                words = f"{what}: wrong by {worst:.2g}, {tolerance:g} is allowed"
                print(f"  {words}", flush=True)
                self.problems.append(words)
                return False
        return True

    def peers(
        self,
        name: str,
        job: Any,
        expected: Sequence[npt.NDArray[Any]] | None,
        tolerances: Mapping[str, float],
        make: Callable[[TorchGpu, str, str], tuple[Racer, Any]],
    ) -> list[Racer]:
        """Return a peer in every precision and mode, as far as it can run and is right.

        Parameters
        ----------
        name : str
            The peer's.
        job : object
            What it does.
        expected : sequence of arrays or None
            What it must compute, within `tolerances` by precision; None: nobody knows.
        tolerances : mapping
        make : callable
            Of PyTorch, a precision and a mode.
        """
        racers: list[Racer] = []
        for precision, mode in product(PRECISIONS, self.torch.modes if self.torch else ()):
            assert self.torch is not None
            what = f"{name} {precision} {mode}, {job}"
            made = self.entrant(what, partial(make, self.torch, precision, mode))
            if made is None:
                continue
            if expected is None or self.check(what, made[1], expected, tolerances[precision]):
                racers.append(made[0])
        return racers

    def race(self, job: Any, racers: Sequence[Racer], n_left: int) -> Outcome:
        """Time all of one job."""
        allowed_s = 0.0 if self.stands_in else _FOR_SAMPLES * self.budget.share_s(n_left)
        return Outcome(str(job), racers, gpu_race.race(racers, allowed_s))

    def forget(self) -> None:
        """Give back what the last job took."""
        if self.torch is not None:
            self.torch.forget()

    def finish(self, targets: dict[str, bool], settings: dict[str, Any]) -> int:
        """Report; return the exit code."""
        if self.only or self.stands_in:
            targets = {}
        if self.torch is not None:
            settings = {"torch": self.torch.versions(), **settings}
        notes = [str(self.ceilings), *self.notes, *(f"PROBLEM: {p}" for p in self.problems)]
        code = self.rows.finish(self.ours.device, targets, self.ceilings, settings, notes)
        return 1 if self.problems else code


def judged(
    outcomes: Sequence[Outcome],
    jobs: Sequence[str],
    *,
    ours: str,
    peer: str,
    peer_precision: str,
    limit: float,
) -> dict[str, bool]:
    """Return, for each job, whether ours in a precision is `limit` times as fast as a peer.

    The peer is taken in its quickest mode.
    """
    met: dict[str, bool] = {}
    found = {outcome.job: outcome for outcome in outcomes}
    for job in jobs:
        words = f"{job}, {ours}: >= {limit:g} x {peer} {peer_precision}"
        figure = _figure(found.get(job), ours, peer, peer_precision)
        met[f"{words}: {figure or 'not measured'}"] = figure is not None and figure.reaches(
            limit, at_least=True
        )
    return met


def _figure(outcome: Outcome | None, ours: str, peer: str, peer_precision: str) -> Interval | None:
    if outcome is None:
        return None
    own, other = outcome.ours(ours), outcome.best_peer(peer_precision, (peer,))
    return None if own is None or other is None else outcome.faster(other, own)


def floors(
    bench: Bench, flops: float, n_bytes: Callable[[str], float]
) -> Callable[[str], tuple[float, str]]:
    """Return what gives the least seconds of some work at a precision, and what bounds it."""

    def least(precision: str) -> tuple[float, str]:
        return gpu_report.floor(bench.ceilings, precision, flops, n_bytes(precision))

    return least


def _line(error: BaseException) -> str:
    """Return the first line of an error, not too long."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
