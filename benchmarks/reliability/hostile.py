"""Hostile model, session and other files: read, or refused with one typed error; never more.

Good files are broken with knowledge of their form (lengths, JSON, dtypes and shapes, chunks,
compression, messages under right checksums) and without. Child processes read them, many each,
with a limit on memory and a watchdog on time. Compression bombs come on top, each in a process of
its own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from benchmarks.reliability import hostile_files as files
from benchmarks.reliability.bar import Check, Form, Outcome
from benchmarks.reliability.hostile_reader import LIMIT_S, NAMES
from firmware_sim.signals import SignalOrigin
from streamrnn.cli.live import SAMPLE
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.model.file import load_model, save_model
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session

LIMIT_MIB = 256.0
#: Mutants of each kind: quick, full.
COUNTS = {
    "model": (860, 480_000), "session": (860, 480_000), "toml": (120, 20_000), "csv": (80, 10_000),
    "npz": (80, 10_000),
}  # fmt: skip
#: Files that one process reads.
PER_PROCESS = 20_000
_SHM = Path("/dev/shm")
_BOMB_BYTES = 3_000_000_000
_PIECE = bytes(1 << 20)


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
        for kind, what, data in bombs(small=form.is_quick):
            seen.bombs.append(_bomb(kind, what, data, folder))
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
        command = [sys.executable, "-m", "benchmarks.reliability.hostile_reader"]
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


# ---- good files


def good_files(folder: Path) -> None:
    """Write one small good file of each kind."""
    sample = load_model(SAMPLE)
    spec = NetworkSpec(sample.params.n_inputs, (6,), sample.params.n_classes)
    save_model(folder / "good-model", replace(sample, params=init_params(spec, 7)))
    write_session(folder / "good.mcap", small_session())
    (folder / "good.mcap").rename(folder / "good-session")
    (folder / "good-toml").write_text(_TOML, encoding="utf-8")
    lines = [f"{n / 100:.2f},{n % 7},{-n}.5,{'wave' if n % 9 > 5 else ''}" for n in range(60)]
    (folder / "good-csv").write_text("\n".join(["t,a,b,label", *lines]), encoding="utf-8")
    arrays = io.BytesIO()
    rng = np.random.default_rng(8)
    fused, gyro, acc = rng.normal(0, 1, (3, 30, 3))
    targets = np.tile([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], (15, 1))
    np.savez_compressed(arrays, targets=targets, fused=fused, gyro=gyro, acc=acc)
    (folder / "good-npz").write_bytes(arrays.getvalue())


def small_session() -> Session:
    """Return a session of a second, with labels."""
    origin = SignalOrigin(1, 1, 100.0, seconds=1.2)
    n = len(origin.next(120))
    channels = tuple(Channel(name, "g") for name in ("x", "y", "z"))
    seq = np.arange(n, dtype=np.int64)
    x = np.random.default_rng(9).normal(0, 1, (n, 3)).astype(np.float32)
    frames = Frames(x, seq, seq * 10_000)
    labels = [Label("wave", 100_000, 300_000, "board"), Label("tap", 500_000, 700_000, "keys")]
    info = StreamInfo(channels, 100.0, "board", "1", "b")
    return Session(info, frames, seq * 10_000_000, labels, [], {"subject": "a", "notes": "n"})


_TOML = """[training]
hidden = [32]
epochs = 10
seed = 3
folds = 2
held_out = ["anna"]
learning_rate = 0.004
[augment]
rotation_deg = 10.0
[features]
channels = ["acc_x", "acc_y"]
filter = "none"
[decision]
enter = 0.7
exit = 0.5
min_ms = 80.0
[decision.per_class.circle]
enter = 0.7"""


# ---- bombs


def bombs(*, small: bool) -> Iterator[tuple[str, str, bytes]]:
    """Yield files that are small and unpack to much: kind, what it is, content."""
    n_bytes = _BOMB_BYTES // (10 if small else 1)
    packed = _zeros(n_bytes)
    good = small_session()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s.mcap"
        write_session(path, good)
        session = path.read_bytes()
    for said, size in (("as large as it is", n_bytes), ("small", 1 << 16), ("1 MiB", 1 << 20)):
        body = files.chunk_body((0, 0, size, 0), b"zstd", packed)
        yield "session", f"chunk of zstd that says it is {said}", _with_chunk(session, body)
    blocks = files._pack(b"lz4", bytes(25_000_000))
    body = files.chunk_body((0, 0, 1 << 20, 0), b"lz4", blocks)
    yield "session", "chunk of lz4", _with_chunk(session, body)
    one = files.chunk_body((0, 0, 4 << 20, 0), b"zstd", _zeros(4 << 20))
    yield "session", "500 chunks of 4 MiB of nothing", _with_chunk(session, *([one] * 500))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for array in ("acc", "gyro", "fused", "targets"):
            with made.open(f"{array}.npy", "w") as file:
                for _ in range(100 if small else 1_000):
                    file.write(_PIECE)
    yield "npz", "arrays of deflated zeros", archive.getvalue()
    deep = b'{"__metadata__":' + b"[" * 2_000_000
    yield "model", "a header nested two million deep", len(deep).to_bytes(8, "little") + deep
    digits = b'{"__metadata__":{"streamrnn":"{}"},"w":' + b"9" * 4_000_000 + b"}"
    yield "model", "a number of four million digits", len(digits).to_bytes(8, "little") + digits


def _zeros(n_bytes: int) -> bytes:
    """Return so many zeros, packed: 3 GB become about 98 kB."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(out, closefd=False) as writer:
        for _ in range(n_bytes // len(_PIECE)):
            writer.write(_PIECE)
    return out.getvalue()


def _with_chunk(session: bytes, *bodies: bytes) -> bytes:
    """Put chunks before the end of a session's data."""
    records = files._records(session, len(files.MAGIC))
    data_end = next(n for n, (opcode, _) in enumerate(records) if opcode == 15)
    records[data_end:data_end] = [(files.CHUNK, body) for body in bodies]
    return files._session(records)


_ONE = """
import json, resource, signal, sys
from pathlib import Path
from time import perf_counter
from benchmarks.reliability import hostile_reader as reader
resource.setrlimit(resource.RLIMIT_AS, (reader.LIMIT_BYTES, reader.LIMIT_BYTES))
signal.alarm(reader.LIMIT_S)
begin_s = perf_counter()
outcome, problem = reader.judge(sys.argv[1], Path(sys.argv[2]), 0)
print(json.dumps({"outcome": outcome, "problem": problem, "seconds": perf_counter() - begin_s,
    "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def _bomb(kind: str, what: str, data: bytes, folder: Path) -> dict[str, Any]:
    path = folder / NAMES[kind]
    path.write_bytes(data)
    child = subprocess.run(
        [sys.executable, "-c", _ONE, kind, str(path)], capture_output=True, text=True, check=False
    )
    said: dict[str, Any] = {"what": what, "bytes": len(data)}
    if child.returncode:
        problem = f"ended with {child.returncode} {child.stderr[-200:]}"
        return said | {"outcome": "-", "problem": problem, "seconds": 0.0, "mib": 0.0}
    seen: dict[str, Any] = json.loads(child.stdout)
    return said | seen


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
