"""One recipe for all sets: only the seed is passed on; a missed target is an exit code of 1."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import fields, replace

import numpy as np
import pytest

from benchmarks import report
from benchmarks.accuracy import kept, run, table
from benchmarks.accuracy.folds import Fold
from benchmarks.accuracy.protocols import PROTOCOLS, Protocol
from benchmarks.accuracy.quick import quick_folds
from benchmarks.accuracy.sets.build import trial
from streamrnn.core.types import Channel
from streamrnn.training.config import TrainConfig

OPTIONS = Namespace(data="", seeds=3, baseline_seeds=1, jobs=1, quick=False, resume=False)


class Stopped(Exception):
    """Training was asked for."""


def one_fold(_data):
    session = trial(np.zeros((30, 1)), [Channel("x")], 50.0, "a", rate_is="stated")
    return [Fold("x", [session], [session])]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_set_is_trained_alike(name, monkeypatch):
    passed = []

    def train(sessions, config, **others):
        passed.append((config, set(others)))
        raise Stopped

    protocol = replace(PROTOCOLS[name], split=one_fold, others=None)
    monkeypatch.setitem(run.PROTOCOLS, name, protocol)
    monkeypatch.setattr(run, "train", train)
    for job in run.jobs_of(protocol, OPTIONS):
        with pytest.raises(Stopped):
            run.work(job)
    default = [*(TrainConfig(seed=seed) for seed in range(3)), TrainConfig(model="mlp-window")]
    if protocol.kind == "trials":  # judged without thresholds, which is all that folds choose
        default = [replace(config, folds=0) for config in default]
    assert [config for config, _ in passed] == default
    assert all(others <= {"directory"} for _, others in passed)


def test_a_protocol_has_nothing_to_tell_training():
    assert {field.name for field in fields(Protocol)} == {
        "name", "kind", "split", "targets", "window_s", "mean_of_folds", "others",
    }  # fmt: skip


def test_folds_that_are_only_reported_are_trained_once():
    protocol = replace(PROTOCOLS["libras"], split=one_fold, others=one_fold)
    jobs = run.jobs_of(protocol, OPTIONS)
    asked = [(job.model, job.seed) for job in jobs if not job.other]
    assert asked == [("lstm", 0), ("lstm", 1), ("lstm", 2), ("mlp-window", 0)]
    assert [(job.model, job.seed) for job in jobs if job.other] == [("lstm", 0)]


def result(job):
    right = 19 if job.seed else 20
    return {
        "fold": "x", "group": "", "other": job.other, "seed": job.seed, "model": job.model,
        "train s": 1.0, "confusion": [[0, 0], [20 - right, right]], "new": [right, 20],
        "trials": list(range(20)), "accuracy": right / 20, "macro F1": right / 20,
    }  # fmt: skip


@pytest.mark.parametrize(("least", "code"), [(0.96, 0), (0.97, 1)])
def test_the_exit_code_says_whether_the_mean_of_the_seeds_reaches_the_target(
    least, code, monkeypatch, tmp_path, capsys
):
    protocol = PROTOCOLS["libras"]
    asked = replace(protocol.targets[0], least=least)
    protocol = replace(protocol, split=one_fold, targets=(asked,))
    monkeypatch.setattr(run, "work", result)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    assert run.run_set(protocol, OPTIONS) == code
    [path] = tmp_path.glob("*-accuracy-libras.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [fold["seed"] for fold in document["settings"]["folds"]] == [0, 1, 2, 0]
    assert capsys.readouterr().out.splitlines()[-1].startswith("MISSED" if code else "reached")
    [line] = table.lines_of(protocol, table.newest("libras", tmp_path))
    assert "| 0.967 |" in line
    assert ("missed" in line) == bool(code)


def test_a_run_goes_on_where_it_was_broken_off(monkeypatch, tmp_path):
    protocol = replace(PROTOCOLS["libras"], split=one_fold)
    jobs = run.jobs_of(protocol, OPTIONS)
    done = []

    def work(job):
        if len(done) == 2:
            raise Stopped
        done.append(job)
        return result(job)

    monkeypatch.setattr(run, "work", work)
    whole = [result(job) for job in jobs]
    with pytest.raises(Stopped):
        list(run._done(jobs, 1, kept.Kept("x", resume=False, folder=tmp_path)))
    monkeypatch.setattr(run, "work", result)
    again = kept.Kept("x", resume=True, folder=tmp_path)
    assert [again.get(job) is not None for job in jobs] == [True, True, False, False]
    assert list(run._done(jobs, 1, again)) == whole
    monkeypatch.setattr(kept, "code_digest", lambda: "of other code")
    assert kept.Kept("x", resume=True, folder=tmp_path).get(jobs[0]) is None
    assert kept.Kept("x", resume=False, folder=tmp_path).get(jobs[0]) is None


def test_a_set_that_was_not_run_is_not_measured():
    lines = table.lines_of(PROTOCOLS["uhh_imu_gestures"], None)
    assert len(lines) == 4
    assert all("not measured" in line for line in lines)


def test_a_small_fold_keeps_every_class():
    sessions = [
        trial(np.zeros((30_000, 1)), [Channel("x")], 50.0, label, rate_is="stated")
        for label in "abcd" * 5
    ]
    [fold] = quick_folds([Fold("x", sessions, sessions)])
    assert [s.labels[0].name for s in fold.train] == list("abcdabcd")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_does_not_matter_to_a_user_does_not_matter(data_dir, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert run.main(["invariance", "--data", str(data_dir), "--seeds", "5"]) == 0


@pytest.mark.data
def test_a_short_training_on_real_people_finds_a_stranger(data_dir, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    assert run.main(["uhh", "--data", str(data_dir), "--quick"]) == 0
    [path] = tmp_path.glob("*.json")
    [row, *_] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert row["true"] == 100
    assert row["F1 end"] >= 0.8
