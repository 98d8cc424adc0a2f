"""Simulated null: how often a calibrated model fires while nobody makes a gesture.

    python -m benchmarks.null [--hours 96] [--quick]

Everything here is simulated, and the figures say nothing of real hands. Simulated people fidget,
walk and make near-gestures: halves of gestures with a slow way back, gestures done much too slowly
or much too small, about 600 an hour. A model is trained on some of them with the product's own
recipe (but for what `CONFIG` says), from sessions with gestures and from sessions without; it is
calibrated by `streamrnn.evaluation.calibrate` on other people, and scored on people that neither
has seen: false activations over the event-free hours, recall over the sessions with gestures.

The signals are made in memory, a session at a time, and what is scored is run session after
session through the product's pipeline: memory does not grow with the hours.

Targets: at least 10 event-free hours; the exact 95 % upper bound of the false activations at most
0.5 an hour; recall at least 95 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.report import finish
from firmware_sim.signals import simulate
from streamrnn.core.records import Event
from streamrnn.core.types import Channel, StreamInfo
from streamrnn.evaluation.calibrate import Calibrated, calibrate
from streamrnn.evaluation.events import match, segments_from_labels, segments_from_records
from streamrnn.evaluation.heldout import run_held_out
from streamrnn.evaluation.metrics.rates import rate
from streamrnn.kernels.backend import Backend, get_backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.session import Session
from streamrnn.training.config import AugmentConfig, TrainConfig
from streamrnn.training.recipe import train

RATE_HZ = 100.0
BUDGET_PER_HOUR, RECALL, HOURS = 0.5, 0.95, 10.0
#: What is asked of the calibration. False activations come by people, so counts scatter more than a
#: Poisson count: whoever wants to show a budget on new people asks for half of it.
ASKED_PER_HOUR = 0.25
INFO = StreamInfo(
    tuple(Channel(f"acc_{axis}", "g") for axis in "xyz")
    + tuple(Channel(f"gyro_{axis}", "dps") for axis in "xyz"),
    RATE_HZ,
    "simulated IMU",
)
#: A session without gestures, seconds.
NULL_S = 600.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Some simulated people and how long each is recorded.

    Attributes
    ----------
    first, n : int
        Their numbers: `first` and the `n` - 1 behind it.
    gestures_s, null_s : float
        Seconds with gestures and seconds without any, each.
    """

    first: int
    n: int
    gestures_s: float
    null_s: float

    def with_gestures(self) -> Iterator[Session]:
        """Yield one session a person."""
        for person in range(self.first, self.first + self.n):
            yield session(person, person, self.gestures_s, "all")

    def without(self, n_sessions: int | None = None) -> Iterator[Session]:
        """Yield sessions without a gesture, the people in turn; one each by default."""
        for k in range(self.n if n_sessions is None else n_sessions):
            yield session(self.first + k % self.n, 10_000 + self.first + k, self.null_s, "null")


TRAINED = Crowd(1, 96, 150.0, 360.0)
CALIBRATED = Crowd(200, 90, 120.0, NULL_S)
#: Nobody had looked at these people before the figures in results were taken.
SCORED = Crowd(8000, 160, 120.0, NULL_S)
#: So many people differ enough by themselves. The usual augmentation makes up for few people, and
#: stretches size and tempo so far that a near-gesture that is much too small looks like a gesture.
AUGMENT = AugmentConfig(
    rotation_deg=5.0, speed=0.08, amplitude=0.08, jitter=0.05, warp=0.0, returns=0.0, dropout=0.0
)
#: Half a gesture is a near-gesture here, so nothing is taught before the later half of one.
CONFIG = TrainConfig(
    folds=0, streams="segments", ramp="step", head_weight=0.0, min_updates=600, augment=AUGMENT
)
#: Event-free hours to calibrate on.
CALIBRATION_HOURS = 24.0
NOTES = (
    "simulated null: simulated people who fidget, walk and make about 600 near-gestures an hour;",
    "nothing is said of real hands. Trained, calibrated and scored on different people; the bound",
    "is the exact one-sided 95 % bound of a Poisson count, of people and hours that chose nothing.",
    "Runs before this one, each scored on 120 or 160 people of its own: 17 false activations in",
    "48 h at recall 0.978, 17 in 48 h at 0.948 (another recipe), 50 in 96 h at 0.989, calibrated",
    "for the whole budget; 3 in 48 h at 0.929 (another recipe), calibrated for half of it, as here",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, calibrate, score; print the table, write JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.null")
    parser.add_argument("--hours", type=float, default=96.0, help="event-free hours to score on")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--quick", action="store_true", help="a check for CI, not a figure")
    options = parser.parse_args(arguments)
    trained, calibrated, scored = TRAINED, CALIBRATED, SCORED
    hours, calibration_hours = options.hours, CALIBRATION_HOURS
    config = replace(CONFIG, seed=options.seed)
    if options.quick:
        trained, calibrated, scored = (
            replace(crowd, n=2, gestures_s=40.0, null_s=20.0)
            for crowd in (TRAINED, CALIBRATED, SCORED)
        )
        hours, calibration_hours = 0.02, 0.02
        config = replace(config, epochs=2, min_updates=0, hidden=(8,))
    backend = get_backend(config.backend)
    begin_s = time.monotonic()
    bundle = train([*trained.with_gestures(), *trained.without()], config)
    train_s = time.monotonic() - begin_s
    print(f"trained on {trained.n} people in {train_s:.0f} s", flush=True)
    begin_s = time.monotonic()
    found = calibrate_on(bundle, calibrated, calibration_hours, backend)
    calibrate_s = time.monotonic() - begin_s
    print(f"calibrated in {calibrate_s:.0f} s: {found.calibration.claim}", flush=True)
    rows = []
    decisions = {"as trained": bundle.decision}
    if found.decision is not None:
        decisions["calibrated"] = found.decision
    for name, decision in decisions.items():
        # What nobody calibrated fires so often that a part of the hours tells it.
        part = hours if name == "calibrated" else hours / 24
        rows.append(
            {"decision": name, **score(replace(bundle, decision=decision), scored, part, backend)}
        )
    settings = {
        "crowds": {
            "trained": describe(trained),
            "calibrated": describe(calibrated),
            "scored": describe(scored),
        },
        "calibration_hours": calibration_hours,
        "config": config.to_document(),
        "calibration": found.calibration.to_document(),
        "decision": repr(found.decision),
        "train_s": round(train_s, 1),
        "calibrate_s": round(calibrate_s, 1),
        "rows": rows,
    }
    last = rows[-1]
    targets = {
        f"at least {HOURS:g} simulated event-free hours": last["hours"] >= HOURS,
        f"at most {BUDGET_PER_HOUR} false activations an hour (upper bound)": len(rows) > 1
        and last["at most"] <= BUDGET_PER_HOUR,
        f"recall at least {RECALL}": len(rows) > 1 and last["recall"] >= RECALL,
    }
    table = [{key: value for key, value in row.items() if key != "fired"} for row in rows]
    name = "simulated-null-quick" if options.quick else "simulated-null"
    return finish(name, table, targets, settings, NOTES)


def session(person: int, seed: int, seconds: float, plan: str) -> Session:
    """Return what a simulated person does, as a recording."""
    frames, labels = simulate(person, seed, seconds, RATE_HZ, plan=plan)
    return Session(
        INFO, frames, frames.t_us * 1000, labels, metadata={"subject": f"person-{person}"}
    )


def calibrate_on(bundle: Bundle, crowd: Crowd, hours: float, backend: Backend) -> Calibrated:
    """Return what calibration chooses on a crowd."""
    n_null = max(1, round(hours * 3600.0 / crowd.null_s))
    sessions = (s for part in (crowd.with_gestures(), crowd.without(n_null)) for s in part)
    runs = [run_held_out(bundle, one, backend, name=one.subject) for one in sessions]
    return calibrate(runs, bundle.decision, ASKED_PER_HOUR)


def score(bundle: Bundle, crowd: Crowd, hours: float, backend: Backend) -> dict[str, Any]:
    """Return false activations over event-free hours, and recall over sessions with gestures."""
    fired: Counter[str] = Counter()
    people: set[str] = set()
    n_sessions = max(1, round(hours * 3600.0 / crowd.null_s))
    frames = 0
    for one in crowd.without(n_sessions):
        records = run_session(bundle, one, backend)
        events = [r for r in records if isinstance(r, Event) and r.end_us is not None]
        fired.update(event.gesture for event in events)
        people.update([one.subject] * bool(events))
        frames += len(one)
    n_true = n_hit = n_other = 0
    for one in crowd.with_gestures():
        truth = segments_from_labels(one)
        found = segments_from_records(run_session(bundle, one, backend))
        hits = len(match(truth, found))
        n_true, n_hit, n_other = n_true + len(truth), n_hit + hits, n_other + len(found) - hits
    seen = rate(sum(fired.values()), frames / RATE_HZ / 3600.0)
    return {
        "hours": round(seen.hours, 3),
        "false": seen.n,
        "an hour": round(seen.per_hour, 4),
        "at most": round(seen.upper, 4),
        "people": len(people),
        "gestures": n_true,
        "found": n_hit,
        "recall": round(n_hit / n_true, 4) if n_true else 0.0,
        "other events": n_other,
        "fired": dict(sorted(fired.items())),
    }


def describe(crowd: Crowd) -> dict[str, float]:
    """Return a crowd as JSON values."""
    return {
        "first": crowd.first,
        "n": crowd.n,
        "gestures_s": crowd.gestures_s,
        "null_s": crowd.null_s,
    }


if __name__ == "__main__":
    sys.exit(main())
