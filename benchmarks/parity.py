"""Show that the same stream gives the same events, whatever way it takes.

    python -m benchmarks.parity --data DIR [--quick]

A model is trained on four people of UHH IMU gestures; the ten recordings of the fifth are joined
to one session. Its `event` records must be the same, byte for byte, from

- the batched forward over the whole session,
- the pipeline fed one frame at a time,
- ``streamrnn run --source file:``,
- ``streamrnn replay``: a simulated board, a real pseudo-terminal, the serial source, the decoder,
- the same with the bytes cut at random places.

A session whose samples are shifted by one frame is planted; its events must differ.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from benchmarks.report import finish
from streamrnn.core.records import Event, Record, to_json_line
from streamrnn.core.types import Frames
from streamrnn.kernels import get_backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.join import join_sessions
from streamrnn.sessions.npz_import import import_uhh
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.training.config import TrainConfig
from streamrnn.training.fit import fit

LEFT_OUT = "ni"


def event_lines(records: list[Record], stream: str, model: str) -> list[str]:
    return [
        to_json_line(record, stream=stream, model=model)
        for record in records
        if isinstance(record, Event)
    ]


def printed_events(*arguments: str) -> list[str]:
    """Return the event lines that a command prints."""
    command = [sys.executable, "-m", "streamrnn", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"streamrnn {arguments[0]} failed: {done.stderr[-300:]}")
    return [line for line in done.stdout.splitlines() if '"type":"event"' in line]


def main() -> int:
    """Compare, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("STREAMRNN_DATA"), help="recordings")
    parser.add_argument("--quick", action="store_true", help="fewer epochs and random cuts")
    options = parser.parse_args()
    if not options.data:
        parser.error("name the folder of recordings: --data DIR or STREAMRNN_DATA")
    files = sorted((Path(options.data) / "uhh_imu_gestures" / "dataSets").glob("*.npz"))
    if not files:
        parser.error(f"no recordings in {options.data}")
    sessions = [import_uhh(path) for path in files]
    seen = [session for session in sessions if session.subject != LEFT_OUT]
    epochs, n_cuts = (4, 2) if options.quick else (20, 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        bundle = fit(seen, TrainConfig(epochs=epochs)).save(model)
        path = folder / "left-out.mcap"
        write_session(path, join_sessions([s for s in sessions if s.subject == LEFT_OUT]))
        session = read_session(path)
        rows, targets = compare(bundle, session, str(model), str(path), n_cuts)
    settings = {"left_out": LEFT_OUT, "epochs": epochs, "n_frames": len(session)}
    return finish("parity-quick" if options.quick else "parity", rows, targets, settings)


def compare(
    bundle: Bundle, session: Session, model: str, path: str, n_cuts: int
) -> tuple[list[dict[str, object]], dict[str, bool]]:
    """Return one row a way, and whether each target is met."""
    backend = get_backend("cpu")
    stream = session.info.name

    def offline(mode: Literal["batch", "frames"], which: Session = session) -> list[str]:
        return event_lines(
            run_session(bundle, which, backend, mode=mode), stream, bundle.model_hash
        )

    ways: dict[str, Callable[[], list[str]]] = {
        "batched forward": lambda: offline("batch"),
        "frame by frame": lambda: offline("frames"),
        "run --source file:": lambda: printed_events("run", model, "--source", f"file:{path}"),
        "replay, pseudo-terminal": lambda: printed_events("replay", path, "--model", model),
    }
    for seed in range(n_cuts):
        ways[f"replay, cut at random ({seed})"] = partial(
            printed_events, "replay", path, "--model", model, "--seed", str(seed)
        )
    ways["planted: one frame late"] = lambda: offline("batch", shifted(session))
    reference: list[str] = []
    rows: list[dict[str, object]] = []
    for way, run in ways.items():
        start_s = perf_counter()
        lines = run()
        took_s = perf_counter() - start_s
        reference = reference or lines
        rows.append({
            "way": way,
            "n_events": len(lines),
            "same_bytes": lines == reference,
            "took_s": round(took_s, 2),
        })  # fmt: skip
    targets = {
        "there are events to compare": len(reference) >= 10,
        "every way gives the same bytes": all(row["same_bytes"] for row in rows[:-1]),
        "a planted shift of one frame is seen": not rows[-1]["same_bytes"],
    }
    return rows, targets


def shifted(session: Session) -> Session:
    """Return the session with every sample one frame late."""
    frames = session.frames
    x = np.concatenate([frames.x[:1], frames.x[:-1]])
    return replace(session, frames=Frames(x, frames.seq, frames.t_us))


if __name__ == "__main__":
    sys.exit(main())
