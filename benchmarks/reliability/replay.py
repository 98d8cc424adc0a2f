"""Replays of one session: the same events, byte for byte, and how fast.

Every replay is the whole command, ``streamrnn replay FILE --seed N``: a board process, a
pseudo-terminal, the serial source, the wire, the sample model, events on stdout. The seed cuts the
bytes at random places.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome, percentiles
from benchmarks.reliability.boards import run_quietly, streamrnn

LIMIT = 100.0
RATE_HZ = 100.0
_TIMEOUT_S = 300.0


def run(form: Form) -> Outcome:
    """Replay, again and again."""
    n_replays = form.pick(2, 100)
    session = _record(form.folder / "short.mcap", 60.0)
    long_s = form.pick(600.0, 1800.0)
    done = form.load()
    digests: Counter[str] = Counter(done.get("digests", {}))
    n_events: int = done.get("n_events", 0)
    while (n := sum(digests.values())) < n_replays:
        events, _ = _replay(session, n)
        digests[hashlib.sha256(events).hexdigest()] += 1
        n_events = events.count(b"\n")
        form.save({"digests": digests, "n_events": n_events})
        form.say(f"{n + 1} of {n_replays} replays")
    # Without cuts, as a user replays: this is the figure of speed.
    long_session = _record(form.folder / "long.mcap", long_s)
    runs = [_replay(long_session, None) for _ in range(form.pick(1, 5))]
    whole = percentiles([long_s / took_s for _, (took_s, _) in runs])
    inside = percentiles([long_s / own_s for _, (_, own_s) in runs])
    return Outcome(
        checks=[
            Check(
                f"{n_replays} replays with random chunks: one output, byte for byte",
                f"{len(digests)}", len(digests) == 1 and n_events > 0,
            ),
            Check(
                f"replay at {RATE_HZ:g} Hz: >= {LIMIT:g} times real time, the whole command",
                f"{whole['p50']:.0f} times", whole["p50"] >= LIMIT,
            ),
        ],
        rows=[{
            "replays": n_replays, "outputs": len(digests), "events each": n_events,
            "times real time, start included": round(whole["p50"]),
            "times real time, once it runs": round(inside["p50"]),
        }],
        settings={"rate_hz": RATE_HZ, "cut_session_s": 60.0, "timed_session_s": long_s},
        figures={"digests": digests, "speeds": [long_s / t for _, (t, _) in runs]},
        notes=[f"speed is of a session of {long_s / 60:g} minutes"],
    )  # fmt: skip


def _record(path: Path, seconds: float) -> Path:
    url = f"sim:signals?seconds={seconds:g}&speed=0&rate={RATE_HZ:g}"
    said = run_quietly(streamrnn("record", url, "-o", str(path)), _TIMEOUT_S)
    if said.returncode:
        raise SystemExit(said.stderr)
    return path


def _replay(session: Path, seed: int | None) -> tuple[bytes, tuple[float, float]]:
    """Return the events of a replay, and its seconds: the whole command, and its stream alone."""
    command = streamrnn("replay", str(session), *(() if seed is None else ("--seed", str(seed))))
    begin_s = perf_counter()
    said = run_quietly(command, _TIMEOUT_S)
    took_s = perf_counter() - begin_s
    if said.returncode:
        raise SystemExit(said.stderr)
    *events, stats = said.stdout.splitlines(keepends=True)
    values: dict[str, Any] = json.loads(stats)
    if values["type"] != "stats":
        raise SystemExit(f"the last record of a replay is {values['type']!r}")
    return "".join(events).encode(), (took_s, values["host_s"])
