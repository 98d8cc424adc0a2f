"""Rows of figures from a GPU: printed and kept as they are measured; the dated JSON, the table."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure, report
from benchmarks.gpu_ceilings import Ceilings
from benchmarks.gpu_race import Racer

OURS = "streamrnn"
_PACKAGES = ("numba-cuda", "cuda-bindings", "torch", "cupy-cuda13x")
#: The precision of ours that a peer's stands beside.
_BESIDE = {"fp32": "exact", "tf32": "exact", "bf16": "bf16"}
#: The rate that bounds each precision.
_RATE = {"exact": "fp32", "fp32": "fp32", "tf32": "tf32", "bf16": "bf16"}


class Rows:
    """The rows of one benchmark.

    Parameters
    ----------
    name : str
        Of the benchmark.
    into : Path or None
        Folder of the results; None keeps nothing, where something stands in for the GPU.
    """

    def __init__(self, name: str, into: Path | None) -> None:
        self.name = name
        self.rows: list[dict[str, Any]] = []
        self._today = datetime.datetime.now(datetime.UTC).date().isoformat()
        self._into = into
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
            self._lines.unlink(missing_ok=True)

    @property
    def _lines(self) -> Path:
        assert self._into is not None
        return self._into / f"{self._today}-{self.name}.jsonl"

    def add(self, row: Mapping[str, Any]) -> None:
        """Print a row, and put it on disk at once: a run that is killed keeps it."""
        self.rows.append(dict(row))
        print(f"  {_words(row)}", flush=True)
        if self._into is not None:
            with self._lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def finish(
        self,
        device: Any,
        targets: Mapping[str, bool],
        ceilings: Ceilings,
        settings: Mapping[str, Any],
        notes: Sequence[str],
    ) -> int:
        """Write the dated JSON, print the table last, and return the exit code."""
        stands_in = self._into is None
        where = machine(device)
        if self._into is not None:
            document = {
                "benchmark": self.name,
                "date": self._today,
                "machine": where,
                "ceilings": ceilings.to_json(),
                "settings": dict(settings),
                "notes": list(notes),
                "targets": dict(targets),
                "rows": self.rows,
            }
            path = self._into / f"{self._today}-{self.name}.json"
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            self._lines.unlink(missing_ok=True)
        print(f"\n{self.name}, {self._today}, {where['gpu']['name']}")
        if stands_in:
            print("  NOT A MEASUREMENT: no GPU took part; nothing was written")
        for note in notes:
            print(f"  {note}")
        print()
        print(report.table(self.rows))
        for target, reached in targets.items():
            print(f"{'reached' if reached else 'MISSED '}  {target}")
        return 0 if stands_in or all(targets.values()) else 1


def _words(row: Mapping[str, Any]) -> str:
    beside = f", ours {row['ours_faster']:g} times as fast" if row["ours_faster"] else ""
    who = f"{row['contender']} {row['precision']} {row['mode']}"
    return f"{who}: {row['ms']:g} ms ({row['low']:g} to {row['high']:g}){beside}"


def machine(device: Any) -> dict[str, Any]:
    """Return GPU, driver, processor and versions; nothing that names a host, a user or a path."""
    where = report.machine()
    for name in _PACKAGES:
        try:
            where["versions"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            where["versions"][name] = "not installed"
    gpu = {
        "name": device.name,
        "capability": ".".join(map(str, device.capability)),
        "n_multiprocessors": device.n_multiprocessors,
    }
    if hasattr(device, "n_bytes"):
        gpu["mib"] = device.n_bytes >> 20
    if hasattr(device, "driver_version"):
        gpu["driver_cuda"] = ".".join(map(str, device.driver_version))
        gpu["driver"] = _driver()
    return {"gpu": gpu, **where}


def _driver() -> str:
    """Return the version of NVIDIA's kernel module."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "unknown"
    found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found[1] if found else "unknown"


class Outcome:
    """The samples of one job's racers, and what is made of them.

    Parameters
    ----------
    job : str
    racers, samples
        As `gpu_race.race` takes and gives them.
    """

    def __init__(
        self, job: str, racers: Sequence[Racer], samples: Sequence[Sequence[float]]
    ) -> None:
        self.job, self.racers = job, list(racers)
        self.samples = [list(s) for s in samples]

    def ours(self, precision: str) -> int | None:
        """Return which racer is ours at a precision, whole work on resident data."""
        for at, racer in enumerate(self.racers):
            if racer.name == OURS and racer.precision == precision and racer.mode == "resident":
                return at
        return None

    def best_peer(self, precision: str, names: Sequence[str]) -> int | None:
        """Return the quickest peer of some names at a precision."""
        among = [
            at
            for at, racer in enumerate(self.racers)
            if racer.precision == precision and racer.name in names
        ]
        return min(among, key=lambda at: measure.median(self.samples[at]).value, default=None)

    def median_s(self, at: int) -> float:
        """Return a racer's median."""
        return measure.median(self.samples[at]).value

    def faster(self, peer: int, ours: int) -> measure.Interval:
        """Return how many times the peer's time is ours."""
        return measure.ratio(self.samples[peer], self.samples[ours])

    def _beside(self, precision: str) -> int | None:
        """Return which of ours a peer in some precision is compared with."""
        own = self.ours(_BESIDE[precision])
        return self.ours("exact") if own is None else own

    def rows(
        self, floor_s: Callable[[str], tuple[float, str]], **more: Callable[[float], float]
    ) -> list[dict[str, Any]]:
        """Return a row for each racer.

        Parameters
        ----------
        floor_s : callable
            Least time at a precision, and what it is bound by.
        more : callable
            Further columns, each made of the median in seconds.
        """
        made = []
        for at, racer in enumerate(self.racers):
            time = measure.median(self.samples[at])
            ours = None if racer.name == OURS else self._beside(racer.precision)
            faster = None if ours is None else self.faster(at, ours)
            least_s, bound_by = floor_s(racer.precision)
            made.append(
                {
                    "job": self.job,
                    "contender": racer.name,
                    "precision": racer.precision,
                    "mode": racer.mode,
                    "ms": short(1e3 * time.value),
                    "low": short(1e3 * time.low),
                    "high": short(1e3 * time.high),
                    **{name: short(column(time.value)) for name, column in more.items()},
                    "ours_faster": faster and short(faster.value),
                    "x_low": faster and short(faster.low),
                    "x_high": faster and short(faster.high),
                    "floor_share": short(least_s / time.value) if least_s else None,
                    "floor": bound_by,
                    "n_rounds": len(self.samples[at]),
                }
            )
        return made


def floor(ceilings: Ceilings, precision: str, flops: float, n_bytes: float) -> tuple[float, str]:
    """Return the least seconds of some work, 0 if unknown, and what bounds it."""
    rate = ceilings.flops_s.get(_RATE[precision], 0.0)
    compute_s = flops / rate if rate else 0.0
    memory_s = n_bytes / ceilings.bytes_s if ceilings.bytes_s else 0.0
    return (compute_s, "products") if compute_s >= memory_s else (memory_s, "memory")


def short(value: float) -> float:
    """Return a number with as many digits as a figure has."""
    return float(f"{value:.4g}")
