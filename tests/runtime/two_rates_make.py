"""Models and streams at two rates, and what the rules say comes out, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from runtime_make import INFO, backend, bundle, make_frames

from streamrnn.core.records import Event
from streamrnn.core.types import Frames, StreamInfo
from streamrnn.features import filters
from streamrnn.features.conditioner import Conditioner, SignalSpec
from streamrnn.runtime import gaps
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.pipeline import Observer, Pipeline

#: A stream at 200 Hz as an envelope, for a network at 100 Hz.
ENVELOPE = filters.muscle(200.0, mains_hz=50.0, envelope_hz=8.0)
#: The stream's rate, and what the model does to it.
WAYS: dict[str, tuple[float, SignalSpec | None]] = {
    "half the rate": (50.0, None),
    "three quarters": (75.0, None),
    "a little more": (119.0, None),
    "twice": (200.0, None),
    "twice, as trained": (200.0, SignalSpec(200.0)),
    "filtered": (200.0, ENVELOPE),
    "filtered at its rate": (100.0, filters.muscle(100.0, low_hz=5.0, envelope_hz=0.0)),
}


def model_of(way: str, fire: str = "end") -> Bundle:
    return replace(bundle(fire), signal=WAYS[way][1])


def info_of(way: str) -> StreamInfo:
    return replace(INFO, rate_hz=WAYS[way][0])


def frames_of(way: str, n: int, seed: int = 0) -> Frames:
    """Return a stream that moves as fast as `make_frames`, at another rate."""
    rate_hz = WAYS[way][0]
    slow = make_frames(int(n * 100.0 / rate_hz) + 2, seed)
    seq = np.arange(n)
    rng = np.random.default_rng(seed)
    x = [np.interp(seq / rate_hz, slow.seq / 100.0, slow.x[:, k]) for k in range(3)]
    noisy = np.stack(x, axis=1) * 2 + rng.normal(size=(n, 3)) * 0.5
    return Frames(noisy.astype(np.float32), seq, (seq * 1e6 / rate_hz).astype(np.int64))


def run_two(
    items: Iterable[Frames],
    model: Bundle,
    info: StreamInfo,
    kernel: str = "cpu",
    observer: Observer | None = None,
) -> tuple[Pipeline, list[Event]]:
    """Return a pipeline behind some frames, and the events."""
    pipeline = Pipeline(model, backend(kernel), observer=observer)
    pipeline.start(info)
    records = [record for item in items for record in pipeline.push(item)]
    records += pipeline.finish()
    return pipeline, [record for record in records if isinstance(record, Event)]


def unbroken(frames: Frames, rate_hz: float, max_gap_ms: float) -> list[Frames]:
    """Return the stretches of the gap rule: short gaps filled, cut at the others."""
    blocks: list[list[Frames]] = []
    for first, behind in gaps.stretches(frames.seq):
        part = frames[first:behind]
        n_missing = int(part.seq[0] - blocks[-1][-1].seq[-1]) - 1 if blocks else 0
        if blocks and n_missing * 1000 <= max_gap_ms * rate_hz:
            blocks[-1] += [gaps.fill(blocks[-1][-1][-1:], part[:1]), part]
        else:
            blocks.append([part])
    return [Frames.join(block, 3) for block in blocks]


def by_hand(frames: Frames, model: Bundle, info: StreamInfo) -> list[Event]:
    """Return the events of a recording conditioned as a whole, each stretch as a new stream."""
    plain = replace(model, signal=None)
    events = []
    for block in unbroken(frames, info.rate_hz, model.max_gap_ms):
        x, at = Conditioner(model.signal, 3, info.rate_hz, model.rate_hz).push(block.x)
        if len(x):
            seen = Frames(x, np.arange(len(x)), block.t_us[at])
            _, found = run_two([seen], plain, INFO)
            events += [replace(event, seq=int(block.seq[at][event.seq])) for event in found]
    return events
