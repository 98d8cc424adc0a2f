"""Hostile model, session and other files: read, or refused with one typed error; never more.

Good files are broken with knowledge of their form (lengths, JSON, dtypes and shapes, chunks,
compression, messages under right checksums) and without. Child processes read them, many each,
with a limit on memory and a watchdog on time. Compression bombs come on top, each in a process of
its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome
from benchmarks.reliability.hostile import bombs
from benchmarks.reliability.hostile.good import LIMIT_S, good_files

LIMIT_MIB = 256.0
#: Mutants of each kind: quick, full.
COUNTS = {
    "model": (860, 480_000), "session": (860, 480_000), "toml": (120, 20_000), "csv": (80, 10_000),
    "npz": (80, 10_000),
}  # fmt: skip
#: Files that one process reads.
PER_PROCESS = 20_000
_SHM = Path("/dev/shm")


def run(form: Form) -> Outcome:
    """Break, read, judge."""
    seen = _Seen(form.load())
    where = str(_SHM) if _SHM.is_dir() and os.access(_SHM, os.W_OK) else str(form.folder)
    with tempfile.TemporaryDirectory(prefix="reliability-hostile-", dir=where) as name:
        folder = Path(name)
        good_files(folder)
        for kind, counts in COUNTS.items():
            n_wanted = form.pick(*counts)
            while (done := seen.done.get(kind, 0)) < n_wanted:
                n = min(PER_PROCESS, n_wanted - done)
                seen.add(kind, n, _read(kind, done, n, folder))
                form.save(seen.to_dict())
                form.say(f"{kind}: {done + n:,} of {n_wanted:,}")
        for kind, what, data in bombs.bombs(small=form.is_quick):
            seen.bombs.append(bombs.set_off(kind, what, data, folder))
    return _outcome(seen)


class _Seen:
    """What the readers reported."""

    def __init__(self, done: dict[str, Any]) -> None:
        self.done: dict[str, int] = done.get("done", {})
        self.outcomes = {kind: Counter(some) for kind, some in done.get("outcomes", {}).items()}
        self.bad: list[dict[str, Any]] = done.get("bad", [])
        self.n_bad: int = done.get("n_bad", 0)
        self.longest_s: dict[str, float] = done.get("longest_s", {})
        self.most_mib: dict[str, float] = done.get("most_mib", {})
        self.bombs: list[dict[str, Any]] = []

    def add(self, kind: str, n: int, said: dict[str, Any]) -> None:
        self.done[kind] = self.done.get(kind, 0) + n
        self.outcomes.setdefault(kind, Counter()).update(said["outcomes"])
        self.bad = (self.bad + said["bad"])[:100]
        self.n_bad += said["n_bad"]
        self.longest_s[kind] = max(self.longest_s.get(kind, 0.0), said["longest_s"])
        self.most_mib[kind] = max(self.most_mib.get(kind, 0.0), said["most_mib"])

    def to_dict(self) -> dict[str, Any]:
        names = ("done", "outcomes", "bad", "n_bad", "longest_s", "most_mib")
        return {name: getattr(self, name) for name in names}


def _read(kind: str, first: int, n: int, folder: Path) -> dict[str, Any]:
    """Have a process read mutants; where it dies, note the one in hand and go on behind it."""
    total: dict[str, Any] = {
        "outcomes": Counter(), "bad": [], "n_bad": 0, "longest_s": 0.0, "most_mib": 0.0,
    }  # fmt: skip
    at, end = first, first + n
    while at < end:
        command = [sys.executable, "-m", "benchmarks.reliability.hostile.reader"]
        arguments = [kind, str(at), str(end - at), str(folder)]
        child = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        if child.returncode == 0:
            said = json.loads(child.stdout)
            for name in ("outcomes", "bad", "n_bad"):
                total[name] += Counter(said[name]) if name == "outcomes" else said[name]
            for name in ("longest_s", "most_mib"):
                total[name] = max(total[name], said[name])
            return total
        if child.returncode > 0:
            raise SystemExit(f"the reader of hostile files failed: {child.stderr[-500:]}")
        number = int.from_bytes((folder / "number").read_bytes(), "little")
        is_slow = child.returncode == -signal.SIGALRM
        problem = f"longer than {LIMIT_S} s" if is_slow else f"signal {-child.returncode}"
        total["bad"].append({"kind": kind, "number": number, "problem": problem})
        total["n_bad"] += 1
        total["outcomes"]["ended the process"] += 1
        total["longest_s"] = max(total["longest_s"], LIMIT_S if is_slow else 0.0)
        # What it read before is read again: only the end of a process tells its counts.
        if number > at:
            part = _read(kind, at, number - at, folder)
            total["outcomes"] += part["outcomes"]
            total["bad"] += part["bad"]
            total["n_bad"] += part["n_bad"]
            total["longest_s"] = max(total["longest_s"], part["longest_s"])
            total["most_mib"] = max(total["most_mib"], part["most_mib"])
        at = number + 1
    return total


# ---- what came out


def _outcome(seen: _Seen) -> Outcome:
    n = sum(seen.done.values())
    longest_s = max([*seen.longest_s.values(), *(b["seconds"] for b in seen.bombs)])
    most_mib = max([*seen.most_mib.values(), *(b["mib"] for b in seen.bombs)])
    odd = [bomb for bomb in seen.bombs if bomb["problem"]]
    rows: list[dict[str, Any]] = []
    for kind, counts in seen.outcomes.items():
        typed = {name: c for name, c in counts.items() if name.endswith(("Error", "Timeout"))}
        rows.append({
            "files": kind, "mutants": seen.done[kind], "read": counts["read"],
            "refused": sum(typed.values()), "otherwise": counts["untyped"]
            + counts["ended the process"], "longest s": round(seen.longest_s[kind], 3),
            "most MiB": round(seen.most_mib[kind]),
        })  # fmt: skip
    for bomb in seen.bombs:
        is_read = bomb["outcome"] == "read"
        rows.append({
            "files": f"{bomb['what']} ({bomb['bytes'] / 1e3:,.0f} kB)", "mutants": 1,
            "read": int(is_read), "refused": int(not is_read and not bomb["problem"]),
            "otherwise": int(bool(bomb["problem"])), "longest s": round(bomb["seconds"], 3),
            "most MiB": round(bomb["mib"]),
        })  # fmt: skip
    return Outcome(
        checks=[
            Check(
                f"{n:,} hostile files: each read, or refused with one typed error of one line",
                f"{seen.n_bad} otherwise", not seen.n_bad,
            ),
            Check(f"memory: <= {LIMIT_MIB:g} MiB", f"{most_mib:.0f} MiB", most_mib <= LIMIT_MIB),
            Check(f"time: <= {LIMIT_S} s a file", f"{longest_s:.2f} s", longest_s <= LIMIT_S),
            Check(f"{len(seen.bombs)} compression bombs", f"{len(odd)} went off", not odd),
        ],
        rows=rows,
        settings={"per_process": PER_PROCESS},
        figures={"outcomes": seen.outcomes, "bad": seen.bad, "bombs": seen.bombs},
        notes=["memory is that of the whole reading process, of which about 80 MiB are Python, "
               "NumPy and this program"],
    )  # fmt: skip
