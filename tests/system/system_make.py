"""What the whole-system tests share: sessions to order, a board in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import SessionWriter

#: Runs a command in this process: exit code, stdout, stderr.
Command = Callable[..., tuple[int, str, str]]


def events_of(stdout: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in stdout.splitlines()]
    return [record for record in records if record["type"] == "event"]


@contextmanager
def board(*arguments: str) -> Iterator[str]:
    """A simulated board in its own process; gives the path of its serial port."""
    with subprocess.Popen(
        [sys.executable, "-m", "firmware_sim", *arguments, "--link", "pty"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def write_session(
    path: Path,
    names: tuple[str, ...] = ("acc_x", "acc_y", "acc_z"),
    n_frames: int = 400,
    labels: tuple[str, ...] = ("left", "right"),
    rate_hz: float = 100.0,
    subject: str = "",
) -> Path:
    """Write a recording whose channel 0 is high in `left` and channel 1 is high in `right`."""
    rng = np.random.default_rng(len(subject) + n_frames)
    x = rng.normal(0, 0.1, (n_frames, len(names))).astype(np.float32)
    seq = np.arange(n_frames, dtype=np.int64)
    t_us = np.floor(seq * 1e6 / rate_hz + 0.5).astype(np.int64)
    marks = []
    for n, start in enumerate(range(40, n_frames - 40, 80)):
        if not labels:
            break
        which = n % len(labels)
        x[start : start + 30, which] += 1.0
        marks.append(Label(labels[which], int(t_us[start]), int(t_us[start + 30]), "import"))
    info = StreamInfo(tuple(Channel(name, "g") for name in names), rate_hz, "test")
    session = Session(info, Frames(x, seq, t_us), t_us * 1000, marks)
    with SessionWriter(path, session.info, {"subject": subject} if subject else {}) as writer:
        writer.write(session.frames)
        for label in marks:
            writer.mark(label.name, "start", label.start_us, source="import")
            writer.mark(label.name, "end", label.end_us, source="import")
    return path
