"""A fleet's stream is the same frames in a pipeline of their own, to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import CHANNELS, INFO, LABELS, RATE_HZ, backend, bundle, lines, make_frames

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.types import Frames
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.kernels.params import Params
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime import gaps
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet import Fleet
from streamrnn.runtime.fleet_snapshot import FleetSnapshot
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.sessions.npz_import import import_uhh

N = 7
LENGTH = 60


def piped(frames: Frames, model: Bundle, kernel: str = "cpu", info: Any = INFO) -> Any:
    """Return the probabilities of every frame and the events, by a pipeline."""
    blocks: list[np.ndarray] = []
    pipeline = Pipeline(model, backend(kernel), observer=lambda b: blocks.append(b.probabilities))
    pipeline.start(info)
    records = list(pipeline.push(frames))
    return np.concatenate(blocks), lines([*records, *pipeline.finish()])


class Boards:
    """Streams of a fleet, each with frames of its own, and what came of them."""

    def __init__(self, fleet: Fleet, frames: Iterable[Frames]) -> None:
        self.fleet = fleet
        self.frames = list(frames)
        self.ids = fleet.join(len(self.frames))
        self.at = np.zeros(len(self.frames), np.int64)
        self.probabilities: list[list[np.ndarray]] = [[] for _ in self.frames]
        self.events: list[list[Event]] = [[] for _ in self.frames]

    def take(self, events: Iterable[tuple[int, Event]]) -> None:
        numbers = {int(n): k for k, n in enumerate(self.ids)}
        for n, event in events:
            self.events[numbers[n]].append(event)

    def tick(self, which: np.ndarray) -> None:
        """Send the next frame of some boards."""
        now = [self.frames[k][self.at[k] : self.at[k] + 1] for k in which]
        p, events = self.fleet.decide(
            np.concatenate([f.x for f in now]),
            self.ids[which],
            seq=np.concatenate([f.seq for f in now]),
            t_us=np.concatenate([f.t_us for f in now]),
        )
        for k, row in zip(which, p, strict=True):
            self.probabilities[k].append(row)
        self.take(events)
        self.at[which] += 1

    def play(self, rng: np.random.Generator, until: int) -> None:
        """Send every board's frames up to one, some boards at a time in any order."""
        while (left := np.flatnonzero(self.at < until)).size:
            self.tick(rng.permutation(left)[: rng.integers(1, len(left) + 1)])

    def check(self, model: Bundle, kernel: str = "cpu", info: Any = INFO) -> int:
        """Compare all with pipelines; return how many events there were."""
        self.take(self.fleet.leave(self.ids))
        for frames, probabilities, events in zip(
            self.frames, self.probabilities, self.events, strict=True
        ):
            expected, records = piped(frames, model, kernel, info)
            assert np.array_equal(np.stack(probabilities), expected)
            assert lines(events) == records
        return sum(map(len, self.events))


def boards(model: Bundle, seed: int, kernel: str = "cpu", n: int = N) -> Boards:
    fleet = Fleet(model, n + 2, backend=backend(kernel))
    return Boards(fleet, (make_frames(LENGTH, seed + k, first=5 * k) for k in range(n)))


@pytest.mark.parametrize("kernel", ["cpu", "numpy"])
@pytest.mark.parametrize("precision", ["exact", "bf16"])
@given(seed=st.integers(0, 999), fire=st.sampled_from(["start", "end"]))
@settings(max_examples=8)
def test_any_interleaving_is_the_pipeline_to_the_bit(kernel, precision, seed, fire):
    model = replace(bundle(fire), precision=precision)
    some = boards(model, seed, kernel)
    some.play(np.random.default_rng(seed), LENGTH)
    assert some.check(model, kernel) > 0


def test_a_network_in_float64():
    model = bundle()
    params: Params = model.params.with_arrays([a.astype("f8") for a in model.params.arrays()])
    some = boards(replace(model, params=params), 3)
    some.play(np.random.default_rng(3), LENGTH)
    assert some.check(replace(model, params=params)) > 0


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("smooth_ms", [0.0, 40.0])
def test_other_features_and_smoothing(differences, smooth_ms):
    x = make_frames(300).x
    config = FeatureConfig(squash="none", magnitude=False, differences=differences)
    chain = FeatureChain.fit([x], CHANNELS, RATE_HZ, config)
    params = init_params(NetworkSpec(chain.n_outputs, (12,), 3), seed=5)
    params.w_out[:] *= 20  # untrained, but not undecided
    decision = DecisionConfig(0.7, 0.6, min_ms=0.0, refractory_ms=95.0, smooth_ms=smooth_ms)
    model = Bundle(params, chain, LABELS, RATE_HZ, CHANNELS, decision)
    some = boards(model, 17)
    some.play(np.random.default_rng(17), LENGTH)
    assert some.check(model) > 0


def test_all_at_once_without_ids():
    """All streams in order, by whatever index and time: the model's rate where none is given."""
    model = bundle()
    fleet = Fleet(model, N)
    frames = [make_frames(LENGTH, k) for k in range(N)]  # from index 0 at 10 ms each
    ids = fleet.join(N)
    assert np.array_equal(fleet.ids, ids)
    events: list[tuple[int, Event]] = []
    ticked = []
    for t in range(LENGTH):
        p, more = fleet.decide(np.stack([f.x[t] for f in frames]))
        ticked.append(p)
        events += more
    events += fleet.reset()
    for k in range(N):
        expected, records = piped(frames[k], model)
        assert np.array_equal(np.stack(ticked)[:, k], expected)
        assert lines(e for n, e in events if n == ids[k]) == records
    again = fleet.tick(np.stack([f.x[0] for f in frames]))
    assert np.array_equal(again, ticked[0])


def test_a_place_is_fresh_for_the_next_stream():
    model = bundle()
    fleet = Fleet(model, 4)
    first = Boards(fleet, (make_frames(LENGTH, k) for k in range(4)))
    first.play(np.random.default_rng(1), 40)
    assert fleet.n_free == 0
    gone = first.ids[[2, 0]]
    fleet.leave(gone)
    assert fleet.n_free == 2
    assert set(fleet.ids) == set(first.ids) - set(gone)
    second = Boards(fleet, (make_frames(LENGTH, 50 + k) for k in range(2)))
    assert not set(second.ids) & set(first.ids)
    with pytest.raises(ValueError, match=f"no stream {gone[0]} is in the fleet"):
        fleet.tick(np.zeros((1, 3), np.float32), gone[:1])
    second.play(np.random.default_rng(2), LENGTH)
    assert second.check(model) > 0


def moved(fleet: Fleet, ids: np.ndarray, *kernels: str) -> FleetSnapshot:
    """Return a snapshot after streams went through fleets on other backends, as bytes."""
    snapshot = fleet.snapshot(ids)
    for kernel in kernels:
        there = Fleet(fleet.bundle, len(ids) + 3, backend=backend(kernel))
        there.join(2)
        there_ids = there.restore(FleetSnapshot.from_bytes(snapshot.to_bytes()))
        data = there.snapshot(there_ids).to_bytes()
        assert data == snapshot.to_bytes()
        snapshot = FleetSnapshot.from_bytes(data)
    return snapshot


@given(seed=st.integers(0, 999), cut=st.integers(0, LENGTH))
@settings(max_examples=12)
def test_streams_go_on_anywhere_with_the_same_bits(seed, cut):
    model = bundle("start")
    rng = np.random.default_rng(seed)
    some = boards(model, seed)
    some.play(rng, cut)
    snapshot = moved(some.fleet, some.ids, "numpy", "cpu")
    others = Fleet(model, N + 1)
    others.join(N + 1)
    others.tick(rng.normal(size=(N + 1, 3)).astype(np.float32))
    places = rng.permutation(others.ids)[:N]
    assert np.array_equal(others.restore(snapshot, places), places)
    some.fleet, some.ids = others, places
    some.play(rng, LENGTH)
    some.check(model)


def test_the_caller_keeps_the_gap_rule():
    """Short gaps are filled, longer ones reset: then the records are the pipeline's."""
    model = bundle("start")  # fills up to 50 ms, 5 frames
    whole = make_frames(200, 10)
    whole.t_us[70:] -= 105_000  # behind the second gap time seems to have gone on by 5 ms
    kept = np.flatnonzero(~np.isin(np.arange(200), [20, 21, *range(60, 70), 130, *range(150, 157)]))
    frames = Frames(whole.x[kept], whole.seq[kept], whole.t_us[kept])
    expected, records = piped(frames, model)
    fleet = Fleet(model, 3)
    ids = fleet.join(2)[1:]
    probabilities, events = [], []

    def tick(one: Frames) -> None:
        for n in range(len(one)):
            at = slice(n, n + 1)
            p, more = fleet.decide(one.x[at], ids, seq=one.seq[at], t_us=one.t_us[at])
            probabilities.append(p)
            events.extend(more)

    for n in range(len(frames)):
        now = frames[n : n + 1]
        if n and (n_missing := int(now.seq[0] - frames.seq[n - 1]) - 1):
            if gaps.is_short(n_missing, model.rate_hz, model.max_gap_ms):
                tick(gaps.fill(frames[n - 1 : n], now))
            else:
                events.extend(fleet.reset(ids, now.t_us))
        tick(now)
    events += fleet.leave(ids)
    assert np.array_equal(np.concatenate(probabilities), expected)
    gap = '"type":"gap"'
    assert sum(gap in line for line in records) == 4
    assert lines(e for _, e in events) == [line for line in records if gap not in line]


DAMAGED = (11, 24, 31, 45, 52)


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e18, -1e30])
def test_a_damaged_frame_changes_nothing_but_the_count(damage):
    model = bundle("start")
    fleet = Fleet(model, 3)
    ids = fleet.join(3)
    frames = np.stack([make_frames(LENGTH, k).x for k in range(3)])
    seq = np.zeros(3, np.int64)
    events = []
    for t in range(LENGTH):
        x = frames[:, t].copy()
        before = fleet.snapshot()
        if t in DAMAGED:
            x[1, 2] = damage
        p, more = fleet.decide(x, seq=seq, t_us=seq * 10_000)
        events += more
        seq += 1
        if t in DAMAGED:
            assert np.isnan(p[1]).all()
            assert np.isfinite(p[[0, 2]]).all()
            after, was = fleet.snapshot(ids[1:2]), fleet_row(before, 1)
            assert np.array_equal(after.state.arena, was.state.arena)
            assert (after.counts - was.counts).tolist() == [[0, 1]]
            assert after.decisions == was.decisions
            seq[1] -= 1
    events += fleet.leave(ids)
    expected = [make_frames(LENGTH, k) for k in range(3)]
    expected[1] = drop(expected[1], DAMAGED)
    for k in range(3):
        probabilities, records = piped(expected[k], model)
        assert np.array_equal(p[k], probabilities[-1])
        assert lines(event for n, event in events if n == ids[k]) == records
    assert np.isnan(fleet.tick(np.full((3, 3), np.nan, np.float32), fleet.join(3))).all()
    assert fleet.n_invalid == len(DAMAGED) + 3


def fleet_row(snapshot: FleetSnapshot, row: int) -> FleetSnapshot:
    """Return one stream of a snapshot."""
    rows = slice(row, row + 1)
    state = type(snapshot.state)(
        tuple(a[rows] for a in snapshot.state.h), tuple(a[rows] for a in snapshot.state.c)
    )
    return FleetSnapshot(
        snapshot.model, state, snapshot.features[rows], snapshot.means[rows], snapshot.recent[rows],
        snapshot.counts[rows], snapshot.rates[rows], snapshot.decisions[rows],
    )  # fmt: skip


def drop(frames: Frames, lost: Iterable[int]) -> Frames:
    """Return the frames as if some had never been."""
    x = np.delete(frames.x, list(lost), axis=0)
    return Frames(x, frames.seq[: len(x)], frames.t_us[: len(x)])


def test_half_a_stream_does_not_join():
    fleet = Fleet(bundle(), 4)
    with pytest.raises(TypeError, match="integer"):
        fleet.join(1.5)
    assert fleet.n_free == 4
    assert np.array_equal(fleet.join(np.int64(4)), np.arange(4))


def test_no_streams_and_no_frames():
    fleet = Fleet(bundle(), 2)
    none = np.empty(0, np.int64)
    x = np.empty((0, 3), np.float32)
    assert fleet.tick(x).shape == (0, 3)
    assert fleet.decide(x, none)[1] == []
    assert fleet.join(0).shape == (0,)
    assert fleet.leave(none) == fleet.reset(none) == fleet.reset() == []
    assert fleet.tick(x, []).shape == fleet.tick(x, none).shape
    assert len(FleetSnapshot.from_bytes(fleet.snapshot().to_bytes())) == 0
    assert fleet.restore(fleet.snapshot()).shape == (0,)


def test_wrong_arguments_are_named_and_change_nothing():
    model = bundle()
    fleet = Fleet(model, 4)
    ids = fleet.join(3)
    fleet.decide(make_frames(3, 4).x)
    before = fleet.snapshot().to_bytes()
    x, one, two = np.zeros((3, 3), np.float32), ids[:1], ids[:2]
    for call, words in (
        (lambda: fleet.tick(x[:2]), r"frames is float32 \(2, 3\), expected float32 \(3, 3\)"),
        (lambda: fleet.tick(x[:, :2]), "frames is"),
        (lambda: fleet.tick(x.astype(np.float64)), "frames is float64"),
        (lambda: fleet.tick(x[0], one), "frames is"),
        (lambda: fleet.tick(x[:2], np.array([0, 7])), "no stream 7 is in the fleet"),
        (lambda: fleet.tick(x[:2], np.array([0, 3])), "no stream 3 is in the fleet"),
        (lambda: fleet.tick(x[:2], np.array([0, -1])), "no stream -1 is in the fleet"),
        (lambda: fleet.tick(x[:2], np.array([1, 1])), "stream 1 is named more than once"),
        (lambda: fleet.tick(x[:2], np.array([0.0, 1.0])), "ids is float64"),
        (lambda: fleet.decide(x[:2], two, seq=one), "seq is"),
        (lambda: fleet.decide(x[:2], two, t_us=np.zeros(2)), "t_us is float64"),
        (lambda: fleet.reset(two, t_us=one), "t_us is"),
        (lambda: fleet.reset(np.array([1, 1])), "more than once"),
        (lambda: fleet.leave(np.array([9])), "no stream 9"),
        (lambda: fleet.join(2), "2 streams cannot join: 1 of the fleet's 4 places are free"),
        (lambda: fleet.join(-1), "cannot join"),
        (lambda: fleet.restore(fleet.snapshot(two)), "2 streams cannot join"),
        (lambda: fleet.restore(fleet.snapshot(), two), "2 streams for a snapshot of 3"),
        (lambda: fleet.restore(fleet.snapshot(), np.array([0, 0, 1])), "more than once"),
        (lambda: fleet.restore(Fleet(bundle(seed=2), 1).snapshot()), "of another model"),
        (lambda: Fleet(model, 0), "n_streams is 0, expected 1 or more"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()
    assert fleet.snapshot().to_bytes() == before
    with pytest.raises(ConfigError, match="no backend 'cup'"):
        Fleet(model, 1, backend="cup")


def test_a_model_file_and_its_hash_do_not_matter(tmp_path):
    saved = bundle().save(tmp_path / "a.safetensors")
    fleet = Fleet(tmp_path / "a.safetensors", 2)
    assert fleet.bundle.model_hash == saved.model_hash
    Fleet(bundle(), 2).restore(fleet.snapshot(fleet.join(2)))


class Bytes(bytes):
    """A failed test prints its arguments, and these are many."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def data() -> bytes:
    """Streams in the middle of gestures, as bytes."""
    some = boards(bundle("start"), 1)
    some.play(np.random.default_rng(1), 25)
    snapshot = some.fleet.snapshot()
    assert any(d and d["run"] for d in snapshot.decisions)
    return Bytes(snapshot.to_bytes())


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=200)
def test_damaged_bytes_are_refused_or_make_sense(where, bit, cut, data):
    at = int(where * len(data))
    damaged = bytearray(data)
    damaged[at] ^= 1 << bit
    fleet = Fleet(bundle("start"), N)
    try:
        fleet.restore(FleetSnapshot.from_bytes(bytes(damaged[:at] if cut else damaged)))
    except ValueError:
        assert fleet.n_free == N
        return
    assert not cut
    p, _ = fleet.decide(np.zeros((N, 3), np.float32))
    assert np.isfinite(p).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 1}, "snapshot format 1, this program reads 2"),
        ({"n_layers": 0}, "no layers"),
        ({"n_layers": 10**9}, "no layers"),
        ({"n_layers": 3}, "h.2"),
        ({"decisions": {"7": {}}}, "more than its 7 streams"),
        ({"decisions": {"0": {}}}, "option 'run' is missing"),
        ({"decisions": {"0": 5}}, "no snapshot"),
        ({"decisions": []}, "no snapshot"),
        ({"decisions": {"0": {"run": None, "blocked_until_us": "x", "last_seq": 0, "last_us": 0}}},
         "blocked_until_us must be int"),
        ({"decisions": {"0": {"run": {"onset_us": 0, "sums": [1.0, 2.0, 3.0],
          "rising": [1.0] * 3, "n_frames": 1, "leader": 3, "fired": False},
          "blocked_until_us": None, "last_seq": 0, "last_us": 0}}},
         "not over 3 classes"),
    ],
)  # fmt: skip
def test_documents_that_make_no_sense(change, words, data):
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    document = json.loads(header["__metadata__"]["streamrnn_fleet"])
    header["__metadata__"]["streamrnn_fleet"] = json.dumps({**document, **change})
    text = json.dumps(header).encode()
    changed = len(text).to_bytes(8, "little") + text + data[8 + n :]
    with pytest.raises(ValueError, match=words):
        Fleet(bundle("start"), N).restore(FleetSnapshot.from_bytes(changed))


@pytest.mark.data
def test_real_recordings_side_by_side(data_dir: Path) -> None:
    paths = sorted((data_dir / "uhh_imu_gestures" / "dataSets").glob("*.npz"))[::5]
    sessions = [import_uhh(path) for path in paths]
    channels, rate_hz = sessions[0].info.channels, sessions[0].info.rate_hz or 50.0
    chain = FeatureChain.fit([s.frames.x for s in sessions], channels, rate_hz, FeatureConfig())
    params = init_params(NetworkSpec(chain.n_outputs, (24,), 4), seed=5)
    params.w_out[:] *= 30  # untrained, but not undecided
    decision = DecisionConfig(enter=0.8, exit=0.7, min_ms=40, smooth_ms=40)
    labels = ("none", "a", "b", "c")
    model = Bundle(params, chain, labels, rate_hz, channels, decision)
    some = Boards(Fleet(model, len(sessions)), (s.frames for s in sessions))
    rng = np.random.default_rng(0)
    ends = np.array([len(s) for s in sessions])
    while (left := np.flatnonzero(some.at < ends)).size:
        some.tick(rng.permutation(left)[: rng.integers(1, len(left) + 1)])
    assert some.check(model, info=replace(sessions[0].info, rate_hz=rate_hz)) > 50


def test_the_example_runs() -> None:
    script = Path(__file__).parents[2] / "examples" / "fleet.py"
    run = subprocess.run(
        [sys.executable, str(script), "20"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "20 streams moved" in run.stdout
    assert "20 boards, 20 s each: " in run.stdout
