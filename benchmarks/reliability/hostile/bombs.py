"""Small files that unpack to much, and what becomes of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from benchmarks.reliability.hostile import sessions
from benchmarks.reliability.hostile.good import NAMES, write_small

_BOMB_BYTES = 3_000_000_000
_PIECE = bytes(1 << 20)


def bombs(*, small: bool) -> Iterator[tuple[str, str, bytes]]:
    """Yield files that are small and unpack to much: kind, what it is, content."""
    n_bytes = _BOMB_BYTES // (10 if small else 1)
    packed = _zeros(n_bytes)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s.mcap"
        write_small(path)
        session = path.read_bytes()
    for said, size in (("as large as it is", n_bytes), ("small", 1 << 16), ("1 MiB", 1 << 20)):
        body = sessions.chunk_body((0, 0, size, 0), b"zstd", packed)
        yield "session", f"chunk of zstd that says it is {said}", _with_chunk(session, body)
    blocks = sessions.pack(b"lz4", bytes(25_000_000))
    body = sessions.chunk_body((0, 0, 1 << 20, 0), b"lz4", blocks)
    yield "session", "chunk of lz4", _with_chunk(session, body)
    one = sessions.chunk_body((0, 0, 4 << 20, 0), b"zstd", _zeros(4 << 20))
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
    records = sessions.records_of(session, len(sessions.MAGIC))
    data_end = next(n for n, (opcode, _) in enumerate(records) if opcode == 15)
    records[data_end:data_end] = [(sessions.CHUNK, body) for body in bodies]
    return sessions.joined(records)


_ONE = """
import json, resource, signal, sys
from pathlib import Path
from time import perf_counter
from benchmarks.reliability.hostile import reader
resource.setrlimit(resource.RLIMIT_AS, (reader.LIMIT_BYTES, reader.LIMIT_BYTES))
signal.alarm(reader.LIMIT_S)
begin_s = perf_counter()
path = Path(sys.argv[2])
outcome, problem = reader.judge(sys.argv[1], path, 0)
if outcome == "read" and not reader.read_session(path).problems:
    problem = "nothing is said of it"
print(json.dumps({"outcome": outcome, "problem": problem, "seconds": perf_counter() - begin_s,
    "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def set_off(kind: str, what: str, data: bytes, folder: Path) -> dict[str, Any]:
    """Have a process of its own read a bomb; return what became of it."""
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
