"""Who is left out when, and what is trained on."""

from __future__ import annotations

import pytest

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Label
from streamrnn.evaluation.leave_out import leave_one_out, turns
from streamrnn.evaluation.report import Report
from streamrnn.kernels.backend import get_backend

from evaluation_make import follower, session_of  # isort: skip

UP = [Label("up", 200_000, 600_000)]
PEOPLE = ("anna", "ben", "anna", "carl")
NAMES = ("1.mcap", "2.mcap", "3.mcap", "4.mcap")


def sessions_of(people=PEOPLE):
    return [session_of(list(UP), n=100 + k, subject=name) for k, name in enumerate(people)]


def test_each_person_is_left_out_once_with_all_their_sessions():
    assert [(t.name, t.test, t.training) for t in turns(sessions_of(), NAMES, "subject")] == [
        ("anna", (0, 2), (1, 3)),
        ("ben", (1,), (0, 2, 3)),
        ("carl", (3,), (0, 1, 2)),
    ]
    assert [t.test for t in turns(sessions_of(), NAMES, "session")] == [(0,), (1,), (2,), (3,)]


def test_a_session_without_a_subject_is_named():
    people = ("anna", "", "ben", "ben")
    with pytest.raises(ConfigError, match=r"2\.mcap: nobody said who .*--leave-one-out session"):
        turns(sessions_of(people), NAMES, "subject")


def test_one_person_cannot_be_left_out():
    with pytest.raises(ConfigError, match="1 subject: leaving one out takes two or more"):
        turns(sessions_of(("anna",) * 4), NAMES, "subject")


def test_models_are_asked_about_those_that_they_never_saw():
    sessions = sessions_of()
    trained, scored = [], []

    def train(n, own, names):
        trained.append((n, [s.subject for s in own], list(names)))
        return follower()

    report = leave_one_out(
        sessions, NAMES, turns(sessions, NAMES, "subject"), train=train,
        backend=get_backend("numpy"), report=Report(("up",)),
        on_records=lambda k, records: scored.append((k, len(records))),
    )  # fmt: skip
    assert trained == [
        (1, ["ben", "carl"], ["2.mcap", "4.mcap"]),
        (2, ["anna", "anna", "carl"], ["1.mcap", "3.mcap", "4.mcap"]),
        (3, ["anna", "ben", "anna"], ["1.mcap", "2.mcap", "3.mcap"]),
    ]
    assert scored == [(0, 1), (2, 1), (1, 1), (3, 1)]
    folds = report.to_dict()["folds"]
    assert [(f["left_out"], f["n_hit"], f["n_frames_trained"]) for f in folds] == [
        ("anna", 2, 204), ("ben", 1, 305), ("carl", 1, 303),
    ]  # fmt: skip
    assert report.total.n_hit == 4


def test_a_gesture_that_only_one_person_does_is_unknown_to_their_model():
    sessions = sessions_of(("anna", "ben"))
    sessions[1].labels.append(Label("wave", 1_000_000, 1_400_000))
    report = leave_one_out(
        sessions, NAMES[:2], turns(sessions, NAMES[:2], "subject"),
        train=lambda *_: follower(), backend=get_backend("numpy"), report=Report(("up", "wave")),
    )  # fmt: skip
    assert report.unknown_labels == ["wave"]
