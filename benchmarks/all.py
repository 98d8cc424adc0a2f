"""Every benchmark of speed, one after the other, each in a process of its own.

    python -m benchmarks.all [--peers | --no-peers] [--quick] [--only step]

Peers are measured when PyTorch and ONNX Runtime are installed, unless a flag says otherwise.
`benchmarks.accuracy` and `benchmarks.parity` need recordings and are not part of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter

#: What is run, with its further arguments.
RUNS = (
    ("step",), ("streams",), ("fleet",), ("sequence",), ("training",),
    ("training", "--threads", "2"), ("decode",), ("startup",), ("end_to_end",),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; return 1 if one of them missed a target, or failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.all", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=has_peers())
    parser.add_argument("--quick", action="store_true", help="a check, not figures")
    parser.add_argument("--only", action="append", default=[], choices=sorted({r[0] for r in RUNS}))
    options = parser.parse_args(arguments)
    flags = [flag for flag in ("peers", "quick") if getattr(options, flag)]
    missed = []
    start_s = perf_counter()
    for name, *more in RUNS:
        if options.only and name not in options.only:
            continue
        words = [name, *more, *(f"--{flag}" for flag in flags)]
        print(f"\n=== {' '.join(words)}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{words[0]}", *words[1:]]
        if subprocess.run(command, check=False).returncode:
            missed.append(" ".join([name, *more]))
    took_min = (perf_counter() - start_s) / 60
    outcome = f"targets missed in: {', '.join(missed)}" if missed else "all targets reached"
    print(f"\n{outcome}; {took_min:.1f} minutes; python -m benchmarks.table updates the docs")
    return 1 if missed else 0


def has_peers() -> bool:
    """Return whether the peers that matter most are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "onnxruntime"))


if __name__ == "__main__":
    sys.exit(main())
