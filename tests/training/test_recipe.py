"""The recipe as a whole: cross-validation, decision, model, and what it says of itself."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from train_make import make, make_trials

from streamrnn.evaluation.report import evaluate
from streamrnn.evaluation.tune import tune
from streamrnn.kernels.backend import get_backend
from streamrnn.kernels.params import Params
from streamrnn.training.config import TrainConfig
from streamrnn.training.fit import TrainingStopped
from streamrnn.training.recipe import train


@pytest.fixture
def plain(config) -> TrainConfig:
    """Return the tiny task's options with nobody held out."""
    return dataclasses.replace(
        config, backend="cpu", held_out_fraction=0.0, epochs=12, average=0.8, folds=2
    )


def bits(params: Params) -> bytes:
    return b"".join(array.tobytes() for array in params.arrays())


def test_cross_validation_chooses_the_decision_and_no_weight(plain):
    sessions = [make(n, subject=f"s{n}") for n in range(3)]
    examined = train(sessions, plain)
    alone = train(sessions, dataclasses.replace(plain, folds=0))
    assert bits(examined.params) == bits(alone.params)
    assert examined.decision != alone.decision


def test_a_model_says_how_it_was_examined(plain):
    sessions = [make(n, subject=f"s{n}") for n in range(3)]
    news = []
    bundle = train(sessions, plain, ["x.csv", "y.csv", "z.csv"], progress=news.append)
    assert [(n.part, n.n_parts) for n in news] == [(k, 3) for k in (1, 2, 3) for _ in range(12)]
    facts = json.loads(json.dumps(bundle.training))
    checked = facts["cross_validation"]
    assert checked["by"] == "subject"
    assert (checked["n_gestures"], checked["n_people"]) == (24, 3)
    assert sum(fold["n_gestures"] for fold in checked["folds"]) == 24
    assert sorted(name for fold in checked["folds"] for name in fold["names"]) == ["s0", "s1", "s2"]
    assert checked["mean"] > 0.9
    assert checked["summary"].startswith("24 gestures of 3 people: cross-validated, ")
    assert [s["name"] for s in facts["sessions"]] == ["x.csv", "y.csv", "z.csv"]
    assert len({s["sha256"] for s in facts["sessions"]}) == 3
    assert [point["epoch"] for point in facts["learning_curve"]] == list(range(1, 13))
    assert facts["held_out"] == []
    assert facts["n_frames"] == sum(len(s) for s in sessions), "the model is trained on everything"
    report = evaluate(bundle, [make(99)], get_backend("numpy"))
    assert report.macro_f1 > 0.9


def test_six_gestures_of_one_person_train_and_say_how_little_that_is(plain):
    bundle = train([make(0, n_gestures=6, subject="kim")], plain)
    checked = bundle.training["cross_validation"]
    low, high = checked["found_interval"]
    assert checked["by"] == "time"
    assert checked["n_gestures"] == 6
    assert checked["summary"].startswith("6 gestures of 1 person: cross-validated, ")
    assert high - low > 0.4


def test_one_example_each_trains_and_says_that_nothing_is_known(plain):
    bundle = train([make(0, n_gestures=2)], plain)
    assert bundle.training["cross_validation"]["by"] == ""
    said = bundle.training["cross_validation"]["summary"]
    assert said.startswith("not known how good")
    assert said.endswith("record every gesture at least twice")


def test_what_was_not_asked_for_is_not_blamed_on_the_recordings(plain):
    bundle = train([make(0), make(1)], dataclasses.replace(plain, folds=0))
    said = bundle.training["cross_validation"]["summary"]
    assert said.startswith("not known how good")
    assert "record" not in said


def test_trials_train_a_recogniser_of_streams(plain):
    options = dataclasses.replace(plain, labels="auto", min_updates=60, folds=0)
    bundle = train(make_trials(0, 24), options)
    assert bundle.training["labels"] == "rows"
    assert bundle.training["n_updates"] >= 60
    report = evaluate(bundle, [make(99)], get_backend("numpy"))
    assert report.total.recall > 0.7


def test_who_is_held_out_is_watched_and_decides_in_place_of_folds(plain):
    sessions = [make(n, subject=f"s{n}") for n in range(3)]
    news = []
    bundle = train(sessions, dataclasses.replace(plain, held_out=("s1",)), progress=news.append)
    assert {(n.part, n.n_parts) for n in news} == {(1, 1)}
    assert all(n.news.held_out_f1 is not None for n in news)
    checked = bundle.training["cross_validation"]
    assert checked["by"] == "held out"
    assert [fold["names"] for fold in checked["folds"]] == [["s1"]]
    assert bundle.training["n_frames"] == len(sessions[0]) + len(sessions[2])
    assert [entry["subject"] for entry in bundle.training["sessions"]] == ["s0", "s2"]


def test_a_part_is_never_judged_by_a_decision_that_it_chose_itself(plain, monkeypatch):
    chosen = []

    def tuned(runs, *args, **options):
        chosen.append({run.name for run in runs})
        return tune(runs, *args, **options)

    monkeypatch.setattr("streamrnn.training.recipe.tune", tuned)
    sessions = [make(n, subject=f"s{n}") for n in range(3)]
    names = ["x.csv", "y.csv", "z.csv"]
    train(sessions, dataclasses.replace(plain, folds=3, epochs=1), names)
    everything, *others = chosen
    assert everything == set(names)
    assert sorted(map(sorted, others)) == [names[:2], [names[0], names[2]], names[1:]]


def test_a_decision_of_the_user_stays(plain):
    options = dataclasses.replace(plain, decision={"min_ms": 123.0, "enter": 0.7})
    bundle = train([make(n) for n in range(3)], options)
    assert (bundle.decision.min_ms, bundle.decision.enter) == (123.0, 0.7)


@pytest.mark.parametrize("n_before", [0, 5, 14, 24])
def test_a_stopped_recipe_goes_on_to_the_same_model(plain, tmp_path, n_before):
    plain = dataclasses.replace(plain, epochs=3)
    sessions = [make(n) for n in range(3)]
    whole = train(sessions, plain)
    asked = iter(range(10_000))
    with pytest.raises(TrainingStopped, match=r"stopped in epoch \d of 3"):
        train(sessions, plain, directory=tmp_path, should_stop=lambda: next(asked) >= n_before)
    resumed = train(sessions, plain, directory=tmp_path, resume=True)
    assert bits(resumed.params) == bits(whole.params)
    assert resumed.decision == whole.decision
    assert json.dumps(resumed.training) == json.dumps(whole.training)


def test_a_new_run_does_not_take_what_an_old_one_left(plain, tmp_path):
    plain = dataclasses.replace(plain, epochs=1)
    train([make(n) for n in range(3)], plain, directory=tmp_path)
    news = []
    train([make(n) for n in range(3)], plain, directory=tmp_path, progress=news.append)
    assert [n.part for n in news] == [1, 2, 3]


def test_no_folds_is_quick_and_honest(plain):
    news = []
    bundle = train([make(0), make(1)], dataclasses.replace(plain, folds=0), progress=news.append)
    assert {(n.part, n.n_parts) for n in news} == {(1, 1)}
    assert "not known" in bundle.training["cross_validation"]["summary"]
    assert np.isfinite(bits(bundle.params)[0])
