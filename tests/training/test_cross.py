"""Splits, the folds on disk, and what a share says."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_make import make, make_trials

from streamrnn.core.errors import ConfigError
from streamrnn.kernels.backend import get_backend
from streamrnn.sessions.labels import frame_labels
from streamrnn.training.config import TrainConfig
from streamrnn.training.cross import cross_validate, share_interval
from streamrnn.training.fit import TrainingStopped
from streamrnn.training.folds.joined import joined_trials
from streamrnn.training.folds.splits import cut_session, split_folds
from streamrnn.training.folds.store import load_runs, save_runs


def frames_of(sessions) -> Counter[bytes]:
    return Counter(row.tobytes() for s in sessions for row in s.frames.x)


def labels_of(sessions) -> list[str]:
    return sorted(label.name for s in sessions for label in s.labels)


def every_way(config: TrainConfig):
    """Yield sets of recordings and how they are to be split."""
    people = [make(n, subject=f"s{n % 3}") for n in range(6)]
    yield people, "subject", {("s0",), ("s1",), ("s2",)}
    yield [make(n) for n in range(3)], "session", {("session 1",), ("session 2",), ("session 3",)}
    yield [make(0, subject="kim")], "time", {(f"part {n} of 3",) for n in (1, 2, 3)}
    yield make_trials(0), "session", None


def test_every_frame_and_label_is_left_out_once(config):
    for sessions, way, names in every_way(config):
        by, folds = split_folds(sessions, config)
        assert by == way
        assert len(folds) == config.folds
        if names is not None:
            assert {fold.names for fold in folds} == names
        left = [s for fold in folds for s in fold.left_out]
        assert frames_of(left) == frames_of(sessions)
        assert labels_of(left) == labels_of(sessions)
        for fold in folds:
            assert len(fold.left_out) == len(fold.left_out_names)
            both = [*fold.training, *fold.left_out]
            assert frames_of(both) == frames_of(sessions)
            assert set(labels_of(fold.training)) == {"a", "b"}


def test_more_owners_than_folds_are_dealt_evenly(config):
    sessions = [make(n, subject=f"s{n}", n_gestures=4) for n in range(10)]
    _, folds = split_folds(sessions, dataclasses.replace(config, folds=4))
    assert sorted(len(fold.left_out) for fold in folds) == [2, 2, 3, 3]


def test_trials_are_dealt_class_by_class(config):
    _, folds = split_folds(make_trials(0, 12), config)
    assert [Counter(labels_of(fold.left_out)) for fold in folds] == [{"a": 2, "b": 2}] * 3


def test_one_file_a_gesture_is_split_by_time_so_that_no_class_is_lost(config):
    one = make(0, n_gestures=12)
    half = int(np.searchsorted(one.frames.t_us, one.labels[6].start_us)) - 2
    blocks = [cut_session(one, 0, half), cut_session(one, half, len(one))]
    for block, name in zip(blocks, "ab", strict=True):
        block.labels = [dataclasses.replace(label, name=name) for label in block.labels]
    by, folds = split_folds(blocks, config)
    assert by == "time"
    assert all(Counter(labels_of(fold.left_out)) == {"a": 2, "b": 2} for fold in folds)


def test_the_same_seed_gives_the_same_folds_whatever_files_are_called(config):
    sessions = make_trials(0, 12)
    first = split_folds(sessions, config)[1]
    again = split_folds(sessions, config, [f"x{n}" for n in range(len(sessions))])[1]
    for a, b in zip(first, again, strict=True):
        assert list(map(id, a.left_out)) == list(map(id, b.left_out))


def test_what_cannot_be_split_is_not(config):
    assert split_folds([make(0, n_gestures=2)], config) == ("", [])
    assert split_folds([make(0), make(1)], dataclasses.replace(config, folds=0)) == ("", [])
    with pytest.raises(ConfigError, match="cannot be split by subject"):
        split_folds([make(0), make(1)], config, by="subject")
    with pytest.raises(ConfigError, match="split by subject, session, time or auto"):
        split_folds([make(0), make(1)], config, by="day")


@given(st.integers(0, 200), st.integers(1, 200))
def test_a_cut_session_keeps_its_frames_and_the_labels_inside(first, n):
    session = make(0)
    first = min(first, len(session) - 1)
    part = cut_session(session, first, min(first + n, len(session)))
    assert len(part) >= 1
    assert part.frames.seq[0] == first
    for label in part.labels:
        assert part.start_us <= label.start_us < label.end_us <= part.end_us


def test_runs_are_deterministic_and_resumed_runs_are_the_same(config, tmp_path):
    config = dataclasses.replace(config, epochs=2)
    backend = get_backend("numpy")
    sessions = [make(n) for n in range(3)]
    _, whole = cross_validate(sessions, config, backend)
    asked = iter(range(10_000))
    with pytest.raises(TrainingStopped, match=r"cross-validation \d of 3: stopped in epoch \d of"):
        cross_validate(
            sessions, config, backend, directory=tmp_path, should_stop=lambda: next(asked) > 9
        )
    seen = []
    _, resumed = cross_validate(
        sessions,
        config,
        backend,
        directory=tmp_path,
        resume=True,
        progress=lambda n, n_folds, news: seen.append((n, n_folds, news.epoch)),
    )
    assert seen[0][0] > 1, "a finished fold is not trained again"
    assert all(n_folds == 3 for _, n_folds, _ in seen)
    for a, b in zip(whole, resumed, strict=True):
        for run, other in zip(a.runs, b.runs, strict=True):
            assert run.probabilities.tobytes() == other.probabilities.tobytes()
            assert (run.name, run.truth) == (other.name, other.truth)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"fold-{n}.safetensors" for n in (1, 2, 3)
    ]


def test_kept_runs_of_other_options_or_damaged_ones_are_not_taken(config, tmp_path, caplog):
    config = dataclasses.replace(config, epochs=1, folds=2)
    backend = get_backend("numpy")
    _, (fold, _) = cross_validate([make(0), make(1)], config, backend)
    path = tmp_path / "fold-1.safetensors"
    save_runs(path, "key", fold.runs)
    (again,) = load_runs(path, "key")
    (before,) = fold.runs
    for name in ("probabilities", "energy", "seq", "t_us", "breaks", "y"):
        assert getattr(again, name).tobytes() == getattr(before, name).tobytes()
    for name in ("name", "subject", "labels", "rate_hz", "truth", "null_s", "duration_s"):
        assert getattr(again, name) == getattr(before, name)
    assert load_runs(path, "another") is None
    assert "other sessions or options" in caplog.text
    good = path.read_bytes()

    @settings(max_examples=60)
    @given(st.integers(0, len(good) - 1), st.integers(1, 255), st.booleans())
    def spoil(at, flip, cut):
        damaged = bytearray(good)
        damaged[at] ^= flip
        path.write_bytes(good[:at] if cut else damaged)
        runs = load_runs(path, "key")
        # a byte of white space in the header may differ; what is taken is what was kept
        assert runs is None or (not cut and runs[0].truth == before.truth)

    spoil()


@pytest.mark.parametrize(
    ("n_hit", "n", "low", "high"),
    [(5, 6, 0.3588, 0.9958), (0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_a_share_is_the_exact_one(n_hit, n, low, high):
    # values of Clopper & Pearson's interval as R's binom.test gives them
    assert share_interval(n_hit, n) == pytest.approx((low, high), abs=5e-5)


def test_trials_are_asked_about_as_streams_with_null_between(config):
    sessions = [
        dataclasses.replace(s, metadata={"subject": f"s{n // 2 % 2}"})
        for n, s in enumerate(make_trials(0, 24))
    ]
    silent = dataclasses.replace(make(5), labels=[], metadata={"subject": "s0"})
    _, (fold, _) = split_folds([*sessions, silent], dataclasses.replace(config, folds=2))
    joined = joined_trials(fold, config)
    again = joined_trials(fold, config)
    assert labels_of(joined.left_out) == labels_of(fold.left_out)
    assert len(joined.left_out) == len(joined.left_out_names) < len(fold.left_out)
    trials = {s.frames.x.tobytes(): [label.name for label in s.labels] for s in fold.left_out}
    found = 0
    for stream, twin in zip(joined.left_out, again.left_out, strict=True):
        assert stream.frames.x.tobytes() == twin.frames.x.tobytes()
        assert {stream.subject} == {s.subject for s in fold.left_out}
        assert (np.diff(stream.frames.seq) == 1).all()
        y = frame_labels(stream, ("none", "a", "b"))
        assert y[0] == y[-1] == 0
        for label in stream.labels:
            a, b = np.searchsorted(stream.frames.t_us, (label.start_us, label.end_us))
            assert trials[stream.frames.x[a:b].tobytes()] == [label.name]
            found += 1
    assert found == sum(len(s.labels) for s in fold.left_out)
