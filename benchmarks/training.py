"""One whole update: forward, back-propagation through time, clip by norm, Adam; and its memory.

    python -m benchmarks.training [--peers] [--threads 2] [--quick] [--shape '(32,128) 6->64']

A shape is (sequences, frames) and the network; the loss is the cross entropy of the last step. All
trainers start from the same weights, and their losses of the first updates must be the same. The
bound is the matrix products of both directions at the rate of multiply-adds of this machine.

Memory is measured in a process of its own for each trainer: how much larger its resident set was at
its peak, over three updates, than before it made anything (inputs and library already there).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bound, contest, environment, measure, ours
from benchmarks.contenders import library_named
from benchmarks.contest import BEST, Target
from benchmarks.shapes import TRAINING, Task, chosen

TARGETS = (
    Target(1.6, BEST, among=("torch nn.LSTM", "Keras", "JAX")),
    Target(0.78, bound.NAME, share=True),
)
_UPDATES_FOR_MEMORY = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("training", __doc__.splitlines()[0]).parse_args(arguments)
    tasks = chosen(TRAINING, options.shape)
    peers, notes = contest.installed(["train"]) if options.peers else ([], [])
    n_rounds, burst_s = (measure.MIN_ROUNDS, 0.005) if options.quick else (13, 0.04)
    outcomes, facts = contest.hold(
        tasks, peers, options.threads, n_rounds=n_rounds, burst_s=burst_s
    )
    notes += facts
    for outcome in outcomes:
        for name in (ours.NAME, *(peer.name for peer in peers)):
            outcome.more[name] = {"peak_mib": peak_mib(name, outcome.task, options.threads)}
    settings = {"n_rounds": n_rounds, "burst_s": burst_s, "peers": contest.versions(peers)}
    met = contest.judged(outcomes, TARGETS)
    return contest.report("training", outcomes, met, options, settings, notes=notes, unit_s=1e-3)


def peak_mib(name: str, task: Task, n_threads: int) -> float:
    """Return how far the resident set grows over a few updates, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--measure-memory", name]
    done = subprocess.run(
        [*command, str(n_threads), json.dumps(task.document())],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return float(done.stdout.splitlines()[-1])


def _measure_memory(name: str, n_threads: int, document: dict[str, Any]) -> None:
    task = Task(**document)
    peer = library_named(name)(n_threads)
    _ = task.x, task.labels, task.params
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _resident_kib("VmHWM")
    job = peer.train(task)
    assert job is not None
    for _ in range(_UPDATES_FOR_MEMORY):
        job.call()
    print(round((_resident_kib("VmHWM") - before) / 1024, 1))


def _resident_kib(field: str) -> int:
    """Return a line of proc(5)'s status, in KiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {field}: memory cannot be measured here")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure-memory"]:
        _measure_memory(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        environment.settle()
        sys.exit(main())
