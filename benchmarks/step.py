"""One stream, frame by frame from Python, and in chunks of 256 frames.

    python -m benchmarks.step [--peers] [--threads 2] [--quick] [--shape '6->64']

A step is one call of the compiled network with one frame; the peers compute the LSTM only, ours the
head too. The bound is the time to read all weights once, at the speed at which this machine reads
so many bytes over and over, plus the cell's update. `ahead` is the time from a frame's arrival to
its result when the sums of the recurrent weights were made before; `push` is a frame's whole way,
from int16 bytes to smoothed probabilities.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks import bound, contest, environment, live, ours
from benchmarks.contest import BEST, Outcome, Target
from benchmarks.shapes import AHEAD, CHUNKS, PUSHES, STEPS, chosen

TARGETS = (
    Target(9, "ONNX Runtime io_binding", ("6->64",), "step"),
    Target(5, "LiteRT", ("6->64",), "step"),
    Target(25, "torch LSTMCell", ("6->64",), "step"),
    Target(1.3, "RTNeural", ("6->64",), "step"),
    Target(3, "ONNX Runtime io_binding", ("63->128",), "step"),
    Target(8, "torch LSTMCell", ("63->128",), "step"),
    Target(1.2, bound.NAME, ("6->64",), "step"),
    Target(1.1, bound.NAME, ("64->256",), "step"),
    Target(1.1, BEST, kind="chunk"),
)
#: A call in a hundred may take so many times the median.
TAIL = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("step", __doc__.splitlines()[0]).parse_args(arguments)
    tasks = chosen([*STEPS, *CHUNKS, *AHEAD, *PUSHES], options.shape)
    peers, notes = contest.installed(["step", "chunk"]) if options.peers else ([], [])
    n_rounds, burst_s = (5, 0.001) if options.quick else (25, 0.004)
    shared = [task for task in tasks if task.kind in ("step", "chunk")]
    outcomes, facts = contest.hold(
        shared, peers, options.threads, n_rounds=n_rounds, burst_s=burst_s
    )
    outcomes += live.outcomes(tasks, n_rounds, burst_s)
    met = contest.judged(outcomes, (*TARGETS, *live.TARGETS)) | live.verdicts(outcomes)
    met |= dict(tail(outcome) for outcome in outcomes if outcome.task.kind == "step")
    settings = {"n_rounds": n_rounds, "burst_s": burst_s, "peers": contest.versions(peers)}
    return contest.report(
        "step", outcomes, met, options, settings, notes=[*notes, *facts], unit_s=1e-6
    )


def tail(outcome: Outcome) -> tuple[str, bool]:
    """Return whether slow calls are rare enough, in words with the figures."""
    p50, p99 = np.percentile(outcome.latencies[ours.NAME], [50, 99]) * 1e6
    words = f"step {outcome.task.shape}: p99 <= {TAIL:g} x p50 a call: {p99:.3g} / {p50:.3g} us"
    return words, bool(p99 <= TAIL * p50)


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
