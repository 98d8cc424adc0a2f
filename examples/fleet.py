"""Serve many boards with one model: a thousand simulated ones, all by one call a tick.

    python examples/fleet.py [BOARDS]

Ten simulated people are recorded, and every board plays one of them from some frame on. At half
time all streams move to a second fleet, as they would to another process.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np

from firmware_sim.signals import SignalOrigin, signal_groups
from streamrnn.core.types import F32
from streamrnn.runtime.fleet import Fleet
from streamrnn.runtime.fleet_snapshot import FleetSnapshot

MODEL = Path(__file__).parents[1] / "streamrnn" / "data" / "sample.safetensors"
N_PEOPLE, N_TICKS = 10, 2000


def recording(person: int) -> F32:
    """Return the frames of one person, in physical units."""
    raw = SignalOrigin(person, person, seconds=N_TICKS / 100).next(N_TICKS).rows.view("<i2")
    scales = np.repeat([group.scale for group in signal_groups()], 3)
    return raw.astype(np.float32) * scales.astype(np.float32)


def main() -> None:
    """Tick, count, print."""
    n_boards = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    people = np.stack([recording(100 + person) for person in range(N_PEOPLE)])
    person, start = np.arange(n_boards) % N_PEOPLE, np.arange(n_boards) // N_PEOPLE
    fleet = Fleet(MODEL, n_boards)
    boards = fleet.join(n_boards)
    gestures: Counter[str] = Counter()
    start_s = perf_counter()
    for t in range(N_TICKS):
        if t == N_TICKS // 2:
            data = fleet.snapshot(boards).to_bytes()
            fleet = Fleet(MODEL, n_boards)
            boards = fleet.restore(FleetSnapshot.from_bytes(data))
            print(f"{n_boards} streams moved, as {len(data) / 1024:.0f} KiB")
        _, events = fleet.decide(people[person, (start + t) % N_TICKS], boards)
        gestures.update(event.gesture for _, event in events)
    took_s = perf_counter() - start_s
    print(
        f"{n_boards} boards, {N_TICKS / 100:.0f} s each: {sum(gestures.values())} events,", end=" "
    )
    print(", ".join(f"{name} {n}" for name, n in sorted(gestures.items())))
    print(f"{took_s / N_TICKS / n_boards * 1e9:.0f} ns a frame: one core could serve", end=" ")
    print(f"{N_TICKS / took_s * n_boards / fleet.bundle.rate_hz:,.0f} such boards")


if __name__ == "__main__":
    main()
