"""``kill -9`` of `streamrnn record` at random points: what is on disk is right, and nearly all.

Each process records a simulated board in real time; the board plays a session back whose first
channel is the frame's number and which is full of labels, so that every value and label is known.
What was lost is the time from the last frame on disk (the host time that the recording itself
gives it) to the kill, by the same clock.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.bar import Check, Form, Outcome, percentiles
from benchmarks.reliability.boards import streamrnn
from streamrnn.core.errors import SessionError
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import SessionWriter

LIMIT_S = 1.0
RATE_HZ = 100.0
#: So many record at the same time: each mostly waits.
AT_ONCE = 4
#: The kill comes so long after the file appeared, seconds.
AFTER_S = (0.05, 4.0)
_QUICK_AFTER_S = 2.0
_LABEL_EVERY, _LABEL_FRAMES = 50, 30
_APPEAR_S = 60.0


@dataclass(frozen=True, slots=True)
class Killed:
    """What one kill left behind."""

    lost_s: float
    n_frames: int
    n_wrong: int
    n_labels: int
    n_labels_missing: int
    problem: str


def run(form: Form) -> Outcome:
    """Record, kill, read."""
    n_kills = form.pick(AT_ONCE, 100)
    truth = _truth(form.folder / "truth.mcap")
    done = [Killed(**one) for one in form.load().get("kills", [])]
    while len(done) < n_kills:
        done += _wave(form, truth, len(done))
        form.save({"kills": [_as_dict(one) for one in done]})
        form.say(f"{len(done)} of {n_kills} kills")
    return _outcome(done)


def _truth(path: Path) -> Session:
    """Write and return the session that the boards play back."""
    n = round(60 * RATE_HZ)
    channels = tuple(Channel(name, "g") for name in ("number", "x", "y", "z"))
    info = StreamInfo(channels, RATE_HZ, "numbered", "1", "b")
    seq = np.arange(n, dtype=np.int64)
    noise = np.random.default_rng(6).normal(0, 1, (n, 3))
    frames = Frames(
        np.column_stack([seq, noise]).astype(np.float32), seq, np.round(seq * 1e4).astype(np.int64)
    )
    with SessionWriter(path, info, clock=lambda: 0) as writer:
        for at in range(0, n, _LABEL_EVERY):
            part = frames[at : at + _LABEL_EVERY]
            name, start_us = f"label {at // _LABEL_EVERY}", int(part.t_us[0])
            writer.mark(name, "start", start_us)
            writer.write(part, part.t_us * 1000)
            writer.mark(name, "end", int(part.t_us[_LABEL_FRAMES]))
    return read_session(path)


def _wave(form: Form, truth: Session, n_before: int) -> list[Killed]:
    """Start some recordings at once and kill each at its time."""
    folder = form.folder
    draw = random.Random(1000 + n_before)
    url = f"sim:playback?file={folder / 'truth.mcap'}&speed=1"
    running: dict[Path, subprocess.Popen[bytes]] = {}
    for n in range(AT_ONCE):
        path = folder / f"recording-{n_before + n}.mcap"
        command = streamrnn("record", url, "-o", str(path))
        running[path] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    due_s: dict[Path, float] = {}
    killed_ns: dict[Path, int] = {}
    deadline_s = time.monotonic() + _APPEAR_S
    while len(killed_ns) < len(running):
        now_s = time.monotonic()
        for path, process in running.items():
            if path not in due_s:
                if process.poll() is not None or now_s > deadline_s:
                    raise SystemExit(f"record did not start: {_said(process)}")
                if path.exists():
                    due_s[path] = now_s + draw.uniform(
                        AFTER_S[0], form.pick(_QUICK_AFTER_S, AFTER_S[1])
                    )
            elif path not in killed_ns and now_s >= due_s[path]:
                killed_ns[path] = time.time_ns()
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.002)
    for process in running.values():
        process.communicate()
    return [_judge(path, killed_ns[path], truth) for path in running]


def _said(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    _, errors = process.communicate()
    return errors.decode(errors="replace")[-300:]


def _judge(path: Path, killed_ns: int, truth: Session) -> Killed:
    """Read what is left and compare it with what was sent."""
    begun_ns = path.stat().st_ctime_ns
    try:
        session = read_session(path)
    except SessionError as error:
        return Killed((killed_ns - begun_ns) / 1e9, 0, 0, 0, 0, str(error))
    finally:
        path.unlink()
    n = len(session)
    first = int(session.frames.seq[0]) if n else 0
    sent = truth.frames[first : first + n]
    same = (
        np.array_equal(session.frames.seq, sent.seq)
        and np.array_equal(session.frames.t_us, sent.t_us)
        and session.info.channels == truth.info.channels
    )
    n_wrong = int((session.frames.x != sent.x).any(axis=1).sum()) if same else n
    last_us = int(session.frames.t_us[-1]) if n else -1
    begun = [label for label in truth.labels if label.start_us <= last_us]
    kept = {(label.name, label.start_us): label.end_us for label in session.labels}
    missing = [
        label
        for label in begun
        if (label.name, label.start_us) not in kept
        or (label.end_us <= last_us and kept[label.name, label.start_us] != label.end_us)
    ]
    last_ns = int(session.host_ns[-1]) if n else begun_ns
    return Killed((killed_ns - last_ns) / 1e9, n, n_wrong, len(begun), len(missing), "")


def _as_dict(one: Killed) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Killed.__slots__}


def _outcome(kills: list[Killed]) -> Outcome:
    lost = [one.lost_s for one in kills]
    n_frames = sum(one.n_frames for one in kills)
    n_wrong = sum(one.n_wrong for one in kills)
    n_labels = sum(one.n_labels for one in kills)
    n_missing = sum(one.n_labels_missing for one in kills)
    unread = [one.problem for one in kills if one.problem]
    spread = percentiles(lost)
    return Outcome(
        checks=[
            Check(
                f"lost by a kill: <= {LIMIT_S:g} s, {len(kills)} kills",
                f"at most {spread['max']:.3f} s", spread["max"] <= LIMIT_S,
            ),
            Check("wrong values on disk: 0", f"{n_wrong} of {n_frames:,} frames", not n_wrong),
            Check("recordings that cannot be read: 0", str(len(unread)), not unread),
            Check("labels lost: 0", f"{n_missing} of {n_labels:,}", not n_missing),
        ],
        rows=[{
            "kills": len(kills), "frames on disk": n_frames, "labels on disk": n_labels,
            **{f"lost, {name}, s": round(value, 3) for name, value in spread.items()},
        }],
        settings={"rate_hz": RATE_HZ, "after_s": AFTER_S, "at_once": AT_ONCE},
        figures={"kills": [_as_dict(one) for one in kills], "unread": unread[:5]},
    )  # fmt: skip
