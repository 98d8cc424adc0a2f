"""Sessions of one channel, events, and a model without memory: class ``up`` above 0."""

from __future__ import annotations

import numpy as np

from streamrnn.core.records import Event
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session

#: Microseconds from frame to frame.
PERIOD_US = 20_000


def session_of(labels: list[Label], n: int = 100, level: float = 1.0, **metadata: str) -> Session:
    seq = np.arange(n, dtype=np.int64)
    x = np.full((n, 1), -1.0, np.float32)
    frames = Frames(x, seq, seq * PERIOD_US)
    for label in labels:
        x[label.start_us // PERIOD_US : label.end_us // PERIOD_US] = level
    info = StreamInfo((Channel("level"),), 50.0, "bench")
    return Session(info, frames, frames.t_us, labels, metadata=metadata)


def event(name: str, onset_ms: int, end_ms: int, late_ms: int = 0, score: float = 0.9) -> Event:
    end_us = end_ms * 1000
    return Event(name, "discrete", 0, end_us + late_ms * 1000, onset_ms * 1000, end_us, score)


def follower(**training: object) -> Bundle:
    one = np.ones((1, 1), np.float32)
    zero = np.zeros((1, 1), np.float32)
    w_ih = np.concatenate([0 * one, 0 * one, 5 * one, 0 * one])
    b = np.array([10, -10, 0, 10], np.float32)
    layer = LayerParams(w_ih, np.concatenate([zero] * 4), b)
    params = Params((layer,), np.array([[-9], [9]], np.float32), np.zeros(2, np.float32))
    channels = (Channel("level"),)
    chain = FeatureChain.plain(channels)
    decision = DecisionConfig(min_ms=100)
    return Bundle(params, chain, ("none", "up"), 50.0, channels, decision, training=training)
