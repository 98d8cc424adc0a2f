"""Whole sequences from state zero, many side by side: what evaluation does.

    python -m benchmarks.sequence [--peers] [--threads 2] [--quick] [--shape '(64,128) 9->64']

A shape is (sequences, frames) and the network. The bound is as in benchmarks/streams.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import contest, environment
from benchmarks.contest import BEST, Target
from benchmarks.shapes import SEQUENCES

TARGETS = (Target(1.1, BEST),)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("sequence", __doc__.splitlines()[0]).parse_args(arguments)
    return contest.run(
        "sequence", SEQUENCES, TARGETS, options, unit_s=1e-9, n_rounds=15, burst_s=0.02
    )


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
