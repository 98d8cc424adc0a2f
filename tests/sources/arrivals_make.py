"""Synthetic arrivals: a device's clock, its jitter, its cable and a reader that is late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamrnn.core.types import Frames
from streamrnn.sources.timing import StreamTiming


@dataclass(frozen=True)
class Scene:
    """What happens to the frames of a stream of `span_s` seconds.

    Jitter is uniform, in periods: of the moment at which a frame is measured (its time tells it),
    and of its way here.
    """

    rate_hz: float
    span_s: float = 5.1
    sampling_jitter: float = 0.0
    delay_jitter: float = 0.0
    burst: int = 1
    loss: float = 0.0
    n_late: int = 0
    late_s: float = 0.1
    drift_ppm: float = 0.0
    jump_us: int = 0
    seed: int = 0


def arrivals(scene: Scene) -> Iterator[tuple[Frames, int]]:
    """Yield blocks of frames and when they arrived."""
    rng = np.random.default_rng(scene.seed)
    n = int(scene.span_s * scene.rate_hz)
    seq = np.arange(n)
    true_s = (seq + rng.uniform(0, scene.sampling_jitter, n)) / scene.rate_hz
    true_s = np.maximum.accumulate(true_s)
    t_us = np.rint(true_s * (1 + scene.drift_ppm / 1e6) * 1e6).astype(np.int64) + 7_000_000
    t_us[n // 2 :] += scene.jump_us
    arrival_s = true_s + 0.002 + rng.uniform(0, scene.delay_jitter, n) / scene.rate_hz
    for begin_s in rng.uniform(0, scene.span_s, scene.n_late):
        held = (arrival_s >= begin_s) & (arrival_s < begin_s + scene.late_s)
        arrival_s[held] = begin_s + scene.late_s
    kept = rng.random(n) >= scene.loss
    seq, t_us, arrival_s = seq[kept], t_us[kept], np.maximum.accumulate(arrival_s[kept])
    # a burst is there with its last frame, and what is there at once is read at once
    last = np.minimum(np.arange(len(seq)) // scene.burst * scene.burst + scene.burst, len(seq)) - 1
    host_ns = (arrival_s[last] * 1e9).astype(np.int64) + 10**15
    for part in np.split(np.arange(len(seq)), np.flatnonzero(np.diff(host_ns)) + 1):
        x = np.zeros((len(part), 1), np.float32)
        yield Frames(x, seq[part], t_us[part]), int(host_ns[part[0]])


def watched(
    scene: Scene, *, nominal_hz: float | None = None, has_clock: bool = True
) -> StreamTiming:
    """Return what watched a scene."""
    timing = StreamTiming(scene.rate_hz if nominal_hz is None else nominal_hz, has_clock=has_clock)
    for frames, host_ns in arrivals(scene):
        timing.arrived(frames, host_ns)
        if timing.is_due:
            timing.catch_up()
    return timing
