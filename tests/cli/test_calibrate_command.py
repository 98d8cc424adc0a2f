"""``streamrnn calibrate`` as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_make import main

from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.digest import frames_digest
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session

RATE_HZ = 50.0
CHANNELS = (Channel("level"),)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model without memory: ``up`` the surer the further the channel is above 0."""
    w_ih = np.array([[0], [0], [1], [0]], np.float32)
    layer = LayerParams(w_ih, np.zeros((4, 1), np.float32), np.array([10, -10, 0, 10], np.float32))
    params = Params((layer,), np.array([[-6], [6]], np.float32), np.zeros(2, np.float32))
    decision = DecisionConfig(min_ms=100)
    bundle = Bundle(
        params, FeatureChain.plain(CHANNELS), ("none", "up"), RATE_HZ, CHANNELS, decision
    )
    path = tmp_path / "m.safetensors"
    replace(bundle, training={"sessions": [{"name": "x", "sha256": "0" * 64}]}).save(path)
    return path


def recorded(path: Path, *, n_gestures: int = 25, bump: float = 0.3, seed: int = 0, **meta) -> Path:
    """Write gestures of level 1, each followed by an unlabelled bump."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1.0, 0.05, (n_gestures * 100 + 200, 1)).astype(np.float32)
    labels = []
    for k in range(n_gestures):
        a = k * 100 + 20
        x[a : a + 20] += 2.0
        x[a + 50 : a + 70] += 1.0 + bump
        labels.append(Label("up", a * 20_000, (a + 20) * 20_000, "keys"))
    seq = np.arange(len(x), dtype=np.int64)
    frames = Frames(x, seq, seq * 20_000)
    info = StreamInfo(CHANNELS, RATE_HZ, "bench")
    write_session(path, Session(info, frames, frames.t_us * 1000, labels, metadata=meta))
    return path


def test_the_decision_changes_the_weights_do_not_and_the_curve_is_kept(capsys, model, tmp_path):
    file, out = recorded(tmp_path / "a.mcap"), tmp_path / "new.safetensors"
    before = model.read_bytes()
    code, text, err = main(capsys, "calibrate", model, file, "-o", out)
    assert code == 0, err
    assert model.read_bytes() == before
    assert "1 session, 25 gestures, 0.01 h without one" in text
    assert text.split()[-2:] == ["1.000", "chosen"], "the chosen point stands last"
    assert "not shown: 0 false activations in 0.01 h of null data" in err
    assert "a claim of 0.5 an hour needs at least 6.0 event-free hours" in err
    old, new = Bundle.load(model), Bundle.load(out)
    assert new.params.w_out.tobytes() == old.params.w_out.tobytes()
    assert new.decision.enter > old.decision.enter
    assert new.calibration["is_shown"] is False
    assert new.calibration["chosen"]["n_false"] == 0
    assert new.calibration["data"]["sessions"] == [frames_digest(read_session(file))]
    assert new.with_decision({"enter": 0.99}, "x").calibration == {}
    assert new.with_decision({}, "x").calibration == new.calibration
    _, told, _ = main(capsys, "info", out)
    assert "budget    0.5 false activations an hour; not shown: 0 false activations" in told
    _, told, _ = main(capsys, "info", model)
    assert "budget" not in told
    code, told, err = main(capsys, "evaluate", out, file, "--json")
    assert code == 0, err
    assert json.loads(told)["total"]["n_false"] == 0


def test_without_an_output_the_model_itself_is_replaced_and_json_is_pure(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap")
    code, text, err = main(
        capsys, "calibrate", model, file, "--json", "--max-false-per-hour", "900"
    )
    assert code == 0, err
    document = json.loads(text)
    assert document["is_shown"] is True
    assert document["decision"]["enter"] == Bundle.load(model).decision.enter
    assert document["max_false_per_hour"] == 900


def test_a_claim_that_is_required_and_not_shown_fails_and_writes_nothing(capsys, model, tmp_path):
    file, out = recorded(tmp_path / "a.mcap"), tmp_path / "new.safetensors"
    code, _, err = main(capsys, "calibrate", model, file, "-o", out, "--require-claim")
    assert code == 1
    assert err.splitlines()[-1].startswith("streamrnn: not shown: 0 false activations")
    assert not out.exists()
    code, _, err = main(capsys, "calibrate", model, file, "-o", out, "--require-claim",
                        "--max-false-per-hour", 900)  # fmt: skip
    assert code == 0, err
    assert "shown: 0 false activations" in err


def test_a_budget_that_no_decision_keeps_fails_and_says_what_to_do(capsys, model, tmp_path):
    file, out = recorded(tmp_path / "a.mcap", bump=1.05), tmp_path / "new.safetensors"
    code, _, err = main(capsys, "calibrate", model, file, "-o", out)
    assert code == 1
    assert "no decision keeps 0.5 false activations an hour" in err.splitlines()[-1]
    assert not out.exists()


def test_recordings_that_were_trained_on_or_given_twice_are_refused(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap")
    copy = recorded(tmp_path / "copy.mcap", subject="someone else")
    other = recorded(tmp_path / "b.mcap", seed=1)
    code, _, err = main(capsys, "calibrate", model, file, other, copy)
    assert code == 2
    assert "copy.mcap holds the same frames as a.mcap: give each recording once" in err
    bundle = Bundle.load(model)
    digest = frames_digest(read_session(other))
    replace(bundle, training={"sessions": [{"name": "b", "sha256": digest}]}).save(model)
    code, _, err = main(capsys, "calibrate", model, file, other)
    assert code == 2
    assert "b.mcap: the model was trained on this recording" in err
    replace(bundle, training={}).save(model)
    code, _, err = main(capsys, "calibrate", model, file)
    assert code == 0
    assert "does not say which recordings it was trained on" in err


def test_mistakes_are_one_line(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap")
    empty = recorded(tmp_path / "none.mcap", n_gestures=0)
    guessed = recorded(tmp_path / "guess.mcap", rate="nominal")
    for arguments, code, message in (
        ((model, file, "-o", file), 2, "is one of the inputs"),
        ((model, file, "-o", tmp_path / "x.mcap"), 2, "a recording's name"),
        ((model, file, "-o", tmp_path / "no" / "m.safetensors"), 2, "no folder"),
        ((model, empty), 1, "no gesture that the model knows"),
        ((model, file, "--max-false-per-hour", "0"), 2, "max-false-per-hour"),
        ((model, model), 1, "is a model: give sessions (*.mcap) here"),
        ((model, file, "--require-claim", "--max-false-per-hour", 90), 1, "at least 0.033 event"),
        ((model, guessed, "--require-claim", "--max-false-per-hour", 900), 1, "is a guess"),
    ):
        got, _, err = main(capsys, "calibrate", *arguments)
        assert got == code, err
        assert message in err.splitlines()[-1]
