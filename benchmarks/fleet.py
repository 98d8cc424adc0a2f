"""Many boards served together: a tick of the network alone, and of the whole fleet.

    python -m benchmarks.fleet [--peers] [--threads 2] [--quick] [--shape '1024 of 6->64']

Times are those of one stream's frame. `streamrnn` is `Streams.tick`, one frame of every stream;
`halves, any order` ticks them in two halves that are drawn by chance, so that states are gathered
and put back. `Fleet.tick` makes features of raw samples before and probabilities and their means
behind; `Fleet.decide` also decides on each, here while nothing happens (`quiet`) and while a
gesture goes on in every stream (`busy`). Peers run the network alone, without a head. The bound is
that of `benchmarks.streams`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import bound, contenders, contest, environment, measure, ours
from benchmarks.contenders import Contender, Remote
from benchmarks.contest import BEST, Outcome, Target
from benchmarks.peers import Peer
from benchmarks.shapes import N_CLASSES, Task, chosen
from streamrnn.core.types import Channel
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.rnn.cpu import CpuBackend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet import Fleet

TASKS = [Task("streams", 6, 64, n_rows=rows) for rows in (64, 256, 1024, 4096, 16384)]
MANY = tuple(task.shape for task in TASKS if task.n_rows >= 1024)
HALVES, TICK, QUIET, BUSY = (
    "halves, any order", "Fleet.tick", "Fleet.decide, quiet", "Fleet.decide, busy",
)  # fmt: skip
#: The whole of a tick takes at most so many times what its network takes.
WHOLE = 2.0
TARGETS = (Target(1.2, BEST, MANY),)


def model(task: Task, enter: float) -> Bundle:
    """Return the network of `task` with as many features as channels, and some smoothing."""
    channels = tuple(Channel(f"ch_{n}") for n in range(task.n_inputs))
    chain = FeatureChain.plain(channels)
    decision = DecisionConfig(enter=enter, exit=min(enter, 0.4), smooth_ms=50.0)
    labels = ("none", *(f"gesture {n}" for n in range(1, N_CLASSES)))
    return Bundle(task.params, chain, labels, 100.0, channels, decision)


def halves(task: Task, backend: CpuBackend) -> Callable[[], Any]:
    """Return what ticks one half of the streams, then the other."""
    streams = backend.streams(backend.upload(task.params), task.n_rows)
    order = np.random.default_rng(3).permutation(task.n_rows)
    parts = [np.ascontiguousarray(rows) for rows in np.array_split(order, 2)]
    frames = [task.x[0][rows] for rows in parts]
    logits = [np.empty((len(rows), N_CLASSES), np.float32) for rows in parts]

    def run() -> None:
        for rows, x, out in zip(parts, frames, logits, strict=True):
            streams.tick(x, out, rows)

    return run


def own(task: Task, n_threads: int) -> dict[str, Callable[[], Any]]:
    """Return our contenders: what each calls for one tick of all streams."""
    backend, x = CpuBackend(n_threads), task.x[0]
    streams = backend.streams(backend.upload(task.params), task.n_rows)
    logits = np.empty((task.n_rows, N_CLASSES), np.float32)
    quiet, busy = (Fleet(model(task, enter), task.n_rows, backend=backend) for enter in (0.99, 0.2))
    for fleet in (quiet, busy):
        fleet.join(task.n_rows)
    return {
        ours.NAME: lambda: streams.tick(x, logits),
        HALVES: halves(task, backend),
        TICK: lambda: quiet.tick(x),
        QUIET: lambda: quiet.decide(x),
        BUSY: lambda: busy.decide(x),
    }


def sampler(work: Callable[[], Any], n_units: int, burst_s: float) -> Callable[[], float]:
    """Return what times one unit of `work`."""
    n_calls = measure.n_calls(work, burst_s)
    return lambda: measure.burst(work, n_calls) / n_units


def hold(task: Task, field: Sequence[Contender], n_threads: int, n_rounds: int,
         burst_s: float) -> Outcome:  # fmt: skip
    """Time one number of streams."""
    print(f"fleet {task.shape} ...", flush=True)
    samplers = {
        name: sampler(work, task.n_units, burst_s) for name, work in own(task, n_threads).items()
    }
    racing = []
    for contender in field:
        shown = contender.open(task)
        if shown is None:
            continue
        contest.check(task, contender.name, shown, [])
        racing.append(contender)
        samplers[contender.name] = contender.sample
    samples = measure.round_robin(samplers, n_rounds)
    for contender in racing:
        contender.close()
    return Outcome(task, samples)


def whole(outcome: Outcome) -> tuple[str, bool]:
    """Return whether features and smoothing cost little enough, in words with the figure."""
    figure = measure.ratio(outcome.samples[TICK], outcome.samples[ours.NAME])
    words = f"fleet {outcome.task.shape}: {TICK} <= {WHOLE:g} x its network: {figure}"
    return words, figure.reaches(WHOLE, at_least=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("fleet", __doc__.splitlines()[0]).parse_args(arguments)
    tasks, n_threads = chosen(TASKS, options.shape), options.threads
    peers: Sequence[type[Peer]] = ()
    notes: list[str] = []
    if options.peers:
        peers, notes = contest.installed(["streams"])
    n_rounds, burst_s = (measure.MIN_ROUNDS, 0.001) if options.quick else (15, 0.01)
    make = contenders.named if n_threads == 1 else Remote
    field: list[Contender] = []
    try:
        for name in (bound.NAME, *(peer.name for peer in peers)):
            field.append(make(name, n_threads, burst_s))
        outcomes = [hold(task, field, n_threads, n_rounds, burst_s) for task in tasks]
    finally:
        for contender in field:
            if isinstance(contender, Remote):
                contender.end()
    names = tuple(peer.name for peer in peers)
    targets = [Target(t.limit, t.against, t.shapes, among=names) for t in TARGETS if names]
    judged = contest.judged(outcomes, targets)
    met = {words.replace("streams", "fleet", 1): reached for words, reached in judged.items()}
    met |= dict(whole(outcome) for outcome in outcomes if outcome.task.shape in MANY)
    rows = [
        row | {"job": f"fleet {outcome.task.shape}"}
        for outcome in outcomes
        for row in outcome.rows(1e-9)
    ]
    settings = {
        "n_threads": n_threads, "n_rounds": n_rounds, "burst_s": burst_s,
        "peers": contest.versions(peers),
    }  # fmt: skip
    return contest.conclude("fleet", options, rows, met, settings, notes=notes)


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
