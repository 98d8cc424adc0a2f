from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runtime_make import CHANNELS, INFO, LABELS, bundle, make_frames, run

from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.types import Channel, StreamInfo
from streamrnn.model.file import ModelFile, save_model
from streamrnn.runtime.bundle import Bundle


def test_save_and_load_decide_the_same(tmp_path: Path) -> None:
    saved = bundle().save(tmp_path / "m.safetensors")
    loaded = Bundle.load(tmp_path / "m.safetensors")
    assert loaded.model_hash == saved.model_hash
    assert loaded.model_hash.startswith("sha256:")
    assert bundle().model_hash == ""
    assert loaded.to_document() == bundle().to_document()
    assert run([make_frames(300)], loaded) == run([make_frames(300)])
    again = loaded.save(tmp_path / "n.safetensors")
    assert again.model_hash == saved.model_hash  # the same content, the same bytes


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", 3, "model format 3, this program reads 2"),
        ("labels", "abc", "'labels' is missing or of the wrong type"),
        ("rate_hz", 10**400, "'rate_hz' is too large"),
        ("labels", [1, 2, 3], "must be names"),
        ("labels", ["none", "a"], "2 labels for 3"),
        ("labels", ["none", "a", "a"], "different names"),
        ("rate_hz", 0, "rate_hz must be"),
        ("rate_hz", None, "'rate_hz' is missing"),
        ("max_gap_ms", 1e6, "max_gap_ms must be"),
        ("channels", [{"name": "acc_x"}], "the model names 1"),
        ("channels", [{"nome": "acc_x"}], "did you mean 'name'"),
        ("channels", ["acc_x"], "'name' is missing"),
        ("decision", {"entr": 0.5}, "did you mean 'enter'"),
        ("decision", {"enter": 7}, "thresholds"),
    ],
)
def test_a_document_that_makes_no_sense_is_named(
    key: str, value: object, words: str, tmp_path: Path
) -> None:
    document = json.loads(json.dumps(bundle().to_document()))
    document[key] = value
    path = tmp_path / "m.safetensors"
    save_model(path, ModelFile(bundle().params, document))
    with pytest.raises(ModelFileError, match=words) as caught:
        Bundle.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_that_do_not_fit_together_are_refused() -> None:
    params = bundle().params
    narrow = params.layers[0].w_ih[:, :-1]
    with pytest.raises(ConfigError, match="features for"):
        replace(bundle(), params=params.with_arrays([narrow, *list(params.arrays())[1:]]))


def test_decision_options_can_be_overridden() -> None:
    changed = bundle().with_decision({"enter": 0.9}, "a.toml [decision]")
    assert changed.decision.enter == 0.9
    assert changed.decision.exit == bundle().decision.exit
    with pytest.raises(ConfigError, match=r"a.toml \[decision\].*did you mean 'enter'"):
        bundle().with_decision({"entre": 0.9}, "a.toml [decision]")


def test_a_stream_may_have_more_channels_in_any_order() -> None:
    info = StreamInfo((Channel("t"), *CHANNELS[::-1]), 100.0)
    bundle().check_stream(info)
    assert bundle().column_indices(info).tolist() == [3, 2, 1]


def test_text_matches_by_count() -> None:
    text = tuple(Channel(f"ch{n}") for n in range(3))
    bundle().check_stream(StreamInfo(text, 0.0))
    assert bundle().column_indices(StreamInfo(text, 0.0)).tolist() == [0, 1, 2]
    with pytest.raises(
        ConfigError, match=r"recorded from text.* 2 numbers a line, the model wants 3 \(acc_x"
    ):
        bundle().check_stream(StreamInfo(text[:2], 0.0))


@pytest.mark.parametrize("rate_hz", [96.0, 100.0, 104.0, 0.0, 50.0, 119.0, 1000.0])
def test_rates_that_fit(rate_hz: float) -> None:
    bundle().check_stream(replace(INFO, rate_hz=rate_hz))


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (replace(INFO, rate_hz=49.0), "runs at 49 Hz, less than half of the model's 100 Hz"),
        (replace(INFO, channels=CHANNELS[:1]), "lacks acc_y, acc_z .it has acc_x."),
        (replace(INFO, channels=(*CHANNELS[:2], Channel("acc_z", "m/s2"))), "acc_z comes in m/s2"),
        (replace(INFO, channels=(Channel("a\x1b[31m"),)), r"it has a\\x1b\[31m"),
    ],
)
def test_a_stream_that_does_not_fit_is_one_clear_line(info: StreamInfo, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        bundle().check_stream(info)
    assert str(caught.value).isprintable()


def test_many_names_are_cut_short() -> None:
    many = tuple(Channel(f"x{n}") for n in range(200))
    with pytest.raises(ConfigError, match=r"x11, \.\.\.") as caught:
        bundle().check_stream(StreamInfo(many, 100.0))
    assert len(str(caught.value)) < 300


def test_labels_stand_in_the_order_of_the_outputs() -> None:
    assert bundle().labels == LABELS
    assert np.shape(bundle().params.w_out)[0] == len(LABELS)
