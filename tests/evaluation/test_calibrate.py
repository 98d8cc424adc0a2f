"""Laws of a calibration to a budget of false activations."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, replace

import pytest
from choosing_make import RATE_HZ, made, noisy, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.decision.calibration import Calibration, Point
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.calibrate import calibrate, front
from streamrnn.evaluation.choosing.budget import THRESHOLDS
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.choosing.search import Search
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.evaluation.metrics.rates import hours_needed, poisson_upper

START = DecisionConfig()
HOUR = int(3600 * RATE_HZ)


def counted(run: HeldOutRun, config: DecisionConfig):
    return Search(Rerun([run], run.labels, RATE_HZ)).tally(config)


def half_weak(run: HeldOutRun) -> HeldOutRun:
    """Return a run in which every answer to "right" is weak."""
    p = run.probabilities.copy()
    weak = p[:, 2] > 0.5
    p[weak, 2], p[weak, 0] = 0.8, 0.2 - p[weak, 1]
    return replace(run, probabilities=p)


def test_exact_poisson_hours():
    assert hours_needed(0.5) == pytest.approx(5.9915, abs=1e-4)
    assert poisson_upper(0) == pytest.approx(2.9957, abs=1e-4)


def test_too_little_data_show_nothing_and_the_claim_says_what_would():
    result = calibrate([made(20, null_frames=int(0.31 * HOUR) - 735)], START, 0.5)
    assert result.decision is not None
    calibration = result.calibration
    assert not calibration.is_shown
    assert calibration.chosen.recall == 1.0
    assert calibration.claim == (
        "not shown: 0 false activations in 0.31 h of null data: the 95 % upper bound is 9.66 an "
        "hour; a claim of 0.5 an hour needs at least 6.0 event-free hours without a false "
        "activation"
    )


def test_enough_hours_show_the_budget_unless_the_rate_is_a_guess():
    run = made(20, null_frames=int(0.6 * HOUR))
    shown = calibrate([run], START, 5.0).calibration
    assert shown.is_shown
    assert shown.claim.startswith("shown: 0 false activations in 0.60 h")
    guessed = calibrate([run], START, 5.0, is_nominal=True).calibration
    assert not guessed.is_shown
    assert "the recordings' rate is a guess" in guessed.claim


def test_bumps_are_kept_out_by_a_threshold_and_the_price_is_said():
    # Half of the gestures are weaker than the bumps: a budget that allows none of these loses them.
    run = made(40, peak=0.99, fakes=[0.9] * 20)
    result = calibrate([half_weak(run)], START, 0.5)
    chosen = result.calibration.chosen
    assert (chosen.n_false, chosen.n_hit) == (0, 40), "a class may have a threshold of its own"
    assert set(result.decision.per_class) == {"right"}
    result = calibrate([half_weak(made(18, peak=0.99, fakes=[0.95] * 20))], START, 0.5)
    chosen, free = result.calibration.chosen, result.calibration.without_budget
    assert (chosen.n_false, chosen.n_hit) == (0, 9)
    assert free.n_hit == 18
    assert free.n_false == 20
    assert result.notes[0].startswith("the budget costs 9 of 18 gestures: recall 0.500 within it")


def test_no_decision_is_better_than_one_that_breaks_the_budget():
    # Bumps that cannot be told from gestures, whatever the threshold and the length.
    run = made(12, peak=0.999, fakes=[0.9999] * 12, n_fake=26)
    result = calibrate([run], START, 0.5)
    assert result.decision is None
    assert result.calibration.chosen.n_false > 0
    assert not result.calibration.is_shown


def test_a_looser_budget_buys_recall():
    run = half_weak(made(18, peak=0.99, fakes=[0.95] * 3, null_frames=HOUR))
    strict, loose = (calibrate([run], START, budget).calibration for budget in (0.5, 20.0))
    assert strict.chosen.recall <= 0.5 < loose.chosen.recall == 1.0
    assert loose.is_shown
    assert loose.chosen.upper_per_hour <= 20.0


@settings(max_examples=3)
@given(seed=st.integers(0, 1000), budget=st.sampled_from([5.0, 60.0, 400.0]))
def test_the_chosen_point_keeps_the_budget_and_is_what_the_decision_does(seed, budget):
    run = noisy(1200, seed)
    result = calibrate([run], START, budget)
    calibration = result.calibration
    chosen = calibration.chosen
    null_h = run.null_s / 3600
    if result.decision is None:
        assert chosen.n_false > budget * null_h or chosen.n_hit == 0
        return
    assert chosen.n_false <= budget * null_h
    checked = max(chosen.n_false, calibration.checked.n_false)
    assert calibration.is_shown == (poisson_upper(checked) / null_h <= budget)
    counts = counted(run, result.decision)
    assert (counts.n_false, counts.n_hit) == (chosen.n_false, chosen.n_hit)
    assert (counts.n_confused, counts.n_repeated) == (chosen.n_confused, chosen.n_repeated)
    curve = calibration.curve
    assert all(a.n_false > b.n_false and a.n_hit > b.n_hit for a, b in itertools.pairwise(curve))
    assert curve[0].n_hit == calibration.without_budget.n_hit
    assert calibrate([run], START, budget) == result


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(THRESHOLDS)), max_size=30
    )
)
def test_the_curve_is_what_nothing_beats(values):
    points = [Point(t, f, float(f), float(f + 3), h, h / 9, 1 - h / 9, 0, 0) for f, h, t in values]
    kept = front(points)
    for point in points:
        assert any(k.n_false <= point.n_false and k.n_hit >= point.n_hit for k in kept)
    for a, b in itertools.pairwise(kept):
        assert a.n_false > b.n_false
        assert a.miss_rate < b.miss_rate


def test_what_a_calibration_cannot_do_without_is_asked_for():
    with pytest.raises(SessionError, match="no gesture that the model knows"):
        calibrate([made(0, null_frames=1000)], START, 0.5)
    everything = run_of(made(2).probabilities[:50], [(0, 50, "left")])
    with pytest.raises(SessionError, match="no time without a gesture"):
        calibrate([everything], START, 0.5)


def test_a_calibration_survives_a_file_and_damage_is_refused():
    calibration = calibrate([made(20)], START, 0.5, digests=("ab" * 32,)).calibration
    document = json.loads(json.dumps(calibration.to_document()))
    assert Calibration.from_document(document) == calibration
    for change, message in (
        ({"is_shown": True}, "a budget that its upper bound does not keep"),
        ({"max_false_per_hour": 0.0}, "above 0"),
        ({"curve": document["curve"] * 300}, "points"),
        ({"extra": 1}, "unknown option 'extra'"),
        ({"data": {**document["data"], "null_h": -1.0}}, "below 0"),
        ({"chosen": {**document["chosen"], "recall": 1.5}}, "not within 0..1"),
        ({"chosen": []}, "must be a table"),
    ):
        with pytest.raises(ConfigError, match=message):
            Calibration.from_document({**document, **change})


def test_the_chosen_decision_is_one_that_a_model_can_keep():
    decision = calibrate(
        [made(40)], replace(START, per_class={"left": {"sure": 0.7}}), 0.5
    ).decision
    assert decision.per_class == {"left": {"sure": 0.7}}
    assert from_mapping(DecisionConfig, json.loads(json.dumps(asdict(decision))), "x") == decision
