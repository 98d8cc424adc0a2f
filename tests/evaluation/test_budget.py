"""A choice for a budget is counted on people who had no part in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from choosing_make import LABELS, RATE_HZ, made
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.budget import (
    THRESHOLDS,
    Budget,
    Explored,
    choose,
    stricter,
    with_threshold,
)
from streamrnn.evaluation.choosing.ledger import MAX_PARTS, Ledger
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.choosing.search import Search
from streamrnn.evaluation.heldout import HeldOutRun

START = DecisionConfig()


def ledger_of(runs: list[HeldOutRun]) -> Ledger:
    return Ledger(Search(Rerun(runs, LABELS, RATE_HZ)))


def people(n: int, fakes: dict[int, list[float]] | None = None, **options) -> list[HeldOutRun]:
    """Return one run a person; some have false bumps."""
    return [
        replace(made(8, fakes=(fakes or {}).get(k, []), seed=k, **options), subject=f"p{k}")
        for k in range(n)
    ]


def budget_of(runs: list[HeldOutRun], per_hour: float) -> Budget:
    return Budget(per_hour, sum(run.null_s for run in runs) / 3600, 0.95)


@settings(max_examples=15)
@given(
    enter=st.sampled_from(THRESHOLDS), exit_=st.floats(0.1, 0.6), min_ms=st.sampled_from([20, 200])
)
def test_the_parts_add_up_to_the_whole(enter, exit_, min_ms):
    runs = people(7, {1: [0.9] * 3, 4: [0.97]})
    ledger = ledger_of(runs)
    config = DecisionConfig(enter=enter, exit=min(exit_, enter), min_ms=min_ms)
    whole = ledger.search.tally(config)
    counts = [ledger.counts(config, ~ledger.without(k)) for k in range(ledger.n_parts)]
    total = tuple(np.sum(counts, axis=0).tolist())
    assert total == (whole.n_false, whole.n_hit, whole.n_confused + whole.n_repeated)
    assert ledger.counts(config, ledger.everything) == total
    shares = [ledger.share(~ledger.without(k)) for k in range(ledger.n_parts)]
    assert sum(shares) == pytest.approx(1.0)


def test_parts_are_people_else_sessions_else_stretches_of_time():
    runs = people(9)
    assert ledger_of(runs).n_parts == MAX_PARTS
    assert ledger_of([replace(run, subject="") for run in runs[:3]]).n_parts == 3
    assert ledger_of([replace(run, subject="ann") for run in runs[:3]]).n_parts == 3
    assert ledger_of(runs[:1]).n_parts == MAX_PARTS


def silence_of_one(subject: str = "p9") -> list[HeldOutRun]:
    """Return gestures of two people, some less clear, and a long recording of none by one more."""
    runs = [replace(made(10, peak=peak), subject=f"p{peak}") for peak in (0.95, 0.999)]
    return [*runs, replace(made(0, fakes=[0.8] * 20, null_frames=20_000), subject=subject)]


def test_where_one_part_has_nearly_all_silence_the_parts_are_stretches_of_time():
    assert not ledger_of(people(3)).is_by_time
    for subject in ("p9", "p0.95", ""):
        ledger = ledger_of(silence_of_one(subject))
        assert ledger.is_by_time
        counts = [ledger.counts(START, ~ledger.without(k)) for k in range(ledger.n_parts)]
        assert tuple(np.sum(counts, axis=0)) == ledger.counts(START, ledger.everything)


def test_a_long_recording_of_one_person_without_gestures_costs_no_gesture():
    # What the others would choose without it says nothing of it: they hardly know silence.
    runs = silence_of_one()
    ledger = ledger_of(runs)
    choice = choose(ledger, START, budget_of(runs, 60.0))
    assert choice.is_kept
    assert ledger.counts(choice.decision, ledger.everything)[:2] == (0, 20)


def test_a_habit_of_one_person_is_charged_to_the_choice_that_did_not_know_it():
    # One person makes bumps that the others' recordings give no reason to keep out.
    runs = people(4, {2: [0.9] * 6}, peak=0.97)
    choice = choose(ledger_of(runs), START, budget_of(runs, 60.0))
    assert choice.is_kept
    ledger = ledger_of(runs)
    assert ledger.counts(choice.decision, ledger.everything)[0] == 0, "known, they are kept out"
    others = Explored(ledger, START, budget_of(runs, 60.0), ledger.without(2))
    unknown = others.best(0, 0)
    assert ledger.counts(unknown, others.mask)[0] == 0
    assert ledger.counts(unknown, ~others.mask)[0] == 6


def test_where_nothing_can_be_shown_no_gesture_is_paid_for_it():
    # Minutes show nothing, however strict: left out, the bump of one person costs one each time.
    clear, weak = (replace(made(6, peak=peak), subject="ann") for peak in (0.9999, 0.97))
    runs = [clear, weak, replace(made(6, peak=0.97, fakes=[0.96]), subject="ben")]
    ledger = ledger_of(runs)
    choice = choose(ledger, START, budget_of(runs, 0.5))
    assert choice.is_kept
    assert not choice.is_shown
    assert ledger.counts(choice.decision, ledger.everything)[:2] == (0, 18)


def test_what_is_explored_on_some_people_owes_nothing_to_the_others():
    quiet, loud = people(4), people(4, {3: [0.9, 0.99, 0.95] * 3})
    budgets = budget_of(quiet, 60.0)
    seen = []
    for runs in (quiet, loud):
        ledger = ledger_of(runs)
        mask = ledger.without(3)
        seen.append([repr(config) for config in Explored(ledger, START, budgets, mask).tried])
    assert seen[0] == seen[1]


def test_ways_go_from_the_strictest_to_the_loosest():
    ways = Budget(0.5, 20.0, 0.95).ways
    assert ways[0][0] == 0 < ways[0][1]
    assert ways == sorted(ways, key=lambda way: (way[0], -way[1]))
    assert ways[-1] == (10, 0)
    assert len(Budget(500.0, 20.0, 0.95).ways) < 40


@given(st.integers(0, 8), st.sampled_from(THRESHOLDS))
def test_stricter_raises_every_threshold_and_none_above_the_last(n_steps, enter):
    config = with_threshold(replace(START, per_class={"left": {"enter": THRESHOLDS[9]}}), enter)
    raised = stricter(config, n_steps)
    last = len(THRESHOLDS) - 1
    assert THRESHOLDS.index(raised.enter) == min(THRESHOLDS.index(enter) + n_steps, last)
    assert THRESHOLDS.index(raised.per_class["left"]["enter"]) == 9 + n_steps
    assert raised.exit == config.exit, "each run ends where it ended"
    assert stricter(config, 0).enter == enter


@settings(max_examples=4)
@given(st.lists(st.lists(st.sampled_from([0.7, 0.9, 0.96]), max_size=3), min_size=4, max_size=4),
       st.sampled_from([0.5, 30.0, 300.0]))  # fmt: skip
def test_the_choice_keeps_the_budget_wherever_it_says_so(fakes, per_hour):
    runs = people(4, dict(enumerate(fakes)), peak=0.95)
    ledger, budget = ledger_of(runs), budget_of(runs, per_hour)
    choice = choose(ledger, START, budget)
    n_false, n_hit, _ = ledger.counts(choice.decision, ledger.everything)
    if choice.is_kept:
        assert n_hit > 0
        assert n_false <= per_hour * budget.null_h
    assert not choice.is_shown or budget.is_shown_by(choice.n_false)
    assert not choice.is_shown or choice.is_kept
