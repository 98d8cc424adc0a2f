"""What the loss is told, and what the labels say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.training.targets import (
    MIN_TAIL_FRAMES,
    class_weights,
    cut_in_gaps,
    decision_for,
    frame_weights,
    gesture_runs,
    median_frames,
    shortest_class_frames,
    stand_apart,
)

label_arrays = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 30)), min_size=1, max_size=12
).map(lambda runs: np.concatenate([np.full(n, k, np.int64) for k, n in runs]))


@given(label_arrays, st.floats(0, 0.95), st.integers(0, 5))
def test_only_heads_and_null_frames_at_boundaries_are_ignored(y, head, n_boundary):
    weights = frame_weights(y, head, n_boundary)
    for a, b, _ in gesture_runs(y):
        n_head = int((weights[a:b] == 0).sum())
        assert (weights[a : a + n_head] == 0).all()
        assert n_head <= head * (b - a)
        assert b - a - n_head >= min(b - a, MIN_TAIL_FRAMES)
    ignored = np.flatnonzero((weights == 0) & (y == 0))
    edges = [edge for a, b, _ in gesture_runs(y) for edge in (a, b - 1)]
    assert all(min(abs(int(n) - edge) for edge in edges) <= n_boundary for n in ignored)


@given(label_arrays)
def test_pieces_cover_everything_and_hold_at_most_one_gesture(y):
    cuts = cut_in_gaps(y)
    assert [a for a, _ in cuts] == [0, *(b for _, b in cuts[:-1])]
    assert cuts[-1][1] == len(y)
    assert all(len(gesture_runs(y[a:b])) <= 1 for a, b in cuts)


@given(label_arrays, st.floats(0, 1))
def test_class_weights_are_one_on_average_and_favour_rare_gestures(y, power):
    weights = class_weights([y], 4, power)
    counts = np.bincount(y, minlength=4) + 1
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0, rel=1e-5)
    order = 1 + np.argsort(counts[1:])
    assert (np.diff(weights[order]) <= 1e-6).all()
    assert weights[1:].min() - 1e-6 <= weights[0] <= weights[1:].max() + 1e-6


def test_gestures_stand_apart_where_most_have_null_between_them():
    apart = np.repeat([0, 1, 0, 2, 0], 5).astype(np.int64)
    dense = np.repeat([0, 1, 2, 3, 1, 0], 5).astype(np.int64)
    assert stand_apart([apart])
    assert not stand_apart([dense])
    assert stand_apart([np.zeros(5, np.int64)])


def test_lengths_and_the_shortest_event_come_from_the_labels():
    y = np.repeat([0, 1, 0, 1, 0, 2], [5, 20, 5, 22, 5, 60]).astype(np.int64)
    assert median_frames([y]) == 22
    assert shortest_class_frames([y]) == 21
    assert decision_for([y], 100.0) == {"enter": 0.6, "exit": 0.4, "min_ms": 95.0}
    assert median_frames([]) == shortest_class_frames([]) == 0.0


def test_a_head_can_weigh_a_little_or_rise_to_full_weight():
    y = np.repeat([0, 1, 0], [10, 20, 10]).astype(np.int64)
    step = frame_weights(y, 0.5, 0, head_weight=0.25)
    assert step[10:20].tolist() == [0.25] * 10
    linear = frame_weights(y, 0.5, 0, head_weight=0.25, ramp="linear")
    np.testing.assert_allclose(linear[10:20], 0.25 + 0.75 * np.arange(10) / 10, rtol=1e-6)
    for weights in (step, linear):
        assert (weights[:10] == 1).all()
        assert (weights[20:] == 1).all()


@given(label_arrays, st.floats(0.05, 0.95))
def test_null_has_no_more_than_its_share_of_the_loss(y, cap):
    weights = class_weights([y], 4, 0.0, cap)
    counts = np.bincount(y, minlength=4) + 1
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0, rel=1e-5)
    share = weights[0] * counts[0] / (weights * counts).sum()
    assert share <= cap + 1e-5
    if counts[0] / counts.sum() <= cap:
        np.testing.assert_allclose(weights, class_weights([y], 4, 0.0), rtol=1e-5)
