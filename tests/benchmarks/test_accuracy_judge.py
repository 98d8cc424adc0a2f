"""Classes of frames, windows and trials, events in time, and what a test's size allows to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.early import Early, choose_early, early_decision, f1_in_time
from benchmarks.accuracy.intervals import bootstrap, student, wilson
from benchmarks.accuracy.invariance import compared, in_unit, permuted, renamed
from benchmarks.accuracy.judge import classes_of_frames, trial_class, window_classes
from benchmarks.accuracy.protocols import PROTOCOLS
from benchmarks.accuracy.sets.build import stream
from benchmarks.accuracy.summary import delay_rows, figure, rows_of
from streamrnn.core.types import Channel
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.events import Segment
from streamrnn.evaluation.heldout import HeldOutRun

LABELS = ("none", "a", "b")


def held_out(classes, seq=None, truth=(), y=None, period_us=20_000):
    """Return a run that is sure of `classes`."""
    p = np.full((len(classes), 3), 0.05, np.float32)
    p[np.arange(len(classes)), classes] = 0.9
    seq = np.arange(len(classes)) if seq is None else np.asarray(seq)
    return HeldOutRun(
        name="", subject="", labels=LABELS, rate_hz=1e6 / period_us, probabilities=p,
        energy=np.full(len(p), np.inf, np.float32), seq=seq.astype(np.int64),
        t_us=seq.astype(np.int64) * period_us, breaks=np.empty((0, 2), np.int64),
        truth=list(truth), y=np.zeros(len(p), np.int64) if y is None else np.asarray(y),
        null_s=0.0, duration_s=0.0,
    )  # fmt: skip


def plain(n):
    return stream(np.zeros((n, 1)), [Channel("x")], 50.0, rate_is="stated")


def test_a_frame_has_the_class_of_the_newest_row_and_none_before_the_first():
    # A model at half the rate: row k is complete with frame 2 k + 1.
    run = held_out([1, 2, 0], seq=[1, 3, 5])
    assert classes_of_frames(plain(7), run).tolist() == [0, 1, 1, 2, 2, 0, 0]


def test_rows_that_fill_a_gap_belong_to_no_frame():
    session = plain(6)
    session.frames.seq[3:] += 2
    run = held_out([0, 0, 1, 2, 2, 0, 0, 0], seq=range(8))
    assert classes_of_frames(session, run).tolist() == [0, 0, 1, 0, 0, 0]


def test_a_window_is_what_most_of_its_frames_are():
    y = np.array([0, 0, 1, 1, 1, 1, 2, 0])
    run = held_out([0, 1, 1, 2, 2, 2, 2, 0])
    true, said = window_classes(plain(8), run, y, 3)
    assert true.tolist() == [0, 1]  # the rest is no whole window
    assert said.tolist() == [1, 2]


def test_late_frames_count_more_in_a_trial():
    p = np.array([[0.0, 0.9, 0.1]] * 6 + [[0.0, 0.2, 0.8]] * 4, np.float32)
    assert trial_class(p, null_is_a_class=True) == 2
    assert trial_class(p[::-1], null_is_a_class=True) == 1


def test_null_is_a_class_only_where_trials_are_of_it():
    p = np.array([[0.9, 0.02, 0.08]] * 5, np.float32)
    assert trial_class(p, null_is_a_class=True) == 0
    assert trial_class(p, null_is_a_class=False) == 2


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 3), min_size=n, max_size=n)
    )
)
def test_the_class_of_a_trial_does_not_depend_on_the_order_of_the_classes(rows):
    p = np.array(rows, np.float32)
    evidence = (np.arange(1, len(p) + 1) ** 2) @ np.log(p.astype(np.float64))
    ordered = np.sort(evidence)
    if ordered[-1] - ordered[-2] > 1e-6 * abs(ordered[-1]):  # no tie
        said = trial_class(p, null_is_a_class=True)
        assert 2 - trial_class(p[:, ::-1], null_is_a_class=True) == said


def test_an_early_decision_is_chosen_such_that_events_are_out_in_time():
    # Two gestures of 40 frames; the model sees each 8 frames late and is sure of its class.
    y = np.zeros(200, np.int64)
    y[20:60], y[120:160] = 1, 2
    said = np.zeros(200, np.int64)
    said[28:60], said[128:160] = 1, 2
    truth = [Segment(400_000, 1_200_000, "a"), Segment(2_400_000, 3_200_000, "b")]
    run = held_out(said, truth=truth, y=y)
    decision = DecisionConfig(enter=0.5, exit=0.4, min_ms=220.0, sure=1.0)
    rerun = Rerun([run], LABELS, 50.0)
    time_us = 15 * 20_000
    assert f1_in_time(rerun, early_decision(decision, time_us, Early()), time_us) < 1.0
    chosen = choose_early([run], decision, time_us)
    assert f1_in_time(rerun, chosen, time_us) == 1.0
    assert (chosen.fire, decision.fire) == ("sure", "end")
    # Six frames are not enough: the first frame that shows anything is the ninth.
    assert f1_in_time(rerun, choose_early([run], decision, 6 * 20_000), 6 * 20_000) < 0.7


def test_an_early_decision_changes_what_single_classes_ask_for():
    decision = DecisionConfig(per_class={"a": {"enter": 0.8, "min_ms": 500.0, "sure": 0.99}})
    early = early_decision(decision, 300_000, Early(0.5, 0.5, 0.5, 0.6))
    assert early.per_class["a"] == {"enter": 0.4, "min_ms": 75.0}
    assert (early.enter, early.exit, early.min_ms, early.sure) == (0.25, 0.2, 75.0, 0.6)


# ---- intervals


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_holds_the_share_and_shrinks_with_the_trials(n, share):
    low, high = wilson(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    wider = wilson(share, max(1, n // 4))
    assert high - low <= wider[1] - wider[0] + 1e-12


def test_intervals_are_those_of_the_books():
    from scipy.stats import binomtest

    reference = binomtest(206, 210).proportion_ci(method="wilson")
    assert wilson(206 / 210, 210) == pytest.approx((reference.low, reference.high), abs=1e-6)
    assert student([0.8, 0.9, 1.0]) == pytest.approx((0.6516, 1.0), abs=1e-4)
    assert wilson(0.5, 0) is None
    assert student([0.9]) is None


def test_a_bootstrap_holds_the_score_and_is_the_same_each_time():
    items = [1.0] * 80 + [0.0] * 20
    interval = bootstrap(items, lambda drawn: sum(drawn) / len(drawn))
    assert interval == bootstrap(items, lambda drawn: sum(drawn) / len(drawn))
    assert 0.70 < interval[0] < 0.8 < interval[1] < 0.90


# ---- rows


def trial_result(seed, hits, n=20, model="lstm"):
    confusion = [[0, 0, 0], [0, hits, n - hits], [0, 0, n]]
    return {
        "fold": "test", "group": "", "other": False, "seed": seed, "model": model,
        "confusion": confusion, "new": [hits + n, 2 * n], "trials": list(range(2 * n)),
        "accuracy": (hits + n) / (2 * n), "macro F1": 0.0,
    }  # fmt: skip


def test_a_row_is_the_mean_of_the_seeds_with_their_spread_and_an_interval():
    protocol = PROTOCOLS["libras"]
    results = [trial_result(0, 20), trial_result(1, 16), trial_result(0, 10, model="mlp-window")]
    rows = {row["what"]: row for row in rows_of(protocol, results)}
    assert rows["lstm: all"]["accuracy"] == pytest.approx(0.95)
    assert rows["lstm: all, sd of 2 seeds"]["accuracy"] == pytest.approx(0.0707, abs=1e-4)
    assert rows["mlp-window: all"]["accuracy"] == 0.75
    low, high = wilson(0.95, 40)
    assert rows["lstm: all, 95 % from"]["accuracy"] == pytest.approx(low, abs=1e-4)
    assert rows["lstm: all, 95 % to"]["accuracy"] == pytest.approx(high, abs=1e-4)
    assert figure(protocol, results, "all", "accuracy") == pytest.approx(0.95)
    assert figure(protocol, results, "nowhere", "accuracy") is None
    assert delay_rows(results) == []


# ---- invariance


def labelled():
    x = np.arange(12.0).reshape(4, 3)
    session = stream(
        x, [Channel("gyro_x"), Channel("acc_x"), Channel("acc_y")], 50.0,
        np.array([0, 1, 1, 0]), ("none", "left"), rate_is="stated",
    )  # fmt: skip
    return in_unit("m/s^2", 1.0)(session)


def test_changes_keep_what_was_recorded():
    session = labelled()
    assert [c.unit for c in session.info.channels] == ["", "m/s^2", "m/s^2"]
    assert [n.name for n in renamed(session).labels] == ["gtfel"]
    turned = permuted(session)
    assert turned.info.channel_names == ("acc_y", "acc_x", "gyro_x")
    assert turned.frames.x[:, 2].tolist() == session.frames.x[:, 0].tolist()
    halved = in_unit("g", 0.5)(session)
    assert halved.frames.x[1].tolist() == [3.0, 2.0, 2.5]
    assert halved.info.channels[1] == Channel("acc_x", "g")


def test_a_change_matters_when_it_moves_the_score_further_than_seeds_do():
    base = {"as it is": [0.90, 0.94, 0.98]}
    assert all(compared({**base, "same": [0.89, 0.93, 0.97]})[1].values())
    assert not all(compared({**base, "other": [0.70, 0.74, 0.78]})[1].values())
