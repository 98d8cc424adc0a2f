"""What tuning chooses where the right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from choosing_make import LABELS, LENGTH, PERIOD_US, RATE_HZ, made, noisy, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.choosing.search import Search
from streamrnn.evaluation.tune import Tuned, smallest_sure, tune

START = DecisionConfig()


def tuned(*runs, start: DecisionConfig = START, **options) -> Tuned:
    return tune(runs, runs[0].labels, RATE_HZ, start, **options)


def test_thresholds_go_between_gestures_and_bumps_that_are_as_long():
    run = made(40, peak=0.9, fakes=[0.65] * 20, n_fake=20)
    before = Search(Rerun([run], LABELS, RATE_HZ)).tally(START)
    result = tuned(run, fixed=("temperature",))
    assert before.f1 < 0.9
    assert (result.f1, result.n_gestures) == (1.0, 40)
    assert 0.65 < result.config.enter < 0.9
    assert result.config.temperature == 1.0


def test_a_shortest_event_goes_between_gestures_and_bumps_that_are_as_strong():
    run = made(40, peak=0.95, fakes=[0.95] * 20, n_fake=8)
    result = tuned(run)
    assert result.f1 == 1.0
    assert 8 * 20 < result.config.min_ms <= 20 * 20


def test_where_nothing_is_at_stake_the_middle_is_taken_and_nothing_is_slowed():
    result = tuned(made(40, peak=0.99))
    assert result.f1 == 1.0
    assert 0.4 <= result.config.enter <= 0.8
    assert result.config.refractory_ms == 0.0
    assert result.config.smooth_ms == 0.0
    assert result.config.per_class == {}


def test_a_class_gets_its_own_threshold_where_that_avoids_many_errors():
    # Bumps of "left" as strong as the weak answers to "right": no common threshold serves both.
    strong = made(80, peak=0.97, fakes=[0.75] * 30, n_fake=20)
    p = strong.probabilities.copy()
    rows = np.flatnonzero(p[:, 2] > 0.5)
    p[rows, 2], p[rows, 0] = 0.7, 0.3 - p[rows, 1]
    run = replace(strong, probabilities=p)
    result = tuned(run, fixed=("temperature",))
    assert result.f1 == 1.0
    assert list(result.config.per_class) in (["left"], ["right"])
    rule = {name: result.config.rule(name) for name in LABELS[1:]}
    assert rule["right"].enter < 0.7 < 0.75 < rule["left"].enter
    few = made(30, peak=0.97, fakes=[0.75] * 30, n_fake=20)
    assert tuned(few, fixed=("temperature",)).config.per_class == {}


@pytest.mark.parametrize("n", [40, 60])
def test_strange_is_what_gestures_are_not_and_costs_none(n):
    run = made(n)
    rng = np.random.default_rng(1)
    energy = rng.normal(8.0, 1.0, len(run))
    energy[run.y == 0] -= 6.0
    config = tuned(replace(run, energy=energy.astype(np.float32))).config
    if n < 50:
        assert config.ood is None
    else:
        assert config.ood is not None
        inside = [energy[(run.t_us >= s.start) & (run.t_us < s.end)].min() for s in run.truth]
        assert config.ood < min(inside)
        assert config.ood > min(inside) - 3.0
    assert tuned(run).config.ood is None, "without energies nothing can be strange"


def test_options_that_the_user_chose_stay():
    start = DecisionConfig(enter=0.91, exit=0.11, min_ms=33.0, refractory_ms=7.0, ood=-50.0,
                           sure=0.77, deadline_ms=500.0, temperature=1.3, fire="start",
                           per_class={"left": {"enter": 0.95}})  # fmt: skip
    fixed = ("enter", "exit", "min_ms", "refractory_ms", "smooth_ms", "ood", "sure", "deadline_ms",
             "temperature", "per_class")  # fmt: skip
    assert tuned(noisy(3000, 2), start=replace(start, per_class={}), fixed=fixed).config == replace(
        start, per_class={}
    )
    assert tuned(made(40), start=start).config.fire == "start"
    odd = replace(START, per_class={"left": {"enter": 0.41}, "right": {"exit": 0.2}})
    own = tuned(noisy_left_right(), start=odd, fixed=("per_class",)).config.per_class
    assert own["left"]["enter"] == 0.41
    assert own["right"]["exit"] <= 0.2


def noisy_left_right():
    run = noisy(1500, 4)
    truth = [(s.start // PERIOD_US, s.end // PERIOD_US, {"g1": "left", "g2": "right"}[s.label])
             for s in run.truth]  # fmt: skip
    return run_of(run.probabilities, truth)


def test_few_gestures_choose_nothing_and_that_is_said():
    result = tuned(made(8))
    assert result.config == START
    assert result.n_gestures == 8
    assert "8 gestures are too few" in result.notes[0]


@settings(max_examples=3)
@given(seed=st.integers(0, 100))
def test_tuning_repeats_itself_and_is_worth_more_than_the_start(seed):
    runs = [noisy(1000, seed), noisy(1000, seed + 1000)]
    result = tuned(*runs)
    assert tuned(*runs) == result
    search = Search(Rerun(runs, runs[0].labels, RATE_HZ))
    config = replace(START, temperature=result.config.temperature)
    assert search.worth(result.config) > search.worth(config) - 4 * search.one
    assert search.tally(result.config).f1 == result.f1


@pytest.mark.parametrize(
    ("sweep", "value"),
    [
        ([(0.9, 50, 50), (0.8, 60, 58), (0.7, 70, 60)], 0.8),
        ([(0.9, 50, 40), (0.8, 60, 60)], 1.0),
        ([(0.9, 2, 0), (0.8, 60, 60)], 0.8),
        ([(0.9, 2, 0), (0.8, 3, 3)], 1.0),
        ([], 1.0),
    ],
)
def test_sure_is_the_smallest_value_from_which_on_early_decisions_are_right(sweep, value):
    assert smallest_sure(sweep, 0.95) == value


def test_early_decisions_are_trusted_where_the_beginning_tells_the_class():
    def answered(n_doubt: int, doubt: float):
        """Return gestures whose first answered frames favour the wrong class a little."""
        run = made(60, peak=0.97)
        p = run.probabilities.copy()
        for segment in run.truth:
            first = segment.start // PERIOD_US + 2
            right = LABELS.index(segment.label)
            p[first : first + n_doubt, right], p[first : first + n_doubt, 3 - right] = 0.02, doubt
            p[first + n_doubt : first + LENGTH, right] = 0.97
            p[first + n_doubt : first + LENGTH, 3 - right] = 0.01
        p[:, 0] = 1.0 - p[:, 1:].sum(axis=1)
        return run_of(p, [(s.start // PERIOD_US, s.end // PERIOD_US, s.label) for s in run.truth])

    fixed = ("temperature", "min_ms")
    start = replace(START, min_ms=60.0)
    assert tuned(answered(0, 0.0), start=start, fixed=fixed).config.sure <= 0.7
    assert tuned(answered(8, 0.9), start=start, fixed=fixed).config.sure > 0.85
