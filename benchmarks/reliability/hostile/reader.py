"""Reads hostile files in a process that may not grow: ``... KIND FIRST COUNT FOLDER``.

Prints one JSON line: how many were read, refused with a typed error, or ended otherwise, the
longest time, and the most memory. The number of the file in hand stands in FOLDER/number, for the
one who finds this process dead.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.reliability.hostile.files import mutant
from benchmarks.reliability.hostile.good import LIMIT_S, NAMES
from streamrnn.core.errors import StreamRNNError
from streamrnn.core.types import Frames, StreamInfo
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.describe import describe
from streamrnn.sessions.npz_import import import_uhh
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session

#: Address space: beyond it an allocation fails, which is seen as a `MemoryError`.
LIMIT_BYTES = 1 << 31
#: One in so many models that are read is also run.
_RUN_ONE = 20
_LONGEST_LINE = 2_000


def main(kind: str, first: int, count: int, folder: Path) -> None:
    """Read mutants `first` and on."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    warnings.simplefilter("error")  # a warning on the screen is no clean read
    good = (folder / f"good-{kind}").read_bytes()
    path = folder / NAMES[kind]
    n_outcomes: Counter[str] = Counter()
    bad: list[dict[str, Any]] = []
    longest_s = 0.0
    where = os.open(folder / "number", os.O_WRONLY | os.O_CREAT)
    for number in range(first, first + count):
        path.write_bytes(mutant(kind, good, number))
        os.pwrite(where, number.to_bytes(8, "little"), 0)
        signal.alarm(LIMIT_S)  # ends this process
        begin_s = perf_counter()
        outcome, problem = judge(kind, path, number)
        longest_s = max(longest_s, perf_counter() - begin_s)
        signal.alarm(0)
        n_outcomes[outcome] += 1
        if problem:
            bad.append({"kind": kind, "number": number, "problem": problem})
    most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = {
        "outcomes": n_outcomes, "bad": bad[:20], "n_bad": len(bad), "longest_s": longest_s,
        "most_mib": most_mib,
    }  # fmt: skip
    print(json.dumps(said))


def judge(kind: str, path: Path, number: int) -> tuple[str, str]:
    """Read one file; return how that ended, and what is wrong with it, if anything."""
    try:
        read(kind, path, number)
    except StreamRNNError as error:
        text = str(error)
        is_line = text.isprintable() and len(text) <= _LONGEST_LINE
        return type(error).__name__, "" if is_line else f"not one line: {text[:300]!r}"
    except Exception as error:  # the question is whether there are any
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        return "untyped", f"{type(error).__name__}: {str(error)[:200]} ({place})"
    return "read", ""


def read(kind: str, path: Path, number: int) -> None:
    """Read a file as the product does."""
    if kind == "model":
        bundle = Bundle.load(path)
        if number % _RUN_ONE == 0:
            _run(bundle)
    elif kind == "session":
        describe(read_session(path))
        for _ in read_raw(path):
            pass
    elif kind == "toml":
        from streamrnn.cli.live import read_tables
        from streamrnn.training.config import load_config

        read_tables(str(path), ("training", "augment", "features", "decision"))
        load_config(path)
    elif kind == "csv":
        import_csv(path, rate_hz=100.0 if number % 2 else None)
    else:
        import_uhh(path)


def _run(bundle: Bundle) -> None:
    """Have a model decide on some frames: what is read must run, or be refused."""
    from streamrnn.kernels.backend import get_backend
    from streamrnn.runtime.pipeline import Pipeline

    pipeline = Pipeline(bundle, get_backend("cpu"))
    pipeline.start(StreamInfo(bundle.channels, bundle.stream_hz))
    n = 20
    x = np.random.default_rng(0).normal(0, 1, (n, len(bundle.channels))).astype(np.float32)
    seq = np.arange(n, dtype=np.int64)
    pipeline.push(Frames(x, seq, seq * 10_000))
    pipeline.finish()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
