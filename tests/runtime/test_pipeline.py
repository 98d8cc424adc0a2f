from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_make import CHANNELS, INFO, backend, bundle, lines, make_frames, run, without

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Channel, End, Frames, Gap, Marker, StreamInfo
from streamrnn.runtime import engine as engine_module
from streamrnn.runtime import pipeline as pipeline_module
from streamrnn.runtime.latency import StageTimer
from streamrnn.runtime.pipeline import Pipeline


def gaps_of(lines: list[str]) -> list[dict[str, object]]:
    return [r for r in map(json.loads, lines) if r["type"] == "gap"]


def test_the_model_decides_something() -> None:
    """Else every law below would hold for nothing."""
    events = [json.loads(line) for line in run([make_frames(600)])]
    assert len(events) > 5
    assert {e["gesture"] for e in events} == {"left", "right"}


@given(
    cuts=st.lists(st.integers(0, 400), max_size=12),
    lost=st.sets(st.integers(0, 399), max_size=60),
    fire=st.sampled_from(["start", "end"]),
)
def test_any_chunking_gives_the_same_records(cuts: list[int], lost: set[int], fire: str) -> None:
    model = bundle(fire)
    frames = without(make_frames(400), lost)
    whole = run([frames], model)
    edges = sorted({0, len(frames), *(min(c, len(frames)) for c in cuts)})
    pieces = [frames[a:b] for a, b in itertools.pairwise(edges)]
    assert run(pieces, model) == whole
    assert run([frames[n : n + 1] for n in range(len(frames))], model) == whole


def test_long_blocks_are_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run([make_frames(300)])
    monkeypatch.setattr(pipeline_module, "BLOCK_FRAMES", 64)
    assert run([make_frames(300)]) == whole


def test_a_start_always_gets_its_end() -> None:
    frames = without(make_frames(400), [*range(50, 90), *range(200, 230)])
    phases = [r["phase"] for r in map(json.loads, run([frames], bundle("start"))) if "phase" in r]
    assert phases == ["start", "end"] * (len(phases) // 2)
    assert phases


@pytest.mark.parametrize(
    ("n_missing", "action"), [(1, "filled"), (5, "filled"), (6, "reset"), (300, "reset")]
)
def test_gaps_up_to_max_gap_ms_are_filled(n_missing: int, action: str) -> None:
    """max_gap_ms is 50 here, and a frame lasts 10 ms."""
    frames = without(make_frames(400), range(20, 20 + n_missing))
    behind = 20 + n_missing
    assert gaps_of(run([frames])) == [
        {
            "v": 1,
            "type": "gap",
            "reason": "lost",
            "seq": behind,
            "t_us": behind * 10_000,
            "n_missing": n_missing,
            "action": action,
        }
    ]


def test_a_reset_stream_is_a_fresh_one() -> None:
    long_gap = Frames(
        *(getattr(make_frames(200, seed=5, first=400), k) for k in ("x", "seq", "t_us"))
    )
    both = run([make_frames(200), long_gap])
    alone = run([long_gap])
    first = run([make_frames(200)])
    # An event that is open at the break is closed by it, as it is by the end of the stream.
    assert both[: len(first)] == first
    assert both[len(first) + 1 :] == alone


def test_a_filled_gap_is_a_straight_line() -> None:
    frames = make_frames(100)
    lost = without(frames, [40, 41, 42])
    x = frames.x.copy()
    for n, share in ((40, 0.25), (41, 0.5), (42, 0.75)):
        x[n] = x[39] + (x[43] - x[39]) * np.float32(share)
    filled = [line for line in run([lost]) if '"gap"' not in line]
    assert filled == run([Frames(x, frames.seq, frames.t_us)])


@pytest.mark.parametrize(
    ("breaks", "behind", "record"),
    [
        ([Gap("unplug")], 50, ("unplug", 0, "filled")),
        ([Gap("unplug")], 52, ("unplug", 2, "filled")),
        ([Gap("unplug")], 90, ("unplug", 40, "reset")),
        ([Gap("unplug"), Gap("reboot", restart=True)], 0, ("unplug", None, "reset")),
        ([Gap("reboot", restart=True)], 60, ("reboot", None, "reset")),
        ([Gap("overrun"), Gap("overrun")], 53, ("overrun", 3, "filled")),
        ([], 10, ("reboot", None, "reset")),  # the sequence went back, and nobody said why
    ],
)
def test_one_record_a_gap(
    breaks: list[Gap], behind: int, record: tuple[str, int | None, str]
) -> None:
    lines = run([make_frames(50), *breaks, make_frames(50, seed=2, first=behind)])
    (gap,) = gaps_of(lines)
    assert (gap["reason"], gap["n_missing"], gap["action"]) == record
    assert gap["seq"] == behind


def test_a_gap_before_the_first_frame_is_none() -> None:
    assert gaps_of(run([Gap("unplug"), make_frames(5, first=100)])) == []


def test_frames_with_damage_count_as_missing() -> None:
    frames = make_frames(100)
    x = frames.x.copy()
    x[30, 1] = np.nan
    x[60:70, 2] = np.inf
    x[90, 0] = 3e38
    pipeline = Pipeline(bundle(), backend())
    pipeline.start(INFO)
    records = pipeline.push(Frames(x, frames.seq, frames.t_us))
    gaps = [r.to_dict() for r in records if r.to_dict()["type"] == "gap"]
    assert [(g["n_missing"], g["action"]) for g in gaps] == [
        (1, "filled"),
        (10, "reset"),
        (1, "filled"),
    ]
    assert (pipeline.n_invalid, pipeline.n_missing, pipeline.n_filled) == (12, 12, 2)
    assert np.isfinite(pipeline.probabilities).all()
    assert pipeline.push(Frames(x[30:31], frames.seq[30:31] + 70, frames.t_us[30:31])) == []


def test_channels_are_picked_by_name() -> None:
    frames = make_frames(300)
    wide = StreamInfo((Channel("t", "C"), *CHANNELS[::-1]), 100.0)
    pipeline = Pipeline(bundle(), backend())
    pipeline.start(wide)
    x = np.column_stack([np.full(300, np.nan, np.float32), frames.x[:, ::-1]])
    records = pipeline.push(Frames(np.ascontiguousarray(x), frames.seq, frames.t_us))
    assert [r.to_dict() for r in records + pipeline.finish()] == [
        {k: v for k, v in json.loads(line).items() if k != "v"} for line in run([frames])
    ]


def test_a_stream_that_changes_its_layout_starts_anew() -> None:
    pipeline = Pipeline(bundle(), backend())
    pipeline.push(INFO)
    pipeline.push(make_frames(50))
    assert pipeline.push(INFO) == []  # the same again is no change
    pipeline.push(StreamInfo((*CHANNELS, Channel("temp")), 100.0))
    frames = make_frames(20, first=50)
    x = np.column_stack([frames.x, frames.x[:, :1]])
    records = pipeline.push(Frames(x, frames.seq, frames.t_us))
    assert [r.to_dict()["action"] for r in records if "action" in r.to_dict()] == ["reset"]
    with pytest.raises(ConfigError, match="lacks acc_x"):
        pipeline.push(StreamInfo((Channel("temp"),), 100.0))


def test_frames_before_the_layout_are_refused() -> None:
    with pytest.raises(ValueError, match="start"):
        Pipeline(bundle(), backend()).push(make_frames(1))


def test_the_lost_tail_is_counted() -> None:
    pipeline = Pipeline(bundle(), backend())
    pipeline.start(INFO)
    pipeline.push(make_frames(10))
    pipeline.push(Marker("left", "start", 0))
    pipeline.push(End(14))
    pipeline.push(End())
    assert pipeline.n_missing == 4


def test_float64_models_run_too() -> None:
    model = bundle()
    params = model.params.with_arrays([a.astype(np.float64) for a in model.params.arrays()])
    from dataclasses import replace

    double = replace(model, params=params)
    frames = make_frames(100)
    assert run([frames[n : n + 1] for n in range(100)], double) == run([frames], double)


def test_stages_are_timed_only_when_asked() -> None:
    timer = StageTimer()
    seen: list[int] = []
    pipeline = Pipeline(bundle(), backend(), timer, lambda block: seen.append(len(block.seq)))
    pipeline.start(INFO)
    pipeline.push(make_frames(10))
    pipeline.push(make_frames(1, first=10))
    assert list(timer.summary()) == ["inference", "decision"]
    assert timer.summary()["inference"]["n"] == 2
    assert seen == [10, 1]


@pytest.mark.parametrize("name", ["cpu", "numpy"])
def test_stages_that_are_timed_apart_give_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_CALIBRATION_NS", 0)
    model, kernel = bundle(), backend(name)
    frames = make_frames(400)
    seen = []
    for apart in (False, True):
        timer = StageTimer(is_detailed=apart)
        pipeline = Pipeline(model, kernel, timer)
        pipeline.start(INFO)
        records = [r for n in range(400) for r in pipeline.push(frames[n : n + 1])]
        seen.append((lines([*records, *pipeline.finish()]), pipeline.probabilities.tobytes()))
        stages = {"features", "cell"} if apart else {"inference"}
        assert set(timer.stages) == stages | {"decision"}
        # Compiled code counts in the processor's time, which the first frame is compared by.
        assert {timer.stages[stage].n for stage in stages} <= {399, 400}
        assert timer.stages["decision"].n == 400
        assert all(figures["p99_us"] > 0 for figures in timer.summary().values())
    assert seen[0] == seen[1]
