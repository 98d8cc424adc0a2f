"""Whole sequences from state zero on a GPU, beside PyTorch: LSTM layers and head, logits out.

    python -m benchmarks.gpu_sequence [--budget-s 70] [--shape '(64,1000) 6->64'] [--interpreter]

A shape is (sequences, steps) and the network. Inputs are resident, and some sets of them take
turns, so that no cache holds them; ``host`` is ours with the copies from and to the host.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks.gpu_bench import Bench, floors, judged, options_of
from benchmarks.gpu_race import Racer
from benchmarks.gpu_report import OURS, Outcome
from benchmarks.gpu_shapes import SEQUENCES, SMALL_SEQUENCES, Sequences
from benchmarks.gpu_torch import LSTM, sequences

BUDGET_S = 70.0
#: Largest difference of a logit to ours in exact precision; logits are about 1. Float32 sums in
#: another order, 10 bits of a factor, 8 bits of a factor: over all steps, which forget.
TOLERANCES = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 8e-2}
#: Asked: at B = 64, bf16, so many times as fast as nn.LSTM in bf16.
ASKED = 1.5
_SETS_BYTES, _MOST_SETS = 1 << 26, 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; return the exit code."""
    bench = Bench("gpu_sequence", options_of("gpu_sequence", __doc__, BUDGET_S, arguments))
    shapes = SMALL_SEQUENCES if bench.stands_in else SEQUENCES
    outcomes = []
    for shape, n_left in bench.jobs(shapes):
        if bench.begins(shape):
            outcomes.append(_one(bench, shape, n_left))
            bench.forget()
    jobs = [str(s) for s in SEQUENCES if s.n_rows == 64 and s.n_hidden <= 128]
    targets = judged(outcomes, jobs, ours="bf16", peer=LSTM, peer_precision="bf16", limit=ASKED)
    return bench.finish(targets, {"tolerances": TOLERANCES})


def _one(bench: Bench, shape: Sequences, n_left: int) -> Outcome:
    item_bytes = 4 * shape.n_row_steps * shape.n_in
    inputs = shape.inputs(max(2, min(_MOST_SETS, _SETS_BYTES // item_bytes)))
    racers: list[Racer] = []
    expected = None
    for precision in ("exact", "bf16"):
        what = f"{OURS} {precision}, {shape}"
        made = bench.entrant(what, partial(bench.ours.sequences, shape, inputs, precision))
        if made is None:
            continue
        expected = expected or made[1]
        if bench.check(what, made[1], expected, TOLERANCES["bf16"]):
            racers += [made[0], bench.ours.host_sequences(shape, inputs, precision)]
    racers += bench.peers(
        LSTM, shape, expected, TOLERANCES, partial(sequences, shape=shape, inputs=inputs)
    )
    outcome = bench.race(shape, racers, n_left)
    least = floors(
        bench,
        shape.flops(training=False),
        lambda precision: shape.n_bytes(training=False, item_bytes=2 if precision == "bf16" else 4),
    )
    for row in outcome.rows(least, us_step=lambda s: 1e6 * s / shape.n_steps):
        bench.rows.add(row)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
