"""A choice is counted on people who had no part in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from choosing_make import made
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.budget import Budget, choose
from streamrnn.evaluation.choosing.crossed import MAX_PARTS, Pool
from streamrnn.evaluation.choosing.tally import Tally
from streamrnn.evaluation.events import Score
from streamrnn.evaluation.heldout import HeldOutRun

N_TRUE = 10


def people(n: int) -> list[HeldOutRun]:
    run = made(N_TRUE, null_frames=2000)
    return [replace(run, subject=f"p{k}", name=f"{k}.mcap") for k in range(n)]


def tallied(false: list[int], hits: list[int]) -> Tally:
    """Return counts of so many false activations and hits in each run."""
    at = [(run, 10 * k) for run, n in enumerate(false) for k in range(n)]
    hit = [(run, 10 * k) for run, n in enumerate(hits) for k in range(n)]
    score = Score(N_TRUE * len(hits), sum(hits), sum(hits))
    return Tally({"left": score}, {}, sum(false), 0, 0, (), tuple(at), tuple(hit))


def decision(n: int) -> DecisionConfig:
    return DecisionConfig(enter=0.5 + n / 1000)


def pool_of(runs: list[HeldOutRun], counts: list[Tally]) -> Pool:
    return Pool(runs, [(decision(n), tally) for n, tally in enumerate(counts)])


def test_luck_with_single_people_does_not_survive():
    # Each decision spares one person by chance and fires at the others; the last one is honest.
    runs = people(4)
    lucky = [tallied([0 if k == n else 3 for k in range(4)], [10] * 4) for n in range(4)]
    honest = tallied([1, 1, 1, 1], [8] * 4)
    pool = pool_of(runs, [*lucky, honest])
    assert pool.n_parts == 4
    assert pool.best(9)[1].n_hit == 40, "taken over all, a lucky one wins"
    # Without person n, decision n has 9 false ones and the others 6, and these fire at n 3 times.
    n_false, n_hit = pool.crossed(9)
    assert (n_false, n_hit) == (12, 40)
    assert pool.crossed(4) == (4, 32)


def test_one_habit_of_one_person_is_charged_to_the_choice_that_did_not_know_it():
    runs = people(3)
    loose, strict = tallied([0, 0, 5], [10, 10, 10]), tallied([0, 0, 0], [7, 7, 7])
    pool = pool_of(runs, [loose, strict])
    assert pool.best(0)[1] == strict
    assert pool.crossed(0) == (5, 7 + 7 + 10)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 4), min_size=5, max_size=5),
                  st.lists(st.integers(0, N_TRUE), min_size=5, max_size=5)),
        min_size=1, max_size=12,
    ),
    st.sampled_from([0.5, 20.0, 90.0, 500.0]),
)  # fmt: skip
def test_the_choice_keeps_the_budget_and_nothing_allowed_finds_more(counts, per_hour):
    runs = people(5)
    null_h = sum(run.null_s for run in runs) / 3600
    pool, budget = pool_of(runs, [tallied(*c) for c in counts]), Budget(per_hour, null_h, 0.95)
    choice = choose(pool, budget)
    chosen = choice.counts
    feasible = [t for _, t in pool.tried if t.n_hit and t.n_false <= per_hour * null_h]
    assert choice.is_kept == bool(feasible)
    if choice.is_kept:
        assert chosen.n_hit > 0
        assert chosen.n_false <= per_hour * null_h
        for _, tally in pool.tried:
            assert tally.n_hit <= chosen.n_hit or tally.n_false > chosen.n_false


def test_parts_are_people_else_sessions_else_stretches_of_time():
    runs = people(11)
    assert pool_of(runs, [tallied([0] * 11, [1] * 11)]).n_parts == MAX_PARTS
    nameless = [replace(run, subject="") for run in runs[:3]]
    assert pool_of(nameless, [tallied([0] * 3, [1] * 3)]).n_parts == 3
    one_person = [replace(run, subject="ann") for run in runs[:3]]
    assert pool_of(one_person, [tallied([0] * 3, [1] * 3)]).n_parts == 3
    alone = pool_of(runs[:1], [tallied([0], [3])])
    assert alone.n_parts == MAX_PARTS
    late = Tally({}, {}, 1, 0, 0, (), ((0, int(runs[0].t_us[-1])),), ((0, 0),))
    assert pool_of(runs[:1], [late]).crossed(5) == (1, 1)


def test_of_equals_the_middle_threshold_is_taken():
    runs = people(2)
    pool = pool_of(runs, [tallied([0, 0], [9, 9])] * 5)
    assert np.isclose(pool.best(0)[0].enter, 0.502)
