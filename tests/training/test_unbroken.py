"""What is trained on is what a run will see, whatever rate a recording has."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.errors import TrainingError
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features import filters
from streamrnn.features.conditioner import SignalSpec
from streamrnn.features.config import FeatureConfig
from streamrnn.kernels import get_backend
from streamrnn.model.network import Network
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session_with_probabilities
from streamrnn.sessions.labels import frame_labels
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import cut, prepare
from streamrnn.training.unbroken import check_rates, unbroken

CHANNELS = (Channel("p"), Channel("q"))
LABELS = ("none", "a", "b")
MODEL_HZ = 100.0
ENVELOPE = filters.muscle(200.0)


def recording(rate_hz: float, n: int = 260, lost: set[int] | None = None) -> Session:
    rng = np.random.default_rng(int(rate_hz))
    kept = np.array([k for k in range(n) if k not in (lost or set())], np.int64)
    x = rng.normal(size=(n, 2)).cumsum(axis=0).astype(np.float32)[kept]
    frames = Frames(x, kept, (kept * 1e6 / rate_hz).astype(np.int64))
    second_us = int(n * 1e6 / rate_hz / 4)
    labels = [Label("a", second_us, 2 * second_us), Label("b", 3 * second_us, 4 * second_us)]
    return Session(StreamInfo(CHANNELS, rate_hz), frames, frames.t_us, labels)


@cache
def model_for(signal: SignalSpec | None) -> Bundle:
    chain = prepare([recording(MODEL_HZ)], TrainConfig(held_out_fraction=0.0)).chain
    params = init_params(NetworkSpec(chain.n_outputs, (5,), 3), seed=1)
    return Bundle(params, chain, LABELS, MODEL_HZ, CHANNELS, DecisionConfig(), 50.0, signal=signal)


@pytest.mark.parametrize(
    ("rate_hz", "signal"),
    [(100.0, None), (103.0, None), (119.0, None), (60.0, None), (200.0, SignalSpec(200.0)),
     (200.0, ENVELOPE)],
)  # fmt: skip
@given(
    lost=st.sets(st.integers(0, 259), max_size=40),
    hole=st.tuples(st.integers(0, 259), st.integers(0, 60)),
)
@settings(max_examples=20)
def test_stretches_are_what_the_network_sees_in_a_run(rate_hz, signal, lost, hole):
    session = recording(rate_hz, lost=lost | set(range(hole[0], sum(hole))))
    if not len(session):
        return
    model, backend = model_for(signal), get_backend("cpu")
    run = run_session_with_probabilities(model, session, backend)
    network = Network(model.params, backend)
    got, classes = [], []
    for x, y in unbroken(session, CHANNELS, LABELS, 50.0, MODEL_HZ, signal=signal):
        model.features.reset()
        features = model.features.push(x)
        logits = network.forward(features[:, None, :], network.new_state(1))[:, 0]
        got.append(logits - logits.max(axis=1, keepdims=True))
        classes += y.tolist()
    shares = np.exp(np.concatenate(got).astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    # softmax in another order of rounding; a frame more or less, or another one, would be 1e-2
    np.testing.assert_allclose(run.probabilities, shares, atol=1e-6)
    rows = Frames(np.empty((len(run.seq), 2), np.float32), run.seq, run.t_us)
    assert classes == frame_labels(dataclasses.replace(session, frames=rows), LABELS).tolist()


def test_sessions_of_several_rates_are_brought_to_one(config):
    sessions = [recording(rate_hz, int(3 * rate_hz)) for rate_hz in (100.0, 200.0, 60.0, 102.0)]
    features = FeatureConfig(model_rate_hz=100.0)
    data = prepare(sessions, dataclasses.replace(config, held_out_fraction=0.0, features=features))
    assert data.rate_hz == 100.0
    assert [len(s.y) for s in data.stretches] == [300, 300, 299, 306]
    for stretch in data.stretches:
        shares = np.bincount(stretch.y, minlength=3) / len(stretch.y)
        np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.01)
    assert [s.y.tolist() for s in cut(sessions[1], data, config)] == [data.stretches[1].y.tolist()]


def test_sessions_that_cannot_be_brought_there_are_named():
    sessions = [recording(100.0), recording(30.0), recording(200.0)]
    check_rates(sessions[::2], ["a", "c"], 100.0)
    with pytest.raises(TrainingError, match=r"^b runs at 30 Hz, which cannot be brought to 100 Hz"):
        check_rates(sessions, ["a", "b", "c"], 100.0)
    with pytest.raises(TrainingError, match=r"^a runs at 100 Hz, the filters are made for 200 Hz"):
        check_rates(sessions, ["a", "b", "c"], 100.0, ENVELOPE)
    check_rates(sessions[2:], ["c"], 100.0, ENVELOPE)
