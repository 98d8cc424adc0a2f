"""Every trap in recordings is found where it is, and good recordings are left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspect_make import CHANNELS, NAMES, PERIOD_US, good, inspected, kinds, pair

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.evaluation.inspect import Inspector
from streamrnn.sessions.session import Session


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_good_recordings_raise_no_alarm(seed):
    inspection = inspected(good(2 * seed, subject="anna"), good(2 * seed + 1, subject="ben"))
    assert {found.kind for found in inspection.findings} == {"claims"}
    assert inspection.count("note") == 1


def test_what_there_is_is_counted_by_class_and_person():
    a, b = pair()
    inspection = inspected(a, b, tests=[good(3, subject="cleo")])
    assert [(row.name, row.n_gestures, row.n_test) for row in inspection.classes] == [
        ("push", 20, 10), ("wave left", 20, 10), ("wave right", 20, 10), ("none", 0, 0)
    ]  # fmt: skip
    assert inspection.classes[0].by_subject == {"anna": 10, "ben": 10}
    assert inspection.classes[0].seconds == pytest.approx(
        sum(x.end_us - x.start_us for s in (a, b) for x in s.labels if x.name == "push") / 1e6
    )
    assert inspection.classes[-1].seconds == pytest.approx(
        120.0 - sum(row.seconds for row in inspection.classes[:-1])
    )
    assert (inspection.n_sessions, inspection.n_test, inspection.n_subjects) == (3, 1, 3)
    people = [
        (row.name, row.n_sessions, row.n_gestures, row.n_rarest) for row in inspection.subjects
    ]
    assert people == [("anna", 1, 30, 10), ("ben", 1, 30, 10)]
    for row in inspection.subjects:
        assert row.gesture_s + row.null_s == pytest.approx(60.0)
    document = json.loads(json.dumps(inspection.to_dict(), allow_nan=False))
    assert [row["n_gestures"] for row in document["classes"]] == [20, 20, 20, 0]
    assert document["findings"][0].keys() == {
        "severity", "kind", "what", "means", "todo", "places", "n_places"
    }  # fmt: skip


def test_a_gesture_that_was_taken_back_is_neither_a_gesture_nor_none():
    session = good(1)
    kept, gone = session.labels[1:], session.labels[0]
    whole, back = (inspected(s) for s in (session, replace(session, labels=kept, undone=[gone])))
    assert back.classes[0].n_gestures == whole.classes[0].n_gestures - 1
    assert back.classes[-1].seconds == pytest.approx(whole.classes[-1].seconds)


# ---- samples


def test_not_a_number():
    a, b = pair()
    b.frames.x[500:510, 3] = np.nan
    b.frames.x[700, 3] = np.inf
    found = kinds(inspected(a, b))["not-finite"]
    assert "gyr_x is not a number in up to 11 frames in 1 of 2 recordings" in found.what
    assert (found.places[0].session, found.places[0].t_s) == ("b", 10.0)


def test_a_channel_that_is_dead_in_one_recording_and_one_that_is_dead_in_all():
    a, b = pair()
    a.frames.x[:, 5] = b.frames.x[:, 5] = 0.5
    b.frames.x[:, 3] = 0.0
    found = kinds(inspected(a, b))
    assert "gyr_z has one value from end to end in every recording" in found["constant"].what
    assert "gyr_x has one value from end to end in 1 of 2 recordings" in found["dead"].what
    assert found["dead"].places[0].session == "b"


def test_a_channel_that_hangs_for_a_while():
    a, b = pair()
    a.frames.x[1000:1200, 4] = a.frames.x[1000, 4]
    found = kinds(inspected(a, b))
    assert "gyr_y holds one value for up to 4.0 s" in found["stuck"].what
    assert found["stuck"].places[0].t_s == 20.0
    assert "frozen" not in found


def test_a_channel_that_hangs_from_the_start():
    a, b = pair()
    a.frames.x[:2900, 4] = 0.25
    assert kinds(inspected(a, b))["stuck"].places[0].t_s == 0.0


@pytest.mark.parametrize("n_frames", [1, 2, 30])
def test_short_recordings_and_senseless_numbers_are_survived(n_frames):
    a, b = pair()
    short = replace(a, frames=a.frames[:n_frames], labels=a.labels[:1])
    b.frames.x[::7, 1] = np.float32(3e38)
    b.frames.x[::9, 1] = np.float32(-3e38)
    b.frames.x[:, 2] = np.nan
    assert "not-finite" in kinds(inspected(short, b))


def test_a_stream_that_stands_still():
    a, b = pair()
    a.frames.x[1000:1100] = a.frames.x[1000]
    found = kinds(inspected(a, b))
    assert "all channels stand still for up to 2.0 s" in found["frozen"].what
    assert "stuck" not in found


@pytest.mark.parametrize(("share", "severity"), [(0.16, "warning"), (0.04, "note"), (0.004, None)])
def test_repeated_frames(share, severity):
    sessions = pair()
    rng = np.random.default_rng(0)
    for session in sessions:
        for n in np.flatnonzero(rng.random(2999) < share) + 1:
            session.frames.x[n] = session.frames.x[n - 1]
    found = kinds(inspected(*sessions)).get("stale")
    assert (found and found.severity) == severity
    if found:
        assert f"{100 * share:.0f} % of the frames repeat" in found.what


def test_clipping_at_the_sensors_limit_but_not_at_a_turning_point():
    a, b = pair()
    for session in (a, b):
        session.frames.x[:, 0] = np.clip(3 * session.frames.x[:, 0], -2.0, 2.0)
        session.frames.x[:, 1] = np.round(session.frames.x[:, 1] * 8) / 8
    found = kinds(inspected(a, b))["clipping"]
    assert found.severity == "warning"
    start = "samples are cut off: acc_x at"
    assert found.what.startswith((f"{start} 2 in", f"{start} -2 in"))
    assert "acc_y" not in found.what


def test_a_limit_that_another_recording_exceeds_is_none():
    a, b = pair()
    a.frames.x[:, 0] = np.clip(3 * a.frames.x[:, 0], -2.0, 2.0)
    b.frames.x[:, 0] *= 5
    assert "clipping" not in kinds(inspected(a, b))


def test_zeros_for_missing_measurements():
    channels = (*CHANNELS, Channel("hand_x"))
    sessions = [good(n, subject=f"s{n}", channels=channels) for n in range(2)]
    for session in sessions:
        session.frames.x[:, 6] = 2 + np.abs(session.frames.x[:, 6])
        session.frames.x[400:420, 6] = 0
    found = kinds(inspected(*sessions))
    assert "jump to exactly 0: hand_x in 40 frames in every recording" in found["zeros"].what
    assert "clipping" not in found


def test_a_sensor_slower_than_the_stream():
    sessions = pair()
    for session in sessions:
        session.frames.x[:, 3] = np.repeat(session.frames.x[::5, 3], 5)
    found = kinds(inspected(*sessions))
    assert "gyr_x: a new value only every 5 frames" in found["slow"].what
    assert not {"clipping", "stuck", "stale"} & found.keys()


# ---- layout, rate, gaps


def test_another_spelling_of_channels_comes_with_the_renaming():
    a, b = pair()
    b.info = StreamInfo(tuple(Channel(c.name.replace("_", "").upper()) for c in CHANNELS), 50.0)
    found = kinds(inspected(a, b, good(3)))["layout"]
    assert found.severity == "error"
    assert "--rename ACCX=acc_x,ACCY=acc_y" in found.todo
    b.info = StreamInfo((*CHANNELS[:5], Channel("light")), 50.0)
    found = kinds(inspected(a, b, good(3)))["layout"]
    assert "b lacks gyr_z and has light besides" in found.what
    b.info = StreamInfo(CHANNELS[::-1], 50.0)
    assert "in another order" in kinds(inspected(a, b, good(3)))["layout"].what


def test_other_units_are_said_and_wrong_ones_are_seen():
    a, b = pair()
    b.info = StreamInfo(tuple(Channel(c.name, "m/s^2") for c in CHANNELS), 50.0)
    found = kinds(inspected(a, b, good(3)))
    assert "channel acc_x comes in 'g' and 'm/s^2'" in found["unit"].what
    assert "acc_x is said to be in m/s^2" in found["unit-size"].what
    a.frames.x[:, :3] *= 9.81
    found = kinds(inspected(a, good(3)))["unit-size"]
    assert "acc_x is said to be in g" in found.what
    assert "--unit acc=m/s^2" in found.todo


@pytest.mark.parametrize(("clock", "wrong"), [({}, True), ({"rate": "nominal"}, False)])
def test_a_rate_that_the_times_deny(clock, wrong):
    a = good(1, rate_hz=100.0)
    a.metadata.update(clock)
    found = kinds(inspected(a))
    assert ("rate" in found) == wrong
    if wrong:
        assert "a says 100 Hz, but its timestamps say 50 Hz" in found["rate"].what


def test_rates_that_differ_or_are_unknown():
    a, b = pair()
    c = good(3, rate_hz=0.0)
    frames = Frames(b.frames.x, b.frames.seq, b.frames.t_us // 2)
    b.info, b.frames = replace(b.info, rate_hz=100.0), frames
    found = kinds(inspected(a, b, c, good(4)))
    assert "1 of 4 recordings run at 100 Hz, the others at 50 Hz" in found["rates"].what
    assert found["rates"].severity == "warning"
    b.info = replace(b.info, rate_hz=120.0)
    assert kinds(inspected(a, b, good(4)))["rates"].severity == "error"
    assert found["no-rate"].places[0].session == "c"


def test_gaps_and_gestures_with_holes():
    a, b = pair()
    first = a.labels[0].start_us // PERIOD_US
    keep = np.ones(len(a.frames), bool)
    keep[first + 5 : first + 12] = False
    keep[2000:2080] = False
    a.frames = Frames(a.frames.x[keep], a.frames.seq[keep], a.frames.t_us[keep])
    found = kinds(inspected(a, b))
    assert "87 frames missing (1.5 %) in 2 gaps, the longest of 1.62 s" in found["gaps"].what
    assert found["gaps"].severity == "warning"
    assert found["holes"].n_places >= 1
    assert found["holes"].places[0].t_s == pytest.approx(a.labels[0].start_us / 1e6)


def test_damage_that_the_reader_tells_of():
    a, b = pair()
    b.problems.append("its end is missing")
    assert "1 recording not whole: b: its end is missing" in kinds(inspected(a, b))["damaged"].what


# ---- labels


def test_labels_that_overlap_reach_out_or_hold_nothing():
    a, b = pair()
    first, second = a.labels[:2]
    a.labels[0] = replace(first, end_us=second.start_us + 100_000)
    a.labels.append(Label("push", 59_900_000, 60_500_000))
    a.labels.append(Label("push", 100_001, 100_002))
    found = kinds(inspected(a, b))
    assert "1 label begin before" in found["overlap"].what
    assert "by up to 0.10 s" in found["overlap"].what
    assert "by up to 0.50 s" in found["outside"].what
    assert found["outside"].places[0].t_s == 59.9
    assert found["empty-label"].n_places == 1


def test_labels_of_an_odd_length():
    a, b = pair()
    start = a.labels[4].start_us
    a.labels[4] = replace(a.labels[4], end_us=start + 2 * PERIOD_US)
    a.labels[7] = replace(a.labels[7], end_us=a.labels[7].start_us + 90 * PERIOD_US)
    found = kinds(inspected(a, b))
    assert found["short-label"].places[0].t_s == pytest.approx(start / 1e6)
    assert "wave left takes 0.04 s" in found["short-label"].what
    assert found["long-label"].n_places == 1


def test_labels_by_the_clock():
    a, b = pair()
    a.labels = [Label("fist", k * 10_000_000, k * 10_000_000 + 5_000_000) for k in range(6)]
    found = kinds(inspected(a, b))["by-the-clock"]
    assert "5.00 s long, one every 10.00 s in 1 of 2 recordings" in found.what


def renamed(session: Session, names: dict[int, str]) -> Session:
    labels = [replace(x, name=names.get(n, x.name)) for n, x in enumerate(session.labels)]
    return replace(session, labels=labels)


@pytest.mark.parametrize(
    ("wrong", "severity"),
    [("Push", "error"), ("pu sh", "error"), ("pusk", "warning"), ("puhs", "warning")],
)
def test_slips_in_names(wrong, severity):
    a, b = pair()
    found = kinds(inspected(renamed(a, {0: wrong}), b))
    assert found["names"].severity == severity
    assert repr(wrong) in found["names"].what
    assert found["names"].places[0].session == "a"
    # What follows from the slip is not said again.
    assert not {"imbalance", "one-person-class", "missing-class"} & found.keys()


def test_names_in_two_languages():
    names = ("preparação", "retração", "golpe"), ("preparation", "retraction", "stroke")
    sessions = [good(n, subject=f"s{n}", names=names[n]) for n in range(2)]
    found = [f.what for f in inspected(*sessions).findings if f.kind == "names"]
    assert any("'preparation'" in what and "'preparação'" in what for what in found)


@pytest.mark.parametrize(
    "names",
    [
        ("swipe l", "swipe r"), ("turn1", "turn2"), ("fold", "hold"), ("shake lr", "shake ud"),
        ("radial deviation", "ulnar deviation"), ("circle_left", "circle_right"),
    ],
)  # fmt: skip
def test_names_that_are_two_gestures(names):
    sessions = [good(n, subject=f"s{n}", names=names) for n in range(2)]
    assert "names" not in kinds(inspected(*sessions))


def test_rest_taught_as_a_gesture():
    sessions = [good(n, subject=f"s{n}", names=(*NAMES, "Rest")) for n in range(2)]
    found = kinds(inspected(*sessions))["null-class"]
    assert "'Rest' is taught as a gesture" in found.what
    assert "'none'" in found.todo


def test_no_null_little_null_and_trials():
    a = good(1)
    edges = [0, *(x.start_us for x in a.labels[1:]), a.end_us]
    whole = [replace(x, start_us=edges[n], end_us=edges[n + 1]) for n, x in enumerate(a.labels)]
    assert "no-null" in kinds(inspected(replace(a, labels=whole)))
    most = [replace(x, end_us=x.end_us - (x.end_us - x.start_us) // 10) for x in whole]
    assert "little-null" in kinds(inspected(replace(a, labels=most)))
    trials = [replace(good(n), labels=[Label(NAMES[n % 3], 0, 60_000_000)]) for n in range(6)]
    found = kinds(inspected(*trials))
    assert "trials" in found
    assert not {"no-null", "little-null"} & found.keys()


def test_too_few_too_uneven_and_of_one_person_only():
    a, b = pair()
    b.labels = [x for x in b.labels if x.name != "push"][:3]
    a.labels = [x for n, x in enumerate(a.labels) if x.name != "wave right" or n < 6]
    found = kinds(inspected(a, b))
    assert "of wave right" in found["imbalance"].what
    assert "push: done by one person only (push by anna)" in found["one-person-class"].what
    assert found["claims"].severity == "warning"
    assert kinds(inspected(good(1)))["one-subject"].what.endswith("(anna)")
    assert kinds(inspected(good(1, subject="")))["no-subject"].n_places == 1


def test_claims_follow_from_exact_bounds():
    """n of n right: recall above 0.05 ** (1 / n); none in T hours: fewer than 3 / T an hour."""
    a = good(1, names=("push",), n_gestures=30)
    found = kinds(inspected(a))["claims"].what
    assert f"at least {100 * 0.05 ** (1 / 30):.0f} %" in found
    hours = (60 - sum(x.end_us - x.start_us for x in a.labels) / 1e6) / 3600
    assert f"at most {2.9957 / hours:.0f} false" in found


def test_no_labels_and_no_frames():
    a, b = pair()
    nothing = Session(a.info, Frames.empty(6), np.empty(0, np.int64))
    found = kinds(inspected(replace(a, labels=[]), replace(b, labels=[]), nothing))
    assert found["no-labels"].severity == "error"
    assert found["empty"].places[0].session == "c"
    assert kinds(inspected(nothing)).keys() == {"empty"}
    with pytest.raises(ValueError, match="no recording was added"):
        Inspector().finish()


def test_what_only_the_test_has():
    a, b = pair()
    test = renamed(good(3, subject="anna"), {0: "clap", 1: "clap"})
    found = kinds(inspected(a, b, tests=[test]))
    assert "clap: in the test, but never in training" in found["untaught"].what
    assert found["untaught"].severity == "error"
    assert "anna: both in training and in the test" in found["shared-subject"].what


# ---- the same frames twice


def test_one_recording_twice_and_in_training_and_test():
    a, b = pair()
    twin = replace(a, labels=[])
    found = kinds(inspected(a, b, twin))["duplicate"]
    assert (found.severity, found.what) == ("warning", "a, c hold the same frames")
    leak = kinds(inspected(a, b, tests=[twin]))
    assert leak["duplicate"].severity == "error"
    assert "for training and for testing" in leak["duplicate"].what
    assert "shared-frames" not in leak


def part_of(session: Session, ranges: list[tuple[int, int]]) -> Session:
    x = np.concatenate([session.frames.x[a:b] for a, b in ranges])
    seq = np.arange(len(x))
    frames = Frames(x, seq, seq * PERIOD_US)
    return replace(session, frames=frames, labels=[Label("push", 0, 2_000_000)])


def test_a_part_of_a_training_recording_in_the_test():
    a, b = pair()
    found = kinds(inspected(a, b, tests=[part_of(b, [(1000, 1600)])]))["shared-frames"]
    assert found.severity == "error"
    assert found.what == "all of T0 is in b too"
    at_test, at_training = found.places
    assert (at_test.session, at_training.session) == ("T0", "b")
    assert at_training.t_s - at_test.t_s == pytest.approx(20.0)


def test_frames_cut_out_are_counted():
    a, b = pair()
    cut = part_of(b, [(100, 600), (700, 1300), (1450, 2000)])
    found = kinds(inspected(a, b, cut))["shared-frames"]
    assert found.severity == "warning"
    assert "c from 3 pieces of it, with 250 frames left out" in found.what
    assert "never learned" in found.means
