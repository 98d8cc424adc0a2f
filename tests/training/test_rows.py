"""Trials in rows, with null between them."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_make import make, make_trials

from streamrnn.core.types import Channel
from streamrnn.training.augment import Piece
from streamrnn.training.batches import Plan
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import form_of, prepare
from streamrnn.training.rows import RowMaker, smooth_step

IMU = tuple(Channel(f"{s}_{a}", u) for s, u in (("gyro", "rad/s"), ("acc", "g")) for a in "xyz")
REST = np.array([0, 0, 0, 0, 0, 1], np.float32)


def trial(k: int, n: int = 20, n_columns: int = 6, at: float = 1.0) -> Piece:
    x = np.full((n, n_columns), at, np.float32)
    weights = np.ones(n, np.float32)
    return Piece(x, np.full(n, k, np.int64), weights, REST[:n_columns].copy())


def maker(pieces, **options) -> RowMaker:
    return RowMaker(pieces, IMU, np.zeros(6, np.float32), 20.0, TrainConfig(**options))


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1))
def test_every_trial_is_in_one_row_and_null_stands_between(seed, n, most, single):
    pieces = [trial(1 + k % 3) for k in range(n)]
    rows = list(
        maker(pieces, row_trials=most, row_single=single).epoch(
            iter(pieces), np.random.default_rng(seed), lambda k: pieces[k]
        )
    )
    found = [piece for row in rows for piece in row if piece.targets[0]]
    assert len(found) == n
    for row in rows:
        kinds = [bool(piece.targets[0]) for piece in row]
        assert 1 <= sum(kinds) <= most
        assert not any(a and b for a, b in pairwise(kinds))
        assert len(row) == 1 or not kinds[-1], "a row of several lets go at its end"


def test_the_weight_of_a_trial_rises_to_its_end_and_null_counts_in_full():
    pieces = [trial(1), trial(0)]
    for row in maker(pieces, ramp_power=2.0, row_null=1.0).epoch(
        iter(pieces), np.random.default_rng(0), pieces.__getitem__
    ):
        for piece in row:
            if piece.targets[0]:
                expected = (np.arange(1, 21) / 20) ** 2
                np.testing.assert_allclose(piece.weights, expected, rtol=1e-6)
            else:
                assert (piece.weights == 1).all()


def test_made_up_null_goes_from_end_to_beginning_and_motion_comes_to_rest():
    before, behind = trial(1, at=4.0), trial(2, at=-4.0)
    null = maker([before]).null(before, behind, 101, np.random.default_rng(0))
    assert not null.targets.any()
    np.testing.assert_allclose(null.x[0], before.x[-1], atol=0.05)
    np.testing.assert_allclose(null.x[-1], behind.x[0], atol=0.05)
    np.testing.assert_allclose(null.x[50], REST, atol=0.05)
    assert np.abs(np.diff(null.x, axis=0)).max() < 0.5, "without a jump"


def test_positions_are_held_and_brought_over():
    columns = (Channel("hand_x"), Channel("hand_y"))
    made = RowMaker([], columns, np.zeros(2, np.float32), 20.0, TrainConfig())
    before, behind = trial(1, n_columns=2, at=4.0), trial(2, n_columns=2, at=-4.0)
    null = made.null(before, behind, 101, np.random.default_rng(0))
    assert (np.diff(null.x[:, 0]) <= 1e-6).all()
    held = made.null(before, None, 10, np.random.default_rng(0))
    np.testing.assert_allclose(held.x, 4.0)
    with pytest.raises(ValueError, match="from or to"):
        made.null(None, None, 10, np.random.default_rng(0))


def test_real_null_is_taken_where_there_is_some():
    pieces = [trial(1), trial(2), trial(0, n=200, at=77.0)]
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for row in maker(pieces, row_single=0.0).epoch(iter(pieces), rng, pieces.__getitem__):
            if sum(bool(piece.targets[0]) for piece in row) == 2:
                seen |= {bool((piece.x == 77.0).all()) for piece in row}
    assert seen == {True, False}


def test_smooth_steps_are_flat_at_both_ends():
    u = np.linspace(-1, 2, 301)
    step = smooth_step(u)
    assert (np.diff(step) >= 0).all()
    assert (step[u <= 0] == 0).all()
    assert (step[u >= 1] == 1).all()


def test_auto_knows_trials_from_recordings(config):
    auto = dataclasses.replace(config, labels="auto")
    labels = ("none", "a", "b")
    silent = make(7)
    silent.labels = []
    assert form_of(make_trials(0), auto, labels) == "rows"
    assert form_of([*make_trials(0), silent], auto, labels) == "rows"
    assert form_of([make(0)], auto, labels) == "frame"
    assert form_of([*make_trials(0), make(0)], auto, labels) == "frame"
    assert form_of(make_trials(0), dataclasses.replace(auto, labels="trial"), labels) == "trial"


def test_rows_become_batches_with_fresh_states_and_repeat_bit_for_bit(config):
    config = dataclasses.replace(config, labels="rows", batch_size=4, held_out_fraction=0.0)
    data = prepare(make_trials(0, 20), config)
    plan = Plan(data, config)
    first, again = (plan.epoch(np.random.default_rng(1)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert a.x.tobytes() == b.x.tobytes()
        assert a.reset.tolist() == list(range(len(a.lengths)))
        assert len(a.lengths) <= plan.n_lanes
        behind = np.arange(len(a.x))[:, None] >= a.lengths
        assert not a.weights[behind].any()
    assert {0, 1, 2} == {int(k) for part in first for k in np.unique(part.targets)}
