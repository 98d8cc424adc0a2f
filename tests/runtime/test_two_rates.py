"""A stream at its own rate, through filters and resampling: live is offline, however it is cut."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import INFO, RATE_HZ, backend, bundle, make_frames, run, without
from two_rates_make import ENVELOPE, WAYS, by_hand, frames_of, info_of, model_of, run_two

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Frames, Gap
from streamrnn.features.conditioner import SignalSpec
from streamrnn.runtime import pipeline as pipeline_module
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session, run_session_with_probabilities
from streamrnn.runtime.pipeline import Block, Pipeline
from streamrnn.sessions.session import Session

ways = pytest.mark.parametrize("way", WAYS)


@ways
def test_the_models_decide_something(way):
    """Else every law below would hold for nothing."""
    assert len(run_two([frames_of(way, 900)], model_of(way), info_of(way))[1]) > 3


@ways
@given(
    cuts=st.lists(st.integers(0, 300), max_size=10),
    lost=st.sets(st.integers(0, 299), max_size=30),
    hole=st.tuples(st.integers(0, 299), st.integers(0, 40)),
    fire=st.sampled_from(["start", "end"]),
)
@settings(max_examples=25)
def test_events_are_those_of_the_recording_conditioned_offline(way, cuts, lost, hole, fire):
    model, info = model_of(way, fire), info_of(way)
    first, n = hole
    frames = without(frames_of(way, 300), lost | set(range(first, first + n)))
    if not len(frames):
        return
    expected = by_hand(frames, model, info)
    seen: list[Block] = []
    whole, events = run_two([frames], model, info, observer=seen.append)
    assert events == expected
    assert whole.n_frames == len(frames)
    edges = sorted({0, len(frames), *(min(c, len(frames)) for c in cuts)})
    pieces = [frames[a:b] for a, b in itertools.pairwise(edges)]
    assert run_two(pieces, model, info)[1] == expected
    one_by_one: list[Block] = []
    pieces = [frames[k : k + 1] for k in range(len(frames))]
    singly, events = run_two(pieces, model, info, observer=one_by_one.append)
    assert events == expected
    for column, other in zip(zip(*seen, strict=True), zip(*one_by_one, strict=True), strict=True):
        assert np.concatenate(column).tobytes() == np.concatenate(other).tobytes()
    for name in ("n_frames", "n_filled", "n_missing", "n_resets"):
        assert getattr(singly, name) == getattr(whole, name)
    assert singly.probabilities.tobytes() == whole.probabilities.tobytes()


@ways
def test_a_session_in_one_block_frame_by_frame_and_in_cut_blocks(way, monkeypatch):
    model = model_of(way)
    frames = without(frames_of(way, 600), [*range(40, 43), *range(200, 260)])
    session = Session(info_of(way), frames, np.zeros(len(frames), np.int64))
    batch = run_session(model, session, backend())
    assert run_session(model, session, backend(), mode="frames") == batch
    monkeypatch.setattr(pipeline_module, "BLOCK_FRAMES", 64)
    assert run_session(model, session, backend()) == batch


@ways
def test_stages_one_by_one_see_the_same_frames(way):
    model, info, frames = model_of(way), info_of(way), frames_of(way, 300)
    events = [replace(e, score=0.0) for e in run_two([frames], model, info)[1]]
    oracle = [replace(e, score=0.0) for e in run_two([frames], model, info, "numpy")[1]]
    assert events == oracle


@pytest.mark.parametrize(
    ("way", "n_filled"), [("filtered", 10), ("half the rate", 2), ("a little more", 5)]
)
def test_gaps_are_measured_at_the_streams_rate(way, n_filled):
    """50 ms are filled: 10 frames at 200 Hz, 2 at 50 Hz, 5 at 119 Hz."""
    for n_lost, expected in ((n_filled, (n_filled, 0)), (n_filled + 1, (0, 1))):
        frames = without(frames_of(way, 200), range(100, 100 + n_lost))
        pipeline, _ = run_two([frames], model_of(way), info_of(way))
        assert (pipeline.n_filled, pipeline.n_resets) == expected


@ways
def test_damaged_frames_count_as_missing_and_leave_no_trace(way):
    frames = frames_of(way, 300)
    damaged = Frames(frames.x.copy(), frames.seq, frames.t_us)
    damaged.x[[50, 51, 200], [0, 1, 2]] = np.nan, np.inf, 2e18
    left_out = run_two([without(frames, [50, 51, 200])], model_of(way), info_of(way))
    pipeline, events = run_two([damaged], model_of(way), info_of(way))
    assert events == left_out[1]
    assert (pipeline.n_invalid, pipeline.n_frames) == (3, 297)
    assert np.isfinite(pipeline.probabilities).all()


@ways
def test_behind_a_boot_a_stream_is_new(way):
    model, info = model_of(way), info_of(way)
    first, second = frames_of(way, 150, 1), frames_of(way, 250, 2)
    pipeline = Pipeline(model, backend())
    pipeline.start(info)
    pipeline.push(first)
    pipeline.push(Gap("reboot", restart=True))
    pipeline.push(second)
    fresh = Pipeline(model, backend())
    fresh.start(info)
    fresh.push(second)
    assert pipeline.probabilities.tobytes() == fresh.probabilities.tobytes()


def test_a_row_has_number_and_time_of_the_frame_that_completed_it():
    frames = frames_of("twice, as trained", 41)
    session = Session(info_of("twice, as trained"), frames, np.zeros(41, np.int64))
    result = run_session_with_probabilities(model_of("twice, as trained"), session, backend())
    assert result.seq.tolist() == list(range(1, 41, 2))
    assert result.t_us.tolist() == (result.seq * 5000).tolist()


@pytest.mark.parametrize(("rate_hz", "signal"), [(100.0, None), (103.0, None), (0.0, None)])
def test_a_stream_at_the_models_rate_is_taken_as_it_comes(rate_hz, signal):
    """The fused call of the whole frame stays, and so does every bit."""
    frames = make_frames(300)
    for model in (replace(bundle(), signal=signal), replace(bundle(), signal=SignalSpec(RATE_HZ))):
        pipeline, _ = run_two([frames], model, replace(INFO, rate_hz=rate_hz))
        assert pipeline._conditioner is None
        assert pipeline.resampled_hz is None
        assert run([frames], model) == run([frames])


def test_who_asks_hears_that_a_stream_is_resampled():
    rates = {way: run_two([], model_of(way), replace(info_of(way)))[0].resampled_hz for way in WAYS}
    assert rates == {
        "half the rate": (50.0, 100.0),
        "three quarters": (75.0, 100.0),
        "a little more": (119.0, 100.0),
        "twice": (200.0, 100.0),
        "twice, as trained": None,
        "filtered": None,
        "filtered at its rate": None,
    }
    other = run_two([], model_of("twice, as trained"), replace(INFO, rate_hz=150.0))[0]
    assert other.resampled_hz == (150.0, 100.0)


def test_a_stream_at_another_rate_than_the_filters_is_refused():
    with pytest.raises(ConfigError, match="119 Hz, the model's filters are made for 200 Hz"):
        run_two([], model_of("filtered"), replace(INFO, rate_hz=119.0))


def test_a_model_file_keeps_filters_to_the_last_digit(tmp_path):
    model = model_of("filtered")
    model.save(tmp_path / "m.safetensors")
    loaded = Bundle.load(tmp_path / "m.safetensors")
    assert loaded.signal == ENVELOPE
    assert (loaded.rate_hz, loaded.stream_hz) == (100.0, 200.0)
    frames = frames_of("filtered", 300)
    assert (
        run_two([frames], loaded, info_of("filtered"))[1]
        == (run_two([frames], model, info_of("filtered"))[1])
    )
    assert Bundle.load(bundle().save(tmp_path / "p.safetensors") and tmp_path / "p.safetensors")


def test_parts_that_no_stream_fits_are_refused():
    with pytest.raises(ConfigError, match="less than half of the model's 100 Hz"):
        replace(bundle(), signal=SignalSpec(40.0))


def test_a_device_that_comes_back_at_another_rate_is_a_new_stream():
    model, first, second = bundle(), frames_of("a little more", 120, 1), frames_of("twice", 200, 2)
    pipeline = Pipeline(model, backend())
    pipeline.start(info_of("a little more"))
    pipeline.push(first)
    for info, frames in ((info_of("twice"), second), (INFO, make_frames(90))):
        pipeline.push(info)
        pipeline.push(frames)
        fresh = Pipeline(model, backend())
        fresh.start(info)
        fresh.push(frames)
        assert pipeline.probabilities.tobytes() == fresh.probabilities.tobytes()
        assert pipeline.resampled_hz == fresh.resampled_hz
    assert pipeline.n_resets == 2
