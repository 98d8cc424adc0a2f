"""How many instructions a time step takes on a GPU, counted by the tests' interpreter. No GPU.

    python -m benchmarks.gpu_steps [--no-docs]

Runs the kernels that hold a layer over time for two lengths, and divides the difference by steps
and rows: what warps execute a row and step, in PTX's instructions. Works in a checkout only, as the
interpreter stands in tests/kernels/cuda; writes its table into docs/performance-gpu.md. These are
counts, not times.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.gpu_compile import write_document
from streamrnn.kernels.params import LayerParams, Params

BEGIN, END = "<!-- steps: begin -->", "<!-- steps: end -->"
_INTERPRETER = Path(__file__).parent.parent / "tests" / "kernels" / "cuda"
#: Kernels of whole layers; the others do a constant part of their work for each launch.
_LAYERS = {"lstm", "bptt", "tensor_forward", "tensor_tick"}
_LENGTHS = (2, 4)
_WARP, _TILE, _OCTET = 32, 16, 8


@dataclass(frozen=True)
class Job:
    """What is counted.

    Attributes
    ----------
    what : {"forward", "training", "ticks"}
    n_in, n_units, n_rows : int
        I, H, B: all rows on one multiprocessor.
    precision : {"exact", "bf16"}
    """

    what: str
    n_in: int
    n_units: int
    n_rows: int
    precision: str

    @property
    def words(self) -> str:
        """The job in words."""
        rows = f"{self.n_rows} rows" if self.n_rows > 1 else "1 row"
        return f"{self.what} {self.n_in}->{self.n_units}, {rows}, {self.precision}"


JOBS = (
    Job("forward", 6, 64, 1, "exact"),
    Job("training", 6, 64, 32, "exact"),
    Job("forward", 63, 128, 32, "exact"),
    Job("forward", 6, 64, 32, "bf16"),
    Job("forward", 6, 128, 32, "bf16"),
    Job("ticks", 6, 64, 128, "bf16"),
)


def rows_of(job: Job) -> list[dict[str, Any]]:
    """Return a row for each kernel of a job."""
    short, long = (_executed(job, n_steps) for n_steps in _LENGTHS)
    per = (_LENGTHS[1] - _LENGTHS[0]) * job.n_rows
    rows = []
    for name, (n_instructions, n_conflicts, n_sums) in long.items():
        before = short.get(name, (0, 0, 0))
        rows.append(
            {
                "job": job.words,
                "kernel": name,
                "instructions": (n_instructions - before[0]) / per,
                "sums": (n_sums - before[2]) / per,
                "least_sums": _least_sums(job, name),
                "conflicts": (n_conflicts - before[1]) / per,
            }
        )
    return rows


def _executed(job: Job, n_steps: int) -> dict[str, tuple[int, int, int]]:
    """Return instructions, bank conflicts and multiply-adds of each kernel of a run."""
    sys.path.insert(0, str(_INTERPRETER))
    try:
        from simulated import SimulatedDevice  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(_INTERPRETER))
    from streamrnn.kernels.cuda.backend import CudaBackend

    device = SimulatedDevice(n_multiprocessors=1)
    backend = CudaBackend(device)
    handle = backend.upload(_params(job), precision=job.precision)
    x = np.zeros((n_steps, job.n_rows, job.n_in), np.float32)
    if job.what == "ticks":
        streams = backend.streams(handle, job.n_rows)
        logits = np.empty((job.n_rows, 6), np.float32)
        streams.tick(x[0], logits)
        device.counts.clear()
        for frames in x:
            streams.tick(frames, logits)
    else:
        device.counts.clear()
        is_training = job.what == "training"
        state = backend.zero_state(handle, job.n_rows)
        logits, tape = backend.forward(handle, x, state, keep_tape=is_training)
        if tape is not None:
            backend.backward(handle, tape, np.zeros_like(logits))
    totals: dict[str, Counter[str]] = {}
    for launched in device.counts:
        if launched.kernel.name in _LAYERS:
            total = totals.setdefault(launched.kernel.full_name, Counter())
            total["all"] += launched.n_instructions
            total["conflicts"] += sum(launched.conflicts.values())
            for instruction, n in launched.executed.items():
                total["sums"] += n * instruction.startswith(("fma.rn.f32", "mma."))
    return {name: (t["all"], t["conflicts"], t["sums"]) for name, t in totals.items()}


def _least_sums(job: Job, kernel: str) -> float:
    """Return the multiply-adds of a kernel for a row and step, as a warp's instructions."""
    if job.precision == "exact":
        # Another kernel has summed the inputs, or takes the gradients back to them.
        is_recurrent = "projected1" in kernel or kernel.startswith("bptt")
        return 4 * job.n_units * ((0 if is_recurrent else job.n_in) + job.n_units) / _WARP
    n_in = -(-job.n_in // _TILE) * _TILE
    return (4 * job.n_units // _TILE) * ((n_in + job.n_units) // _TILE) / _OCTET


def _params(job: Job) -> Params:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    n_in, n_units = job.n_in, job.n_units
    layer = LayerParams(draw(4 * n_units, n_in), draw(4 * n_units, n_units), draw(4 * n_units))
    return Params((layer,), draw(6, n_units), draw(6))


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the document."""
    lines = [
        "| job | kernel | instructions | multiply-adds among them | least | bank conflicts |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = (row[key] for key in ("instructions", "sums", "least_sums", "conflicts"))
        cells = " | ".join(f"{figure:.1f}" for figure in figures)
        lines.append(f"| {row['job']} | `{row['kernel']}` | {cells} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print and keep the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_steps", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--docs", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)
    rows = [row for job in JOBS for row in rows_of(job)]
    if options.docs:
        write_document(render(rows), BEGIN, END)
    settings = {"lengths": list(_LENGTHS), "n_multiprocessors": 1, "architecture": "sm_90a"}
    return report.finish("gpu_steps", rows, {}, settings)


if __name__ == "__main__":
    sys.exit(main())
