"""The readers give what the sets' descriptions say is in them, and folds share no recording."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.accuracy.folds import blocks_of_rounds, halves
from benchmarks.accuracy.protocols import PROTOCOLS
from benchmarks.accuracy.sets import SETS
from benchmarks.accuracy.sets.archive import zip_members
from benchmarks.accuracy.sets.build import numbers, stream, trial
from streamrnn.core.types import Channel, Label
from streamrnn.sessions.labels import class_names, frame_labels

#: Set -> sessions, frames, classes with the null class, sessions without a label.
CONTENT = {
    "uhh_imu_gestures": (50, 41_576, 11, 0),
    "uhh_uncut": (1, 14_197, 11, 0),
    "actrectut_gesture": (2, 62_480 + 70_778, 12, 0),
    "gesture_phase": (7, 9_901, 5, 0),
    "myo_emg": (56, 671_764, 8, 7),
    "glove_mpu6500": (7 * (128 + 30), 7 * 158 * 500, 7, 158),
    "magic_wand_digits": (1_000, 94_526, 11, 0),
    "magic_wand_spells": (125, 5 * 2_975, 6, 0),
    "libras": (360, 360 * 45, 16, 0),
    "JapaneseVowels": (270 + 370, 9_961, 10, 0),
    "BasicMotions": (80, 80 * 100, 5, 0),
    "GunPoint": (200, 200 * 150, 3, 0),
    "PickupGestureWiimoteZ": (100, 14_571, 11, 0),
    "edge_impulse_xiao": (72 + 24, 96 * 1_040, 4, 24),
}
#: Set -> folds, sessions that are tested in all of them together.
FOLDS = {
    "uhh_imu_gestures": (5, 5),
    "actrectut_gesture": (12, 12),
    "gesture_phase": (7, 7),
    "myo_emg": (5, 56),
    "glove_mpu6500": (1, 210),
    "magic_wand_digits": (1, 199),  # the index of one trial of digit 1 says 0 for 99
    "magic_wand_spells": (5, 125),
    "libras": (3, 540),
    "JapaneseVowels": (1, 370),
    "BasicMotions": (1, 40),
    "GunPoint": (1, 150),
    "PickupGestureWiimoteZ": (1, 50),
    "edge_impulse_xiao": (1, 24),
}


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_a_set_holds_what_its_description_says(name, data_dir):
    sessions = SETS[name](data_dir)
    n_unlabelled = sum(not session.labels for session in sessions)
    found = (len(sessions), sum(map(len, sessions)), len(class_names(sessions)), n_unlabelled)
    assert found == CONTENT[name]
    assert all(s.metadata["rate"] in ("stated", "nominal") for s in sessions)
    assert len({(s.info.channels, s.info.rate_hz) for s in sessions}) == 1
    for session in sessions:
        assert np.isfinite(session.frames.x).all()
        assert (np.diff(session.frames.t_us) >= 0).all()
        if session.metadata.get("trial"):
            [(start, end)] = {(n.start_us, n.end_us) for n in session.labels} or {(0, 0)}
            assert not session.labels or (start, end) == (session.start_us, session.end_us)


@pytest.mark.data
@pytest.mark.parametrize("name", PROTOCOLS)
def test_folds_share_no_frames_and_test_everything(name, data_dir):
    folds = PROTOCOLS[name].folds(data_dir)
    assert (len(folds), sum(len(fold.test) for fold in folds)) == FOLDS[name]
    for fold in folds:
        trained = {s.frames.x.tobytes() for s in fold.train}
        n_twins = sum(s.frames.x.tobytes() in trained for s in fold.test)
        # The makers' file of libras holds 30 rows twice, so the halves share some.
        assert n_twins <= 20 if name == "libras" else n_twins == 0
        if any(session.subject for session in fold.train) and name != "actrectut_gesture":
            own = "video" if name == "gesture_phase" else "subject"
            assert fold.name not in {session.metadata[own] for session in fold.train}


@pytest.mark.data
def test_the_uncut_log_is_for_the_model_that_never_saw_its_person(data_dir):
    folds = PROTOCOLS["uhh_imu_gestures"].folds(data_dir)
    assert [fold.name for fold in folds if fold.extra] == ["j"]
    [uncut] = next(fold for fold in folds if fold.name == "j").extra["uncut"]
    events = Counter(label.name for label in uncut.labels)
    assert sum(events.values()) == 102
    assert set(events.values()) == {10, 11}


@pytest.mark.data
def test_the_uncut_log_calls_gestures_as_the_files_cut_from_it_do(data_dir):
    [uncut] = SETS["uhh_uncut"](data_dir)
    names = class_names([uncut])
    row_of = {x.tobytes(): k for k, x in enumerate(uncut.frames.x[:, 3:])}
    of_uncut = frame_labels(uncut, names)
    for session in SETS["uhh_imu_gestures"](data_dir):
        if session.subject == "j":
            y = frame_labels(session, names)
            rows = [row_of[x.tobytes()] for x in session.frames.x[:, 3:]]
            both = (y > 0) & (of_uncut[rows] > 0)
            assert both.sum() > 0.5 * (y > 0).sum()
            assert (y[both] == of_uncut[rows][both]).all()


def test_numbers_are_read_in_rows():
    text = b"h1,h2\r\n1,2\r\n-3,4.5\r\n"
    assert numbers(text, 2, skip_lines=1).tolist() == [[1.0, 2.0], [-3.0, 4.5]]
    with pytest.raises(ValueError, match="reshape"):
        numbers(b"1,2,3", 2)


def test_a_trial_is_labelled_from_end_to_end_unless_it_is_of_no_gesture():
    x = np.zeros((5, 1))
    one = trial(x, [Channel("x")], 50.0, "wave", rate_is="stated")
    assert [(n.name, n.start_us, n.end_us) for n in one.labels] == [("wave", 0, 100_000)]
    assert trial(x, [Channel("x")], 50.0, "none", rate_is="stated").labels == []


def test_an_archive_that_is_missing_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"gone\.zip is missing"):
        list(zip_members(tmp_path / "gone.zip"))


def test_halves_hold_the_same_share_of_each_class():
    sessions = [
        trial(np.full((3, 1), k), [Channel("x")], 50.0, "ab"[k % 2], rate_is="stated")
        for k in range(20)
    ]
    for fold in halves(sessions):
        for part in (fold.train, fold.test):
            assert Counter(s.labels[0].name for s in part) == {"a": 5, "b": 5}
        assert not {id(s) for s in fold.train} & {id(s) for s in fold.test}


def test_blocks_hold_whole_rounds_and_all_frames():
    session = stream(np.zeros((26 * 40, 1)), [Channel("x")], 50.0, rate_is="stated", subject="p")
    at = np.arange(26)[:, None] * 800_000 + np.array([100_000, 400_000])
    for first, second in at.tolist():
        session.labels += [
            Label("a", first, first + 100_000),
            Label("b", second, second + 100_000),
        ]
    folds = blocks_of_rounds(session)
    blocks = [fold.test[0] for fold in folds]
    assert np.concatenate([s.frames.seq for s in blocks]).tolist() == list(range(26 * 40))
    counts = [Counter(n.name for n in block.labels) for block in blocks]
    assert all(count["a"] == count["b"] for count in counts)
    assert sum(count["a"] for count in counts) == 26
    for fold in folds:
        assert len(fold.train) == 5
        assert fold.test[0] not in fold.train
