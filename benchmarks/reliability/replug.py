"""Unplug and replug on a real pseudo-terminal: how soon frames flow again, and which.

A board process plays a recording whose first channel is the frame's number, pulls its cable at
random times and puts it back; the production source reads it by the name of the terminal, as udev
gives one. The clock starts when the name is back and stops when `read` has returned a frame.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from bisect import bisect_right
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter

from benchmarks.reliability.bar import Check, Form, Outcome, percentiles
from benchmarks.reliability.boards import board, numbered_session
from streamrnn.core.types import Frames, Gap
from streamrnn.sources import open_source

LIMIT_MS = 250.0
RATE_HZ = 100.0
FIRST_S = 1.0
#: Plugged in and out for so long, seconds.
IN_S, OUT_S = (0.25, 0.35), (0.07, 0.15)
_LOOK_S = 0.0005


def run(form: Form) -> Outcome:
    """Pull the cable, again and again."""
    n_cycles = form.pick(6, 200)
    draw = random.Random(5)
    faults, at_s = [], FIRST_S
    for _ in range(n_cycles):
        out_s = draw.uniform(*OUT_S)
        faults += ["--fault", f"unplug@{at_s:.3f}s:{out_s:.3f}s"]
        at_s += out_s + draw.uniform(*IN_S)
    session = form.folder / "numbered.mcap"
    numbered_session(session, int((at_s + 1.0) * RATE_HZ), RATE_HZ)
    link = form.folder / "port"
    with board("--playback", str(session), "--path", str(link), *faults) as path:
        seen = _read(path, link, form)
    # Of some cycles on a busy machine the slowest one says nothing.
    return _outcome(seen, n_cycles, form.pick("p50", "p99"))


class _Seen:
    """What a reader saw."""

    def __init__(self) -> None:
        self.blocks: list[Frames] = []
        self.waits_ms: list[float] = []
        self.n_unplugs = self.n_lost = 0


class _Watch:
    """Notes when a name comes back: when it is made anew."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._stop = threading.Event()
        self.back_s: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        made_ns = os.lstat(self._link).st_ctime_ns
        while not self._stop.is_set():
            with suppress(FileNotFoundError):
                before_ns, made_ns = made_ns, os.lstat(self._link).st_ctime_ns
                if before_ns != made_ns:
                    self.back_s.append(perf_counter())
            time.sleep(_LOOK_S)

    def since_s(self, at_s: float) -> float:
        """Return the time since the name came back last; a name may be seen to change twice."""
        n = bisect_right(self.back_s, at_s)
        return at_s - self.back_s[n - 1] if n else math.inf

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _read(path: str, link: Path, form: Form) -> _Seen:
    seen = _Seen()
    with closing(open_source(f"serial:{path}")) as source:
        source.open()
        watch = _Watch(link)
        firsts_s: list[float] = []
        is_out = False
        silent_s = perf_counter()
        while perf_counter() - silent_s < 2.0:
            items = source.read(0.1)
            now_s = perf_counter()
            for item in items:
                if isinstance(item, Gap):
                    is_out = True
                elif isinstance(item, Frames) and len(item):
                    silent_s = now_s
                    seen.blocks.append(item)
                    if is_out:
                        firsts_s.append(now_s)
                    is_out = False
            form.say(f"{len(firsts_s)} cycles")
        watch.stop()
        seen.waits_ms = [watch.since_s(first_s) * 1e3 for first_s in firsts_s]
        seen.n_unplugs, seen.n_lost = source.counters.n_unplugs, source.counters.n_lost_frames
    return seen


def _outcome(seen: _Seen, n_cycles: int, which: str) -> Outcome:
    frames = Frames.join(seen.blocks, 2)
    steps = frames.seq[1:] - frames.seq[:-1]
    n_doubled = int((steps <= 0).sum())
    n_invented = int((frames.x[:, 0] != frames.seq).sum())
    n_missing = int((steps - 1).sum())
    spread = percentiles(seen.waits_ms) if seen.waits_ms else {}
    value = spread.get(which, math.inf)
    return Outcome(
        checks=[
            Check(
                f"replug to the first good frame: {which} < {LIMIT_MS:g} ms",
                f"{which} {value:.0f} ms", value < LIMIT_MS,
            ),
            Check(
                f"cycles survived: all {n_cycles}",
                f"{len(seen.waits_ms)}, {seen.n_unplugs} counted",
                len(seen.waits_ms) == seen.n_unplugs == n_cycles,
            ),
            Check(
                "frames doubled or invented: none",
                f"{n_doubled} doubled, {n_invented} invented of {len(frames):,}",
                not n_doubled and not n_invented,
            ),
            Check(
                "frames counted as lost: those that are missing",
                f"{seen.n_lost:,} counted, {n_missing:,} missing", seen.n_lost == n_missing,
            ),
        ],
        rows=[{
            "cycles": len(seen.waits_ms),
            **{f"{name} ms": round(value, 1) for name, value in spread.items()},
        }],
        settings={"rate_hz": RATE_HZ, "in_s": IN_S, "out_s": OUT_S},
        figures={"waits_ms": [round(value, 2) for value in seen.waits_ms]},
    )  # fmt: skip
