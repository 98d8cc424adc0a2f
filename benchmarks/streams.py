"""Many independent streams, one frame of each a call.

    python -m benchmarks.streams [--peers] [--threads 2] [--quick] [--shape '1024 of 6->64']

The bound is the matrix products at the rate of multiply-adds of this machine, plus the cell's
update; moving the state through the caches is not in it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import bound, contest, environment
from benchmarks.contest import BEST, Target
from benchmarks.shapes import STREAMS

TARGETS = (
    *(
        Target(1.5 if task.n_hidden == 64 else 1.2, BEST, (task.shape,))
        for task in STREAMS
    ),
    Target(0.9, bound.NAME, share=True),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("streams", __doc__.splitlines()[0]).parse_args(arguments)
    return contest.run("streams", STREAMS, TARGETS, options, unit_s=1e-9, n_rounds=15, burst_s=0.01)


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
