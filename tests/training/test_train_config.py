"""Options and the TOML file."""

from __future__ import annotations

import dataclasses
import json

import pytest

from streamrnn.core.errors import ConfigError
from streamrnn.training.config import AugmentConfig, TrainConfig, load_config


def test_a_configuration_survives_json():
    config = TrainConfig(
        hidden=(16, 8), held_out=("kim",), decision={"enter": 0.6}, augment=AugmentConfig(speed=0.1)
    )
    document = json.loads(json.dumps(config.to_document()))
    assert TrainConfig.from_document(document, "test") == config


def test_a_file_sets_what_it_names_and_keeps_the_rest(tmp_path):
    path = tmp_path / "gestures.toml"
    path.write_text(
        "[training]\nhidden = [32]\nlearning_rate = 1\n[augment]\nrotation_deg = 0\n"
        "[features]\ndifferences = true\n[decision]\nfire = 'start'\n"
        "[decision.per_class.up]\nenter = 0.7\n"
    )
    config = load_config(path)
    assert config.hidden == (32,)
    assert config.learning_rate == 1.0
    assert config.augment == dataclasses.replace(AugmentConfig(), rotation_deg=0.0)
    assert config.features.differences
    assert config.decision == {"fire": "start", "per_class": {"up": {"enter": 0.7}}}
    assert config.epochs == TrainConfig().epochs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepoch = 3", r"x.toml \[training\]: unknown option 'epoch' .*'epochs'"),
        ("[trainning]\n", r"x.toml: unknown section 'trainning' .*'training'"),
        ("training = 3", r"training must be a table"),
        ("[training]\nhidden = 64", r"hidden must be a list"),
        ("[training]\nhidden = []", r"1 to 8 layers"),
        ("[training]\nhidden = [0]", r"hidden must be within 1..4096"),
        ("[training]\nepochs = 0", r"epochs must be within"),
        ("[training]\ndropout = 1.0", r"dropout must be within"),
        ("[training]\nlearning_rate = nan", r"learning_rate must be within"),
        ("[training]\nlabels = 'frames'", r"labels must be one of auto, frame, rows, trial"),
        ("[augment]\nspeed = -1", r"x.toml \[augment\]: speed must be"),
        ("[augment]\nspeed = 3", r"speed must be at most 2"),
        ("[features]\nsquash = 'x'", r"x.toml \[features\]: squash must be"),
        ("[decision]\nenter = 2.0", r"x.toml \[decision\]: .*thresholds"),
        ("[decision]\nente = 2.0", r"x.toml \[decision\]: unknown option 'ente'"),
        ("= 3", r"not a TOML file"),
        ("x = " + "[" * 5000, r"not a TOML file"),
        ("x = " + "9" * 5000, r"not a TOML file"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path, text, message):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: No such file"):
        load_config(tmp_path / "nothing.toml")
