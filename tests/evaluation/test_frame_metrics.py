"""Confusion of frames, and the calibration error of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.types import Label
from streamrnn.evaluation.events import Segment
from streamrnn.evaluation.metrics.frames import (
    N_BINS,
    Reliability,
    add_frames,
    confusion,
    frame_classes,
    frame_scores,
)
from streamrnn.sessions.labels import frame_labels

from evaluation_make import PERIOD_US, session_of  # isort: skip

NAMES = ("none", "a", "b")


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.integers(1, 20), st.sampled_from("ab")), max_size=5,
        unique_by=lambda item: item[0],
    )
)  # fmt: skip
def test_frames_have_the_class_that_their_labels_say(parts):
    labels = [Label(name, s * PERIOD_US, (s + n) * PERIOD_US) for s, n, name in parts]
    session = session_of(labels)
    segments = [Segment(label.start_us, label.end_us, label.name) for label in labels]
    got = frame_classes(segments, NAMES, session.frames.t_us)
    assert got.tolist() == frame_labels(session, NAMES).tolist()


def test_a_confusion_counts_each_frame_once():
    true, found = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    table = confusion(true, found, 3)
    assert table.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert frame_scores(table) == {
        "accuracy": 0.6,
        "macro_f1": pytest.approx((2 / 4 + 4 / 5 + 0) / 3),
    }
    assert frame_scores(np.zeros((2, 2), np.int64)) == {"accuracy": 0.0, "macro_f1": 0.0}


def naive_error(confidence: list[float], right: list[bool]) -> float:
    """Guo et al. 2017, eq. 3, by definition: bins ((m - 1) / M, m / M]."""
    error = 0.0
    for m in range(N_BINS):
        inside = [
            k for k, c in enumerate(confidence)
            if m / N_BINS < c <= (m + 1) / N_BINS or (c == 0 and m == 0)
        ]  # fmt: skip
        if inside:
            accuracy = sum(right[k] for k in inside) / len(inside)
            mean = sum(confidence[k] for k in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error


@given(st.lists(st.tuples(st.integers(0, 97), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_that_of_its_definition(statements):
    # Ninety-sevenths never lie on an edge between bins.
    confidence = [n / 97 for n, _ in statements]
    right = [r for _, r in statements]
    reliability = Reliability.empty()
    half = len(statements) // 2
    reliability.add(confidence[:half], right[:half])
    reliability.add(confidence[half:], right[half:])
    assert reliability.error == pytest.approx(naive_error(confidence, right), abs=1e-12)
    document = reliability.to_dict()
    assert sum(part["n"] for part in document["bins"]) == document["n"] == len(statements)


def test_frames_are_judged_by_their_strongest_class():
    reliability = Reliability.empty()
    assert reliability.error is None
    p = np.array([[0.75, 0.25, 0], [0.25, 0.75, 0], [0.25, 0.75, 0], [0.25, 0.75, 0]], np.float32)
    add_frames(reliability, p, np.array([0, 1, 2, 7]))  # the last is a class without a column
    assert reliability.error == pytest.approx(0.25)
