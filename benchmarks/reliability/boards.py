"""Simulated boards in a process of their own, and the product's command line, for every bar."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sessions.writer import SessionWriter

#: The frame's number stays exact in a float32 up to here.
MOST_NUMBERED = 1 << 24


def streamrnn(*arguments: str) -> list[str]:
    """Return the command line of the product."""
    return [sys.executable, "-m", "streamrnn", *arguments]


@contextmanager
def board(*arguments: str) -> Iterator[str]:
    """Start a board on a pseudo-terminal; give the path that a reader opens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "firmware_sim", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        if not path:
            raise SystemExit(f"the board did not start: exit code {process.wait()}")
        yield path
    finally:
        process.terminate()
        process.communicate()


def numbered_session(path: Path, n_frames: int, rate_hz: float) -> None:
    """Write a session whose first channel is the number of the frame.

    The idea is MNE-LSL's (its test recordings): a frame that is lost, doubled or invented is seen
    in the data, whatever the sequence numbers say.
    """
    if n_frames > MOST_NUMBERED:
        raise ValueError(f"{n_frames} frames: a float32 counts to {MOST_NUMBERED}")
    info = StreamInfo((Channel("number"), Channel("wave")), rate_hz, "numbered", "1", "b")
    seq = np.arange(n_frames, dtype=np.int64)
    x = np.stack([seq, np.sin(seq / 10)], axis=1).astype(np.float32)
    t_us = np.round(seq * 1e6 / rate_hz).astype(np.int64)
    with SessionWriter(path, info, clock=lambda: 0) as writer:
        writer.write(Frames(x, seq, t_us), t_us * 1000)


def run_quietly(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said; one that hangs is an error."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=timeout_s,
    )  # fmt: skip
