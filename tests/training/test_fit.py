"""Laws of a training run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.errors import TrainingError
from streamrnn.evaluation.report import evaluate
from streamrnn.kernels.backend import get_backend
from streamrnn.kernels.params import Params
from streamrnn.training.checkpoint import FILE_NAME, load_checkpoint
from streamrnn.training.config import EPOCHS_TIMES, TrainConfig
from streamrnn.training.fit import (
    AVERAGE_EVERY,
    TrainingStopped,
    dropout_mask,
    fit,
    learning_curve,
)

FORMS = [{"streams": "segments"}, {"streams": "sessions"}, {"labels": "trial", "epochs": 12}]


def bits(params: Params) -> bytes:
    return b"".join(array.tobytes() for array in params.arrays())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_learns_the_tiny_task_and_repeats_bit_for_bit(sessions, config, form):
    config = dataclasses.replace(config, **form)
    news = []
    bundle = fit(sessions, config, progress=news.append)
    assert [n.epoch for n in news] == list(range(1, config.epochs + 1))
    assert news[-1].loss < 0.5 * news[0].loss
    assert max(n.held_out_f1 for n in news) == 1.0
    assert news[-1].seconds_left == 0.0
    assert bundle.training["held_out_event_f1"] == 1.0
    assert bits(fit(sessions, config).params) == bits(bundle.params)


def test_an_unseen_session_is_recognised(sessions, make_session, config):
    bundle = fit(sessions, config)
    report = evaluate(bundle, [make_session(99)], get_backend("numpy"))
    assert report.macro_f1 == 1.0


def test_another_seed_gives_other_weights(sessions, config):
    short = dataclasses.replace(config, epochs=1, held_out=("s0",))
    other = dataclasses.replace(short, seed=1)
    assert bits(fit(sessions, short).params) != bits(fit(sessions, other).params)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_before", [0, 1, 7])
def test_a_resumed_run_ends_in_the_same_weights(sessions, config, tmp_path, form, n_before):
    config = dataclasses.replace(config, **{**form, "epochs": 4})
    whole = fit(sessions, config)
    asked = iter(range(10_000))
    with pytest.raises(
        TrainingStopped, match=r"stopped in epoch \d of 4; \d are saved in /.*test_"
    ):
        fit(
            sessions,
            config,
            checkpoint_dir=tmp_path,
            should_stop=lambda: next(asked) >= n_before,
        )
    resumed = fit(sessions, config, checkpoint_dir=tmp_path, resume=True)
    assert bits(resumed.params) == bits(whole.params)
    assert resumed.training == whole.training
    again = fit(sessions, config, checkpoint_dir=tmp_path, resume=True)
    assert bits(again.params) == bits(whole.params), "a finished run resumes to its end"


def test_without_a_folder_a_stop_says_that_nothing_is_saved(sessions, config):
    with pytest.raises(TrainingStopped, match="nothing was saved"):
        fit(sessions, config, should_stop=lambda: True)


def test_divergence_is_one_line_and_keeps_the_last_good_checkpoint(sessions, config, tmp_path):
    wild = dataclasses.replace(config, learning_rate=1e5)
    with pytest.raises(TrainingError, match=r"diverged in epoch \d+: .*try a learning_rate") as e:
        fit(sessions, wild, checkpoint_dir=tmp_path)
    assert str(tmp_path) in str(e.value)
    assert "\n" not in str(e.value)
    saved = load_checkpoint(tmp_path)
    assert f"checkpoint of epoch {saved.epoch} " in str(e.value)
    assert all(np.isfinite(array).all() for array in saved.params.arrays())
    with pytest.raises(TrainingError, match="nothing was saved"):
        fit(sessions, wild)


def test_a_loss_that_is_no_number_stops_the_run(sessions, config, monkeypatch):
    backend = get_backend("numpy")
    result = type(backend).train_step

    def broken(self, *args):
        return dataclasses.replace(result(self, *args), grad_norm=float("nan"))

    monkeypatch.setattr(type(backend), "train_step", broken)
    with pytest.raises(TrainingError, match="no longer a finite number"):
        fit(sessions, config)


def test_patience_stops_early_and_the_best_epoch_is_kept(sessions, config):
    news = []
    hopeless = dataclasses.replace(config, learning_rate=0.0, epochs=20, patience=3)
    bundle = fit(sessions, hopeless, progress=news.append)
    assert len(news) == 4
    assert bundle.training["epoch"] == 1


def test_nothing_held_out_keeps_the_last_epoch(sessions, config):
    news = []
    config = dataclasses.replace(config, held_out_fraction=0.0, epochs=2)
    bundle = fit(sessions, config, progress=news.append)
    assert [n.held_out_f1 for n in news] == [None, None]
    assert bundle.training["epoch"] == 2
    assert "held_out_event_f1" not in bundle.training


def test_the_bundle_says_where_it_came_from(sessions, config):
    config = dataclasses.replace(
        config, epochs=1, held_out=("s2",), decision={"fire": "start", "min_ms": 60.0}
    )
    bundle = fit(sessions, config)
    assert bundle.labels == ("none", "a", "b")
    assert (bundle.decision.fire, bundle.decision.min_ms) == ("start", 60.0)
    facts = json.loads(json.dumps(bundle.training))
    assert facts["held_out"] == ["s2"]
    assert TrainConfig.from_document(facts["config"], "model") == config
    assert sum(facts["frames_of"].values()) == facts["n_frames"]


def test_a_checkpoint_of_another_run_is_refused(sessions, config, tmp_path):
    config = dataclasses.replace(config, epochs=1)
    fit(sessions, config, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingError, match="other options"):
        fit(sessions, dataclasses.replace(config, seed=9), checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(TrainingError, match="other sessions"):
        fit(sessions[1:], config, checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(TrainingError, match="no checkpoint in"):
        fit(sessions, config, checkpoint_dir=tmp_path / "no", resume=True)
    with pytest.raises(TrainingError, match="nothing to resume from"):
        fit(sessions, config, resume=True)


def test_any_damage_to_a_checkpoint_is_noticed_or_harmless(sessions, config, tmp_path):
    fit(sessions, dataclasses.replace(config, epochs=1), checkpoint_dir=tmp_path)
    path = tmp_path / FILE_NAME
    good = path.read_bytes()

    @settings(max_examples=60)
    @given(st.integers(0, len(good) - 1), st.integers(1, 255), st.booleans())
    def spoil(at, flip, cut):
        damaged = bytearray(good)
        damaged[at] ^= flip
        path.write_bytes(good[:at] if cut else damaged)
        try:
            load_checkpoint(tmp_path)
        except TrainingError:
            return
        assert not cut, "a cut file is never taken"

    spoil()


def test_a_folder_that_cannot_be_written_is_one_line(sessions, config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot write the checkpoint"):
        fit(sessions, config, checkpoint_dir=tmp_path / "file")


def test_dropout_keeps_the_mean():
    mask = dropout_mask(np.random.default_rng(0), 200, 50, 0.3)
    assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.7)}
    assert mask.mean() == pytest.approx(1.0, abs=0.02)
    assert dropout_mask(np.random.default_rng(0), 2, 2, 0.0) is None


def test_the_model_is_the_bias_corrected_mean_of_the_weights(sessions, config, monkeypatch):
    backend = get_backend("numpy")
    step = type(backend).train_step
    seen = []

    def watched(self, handle, *args):
        result = step(self, handle, *args)
        seen.append(backend.download(handle))
        return result

    monkeypatch.setattr(type(backend), "train_step", watched)
    bundle = fit(sessions, dataclasses.replace(config, average=0.9, held_out=("s0",)))
    taken = seen[AVERAGE_EVERY - 1 :: AVERAGE_EVERY]
    decay = 0.9**AVERAGE_EVERY
    best = bundle.training["epoch"]
    n = best * len(seen) // config.epochs // AVERAGE_EVERY
    weights = decay ** np.arange(n)[::-1]
    for k, array in enumerate(bundle.params.arrays()):
        values = np.stack([list(params.arrays())[k] for params in taken[:n]]).astype(np.float64)
        expected = np.tensordot(weights, values, 1) / weights.sum()
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)


def test_small_sets_get_more_epochs_until_there_are_enough_updates(sessions, config):
    news = []
    config = dataclasses.replace(config, epochs=2, min_updates=25, held_out_fraction=0.0)
    bundle = fit(sessions, config, progress=news.append)
    assert bundle.training["n_updates"] >= 25
    assert len(news) == news[-1].n_epochs > 2
    per_epoch = bundle.training["n_updates"] // len(news)
    assert bundle.training["n_updates"] < 25 + per_epoch
    never = fit(sessions, dataclasses.replace(config, min_updates=10**6, epochs=1))
    assert never.training["epoch"] == EPOCHS_TIMES


def test_a_learning_curve_has_an_end_and_not_too_many_points():
    assert learning_curve([]) == []
    long = learning_curve([(1.0 / (k + 1),) for k in range(1000)])
    assert len(long) == 200
    assert long[-1]["epoch"] == 1000
    watched = learning_curve([(1.0,), (0.5, 0.75, float("inf"))])
    assert watched == [
        {"epoch": 1, "loss": 1.0},
        {"epoch": 2, "loss": 0.5, "held_out_f1": 0.75},
    ]


@pytest.mark.parametrize("model", ["lstm", "mlp-window"])
def test_averages_and_windows_resume_bit_for_bit(sessions, config, tmp_path, model):
    config = dataclasses.replace(config, epochs=4, average=0.9, model=model)
    whole = fit(sessions, config)
    asked = iter(range(10_000))
    with pytest.raises(TrainingStopped):
        fit(sessions, config, checkpoint_dir=tmp_path, should_stop=lambda: next(asked) >= 7)
    resumed = fit(sessions, config, checkpoint_dir=tmp_path, resume=True)
    assert bits(resumed.params) == bits(whole.params)
    assert resumed.training == whole.training
