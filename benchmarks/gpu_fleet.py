"""Ticks of many streams on a GPU, frames and states resident, beside PyTorch's cells.

    python -m benchmarks.gpu_fleet [--budget-s 50] [--shape '1e6 of 6->64'] [--interpreter]

A tick advances every stream by one frame and gives its logits. Peers keep h and c on the device
too; their graphs hold some ticks, and the time is that of one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks.gpu_bench import Bench, floors, options_of
from benchmarks.gpu_race import Racer
from benchmarks.gpu_report import OURS, Outcome
from benchmarks.gpu_shapes import FLEETS, SMALL_FLEETS, Streams
from benchmarks.gpu_torch import CELL, LSTM, fleet, ticks_of

BUDGET_S = 50.0
#: Largest difference of a logit to ours in exact precision, after two ticks.
TOLERANCES = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 3e-2}
#: Asked: stream-steps a second of the fleet that is named.
ASKED_RATE, ASKED_OF = 5e8, "1e6 of 6->64"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; return the exit code."""
    bench = Bench("gpu_fleet", options_of("gpu_fleet", __doc__, BUDGET_S, arguments))
    shapes = SMALL_FLEETS if bench.stands_in else FLEETS
    best_rate = 0.0
    for shape, n_left in bench.jobs(shapes):
        if not bench.begins(shape):
            continue
        outcome = _one(bench, shape, n_left)
        bench.forget()
        if str(shape) == ASKED_OF:
            ours = [at for p in ("exact", "bf16") if (at := outcome.ours(p)) is not None]
            best_rate = max((shape.n_streams / outcome.median_s(at) for at in ours), default=0.0)
    found = f"{best_rate:.3g}" if best_rate else "not measured"
    target = f"{ASKED_OF}: >= {ASKED_RATE:g} stream-steps/s: {found}"
    return bench.finish({target: best_rate >= ASKED_RATE}, {"tolerances": TOLERANCES})


def _one(bench: Bench, shape: Streams, n_left: int) -> Outcome:
    frames = shape.frames()
    racers: list[Racer] = []
    expected = None
    for precision in ("exact", "bf16"):
        what = f"{OURS} {precision}, {shape}"
        made = bench.entrant(what, partial(bench.ours.fleet, shape, frames, precision))
        if made is None:
            continue
        expected = expected or made[1]
        if bench.check(what, made[1], expected, TOLERANCES["bf16"]):
            racers.append(made[0])
    for kind in (CELL, LSTM):
        racers += bench.peers(
            kind, shape, expected, TOLERANCES,
            partial(fleet, shape=shape, frames=frames, kind=kind),
        )  # fmt: skip
    outcome = bench.race(shape, racers, n_left)
    for n, racer in enumerate(racers):
        outcome.samples[n] = [s / ticks_of(racer.mode) for s in outcome.samples[n]]
    least = floors(
        bench,
        shape.flops(),
        lambda precision: shape.n_bytes(h_bytes=2 if precision == "bf16" else 4),
    )
    for row in outcome.rows(least, stream_steps_s=lambda s: shape.n_streams / s):
        bench.rows.add(row)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
