"""Checks, splits and stretches."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError, TrainingError
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.features.chain import FeatureConfig
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import cut, prepare, split


def without(session: Session, missing: set[int]) -> Session:
    kept = np.array([n not in missing for n in range(len(session))])
    f = session.frames
    frames = Frames(f.x[kept], f.seq[kept], f.t_us[kept])
    return dataclasses.replace(session, frames=frames, host_ns=session.host_ns[kept])


def short(name: str, subject: str) -> Session:
    frames = Frames.empty(1)
    info = StreamInfo((Channel("x"),), 50.0)
    metadata = {"subject": subject} if subject else {}
    return Session(info, frames, frames.t_us, [Label(name, 0, 1)], metadata=metadata)


subjects = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["kim", "lou", "max", ""])),
    min_size=1,
    max_size=12,
)


@given(subjects, st.integers(0, 5), st.floats(0, 0.9))
def test_a_split_never_divides_a_subject_and_never_loses_a_class(people, seed, fraction):
    sessions = [short(name, subject) for name, subject in people]
    config = TrainConfig(seed=seed, held_out_fraction=fraction)
    training, held_out, names = split(sessions, config)
    assert {id(s) for s in training + held_out} == {id(s) for s in sessions}
    assert len(training) + len(held_out) == len(sessions)
    known = {s.subject for s in held_out if s.subject}
    assert not known & {s.subject for s in training}
    assert known <= set(names)
    assert {label.name for s in training for label in s.labels} == {name for name, _ in people}
    assert split(sessions, config)[2] == names


def test_named_subjects_are_held_out_and_wrong_ones_refused(sessions, config):
    training, held_out, names = split(sessions, dataclasses.replace(config, held_out=("s1", "s3")))
    assert [s.subject for s in held_out] == ["s1", "s3"] == list(names)
    assert len(training) == 3
    with pytest.raises(ConfigError, match=r"no subject 's9' .*there are s0, s1"):
        split(sessions, dataclasses.replace(config, held_out=("s9",)))
    with pytest.raises(TrainingError, match="nothing is left"):
        split(sessions[:1], dataclasses.replace(config, held_out=("s0",)))


def test_names_change_what_is_said_and_never_who_is_held_out(make_session, config):
    sessions = [make_session(n) for n in range(12)]
    names = [f"{'zyxwvutsrqpo'[n]}.mcap" for n in range(12)]
    plain, named = split(sessions, config), split(sessions, config, names)
    assert [id(s) for s in named[1]] == [id(s) for s in plain[1]]
    assert named[2] == tuple(sorted(names[sessions.index(s)] for s in named[1]))
    chosen = dataclasses.replace(config, held_out=(names[3],))
    assert split(sessions, chosen, names)[1] == [sessions[3]]
    numbered = dataclasses.replace(config, held_out=("session 4",))
    assert split(sessions, numbered)[1] == [sessions[3]]
    with pytest.raises(ConfigError, match=r"no subject 'session 4'"):
        split(sessions, numbered, names)


def test_checks_name_the_sessions_as_they_were_named(sessions, config):
    slower = with_info(sessions[1], rate_hz=20.0)
    with pytest.raises(TrainingError, match=r"^b runs at 20 Hz, which cannot be brought to 50 Hz"):
        prepare([sessions[0], slower], config, ["a", "b"])
    with pytest.raises(TrainingError, match=r"^a has no frame rate"):
        prepare([with_info(sessions[0], rate_hz=0.0)], config, ["a"])


def test_one_session_is_trained_on_unwatched(make_session, config):
    training, held_out, _ = split([make_session(1)], config)
    assert (len(training), held_out) == (1, [])


def test_losing_a_class_is_avoided_and_said(config, caplog):
    with caplog.at_level(logging.WARNING):
        training, held_out, _ = split([short("a", "kim"), short("b", "lou")], config)
    assert (len(training), held_out) == (2, [])
    assert "nobody can be held out" in caplog.text


def test_statistics_come_from_the_training_sessions_alone(sessions, config):
    config = dataclasses.replace(config, held_out=("s4",))
    sessions[4].frames.x[:] = 1e6
    assert prepare(sessions, config).chain.scale.max() < 10


def test_short_gaps_are_filled_and_long_ones_cut(make_session, config):
    whole = make_session(0)
    data = prepare([whole], config)
    cut_up = without(whole, {50, 51, *range(100, 120)})
    parts = cut(cut_up, data, config)
    assert [len(part.y) for part in parts] == [100, len(whole) - 120]
    np.testing.assert_array_equal(parts[0].y, data.stretches[0].y[:100])
    np.testing.assert_allclose(
        parts[0].x[50], (2 * whole.frames.x[49] + whole.frames.x[52]) / 3, rtol=1e-5, atol=1e-6
    )
    assert parts[0].x[49].tolist() == whole.frames.x[49].tolist()


def test_what_was_taken_back_is_not_taught(make_session, config):
    whole = make_session(0)
    gone, *kept = whole.labels
    back = dataclasses.replace(whole, labels=kept, undone=[gone])
    data = prepare([back], config)
    first, behind = (t_us // 20_000 for t_us in (gone.start_us, gone.end_us))
    assert [len(part.y) for part in data.stretches] == [first, len(whole) - behind]
    assert not data.stretches[0].y.any()
    assert [len(part.y) for part in cut(back, prepare([whole], config), config)] == [
        first,
        len(whole) - behind,
    ]


def test_what_was_taken_back_and_labelled_again_is_taught(make_session, config):
    whole = make_session(0)
    session = dataclasses.replace(whole, undone=[whole.labels[0]])
    assert prepare([session], config).fingerprint() == prepare([whole], config).fingerprint()


def test_damaged_samples_count_as_missing(make_session, config):
    session = make_session(0)
    session.frames.x[50, 0] = np.nan
    session.frames.x[51, 1] = np.inf
    data = prepare([session], config)
    assert len(data.stretches) == 1
    assert len(data.stretches[0].y) == len(session)
    assert np.isfinite(data.stretches[0].x).all()


def test_an_accelerometer_rests_in_gravity_and_others_at_their_offset(config):
    n = 60
    x = np.zeros((n, 4), np.float32)
    x[:, 2] = 9.81
    x[:, 3] = 5.0 + np.arange(n) % 2
    seq = np.arange(n, dtype=np.int64)
    axes = [Channel(f"acc_{axis}", "m/s^2") for axis in "xyz"]
    info = StreamInfo((*axes, Channel("light", "lx")), 50.0)
    frames = Frames(x, seq, seq * 20_000)
    session = Session(info, frames, frames.t_us, [Label("a", 0, 400_000)])
    names = ("acc_x", "acc_y", "acc_z", "light")
    everything = dataclasses.replace(config, features=FeatureConfig(channels=names))
    (stretch,) = prepare([session], everything).stretches
    assert stretch.rest == pytest.approx([0, 0, 9.81, 5.5], abs=1e-5)
    assert [c.name for c in prepare([session], config).channels] == ["acc_x", "acc_y", "acc_z"]


def test_the_fingerprint_is_that_of_the_training_data(sessions, config):
    again = prepare(sessions, config).fingerprint()
    assert prepare(sessions, config).fingerprint() == again
    sessions[0].frames.x[3, 0] += 1e-3
    sessions[1].frames.x[3, 0] += 1e-3
    assert prepare(sessions, config).fingerprint() != again


def relabelled(session: Session, labels: list[Label]) -> Session:
    return dataclasses.replace(session, labels=labels)


def with_info(session: Session, **changes) -> Session:
    return dataclasses.replace(session, info=dataclasses.replace(session.info, **changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: [], r"no sessions"),
        (lambda s: [relabelled(x, []) for x in s], r"no session has a label: record with"),
        (lambda s: [relabelled(x, [Label("a", 0, 10**9)]) for x in s], r"one class, 'a'"),
        (lambda s: [without(s[0], set(range(2, 999)))], r"2 frames are too few"),
        (lambda s: [s[0], with_info(s[1], rate_hz=20.0)], r"session 2 runs at 20 Hz, .* 50 Hz"),
        (lambda s: [s[0], with_info(s[1], rate_hz=0.0)], r"session 2 has no frame rate.*--rate"),
        (
            lambda s: [s[0], with_info(s[1], channels=(Channel("p"), Channel("r", "V")))],
            r"session 2 has channels p, r \[V\], session 1 has p, q",
        ),
        (lambda s: [with_info(x, rate_hz=0.0) for x in s], r"no frame rate.*--rate"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_clear_line(sessions, config, spoil, message):
    with pytest.raises(TrainingError, match=message) as caught:
        prepare(spoil(sessions), config)
    assert "\n" not in str(caught.value)


def test_holding_out_a_class_is_refused(sessions, config):
    only_a = relabelled(sessions[0], [label for label in sessions[0].labels if label.name == "a"])
    config = dataclasses.replace(config, held_out=("s1",))
    with pytest.raises(TrainingError, match="no training frame of b"):
        prepare([only_a, sessions[1]], config)


def test_no_time_without_a_gesture_is_allowed_but_said(make_session, config, caplog):
    with caplog.at_level(logging.WARNING):
        data = prepare([make_session(0, gaps=False)], config)
    assert data.labels == ("none", "a", "b")
    assert "no frame without a gesture" in caplog.text


def test_an_unknown_channel_is_named(sessions, config):
    config = dataclasses.replace(config, features=FeatureConfig(channels=("z",)))
    with pytest.raises(ConfigError, match="no channel 'z'"):
        prepare(sessions, config)
