"""Targets, checks, options and the table of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks import bound, contest, environment, ours, table
from benchmarks.contest import BEST, Outcome, Target
from benchmarks.shapes import STEPS, TRAINING, Task, chosen

STEP = STEPS[1]


def outcome(**seconds):
    names = {"own": ours.NAME, "limit": bound.NAME, "quick": "LiteRT", "slow": "NumPy"}
    return Outcome(STEP, {names[key]: [value] * 5 for key, value in seconds.items()})


def test_a_peer_must_take_so_many_times_our_time():
    held = outcome(own=1.0, limit=1.0, quick=3.0)
    assert held.judge(Target(3.0, "LiteRT")) == ("step 6->64: >= 3 x LiteRT: 3 (3 to 3)", True)
    _, met = held.judge(Target(3.1, "LiteRT"))
    assert not met


def test_the_best_peer_is_the_quickest_one_of_those_named():
    held = outcome(own=1.0, limit=1.0, quick=2.0, slow=9.0)
    assert held.judge(Target(3.0, BEST))[1] is False
    assert held.judge(Target(3.0, BEST, among=("NumPy", "torch nn.LSTM")))[1] is True


def test_the_bound_is_a_factor_or_a_share():
    held = outcome(own=1.25, limit=1.0)
    assert held.judge(Target(1.2, bound.NAME))[1] is False
    assert held.judge(Target(1.3, bound.NAME))[1] is True
    assert held.judge(Target(0.8, bound.NAME, share=True))[1] is True
    assert held.judge(Target(0.9, bound.NAME, share=True))[1] is False


def test_a_target_against_a_peer_that_was_not_measured_is_not_judged():
    held = outcome(own=1.0, limit=1.0)
    assert held.judge(Target(3.0, "LiteRT")) is None
    assert held.judge(Target(3.0, BEST)) is None
    assert contest.judged([held], [Target(3.0, BEST), Target(1.1, bound.NAME, ("6->64",))]) == {
        "step 6->64: <= 1.1 x the bound: 1 (1 to 1)": True
    }


def test_a_target_holds_for_its_shapes_and_kind():
    assert Target(1, BEST, ("6->64",), "step").applies(STEP)
    assert not Target(1, BEST, ("6->32",)).applies(STEP)
    assert not Target(1, BEST, kind="chunk").applies(STEP)


def test_what_computes_something_else_is_not_timed():
    contest.check(STEP, "LiteRT", [9e-6], [])
    with pytest.raises(SystemExit, match="LiteRT"):
        contest.check(STEP, "LiteRT", [2e-5], [])
    with pytest.raises(SystemExit, match="LiteRT"):
        contest.check(STEP, "LiteRT", [float("nan")], [])
    losses = [1.8, 1.7, 1.6]
    contest.check(TRAINING[0], "JAX", [1.8, 1.7, 1.6001], losses)
    with pytest.raises(SystemExit, match="JAX"):
        contest.check(TRAINING[0], "JAX", [1.8, 1.7, 1.61], losses)
    with pytest.raises(SystemExit, match="JAX"):
        contest.check(TRAINING[0], "JAX", [1.8, 1.8, 1.8], [1.8, 1.8, 1.8])


def test_a_shape_that_does_not_exist_is_said():
    assert chosen(STEPS, []) == list(STEPS)
    assert chosen(STEPS, ["6->64"]) == [STEP]
    with pytest.raises(SystemExit, match="6->65"):
        chosen(STEPS, ["6->65"])


def test_work_is_counted_as_matrix_products():
    assert Task("streams", 6, 64).flops == 2 * (4 * 64 * 70 + 6 * 64)
    forward, back = 9 + 128, 9 + 128 + 128
    assert TRAINING[1].flops == 64 * 128 * 2 * 4 * 128 * (forward + back)


def test_threads_are_read_before_anything_is_imported():
    assert environment.n_threads_of(["step", "--threads", "2"]) == 2
    assert environment.n_threads_of(["step", "--threads=2", "--quick"]) == 2
    assert environment.n_threads_of(["step", "--quick"]) == 1
    assert environment.settings(2)["OMP_NUM_THREADS"] == "2"


def test_an_absent_peer_is_named(monkeypatch):
    monkeypatch.delenv("RTNEURAL_DIR", raising=False)
    peers, notes = contest.installed(["step"])
    assert "RTNeural: not measured, RTNEURAL_DIR is not set" in notes
    assert "RTNeural" not in {peer.name for peer in peers}


def test_the_table_has_a_line_for_each_job_and_names_what_was_missed():
    held = outcome(own=1e-6, limit=0.5e-6, quick=3e-6)
    document = {
        "benchmark": "step",
        "date": "2026-01-01",
        "machine": {
            "processor": "P", "n_cores": 2, "system": "Linux", "python": "3.11",
            "versions": {"numpy": "2.4"},
        },
        "settings": {"n_threads": 1, "peers": {"ai-edge-litert": "2"}},
        "rows": held.rows(1e-6),
        "targets": {"one": True, "another: 0.5": False},
    }  # fmt: skip
    text = table.render([document])
    assert "| step 6->64 | 1 us a frame | 2.00 | LiteRT 3x |" in text
    assert "- another: 0.5" in text
    assert "- one" not in text
    assert "ai-edge-litert 2" in text
