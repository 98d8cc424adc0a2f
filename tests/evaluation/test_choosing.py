"""Decisions tried on held-out runs are those of the product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from choosing_make import LABELS, PERIOD_US, RATE_HZ, made, noisy, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.records import Event
from streamrnn.decision.machine import DecisionConfig, DecisionMachine
from streamrnn.evaluation.choosing.rerun import Rerun, at_temperature, counting_rows
from streamrnn.evaluation.choosing.search import Search, middle
from streamrnn.evaluation.choosing.tally import tally
from streamrnn.evaluation.choosing.temperature import fit_temperature
from streamrnn.evaluation.events import Segment
from streamrnn.evaluation.heldout import HeldOutRun

configs = st.builds(
    lambda enter, exit_share, per_class, **options: DecisionConfig(
        enter=enter, exit=enter * exit_share, per_class=per_class, **options
    ),
    enter=st.floats(0.2, 0.97),
    exit_share=st.floats(0.1, 1.0),
    min_ms=st.sampled_from([0.0, 50.0, 190.0, 400.0]),
    refractory_ms=st.sampled_from([0.0, 100.0, 600.0]),
    refractory_all_ms=st.sampled_from([0.0, 60.0]),
    require_null_between=st.booleans(),
    hold=st.sampled_from([1.0, 0.7]),
    smooth_ms=st.sampled_from([0.0, 60.0]),
    smoothing=st.sampled_from(["ema", "mean"]),
    ood=st.sampled_from([None, 1.0, 2.0]),
    fire=st.sampled_from(["end", "start", "sure"]),
    sure=st.sampled_from([0.6, 0.9]),
    deadline_ms=st.sampled_from([0.0, 300.0]),
    evidence_ms=st.sampled_from([0.0, 100.0]),
    per_class=st.sampled_from([{}, {"g1": {"enter": 0.9, "exit": 0.2, "min_ms": 120.0}}]),
)


def plainly(run: HeldOutRun, config: DecisionConfig) -> list[Event]:
    """Return the events of a machine that is shown every frame."""
    machine = DecisionMachine(config, run.labels, run.rate_hz)
    events: list[Event] = []
    cuts = [0, *run.breaks[:, 0].tolist(), len(run)]
    for n, (a, b) in enumerate(itertools.pairwise(cuts)):
        if n:
            events += machine.reset(int(run.breaks[n - 1, 1]))
        smoothed = machine.smoother.push(np.ascontiguousarray(run.probabilities[a:b]))
        rows = zip(
            smoothed.tolist(),
            run.seq[a:b].tolist(),
            run.t_us[a:b].tolist(),
            run.energy[a:b].tolist(),
            strict=True,
        )
        for p, seq, t_us, energy in rows:
            machine.decide(p, seq, t_us, events, energy)
    return events + machine.finish()


@settings(max_examples=60)
@given(config=configs, seed=st.integers(0, 5), breaks=st.lists(st.integers(1, 399), max_size=3))
def test_what_is_skipped_would_have_changed_nothing(config, seed, breaks):
    whole = noisy(400, seed, n_classes=4)
    run = run_of(
        whole.probabilities, labels=whole.labels, energy=whole.energy, breaks=sorted(set(breaks))
    )
    rerun = Rerun([run, whole], run.labels, RATE_HZ)
    for _ in range(2):  # what one decision leaves behind must not reach the next
        assert rerun.events(config) == [plainly(run, config), plainly(whole, config)]


def test_temperature_one_changes_no_bit_and_others_keep_the_order():
    p = noisy(400, 1).probabilities
    assert at_temperature(p, 1.0) is p
    for temperature in (0.5, 3.0):
        other = at_temperature(p, temperature)
        assert other.dtype == np.float32
        np.testing.assert_allclose(other.sum(axis=1), 1.0, rtol=0, atol=1e-6)
        exact = p.astype(np.float64) ** (1 / temperature)
        exact /= exact.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(other, exact, rtol=0, atol=2e-6)


def test_each_event_is_one_of_four_things():
    run = run_of(np.full((100, 3), 1 / 3), [(10, 20, "left"), (40, 50, "right")])
    us = PERIOD_US

    def found(*segments: tuple[int, int, str]) -> list[list[Segment]]:
        return [[Segment(a * us, b * us, label, b * us) for a, b, label in segments]]

    counts = tally(
        [run],
        found(
            (12, 15, "left"),  # repeat: the next one overlaps more
            (15, 22, "left"),  # hit, not strict
            (30, 40, "left"),  # false: touches, but shares nothing
            (41, 44, "left"),  # confusion
            (45, 49, "right"),  # hit
            (70, 80, "right"),  # false
        ),
    )
    assert (counts.n_hit, counts.n_true) == (2, 2)
    assert (counts.n_false, counts.n_confused, counts.n_repeated) == (2, 1, 1)
    assert counts.delays_us == (12 * us, 9 * us)
    assert sum(score.n_hit for score in counts.strict.values()) == 0
    assert counts.recall == 1.0


@given(seed=st.integers(0, 30))
def test_all_events_are_counted_once(seed):
    run = noisy(1500, seed)
    search = Search(Rerun([run], run.labels, RATE_HZ))
    config = DecisionConfig(enter=0.5, exit=0.3, min_ms=50)
    counts = search.tally(config)
    n_found = sum(score.n_found for score in counts.by_class.values())
    kinds = counts.n_hit + counts.n_false + counts.n_confused + counts.n_repeated
    assert kinds == n_found == len(search.rerun.found(config)[0])
    assert len(counts.delays_us) == counts.n_hit


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.0])
def test_the_temperature_of_the_likelihood_is_found(true_temperature):
    rng = np.random.default_rng(2)
    n = 60_000
    p = rng.dirichlet([0.6, 0.6, 0.6], n)
    p = np.maximum(p, 1e-6) / np.maximum(p, 1e-6).sum(axis=1, keepdims=True)
    # The classes come true as often as p says; the network says p sharpened or flattened.
    wins = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    said = p**true_temperature
    said /= said.sum(axis=1, keepdims=True)
    order = np.argsort(wins, kind="stable")  # runs of a class, as labels have them
    truth = [(int(a), int(b), LABELS[k]) for k in (1, 2)
             for a, b in pieces(np.flatnonzero(wins[order] == k))]  # fmt: skip
    run = run_of(said[order], truth)
    assert fit_temperature([run]) == pytest.approx(true_temperature, rel=0.1)


def pieces(rows: np.ndarray) -> list[tuple[int, int]]:
    first, behind = int(rows[0]), int(rows[-1]) + 1
    return [(a, min(a + 50, behind)) for a in range(first, behind, 50)]


def test_few_gestures_leave_the_temperature_alone():
    assert fit_temperature([made(10, peak=0.6)]) == 1.0


def test_rows_near_a_boundary_do_not_count():
    run = run_of(np.full((100, 3), 1 / 3), [(40, 60, "left")])
    rows = set(counting_rows(run).tolist())
    assert rows == set(range(35)) | set(range(50, 60)) | set(range(65, 100))


@pytest.mark.parametrize(
    ("worths", "index"),
    [
        ([0.5, 0.5, 0.5, 0.5, 0.5], 2),
        ([0.1, 0.9, 0.9, 0.9, 0.2], 2),
        ([0.90, 0.10, 0.89, 0.90, 0.89], 3),
        ([0.91, 0.10, 0.89, 0.90, 0.89], 3),
        ([0.95, 0.10, 0.89, 0.90, 0.89], 0),
        ([0.4], 0),
    ],
)
def test_a_plateau_is_preferred_to_a_peak_that_is_hardly_higher(worths, index):
    assert middle(worths, 0.02) == index


def test_runs_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="run: its classes"):
        Rerun([made(2)], ("none", "up"), RATE_HZ)
