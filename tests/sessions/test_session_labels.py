"""Labels a frame, runs, rates and the description of a session."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_make import INFO, frames_of, session_of

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Frames, Label, StreamInfo
from streamrnn.sessions.describe import describe
from streamrnn.sessions.labels import class_names, frame_labels, labels_from_frames, runs
from streamrnn.sessions.rate import fitted_rate_hz, sequence_of_times
from streamrnn.sessions.session import Session, frame_period_us

NAMES = ("none", "a", "b")


@given(y=st.lists(st.integers(0, 2), max_size=40))
def test_runs_cover_everything_once(y: list[int]) -> None:
    array = np.array(y, np.int64)
    found = runs(array)
    assert [c for a, b, c in found for _ in range(a, b)] == y
    assert all(x[1] == y_[0] and x[2] != y_[2] for x, y_ in itertools.pairwise(found))


@given(y=st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_frame_labels_undo_labels_from_frames(y: list[int]) -> None:
    session = session_of(len(y))
    array = np.array(y, np.int64)
    session.labels = labels_from_frames(
        array, NAMES, session.frames.t_us, session.end_us, source="x"
    )
    assert frame_labels(session, NAMES).tolist() == y


def test_labels_are_half_open_and_the_later_start_wins() -> None:
    session = session_of(6)
    session.labels = [Label("b", 20_000, 30_001), Label("a", 5_000, 50_000), Label("none", 0, 5)]
    assert frame_labels(session, NAMES).tolist() == [0, 1, 2, 2, 1, 0]
    assert class_names([session, session_of(1)]) == NAMES


def test_an_unknown_label_is_named() -> None:
    session = session_of(3)
    session.labels = [Label("lefft", 0, 5)]
    with pytest.raises(SessionError, match=r"label 'lefft' is none of the 2 .*did you mean 'left'"):
        frame_labels(session, ("none", "left"))


def test_a_session_without_frames_has_no_length() -> None:
    session = Session(INFO, Frames.empty(3), np.empty(0, np.int64))
    assert (session.start_us, session.end_us, session.duration_s) == (0, 0, 0.0)
    assert describe(session)["channels"][0]["min"] is None
    assert frame_period_us(0.0, np.zeros(1, np.int64)) == 1


@given(rate_hz=st.floats(1, 5000), n=st.integers(100, 300), seed=st.integers(0, 99))
def test_the_fitted_rate_survives_jitter_and_losses(rate_hz: float, n: int, seed: int) -> None:
    """Jitter of a tenth of a period, at distances of n/2 periods, is within 0.4/n."""
    rng = np.random.default_rng(seed)
    seq = np.sort(rng.choice(2 * n, n, replace=False))
    period_us = 1e6 / rate_hz
    t_us = np.rint((seq + rng.uniform(0, 0.1, n)) * period_us).astype(np.int64)
    # + 1 us of rounding in a distance of at least n / 2 periods
    bound = (0.1 + 1 / period_us) / (n / 2)
    assert abs(fitted_rate_hz(seq, t_us) / rate_hz - 1) <= bound


def test_rates_that_cannot_be_fitted() -> None:
    one = np.zeros(1, np.int64)
    assert fitted_rate_hz(one, one) == 0.0
    assert fitted_rate_hz(np.arange(4), np.zeros(4, np.int64)) == 0.0


def test_times_that_come_in_pairs_still_have_a_rate() -> None:
    """A logger that stamps two frames at once makes every other step zero."""
    t_us = np.repeat(np.arange(100), 2) * 20_000
    seq, rate_hz = sequence_of_times(t_us)
    assert rate_hz == pytest.approx(100, rel=1e-2)
    np.testing.assert_array_equal(seq, np.arange(200))


def test_the_description_counts() -> None:
    seq = np.concatenate([np.arange(50), np.arange(53, 100), np.arange(101, 110)])
    x = frames_of(110).x[seq]
    x[3, 1] = np.nan
    info = StreamInfo(INFO.channels, 98.0)
    session = Session(
        info, Frames(x, seq, seq * 10_000), seq * 10**7,
        [Label("b", 0, 500_000), Label("a", 10, 20), Label("b", 600_000, 700_000)],
        [{"type": "event"}], {"subject": "s"}, ["oh"],
    )  # fmt: skip
    told = describe(session)
    json.dumps(told, allow_nan=False)
    assert told["n_frames"] == 106
    assert told["gaps"] == {"count": 2, "n_missing": 4, "longest_s": 0.04}
    assert told["labels"] == {
        "a": {"count": 1, "seconds": 1e-05}, "b": {"count": 2, "seconds": 0.6}
    }  # fmt: skip
    assert (told["rate_hz"], told["fitted_rate_hz"]) == (98.0, 100.0)
    assert told["channels"][1]["n_not_finite"] == 1
    assert told["channels"][0] == {
        "name": "acc_x", "unit": "m/s^2", "min": 0.0, "max": 109.0, "n_not_finite": 0
    }  # fmt: skip
    assert (told["events"], told["problems"]) == (1, ["oh"])
