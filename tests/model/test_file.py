"""The model file: what is saved is read back, and nothing else is believed."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from streamrnn.core.errors import ModelFileError
from streamrnn.kernels import get_backend
from streamrnn.model import file as model_file
from streamrnn.model.file import ModelFile, load_model, model_hash, save_model
from streamrnn.model.network import Network
from streamrnn.model.params import init_params, to_tensors
from streamrnn.model.spec import NetworkSpec

SPEC = NetworkSpec(3, (4,), 2)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    n_inputs=st.integers(1, 9),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    n_classes=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float64"]),
    extra=st.dictionaries(st.text(), json_values, max_size=3),
)
@settings(max_examples=30)
def test_what_is_saved_is_read_back(tmp_path_factory, n_inputs, hidden, n_classes, dtype, extra):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    params = init_params(NetworkSpec(n_inputs, tuple(hidden), n_classes, dtype), 1)
    save_model(path, ModelFile(params, extra))
    first = path.read_bytes()
    read = load_model(path)
    for a, b in zip(read.params.arrays(), params.arrays(), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert {k: v for k, v in read.document.items() if k not in ("spec", "format")} == {
        k: v for k, v in extra.items() if k not in ("spec", "format")
    }
    save_model(path, read)
    assert path.read_bytes() == first
    assert os.listdir(path.parent) == ["a.safetensors"]


def test_a_network_read_back_gives_the_same_bits(tmp_path):
    path, params = tmp_path / "a.safetensors", init_params(NetworkSpec(3, (5, 4), 2), 2)
    save_model(path, ModelFile(params, {}))
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    outputs = []
    for weights in (params, load_model(path).params):
        network = Network(weights, get_backend("numpy"))
        state = network.new_state(2)
        logits, last = network.forward(x[:5], state), np.empty((2, 2), np.float32)
        network.step(x[5], state, last)
        outputs.append((logits, last))
    assert np.array_equal(outputs[0][0], outputs[1][0])
    assert np.array_equal(outputs[0][1], outputs[1][1])


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert model_hash(tmp_path / "a") == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def packed(document=None, tensors=None, **metadata):
    """A safetensors file, good but for what is given."""
    params = init_params(SPEC, 0)
    tensors = to_tensors(params) if tensors is None else tensors
    good = {"format": 2, "spec": model_file.spec_document(params)}
    text = json.dumps(good | (document or {}))
    return save(tensors, metadata={"streamrnn": text} | metadata)


def changed(name, array):
    return to_tensors(init_params(SPEC, 0)) | {name: array}


def spec(**values):
    return {"spec": model_file.spec_document(init_params(SPEC, 0)) | values}


GOOD = packed()
NAN = np.full(2, np.nan, np.float32)
WITHOUT_BIAS = {k: v for k, v in to_tensors(init_params(SPEC, 0)).items() if k != "head.bias"}
CORRUPT = {
    "empty": (b"", "empty"),
    "seven bytes": (GOOD[:7], "cut short"),
    "half a header": (GOOD[:60], "cut short"),
    "half": (GOOD[: len(GOOD) // 2], "not a streamrnn model"),
    "one byte short": (GOOD[:-1], "not a streamrnn model"),
    "one byte more": (GOOD + b"\0", "not a streamrnn model"),
    "a huge header": (b"\xff" * 7 + b"\x7f" + GOOD[8:], "longer than the file"),
    "text": (b"time,acc_x\n0,1\n" * 99, "longer than the file"),
    "no JSON": ((20).to_bytes(8, "little") + b"x" * 40, "not a streamrnn model"),
    "no UTF-8": ((20).to_bytes(8, "little") + b"\xff" * 40, "not a streamrnn model"),
    "a header that is a list": ((2).to_bytes(8, "little") + b"[]", "without streamrnn"),
    "deep JSON": ((60000).to_bytes(8, "little") + b"[" * 60000, "not a streamrnn model"),
    "another's safetensors": (save({"w": np.zeros(3)}), "without streamrnn's description"),
    "a description that is no JSON": (packed(streamrnn="{"), "not a streamrnn model"),
    "a description that is a list": (packed(streamrnn="[]"), "not a JSON object"),
    "NaN in the description": (packed(streamrnn='{"a": NaN}'), "NaN is not a number"),
    "no format": (packed(streamrnn="{}"), "model format None"),
    "a later format": (packed({"format": 3}), "model format 3, this program reads 2"),
    "no spec": (packed({"spec": None}), "no spec"),
    "an unknown key": (packed(spec(depth=1)), "depth"),
    "no layers": (packed(spec(hidden=[])), "1..8 layers"),
    "too wide": (packed(spec(n_classes=10**9)), "n_classes must be within"),
    "a text for a number": (packed(spec(n_inputs="3")), "n_inputs"),
    "another dtype": (packed(spec(dtype="int8")), "dtype"),
    "other sizes": (packed(spec(hidden=[5])), r"lstm.weight_ih_l0 must be float32 \(20, 3\)"),
    "other precision": (packed(spec(dtype="float64")), "must be float64"),
    "a tensor less": (packed(tensors=WITHOUT_BIAS), r"missing: \['head.bias'\]"),
    "a tensor more": (packed(tensors=changed("x", NAN)), r"unknown: \['x'\]"),
    "NaN in a tensor": (packed(tensors=changed("head.bias", NAN)), "head.bias holds NaN"),
    "integers": (packed(tensors=changed("head.bias", np.zeros(2, np.int64))), "got int64"),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_file_is_refused_in_one_line(tmp_path, name):
    data, message = CORRUPT[name]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(at=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_read_as_finite_weights(tmp_path_factory, at, value):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    path.write_bytes(GOOD[:at] + bytes([value]) + GOOD[at + 1 :])
    try:
        read = load_model(path)
    except ModelFileError:
        return
    assert all(np.isfinite(a).all() for a in read.params.arrays())


def test_what_cannot_be_opened_is_named(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match=r"cannot read .*nothing.*No such file"):
        load_model(tmp_path / "nothing")
    with pytest.raises(ModelFileError, match="is a folder"):
        load_model(tmp_path)
    (tmp_path / "a").write_bytes(GOOD)
    monkeypatch.setattr(model_file, "MAX_FILE_BYTES", 100)
    with pytest.raises(ModelFileError, match="more than a model can have"):
        load_model(tmp_path / "a")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "a.safetensors", ModelFile(init_params(SPEC, 0), {})
    save_model(path, model)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelFileError, match="No space left"):
        save_model(path, ModelFile(init_params(SPEC, 1), {}))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]
    with pytest.raises(ModelFileError, match="cannot write"):
        save_model(tmp_path / "no" / "a", model)


def test_senseless_models_are_not_written(tmp_path):
    params = init_params(SPEC, 0)
    with pytest.raises(ValueError, match="JSON"):
        save_model(tmp_path / "a", ModelFile(params, {"rate_hz": float("nan")}))
    params.b_out[0] = np.inf
    with pytest.raises(ValueError, match=r"head.bias holds NaN or infinity"):
        save_model(tmp_path / "a", ModelFile(params, {}))
    assert not os.listdir(tmp_path)
