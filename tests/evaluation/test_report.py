"""The report over sessions."""

from __future__ import annotations

import json

import pytest

from streamrnn.core.records import GapRecord
from streamrnn.core.types import Label
from streamrnn.evaluation.events import Rule
from streamrnn.evaluation.heldout import run_held_out
from streamrnn.evaluation.report import Report, evaluate
from streamrnn.evaluation.words import lines, rule_words
from streamrnn.kernels.backend import get_backend

from evaluation_make import event, follower, session_of  # isort: skip

LABELS = [Label("up", 200_000, 600_000), Label("down", 1_000_000, 1_400_000)]


def test_hits_misses_false_events_and_delays_are_counted():
    report = Report(("down", "up"))
    records = [
        event("up", 300, 640),
        event("up", 1100, 1300),
        event("up", 1600, 1700),
        GapRecord("lost", 3, 4, 1, "filled"),
    ]
    report.add(session_of(LABELS), records)
    document = report.to_dict()
    assert document["classes"]["up"] == {
        "n_true": 1, "n_found": 3, "n_hit": 1, "n_missed": 0, "n_false": 2,
        "precision": 0.3333, "recall": 1.0, "f1": 0.5,
    }  # fmt: skip
    assert document["classes"]["down"]["n_missed"] == 1
    assert document["confusions"] == [{"true": "down", "found": "up", "n": 1}]
    assert document["delay_ms"] == {"p50": 440.0, "p95": 440.0}
    assert document["delay_frames"] == {"p50": 22.0, "p95": 22.0}
    assert (document["n_gaps"], document["n_frames"], document["duration_s"]) == (1, 100, 2.0)
    assert document["macro_f1"] == 0.25
    json.dumps(document, allow_nan=False)


def test_sessions_add_up():
    report = Report(("down", "up"))
    for _ in range(2):
        report.add(session_of(LABELS), [event("up", 300, 640), event("down", 1000, 1400)])
    assert report.total.n_hit == 4
    assert report.macro_f1 == 1.0
    assert list(report.by_class) == ["down", "up"]


def test_nominal_time_is_never_given_in_milliseconds():
    report = Report(("up",))
    report.add(session_of(LABELS[:1], rate="nominal"), [event("up", 300, 640)])
    document = report.to_dict()
    assert document["delay_ms"] is None
    assert document["duration_s"] is None
    assert document["delay_frames"]["p50"] == 22.0


def test_a_label_that_the_model_does_not_know_is_missed_and_named():
    report = Report(("up",))
    report.add(session_of(LABELS), [])
    assert report.unknown_labels == ["down"]
    assert report.total.n_missed == 2
    assert report.to_dict()["delay_ms"] is None


def test_evaluation_runs_the_pipeline_and_hands_out_its_records():
    sessions = [session_of(LABELS[:1]), session_of([])]
    seen = []
    report = evaluate(
        follower(),
        sessions,
        get_backend("numpy"),
        report=Report(("up",), Rule("overlap", 0.9)),
        on_records=lambda *a: seen.append(a),
    )
    assert report.total == report.by_class["up"]
    assert (report.total.n_hit, report.total.n_false, report.total.n_missed) == (1, 0, 0)
    assert report.n_sessions == 2
    assert [(n, len(records)) for n, records in seen] == [(0, 1), (1, 0)]
    assert report.delays_us == [400_000]


def test_an_event_where_a_label_was_taken_back_is_neither_right_nor_false():
    session = session_of(LABELS[:1])
    session.labels, session.undone = [], LABELS[:1]
    report = evaluate(follower(), [session], get_backend("numpy"))
    assert report.total.n_false == report.total.n_missed == 0
    n_undone = (LABELS[0].end_us - LABELS[0].start_us) // 20_000
    assert report.null_frames == len(session) - n_undone
    run = run_held_out(follower(), session, get_backend("numpy"))
    assert len(run.seq) == len(session) - n_undone


def test_false_activations_are_those_where_nobody_moved():
    report = Report(("down", "up"))
    records = [
        event("up", 0, 100),  # before all gestures
        event("up", 220, 300), event("up", 320, 560),  # twice for one
        event("up", 1100, 1300),  # on a gesture of another class
        event("up", 1700, 1800),
    ]  # fmt: skip
    report.add(session_of(LABELS), records)
    facts = report.to_dict()["false_activations"]
    null_hours = 60 * 0.02 / 3600  # 60 of 100 frames
    # The first one starts 200 ms before the gesture, but others overlap it.
    assert facts["n_in_null"] == 2
    assert (facts["n_on_other_gestures"], facts["n_repeats"]) == (1, 1)
    assert facts["null_frames"] == 60
    assert facts["null_hours"] == pytest.approx(null_hours, abs=1e-6)
    assert facts["per_hour"] == pytest.approx(2 / null_hours, rel=1e-6)
    assert facts["low"] < facts["per_hour"] < facts["upper"] < facts["high"]
    assert facts["hours_needed"] == pytest.approx(5.991, abs=0.001)
    assert facts["hours_needed_at_rate"] is None
    said = dict(lines(report))
    assert said["false"].startswith("2 in 1 s without gestures, 6000.00 an hour (95 %: 726")
    assert said["false"].endswith("; 1 on other gestures; 1 twice for one gesture")
    assert "needs at least 6.0 h" in said["claim"]
    assert "speaks against it" in said["claim"]


def test_enough_hours_without_a_false_activation_hold_a_claim():
    report = Report(("up",), claim_per_hour=0.5)
    session = session_of(LABELS[:1], n=1000)
    for _ in range(1120):  # 6.10 h
        report.add(session, [event("up", 300, 640)])
    facts = report.to_dict()["false_activations"]
    assert facts["upper"] == pytest.approx(2.9957 / facts["null_hours"], rel=1e-4)
    assert dict(lines(report))["claim"].startswith("'fewer than 0.5 an hour' holds: at most 0.49")


def test_the_order_of_events_is_judged_apart_from_their_times():
    report = Report(("down", "up"))
    report.add(session_of(LABELS), [event("down", 0, 50), event("up", 60, 90)])
    assert report.to_dict()["edit_distance"] == {"n": 2, "per_100_gestures": 100.0}
    report = Report(("down", "up"))
    report.add(session_of(LABELS), [event("up", 1500, 1550), event("down", 1600, 1900)])
    assert report.to_dict()["edit_distance"] == {"n": 0, "per_100_gestures": 0.0}


def test_earliness_is_the_share_that_had_passed():
    report = Report(("down", "up"))
    report.add(session_of(LABELS), [event("up", 200, 400), event("down", 1000, 1400, late_ms=200)])
    assert report.to_dict()["earliness"] == {"p50": 1.0, "p95": 1.45, "before_end": 0.5}


def test_frames_are_confused_with_the_null_class_too():
    report = Report(("down", "up"))
    report.add(session_of(LABELS), [event("up", 300, 640), event("up", 1000, 1400)])
    frames = report.to_dict()["frames"]
    assert frames["labels"] == ["none", "down", "up"]
    assert frames["confusion"] == [[58, 0, 2], [0, 0, 20], [5, 0, 15]]
    assert frames["accuracy"] == 0.73
    names, table = report.event_confusion()
    assert names == ["none", "down", "up"]
    assert table.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_each_event_and_each_gesture_stands_in_the_confusion():
    report = Report(("down", "up"))
    records = [event("up", 300, 400), event("up", 420, 500), event("up", 1700, 1800)]
    report.add(session_of(LABELS), records)
    assert report.event_confusion()[1].tolist() == [[0, 0, 2], [1, 0, 0], [0, 0, 1]]


def test_the_score_falls_with_the_deadline():
    report = Report(("down", "up"))
    report.add(session_of(LABELS), [event("up", 200, 600), event("down", 1000, 1400, late_ms=200)])
    curve = report.to_dict()["delay_curve"]
    by_deadline = {p["deadline"]: p["macro_f1"] for p in curve["points"]}
    assert curve["unit"] == "ms"
    assert (by_deadline[380.0], by_deadline[400.0], by_deadline[600.0]) == (0.0, 0.5, 1.0)


def test_people_and_sessions_are_told_apart():
    report = Report(("down", "up"))
    perfect = [event("up", 200, 600), event("down", 1000, 1400)]
    for name, subject, records in (
        ("a", "anna", perfect), ("b", "anna", []), ("c", "ben", perfect), ("d", "", perfect)
    ):  # fmt: skip
        report.add(session_of(LABELS, subject=subject), records, name=name)
    document = report.to_dict()
    assert [(s["name"], s["n_hit"], s["n_true"]) for s in document["subjects"]] == [
        ("anna", 2, 4), ("ben", 2, 2),
    ]  # fmt: skip
    assert [s["f1"] for s in document["sessions"]] == [1.0, 0.0, 1.0, 1.0]
    spread = document["spread"]["subjects"]["macro_f1"]
    assert (spread["n"], spread["min"], spread["max"]) == (2, 0.6667, 1.0)
    assert (spread["low"], spread["high"]) == (0.0, 1.0)  # two people show nearly nothing
    assert dict(lines(report))["subjects"].startswith("2, mean F1 0.67 / 0.83 / 1.00")


def test_one_person_is_said_to_be_one():
    report = Report(("up",))
    report.add(session_of(LABELS[:1], subject="anna"), [])
    assert dict(lines(report))["subjects"] == "1: nothing is known of how others would do"


def test_the_probabilities_of_a_run_are_judged():
    report = Report(("up",))
    evaluate(follower(), [session_of(LABELS[:1])], get_backend("numpy"), report=report)
    calibration = report.to_dict()["calibration"]
    assert calibration["frames"]["n"] == 100
    assert calibration["frames"]["ece"] < 0.01
    assert calibration["events"]["n"] == 1
    assert report.sessions[0].run is None  # nobody asked for pictures


def test_a_report_without_anything_can_be_told():
    report = Report(("up",))
    report.add(session_of([]), [])
    document = report.to_dict()
    json.dumps(document, allow_nan=False)
    assert document["earliness"] is None
    assert document["edit_distance"]["per_100_gestures"] is None
    assert "missed" not in dict(lines(report))


def test_the_same_report_is_the_same_document():
    def document() -> str:
        report = evaluate(follower(), [session_of(LABELS), session_of([])], get_backend("numpy"))
        return json.dumps(report.to_dict())

    assert document() == document()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(), "overlaps the gesture or starts within 200 ms of it"),
        (Rule("overlap", 0.5), "overlaps the gesture by 0.5 of their union;"),
        (Rule("onset", tolerance=50_000), "starts within 50 ms of the gesture;"),
    ],
)
def test_the_rule_is_said(rule, words):
    assert words in rule_words(rule)
    assert "frames" not in rule_words(rule)


def test_a_tolerance_in_nominal_time_is_said_in_frames():
    report = Report(("up",))
    report.add(session_of(LABELS[:1], rate="nominal"), [event("up", 300, 640)])
    said = dict(lines(report))
    assert "starts within 10 frames" in said["a hit is"]
    assert not any(" ms" in line or "hour (" in line for line in said.values())
    assert report.to_dict()["false_activations"]["per_hour"] is None
