"""What all benchmarks share: the machine in words, a dated JSON file, the table printed last."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("streamrnn", "numpy", "numba", "llvmlite", "scipy")


def machine() -> dict[str, Any]:
    """Return processor, system and versions; nothing that names a host, a user or a path."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "n_cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the architecture must do
    return platform.machine()


def finish(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    targets: Mapping[str, bool],
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> int:
    """Write ``results/DATE-name.json``, print the table last, and return the exit code.

    Parameters
    ----------
    name : str
        Of the benchmark; part of the file's name.
    rows : sequence of mappings
        The table; the keys of the first are its columns.
    targets : mapping of str to bool
        What was asked, in words, and whether it was reached.
    settings : mapping
        What was run.
    notes : sequence of str
        What a reader must know to read the figures.

    Returns
    -------
    int
        0 when every target is reached, else 1.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    where = machine()
    document = {
        "benchmark": name,
        "date": today,
        "machine": where,
        "settings": dict(settings),
        "notes": list(notes),
        "targets": dict(targets),
        "rows": [dict(row) for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{today}-{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"{name}, {today}, {where['processor']}, {where['n_cores']} cores; JSON: {path.name}")
    for note in notes:
        print(f"  {note}")
    print()
    print(table(rows))
    for target, reached in targets.items():
        print(f"{'reached' if reached else 'MISSED '}  {target}")
    return 0 if all(targets.values()) else 1


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned text, the first column to the left, the others to the right."""
    if not rows:
        return ""
    names = list(rows[0])
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    lines = []
    for line in cells:
        first, *rest = (
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
