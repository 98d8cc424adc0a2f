"""Every benchmark on a GPU, one after the other, each in a process of its own.

    python -m benchmarks.gpu_all [--budget-s 205] [--into FOLDER] [--interpreter]

Each gets its part of the time, and what the ones before it left.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

try:
    from benchmarks import gpu_fleet, gpu_sequence, gpu_training
    from benchmarks.gpu_bench import NO_GPU, stands_in
    from benchmarks.report import RESULTS
except ModuleNotFoundError as missing:  # whoever brings an interpreter learns what it lacks
    sys.exit(f"{missing.name} is not installed, and is needed: NumPy, Numba and cuda-bindings are")

#: What is run, and its part of the time.
RUNS = (
    ("gpu_training", gpu_training.BUDGET_S),
    ("gpu_sequence", gpu_sequence.BUDGET_S),
    ("gpu_fleet", gpu_fleet.BUDGET_S),
)
#: A process that starts imports PyTorch and opens the device.
_START_S = 8.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; return 1 if one missed a target or failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_all", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--budget-s", type=float, default=205.0, help="for all of them")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument(
        "--interpreter", action="store_true", default=stands_in(), help="small sizes, no figures"
    )
    options = parser.parse_args(arguments)
    end_s = perf_counter() + options.budget_s
    failed = []
    for n, (name, part_s) in enumerate(RUNS):
        left_s = end_s - perf_counter()
        parts_s = sum(s for _, s in RUNS[n:])
        budget_s = max(0.0, left_s * part_s / parts_s - _START_S)
        command = [
            sys.executable, "-m", f"benchmarks.{name}", "--budget-s", f"{budget_s:.0f}",
            "--into", str(options.into), *(["--interpreter"] if options.interpreter else []),
        ]  # fmt: skip
        print(f"\n=== {name}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code == NO_GPU:
            return NO_GPU
        if code:
            failed.append(name)
    print(f"\n{'targets missed in: ' + ', '.join(failed) if failed else 'no target was missed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
