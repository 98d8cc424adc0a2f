"""Every bar of reliability, one after the other; exit 1 when a figure is missed.

    python -m benchmarks.reliability [--quick] [--only NAME] [--resume] [--into FOLDER]

Results are JSON in benchmarks/results/; a full form also writes the tables of docs/reliability.md.
What is done is kept in build/reliability/ as it is done, and --resume goes on from there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.reliability import document
from benchmarks.reliability.bar import Bar, Form, replace_text
from benchmarks.report import RESULTS

#: Bars in the order in which they are run: name -> the module of its `run`.
BARS = (
    "damage", "faults", "replug", "kill_recording", "kill_training", "soak", "hostile", "replay",
    "rate", "newcomer",
)  # fmt: skip
KEPT = Path(__file__).parents[2] / "build" / "reliability"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write, print; return the exit code."""
    options = _parser().parse_args(arguments)
    kept = options.kept / ("quick" if options.quick else "full")
    wanted = options.only or BARS
    results: dict[str, Any] = {}
    if options.resume:
        results = {name: done for name in BARS if (done := _finished(kept, name)) is not None}
    for name in wanted:
        if name in results:
            print(f"{name}: done before, {results[name]['date']}", flush=True)
            continue
        if not options.resume:
            _paths(kept, name)[1].unlink(missing_ok=True)
        results[name] = run_bar(name, options.quick, kept)
    results = {name: results[name] for name in BARS if name in results}
    whole = document.whole(results, is_quick=options.quick, is_part=len(results) < len(BARS))
    path = (options.into or RESULTS) / f"{whole['date']}-{whole['benchmark']}.json"
    replace_text(path, json.dumps(whole, indent=2) + "\n")
    if not options.quick and options.into is None:
        document.write_page(whole)
    print(document.table(whole))
    print(f"JSON: {path.name}")
    return 0 if all(document.is_met(result) for result in results.values()) else 1


def run_bar(name: str, is_quick: bool, kept: Path) -> dict[str, Any]:
    """Run one bar and keep what came out; return it."""
    print(f"{name} ...", flush=True)
    bar: Bar = importlib.import_module(f"benchmarks.reliability.{name}").run
    done_path, part_path = _paths(kept, name)
    begin_s = monotonic()
    with tempfile.TemporaryDirectory(prefix=f"reliability-{name}-") as folder:
        outcome = bar(Form(is_quick, Path(folder), part_path))
    took_s = monotonic() - begin_s
    # Of a bar that was interrupted, these are the seconds of its last stretch.
    result = {"date": document.today(), "seconds": round(took_s, 1), **outcome.to_dict()}
    replace_text(done_path, json.dumps(result, indent=2) + "\n")
    part_path.unlink(missing_ok=True)
    for check in outcome.checks:
        print(f"  {'met   ' if check.is_met else 'MISSED'}  {check.asked}: {check.figure}")
    print(f"  {took_s:.1f} s", flush=True)
    return result


def _finished(kept: Path, name: str) -> Mapping[str, Any] | None:
    path = _paths(kept, name)[0]
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _paths(kept: Path, name: str) -> tuple[Path, Path]:
    """Return where the outcome of a bar is kept, and what an unfinished one has done."""
    return kept / f"{name}.json", kept / f"{name}.part.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="all bars in about a minute")
    parser.add_argument("--only", action="append", default=[], choices=BARS, help="repeatable")
    parser.add_argument("--resume", action="store_true", help="take over what is done already")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="of the JSON; no page then")
    parser.add_argument("--kept", type=Path, default=KEPT, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
