"""What only this project has: steps with sums made ahead, and a frame's whole way in one call.

Part of `python -m benchmarks.step`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from benchmarks import measure, ours
from benchmarks.contest import Outcome, Target
from benchmarks.shapes import Task
from streamrnn.core.types import F32

#: A step that begins when its frame arrives, timed in the same way.
PLAIN = "streamrnn, nothing ahead"
TARGETS = (Target(3, PLAIN, ("64->256",), "ahead"),)
#: From int16 bytes to smoothed probabilities.
PUSH_LIMIT_US = 1.0


def outcomes(tasks: Sequence[Task], n_rounds: int, burst_s: float) -> list[Outcome]:
    """Time the tasks of kind ``ahead`` and ``push``."""
    return [
        _ahead(task, n_rounds) if task.kind == "ahead" else _push(task, n_rounds, burst_s)
        for task in tasks
        if task.kind in ("ahead", "push")
    ]


def verdicts(outcomes: Sequence[Outcome]) -> dict[str, bool]:
    """Return the target of ``push`` in words, and whether it is met."""
    met = {}
    for outcome in outcomes:
        if outcome.task.kind == "push":
            seconds = outcome.samples[ours.NAME]
            figure = measure.median([s * 1e6 for s in seconds])
            words = f"push {outcome.task.shape}: <= {PUSH_LIMIT_US} us a frame: {figure}"
            met[words] = figure.reaches(PUSH_LIMIT_US, at_least=False)
    return met


def _ahead(task: Task, n_rounds: int) -> Outcome:
    """Time every step by itself, from the frame's arrival to its result."""
    frames = [x[0] for x in task.x]
    late, early = ours.stepper(task), ours.stepper(task)
    samplers = {
        ours.NAME: _each(early.step, early.ahead, frames),
        PLAIN: _each(late.step, lambda: None, frames),
    }
    return Outcome(task, measure.round_robin(samplers, n_rounds))


def _each(
    step: Callable[[F32], object], before: Callable[[], None], frames: Sequence[F32]
) -> Callable[[], float]:
    def sample() -> float:
        total_ns = 0
        for n, x in enumerate([*frames[:16], *frames]):
            before()
            start_ns = perf_counter_ns()
            step(x)
            if n >= 16:  # the first warm the caches up
                total_ns += perf_counter_ns() - start_ns
        return total_ns / len(frames) / 1e9

    return sample


def _push(task: Task, n_rounds: int, burst_s: float) -> Outcome:
    push, frames = ours.push(task)

    def walk() -> None:
        for frame in frames:
            push(frame)

    n = measure.n_calls(walk, burst_s)
    samples = measure.round_robin(
        {ours.NAME: lambda: measure.burst(walk, n) / len(frames)}, n_rounds
    )
    return Outcome(task, samples, {ours.NAME: list(measure.latencies(push, frames, 20))})
