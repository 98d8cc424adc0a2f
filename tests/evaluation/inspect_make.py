"""Recordings for the tests of inspection: good ones, and good ones with one thing spoilt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.evaluation.inspect import Inspection, Inspector
from streamrnn.evaluation.inspection.finding import Finding
from streamrnn.sessions.session import Session

RATE_HZ = 50.0
PERIOD_US = 20_000
CHANNELS = tuple(
    Channel(f"{sensor}_{axis}", unit)
    for sensor, unit in (("acc", "g"), ("gyr", "deg/s"))
    for axis in "xyz"
)
NAMES = ("push", "wave left", "wave right")


def good(
    seed: int = 0,
    *,
    subject: str = "anna",
    n_frames: int = 3000,
    names: Sequence[str] = NAMES,
    channels: Sequence[Channel] = CHANNELS,
    n_gestures: int = 30,
    rate_hz: float = RATE_HZ,
) -> Session:
    """Return a recording that nothing is wrong with: noise, gravity, and swings in the gestures."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.02, (n_frames, len(channels)))
    x[:, 2] += 1.0
    labels = []
    for k in range(n_gestures):
        n = int(rng.integers(20, 40))
        a = int((k + 0.3 + 0.3 * rng.random()) * n_frames / n_gestures)
        swing = np.sin(np.linspace(0, 2 * np.pi, n))[:, None] * rng.normal(0, 1, len(channels))
        x[a : a + n] += swing
        labels.append(Label(names[k % len(names)], a * PERIOD_US, (a + n) * PERIOD_US))
    seq = np.arange(n_frames, dtype=np.int64)
    frames = Frames(x.astype(np.float32), seq, seq * PERIOD_US)
    metadata = {"subject": subject} if subject else {}
    info = StreamInfo(tuple(channels), rate_hz)
    return Session(info, frames, frames.t_us * 1000, labels, metadata=metadata)


def inspected(*sessions: Session, tests: Sequence[Session] = ()) -> Inspection:
    """Inspect sessions that are called ``a``, ``b`` and so on, and tests called ``T0``, ``T1``."""
    inspector = Inspector()
    for n, session in enumerate(sessions):
        inspector.add(chr(ord("a") + n), session)
    for n, session in enumerate(tests):
        inspector.add(f"T{n}", session, is_test=True)
    return inspector.finish()


def kinds(inspection: Inspection) -> dict[str, Finding]:
    """Return the findings by their kind."""
    return {found.kind: found for found in inspection.findings}


def pair() -> tuple[Session, Session]:
    """Return good recordings of two people."""
    return good(1, subject="anna"), good(2, subject="ben")
