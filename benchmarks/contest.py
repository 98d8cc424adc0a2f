"""A contest: tasks, contenders in turn, what is asked of us, and the table of what came out."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import bound, contenders, measure, ours
from benchmarks.contenders import Contender, Remote
from benchmarks.measure import Interval
from benchmarks.peers import ALL, Peer
from benchmarks.report import finish
from benchmarks.shapes import Kind, Task, chosen

#: Losses of two trainers after the same updates agree to this, relatively.
LOSS_TOLERANCE = 2e-4
BEST = "the best peer"
#: Load average above which figures are noisy, and their intervals wide.
BUSY = 0.7


@dataclass(frozen=True)
class Target:
    """What is asked.

    Attributes
    ----------
    limit : float
        At least so many times faster than a peer, or at most so many times the bound (for
        `share`: at least that share of what the bound allows).
    against : str
        Name of a peer, `BEST`, or the bound.
    shapes : tuple of str
        Where it is asked; empty: everywhere.
    kind : Kind or None
        Of which jobs; None: of all.
    share : bool
    among : tuple of str
        The peers of which `BEST` is one; empty: all.
    """

    limit: float
    against: str
    shapes: tuple[str, ...] = ()
    kind: Kind | None = None
    share: bool = False
    among: tuple[str, ...] = ()

    def applies(self, task: Task) -> bool:
        """Return whether it is asked of `task`."""
        return (not self.shapes or task.shape in self.shapes) and self.kind in (None, task.kind)


@dataclass
class Outcome:
    """The samples of one task by contender, of a step the time of every call, and more columns."""

    task: Task
    samples: dict[str, list[float]]
    latencies: dict[str, list[float]] = field(default_factory=dict)
    more: dict[str, dict[str, float]] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        """The contenders that are neither ours nor the bound."""
        return [name for name in self.samples if name not in (ours.NAME, bound.NAME)]

    def faster(self, peer: str) -> Interval:
        """Return how many times the peer's time is ours."""
        return measure.ratio(self.samples[peer], self.samples[ours.NAME])

    def best(self, among: Sequence[str] = ()) -> str | None:
        """Return the peer with the least median."""
        peers = [name for name in self.peers if not among or name in among]
        return min(peers, key=lambda name: float(np.median(self.samples[name])), default=None)

    def judge(self, target: Target) -> tuple[str, bool] | None:
        """Return a target in words with its figure, and whether it is met; None: not measured."""
        where = f"{self.task.kind} {self.task.shape}"
        if target.against == bound.NAME:
            pair = (self.samples[ours.NAME], self.samples[bound.NAME])
            figure = measure.ratio(*(pair[::-1] if target.share else pair))
            sign = ">=" if target.share else "<="
            what = "of the bound's speed" if target.share else "x the bound"
            met = figure.reaches(target.limit, at_least=target.share)
            return f"{where}: {sign} {target.limit:g} {what}: {figure}", met
        peer = self.best(target.among) if target.against == BEST else target.against
        if peer not in self.samples:
            return None
        figure = self.faster(peer)
        who = f"{peer}, {BEST}" if target.against == BEST else peer
        met = figure.reaches(target.limit, at_least=True)
        return f"{where}: >= {target.limit:g} x {who}: {figure}", met

    def rows(self, unit_s: float) -> list[dict[str, Any]]:
        """Return the rows of the table, ours first, the others by speed; times in `unit_s`."""
        order = sorted(self.samples, key=lambda name: float(np.median(self.samples[name])))
        order.sort(key=lambda name: name != ours.NAME)
        return [self._row(name, unit_s) for name in order]

    def _row(self, name: str, unit_s: float) -> dict[str, Any]:
        unit = {1e-9: "ns", 1e-6: "us", 1e-3: "ms"}[unit_s]
        time = measure.median(self.samples[name])
        faster = self.faster(name) if name in self.peers else None
        limit = self.samples.get(bound.NAME)
        to_bound = limit and measure.ratio(self.samples[name], limit)
        row: dict[str, Any] = {
            "job": f"{self.task.kind} {self.task.shape}",
            "contender": name,
            f"{unit}": _short(time.value / unit_s),
            "low": _short(time.low / unit_s),
            "high": _short(time.high / unit_s),
            "ours_faster": faster and _short(faster.value),
            "x_low": faster and _short(faster.low),
            "x_high": faster and _short(faster.high),
            "x_bound": to_bound and _short(to_bound.value),
        }
        if self.latencies:
            calls = self.latencies.get(name)
            p50, p99 = np.percentile(calls, [50, 99]) / unit_s if calls else (None, None)
            row |= {"p50_call": p50 and _short(p50), "p99_call": p99 and _short(p99)}
        blank = {key: None for columns in self.more.values() for key in columns}
        return row | blank | self.more.get(name, {})


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def parser(program: str, doc: str) -> argparse.ArgumentParser:
    """Return the options that every benchmark has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{program}", description=doc)
    made.add_argument("--peers", action="store_true", help="beside other libraries")
    made.add_argument("--threads", type=int, choices=(1, 2), default=1)
    made.add_argument("--quick", action="store_true", help="a check, not a figure: exit 0")
    made.set_defaults(load_before=round(os.getloadavg()[0], 2))
    made.add_argument("--shape", action="append", default=[], help="only this one; repeatable")
    return made


def installed(kinds: Sequence[str]) -> tuple[list[type[Peer]], list[str]]:
    """Return the peers that have one of the jobs and can run, and notes on those that cannot."""
    wanted = [peer for peer in ALL if any(getattr(peer, k) is not getattr(Peer, k) for k in kinds)]
    notes = [f"{p.name}: not measured, {p.missing()}" for p in wanted if p.missing()]
    return [peer for peer in wanted if not peer.missing()], notes


def versions(peers: Sequence[type[Peer]]) -> dict[str, str]:
    """Return the versions of what is measured."""
    names = dict.fromkeys(name for peer in peers for name in peer.packages)
    return {name: importlib.metadata.version(name) for name in names}


def hold(
    tasks: Sequence[Task], peers: Sequence[type[Peer]], n_threads: int, *,
    n_rounds: int, burst_s: float,
) -> tuple[list[Outcome], list[str]]:  # fmt: skip
    """Time every task; return the outcomes and notes.

    At one thread all contenders run in this process, in turn; at more each has its own process,
    and only the one whose turn it is runs.
    """
    names = [ours.NAME, bound.NAME, *(peer.name for peer in peers)]
    field_: list[Contender] = []
    try:
        for name in names:
            make = contenders.named if n_threads == 1 else Remote
            field_.append(make(name, n_threads, burst_s))
        outcomes = [_one(task, field_, n_rounds) for task in tasks]
    finally:
        for contender in field_:
            if isinstance(contender, Remote):
                contender.end()
    return outcomes, [_facts(outcome) for outcome in outcomes]


def _one(task: Task, field_: Sequence[Contender], n_rounds: int) -> Outcome:
    print(f"{task.kind} {task.shape} ...", flush=True)
    losses: list[float] = []
    racing: dict[str, Contender] = {}
    for contender in field_:
        shown = contender.open(task)
        if shown is None:
            continue
        if contender.name != bound.NAME:
            losses = losses or shown
            check(task, contender.name, shown, losses)
        racing[contender.name] = contender
    samples = measure.round_robin({n: c.sample for n, c in racing.items()}, n_rounds)
    outcome = Outcome(task, samples, facts=racing[bound.NAME].facts())
    if task.kind == "step":
        outcome.latencies = {n: c.latencies() for n, c in racing.items()}
    for contender in racing.values():
        contender.close()
    return outcome


def check(task: Task, name: str, shown: Sequence[float], losses: Sequence[float]) -> None:
    """Refuse to time what does something else.

    Raises
    ------
    SystemExit
        Logits are off by more than 1e-5, or the losses do not go down as ours.
    """
    if task.kind == "train":
        worst = max(abs(a - b) / abs(b) for a, b in zip(shown, losses, strict=True))
        if not worst <= LOSS_TOLERANCE or shown[-1] >= shown[0]:
            raise SystemExit(f"{name}, {task.shape}: losses {shown}, ours {losses}")
    elif not shown[0] <= contenders.TOLERANCE:
        raise SystemExit(f"{name}, {task.kind} {task.shape}: logits are off by {shown[0]:.1e}")


def _facts(outcome: Outcome) -> str:
    words = {"gflops": "GF/s of multiply-adds", "gbytes_s": "GB/s", "cell_ns": "ns a unit's cell"}
    facts = ", ".join(f"{value:.3g} {words[name]}" for name, value in outcome.facts.items())
    return f"bound of {outcome.task.kind} {outcome.task.shape}: {facts}"


def judged(outcomes: Sequence[Outcome], targets: Sequence[Target]) -> dict[str, bool]:
    """Return all targets that could be judged, in words with their figures."""
    verdicts = (
        outcome.judge(target)
        for target in targets
        for outcome in outcomes
        if target.applies(outcome.task)
    )
    return dict(verdict for verdict in verdicts if verdict is not None)


def run(
    name: str,
    tasks: Sequence[Task],
    targets: Sequence[Target],
    options: argparse.Namespace,
    *,
    unit_s: float,
    n_rounds: int,
    burst_s: float,
    extra: Mapping[str, bool] | None = None,
) -> int:
    """Hold the contest that `options` ask for, report it, and return the exit code."""
    picked = chosen(tasks, options.shape)
    peers, notes = installed([task.kind for task in picked]) if options.peers else ([], [])
    if options.quick:
        n_rounds, burst_s = measure.MIN_ROUNDS, burst_s / 8
    outcomes, facts = hold(picked, peers, options.threads, n_rounds=n_rounds, burst_s=burst_s)
    return report(name, outcomes, judged(outcomes, targets) | dict(extra or {}), options, {
        "n_rounds": n_rounds, "burst_s": burst_s, "peers": versions(peers),
    }, notes=[*notes, *facts], unit_s=unit_s)  # fmt: skip


def report(
    name: str,
    outcomes: Sequence[Outcome],
    met: Mapping[str, bool],
    options: argparse.Namespace,
    settings: Mapping[str, Any],
    *,
    notes: Sequence[str],
    unit_s: float,
) -> int:
    """Write and print; return the exit code."""
    rows = [row for outcome in outcomes for row in outcome.rows(unit_s)]
    settings = {"n_threads": options.threads, **settings}
    return conclude(name, options, rows, met, settings, notes=notes)


def conclude(
    name: str,
    options: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    met: Mapping[str, bool],
    settings: Mapping[str, Any],
    *,
    notes: Sequence[str],
) -> int:
    """Finish, and return the exit code; a quick run is no figure, and so misses nothing."""
    settings = {"load_before": options.load_before, **settings}
    if options.load_before > BUSY:
        notes = [f"the machine was busy: load {options.load_before} before the run", *notes]
    code = finish(full_name(name, options), rows, met, settings, notes)
    return 0 if options.quick else code


def full_name(name: str, options: argparse.Namespace) -> str:
    """Return the name of the results: two threads, no peers, quick and parts stand apart."""
    parts = [name]
    if options.threads > 1:
        parts.append(f"{options.threads}-threads")
    if not options.peers:
        parts.append("alone")
    if options.shape:
        parts.append("part")
    if options.quick:
        parts.append("quick")
    return "-".join(parts)
