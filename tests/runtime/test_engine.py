"""One compiled call a frame gives the bits of the stages one by one."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import backend

from streamrnn.core.types import Channel
from streamrnn.decision.machine import DecisionConfig, DecisionMachine
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE, Pusher
from streamrnn.model.network import Network
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.engine import StagedEngine

NAMES = ("acc_x", "acc_y", "acc_z", "flex", "gyr_x", "gyr_y", "gyr_z")


class Pair:
    """The same model twice: fused, and stage by stage."""

    def __init__(
        self,
        config: FeatureConfig,
        hidden: tuple[int, ...],
        smooth_ms: float,
        seed: int,
        factors: np.ndarray | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.columns = rng.permutation(9)[: len(NAMES)]
        channels = [Channel(name) for name in NAMES]
        x = rng.normal(size=(50, len(NAMES))).astype(np.float32)
        chains = [FeatureChain.fit([x], channels, 100.0, config) for _ in range(2)]
        labels = ("none", "a", "b", "c")
        params = init_params(NetworkSpec(chains[0].n_outputs, hidden, len(labels)), seed=seed)
        network = Network(params, backend())
        machines = [
            DecisionMachine(DecisionConfig(smooth_ms=smooth_ms), labels, 100.0) for _ in range(2)
        ]
        row = network.row()
        assert row is not None
        self.fused = Pusher(row, chains[0].kernel, machines[0].smoother, self.columns, 9, factors)
        self.staged = StagedEngine(network, chains[1], machines[1], self.columns)

    def check(self) -> None:
        assert self.fused.probabilities.tobytes() == self.staged.probabilities.tobytes()
        assert self.fused.smoothed.tobytes() == self.staged.smoothed.tobytes()
        assert self.fused.energy.tobytes() == self.staged.energy.tobytes()
        assert self.fused.picked.tobytes() == self.staged.newest.tobytes()


configs = st.builds(
    FeatureConfig,
    squash=st.sampled_from(["asinh", "none"]),
    magnitude=st.booleans(),
    differences=st.booleans(),
)
samples = st.one_of(
    st.floats(-100, 100, width=32),
    st.sampled_from([0.0, -0.0, 1e-40, 3e18, -np.inf, np.nan, 1e17]),
)


@given(
    config=configs,
    hidden=st.sampled_from([(8,), (17,), (5, 33)]),
    smooth_ms=st.sampled_from([0.0, 40.0]),
    rows=st.lists(st.lists(samples, min_size=9, max_size=9), min_size=1, max_size=12),
    ahead=st.booleans(),
    reset_at=st.integers(0, 12),
)
@settings(max_examples=40)
def test_fused_equals_staged(config, hidden, smooth_ms, rows, ahead, reset_at):
    pair = Pair(config, hidden, smooth_ms, 3)
    for n, row in enumerate(rows):
        x = np.array([row], np.float32)
        assert pair.fused.push_frame(x) == pair.staged.push(x)
        pair.check()
        if ahead:
            pair.fused.ahead()
        if n == reset_at:
            pair.fused.reset()
            pair.staged.reset()
            pair.staged._smoother.reset()


@given(raw=st.lists(st.lists(st.integers(-32768, 32767), min_size=9, max_size=9), max_size=8))
@settings(max_examples=20)
def test_wire_samples_are_scaled_like_the_decoder_scales_them(raw):
    rng = np.random.default_rng(5)
    factors = rng.uniform(0.001, 0.1, (9, 2)).astype(np.float32)
    pair = Pair(FeatureConfig(differences=True), (16,), 30.0, 4, factors)
    for row in raw:
        samples = np.array(row, "<i2")
        x = samples.astype(np.float32) * factors[:, 0] + factors[:, 1]
        assert pair.fused.push_samples(samples.tobytes()) == pair.staged.push(x[None])
        pair.check()


def test_blocks_and_frames_are_the_same() -> None:
    rng = np.random.default_rng(0)
    whole, single = (Pair(FeatureConfig(differences=True), (12,), 25.0, 8) for _ in range(2))
    x = rng.normal(size=(20, len(NAMES))).astype(np.float32)
    probabilities, smoothed, energy = whole.fused.push_rows(x)
    for n in range(20):
        frame = np.zeros((1, 9), np.float32)
        frame[0, single.columns] = x[n]
        single.fused.push_frame(frame)
        assert single.fused.probabilities.tobytes() == probabilities[n].tobytes()
        assert single.fused.smoothed.tobytes() == smoothed[n].tobytes()
        assert single.fused.energy.tobytes() == energy[n].tobytes()


def test_a_damaged_frame_changes_nothing() -> None:
    pair = Pair(FeatureConfig(), (8,), 30.0, 1)
    good = np.ones((1, 9), np.float32)
    pair.fused.push_frame(good)
    before = pair.fused.smoothed.copy(), pair.fused.picked.copy()
    for bad in (np.nan, np.inf, LARGEST_SAMPLE):
        damaged = good.copy()
        damaged[0, pair.columns[2]] = bad
        assert pair.fused.push_frame(damaged) == -1
        assert (pair.fused.smoothed == before[0]).all()
        assert (pair.fused.picked == before[1]).all()
    pair.staged.push(good)
    assert pair.fused.push_frame(good) == pair.staged.push(good)
    pair.check()


def test_unused_columns_may_hold_anything() -> None:
    pair = Pair(FeatureConfig(), (8,), 0.0, 1)
    frame = np.full((1, 9), np.nan, np.float32)
    frame[0, pair.columns] = 1.0
    assert pair.fused.push_frame(frame) == pair.staged.push(frame) >= 0
    pair.check()


def test_any_array_or_buffer_is_taken_or_refused_in_words() -> None:
    pair = Pair(FeatureConfig(), (8,), 0.0, 1)
    wide = np.ones((1, 18), np.float32)
    assert pair.fused.push_frame(wide[:, ::2]) >= 0
    frozen = np.ones(9, np.float32)
    frozen.flags.writeable = False
    assert pair.fused.push_frame(frozen) >= 0
    assert pair.fused.push_samples(bytearray(18)) >= 0
    with pytest.raises(ValueError, match="float64 of 9 samples, expected float32 of 9"):
        pair.fused.push_frame(np.ones(9))
    with pytest.raises(ValueError, match="8 samples"):
        pair.fused.push_frame(np.ones(8, np.float32))
    with pytest.raises(ValueError, match="a frame is 3 bytes, expected 18"):
        pair.fused.push_samples(b"abc")
    with pytest.raises(TypeError):
        pair.fused.push_samples("abc")


def test_a_call_leaves_no_reference_behind() -> None:
    pair = Pair(FeatureConfig(), (8,), 0.0, 1)
    frame, raw = np.ones((1, 9), np.float32), bytes(18)
    push, push_samples = pair.fused.push_frame, pair.fused.push_samples
    gc.collect()
    before = sys.getrefcount(frame), sys.getrefcount(raw), sys.getrefcount(None)
    for _ in range(5000):
        push(frame)
        push_samples(raw)
    after = sys.getrefcount(frame), sys.getrefcount(raw), sys.getrefcount(None)
    assert np.abs(np.subtract(after, before)).max() < 100
