"""The rate of a stream, fitted from its own times and arrivals, after five seconds.

Simulated streams have a clock that is off, samples and ways that jitter by up to a period, bursts
of ten frames, reads that come 100 ms late and 1 % of loss, each alone and all together; beside
them boards in real time on a pseudo-terminal, through the production source.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.reliability.bar import Check, Form, Outcome
from benchmarks.reliability.boards import board
from streamrnn.core.types import Frames
from streamrnn.sources import open_source
from streamrnn.sources.timing import StreamTiming, TimingReport

LIMIT = 1e-3
SPAN_S = 5.1
#: By which the rate is told: the board's, or that of this computer.
CLOCKS = ("its own clock", "arrivals")
RATES_HZ = (50.0, 100.0, 200.0, 400.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Way:
    """What happens to the frames of a simulated stream; jitter in periods."""

    measured: float = 0.0
    delayed: float = 0.0
    burst: int = 1
    n_late: int = 0
    loss: float = 0.0
    drift_ppm: float = 150.0


WAYS = {
    "nothing but a clock that is off": Way(),
    "samples jitter by a period": Way(measured=1.0),
    "the way jitters by a period": Way(delayed=1.0),
    "1 % lost": Way(loss=0.01),
    "three reads 100 ms late": Way(n_late=3),
    "bursts of 10": Way(burst=10),
    "all of it": Way(1.0, 1.0, 10, 3, 0.01),
}


def run(form: Form) -> Outcome:
    """Fit, compare."""
    n_seeds = form.pick(4, 100)
    rows = []
    worst = dict.fromkeys(CLOCKS, 0.0)
    n_wild = n_runs = 0
    for name, way in WAYS.items():
        row: dict[str, Any] = {"stream": name, "streams": len(RATES_HZ) * n_seeds}
        for clock in CLOCKS:
            errors, n_claimed = _errors(way, n_seeds, clock == CLOCKS[0])
            row[f"% off, {clock}"] = round(100 * max(errors, default=0.0), 4)
            row[f"settled, {clock}"] = n_claimed
            worst[clock] = max(worst[clock], *errors)
            n_wild += sum(error > LIMIT for error in errors)
            n_runs += len(RATES_HZ) * n_seeds
        rows.append(row)
        form.say(name)
    boards = ((100.0, 300.0), (1000.0, -200.0))[: form.pick(1, 2)]
    live = [_live(rate_hz, drift_ppm, form) for rate_hz, drift_ppm in boards]
    off = max(max(one["device off"], one["host off"]) for one in live)
    return Outcome(
        checks=[
            Check(
                f"a rate called settled is within 0.1 %, {len(RATES_HZ)} rates, {n_runs:,} streams",
                f"at most {100 * max(worst.values()):.3f} % off, {n_wild} beyond", not n_wild,
            ),
            Check(
                "streams with a clock of their own: all settled after 5 s",
                f"{sum(row['settled, its own clock'] for row in rows):,} of {n_runs // 2:,}",
                all(row["settled, its own clock"] == row["streams"] for row in rows),
            ),
            Check(
                "in real time on a pseudo-terminal, "
                f"{' and '.join(f'{hz:g} Hz' for hz, _ in boards)}: within 0.1 %",
                f"{100 * off:.4f} % off", off <= LIMIT and all(one["is_settled"] for one in live),
            ),
        ],
        rows=rows,
        settings={"span_s": SPAN_S, "rates_hz": RATES_HZ, "n_seeds": n_seeds},
        figures={"worst": worst, "live": live},
        notes=[_told(one) for one in live],
    )  # fmt: skip


def _errors(way: Way, n_seeds: int, has_clock: bool) -> tuple[list[float], int]:
    """Return how far the rates are off that are called settled, and how many those are."""
    errors = []
    for rate_hz in RATES_HZ:
        for seed in range(n_seeds):
            report = watch(way, rate_hz, seed, has_clock=has_clock)
            # The board paces itself by its own clock, which is off; arrivals show the true one.
            if report.is_settled and report.rate_hz is not None:
                true_hz = rate_hz if has_clock else rate_hz * (1 + way.drift_ppm / 1e6)
                errors.append(abs(report.rate_hz / true_hz - 1.0))
    return errors or [0.0], len(errors)


def watch(way: Way, rate_hz: float, seed: int, *, has_clock: bool) -> TimingReport:
    """Return what is known of a simulated stream at its end."""
    rng = np.random.default_rng([seed, round(rate_hz)])
    n = round(SPAN_S * rate_hz)
    seq = np.arange(n)
    # The board's clock gives the pace.
    own_s = np.maximum.accumulate((seq + rng.uniform(0, way.measured, n)) / rate_hz)
    true_s = own_s / (1.0 + way.drift_ppm / 1e6)
    arrival_s = true_s + rng.uniform(0, way.delayed, n) / rate_hz
    for begin_s in rng.uniform(0, SPAN_S, way.n_late):
        is_held = (arrival_s >= begin_s) & (arrival_s < begin_s + 0.1)
        arrival_s[is_held] = begin_s + 0.1
    keep = rng.random(n) >= way.loss
    seq, own_s, arrival_s = seq[keep], own_s[keep], np.maximum.accumulate(arrival_s[keep])
    last = np.minimum(np.arange(len(seq)) // way.burst * way.burst + way.burst, len(seq)) - 1
    host_ns = np.rint(arrival_s[last] * 1e9).astype(np.int64) + 10**12
    t_us = np.rint(own_s * 1e6).astype(np.int64)
    timing = StreamTiming(rate_hz, has_clock=has_clock)
    for part in np.split(np.arange(len(seq)), np.flatnonzero(np.diff(host_ns)) + 1):
        x = np.zeros((len(part), 1), np.float32)
        timing.arrived(Frames(x, seq[part], t_us[part]), int(host_ns[part[0]]))
        if timing.is_due:
            timing.catch_up()
    return timing.report()


def _live(rate_hz: float, drift_ppm: float, form: Form) -> dict[str, Any]:
    """Read a board in real time."""
    with (
        board("--rate", f"{rate_hz:g}", "--drift", f"{drift_ppm:g}") as path,
        closing(open_source(f"serial:{path}")) as source,
    ):
        source.open()
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < form.pick(5.8, 20.0):
            source.read(0.05)
        report = source.timing
    assert report is not None
    true_hz = rate_hz * (1.0 + drift_ppm / 1e6)
    return {
        "rate_hz": rate_hz, "drift_ppm": drift_ppm, "is_settled": report.is_settled,
        "device off": abs((report.device_hz or 0.0) / rate_hz - 1.0),
        "host off": abs((report.host_hz or 0.0) / true_hz - 1.0),
        "report": report.to_dict(),
    }  # fmt: skip


def _told(one: dict[str, Any]) -> str:
    report = one["report"]
    return (
        f"in real time at {one['rate_hz']:g} Hz, a clock {one['drift_ppm']:+g} ppm off: "
        f"{report['device_hz']:.4f} Hz by the board's clock, {report['host_hz']:.4f} Hz by this "
        f"computer's, {report['drift_ppm']:+.1f} ppm after {report['span_s']:.1f} s"
    )
