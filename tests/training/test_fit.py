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
from streamrnn.training.config import TrainConfig
from streamrnn.training.fit import TrainingStopped, dropout_mask, fit

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
