"""The window network: a stream of frames, whatever blocks they come in."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.kernels import get_backend
from streamrnn.model.file import FORMAT, ModelFile, load_model, save_model, spec_document
from streamrnn.model.params import to_tensors
from streamrnn.model.spec import WindowSpec
from streamrnn.model.window import WindowNetwork, WindowParams, init_window_params, open_network


def network_of(spec: WindowSpec, seed: int = 0) -> WindowNetwork:
    network = open_network(init_window_params(spec, seed), get_backend("numpy"))
    assert isinstance(network, WindowNetwork)
    return network


@given(
    n_inputs=st.integers(1, 9),
    window=st.integers(1, 40),
    hidden=st.integers(1, 33),
    dtype=st.sampled_from(["float32", "float64"]),
    cuts=st.lists(st.integers(0, 50), max_size=6),
    seed=st.integers(0, 99),
)
def test_any_blocks_of_the_same_frames_give_the_same_bits(
    n_inputs, window, hidden, dtype, cuts, seed
):
    network = network_of(WindowSpec(n_inputs, window, hidden, 3, dtype), seed)
    x = np.random.default_rng(seed).standard_normal((50, 1, n_inputs)).astype(dtype)
    whole = network.forward(x, network.new_state())
    state, parts = network.new_state(), []
    edges = [0, *sorted(cuts), 50]
    for a, b in itertools.pairwise(edges):
        if b - a == 1:
            logits = np.empty((1, 3), dtype)
            network.step(x[a], state, logits)
            parts.append(logits[None])
        else:
            parts.append(network.forward(x[a:b], state))
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_row_of_many_is_the_row_alone():
    network = network_of(WindowSpec(4, 6, 8, 3))
    x = np.random.default_rng(1).standard_normal((20, 3, 4)).astype(np.float32)
    together = network.forward(x, network.new_state(3), np.array([20, 9, 0]))
    for b, end in enumerate((20, 9, 0)):
        alone = network.forward(x[:end, b : b + 1].copy(), network.new_state())
        assert together[:end, b].tobytes() == alone[:, 0].tobytes()
        assert not together[end:, b].any()


def test_it_is_the_formula_over_the_last_frames_and_zeros_before():
    spec = WindowSpec(2, 3, 5, 4, "float64")
    params = init_window_params(spec, 3)
    x = np.random.default_rng(2).standard_normal((6, 2))
    network = WindowNetwork(params, get_backend("numpy"))
    logits = network.forward(x[:, None], network.new_state())[:, 0]
    padded = np.concatenate([np.zeros((2, 2)), x])
    for t in range(6):
        hidden = np.maximum(params.w_in @ padded[t : t + 3].ravel() + params.b_in, 0)
        np.testing.assert_allclose(logits[t], params.w_out @ hidden + params.b_out, atol=1e-13)


def test_only_the_window_is_remembered():
    network = network_of(WindowSpec(2, 5, 6, 3))
    x = np.random.default_rng(4).standard_normal((30, 1, 2)).astype(np.float32)
    changed = x.copy()
    changed[:10] += 3
    first, second = (network.forward(part, network.new_state()) for part in (x, changed))
    assert first[14:].tobytes() == second[14:].tobytes()
    assert (first[10:14] != second[10:14]).any()


def test_the_weights_are_held_as_they_were_trained_only():
    params = init_window_params(WindowSpec(2, 3, 4, 2), 0)
    with pytest.raises(ConfigError, match="leave out --precision"):
        open_network(params, get_backend("numpy"), "bf16")
    assert open_network(params, get_backend("numpy")).row() is None


# ---- in a file

SPEC = WindowSpec(3, 4, 5, 2)


@given(sizes=st.tuples(*[st.integers(1, 9)] * 4), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=20)
def test_what_is_saved_is_read_back(tmp_path_factory, sizes, dtype):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    params = init_window_params(WindowSpec(*sizes, dtype), 1)
    save_model(path, ModelFile(params, {"labels": ["a"]}))
    read = load_model(path)
    assert isinstance(read.params, WindowParams)
    assert read.params.window == sizes[1]
    assert read.params.hidden_sizes == (sizes[2],)
    for a, b in zip(read.params.arrays(), params.arrays(), strict=True):
        assert a.tobytes() == b.tobytes()
    first = path.read_bytes()
    save_model(path, read)
    assert path.read_bytes() == first


def packed(values: dict[str, object], format_: int, **tensors: np.ndarray) -> bytes:
    params = init_window_params(SPEC, 0)
    spec = spec_document(params) | values
    text = json.dumps({"format": format_, "spec": spec})
    return save({**to_tensors(params), **tensors}, metadata={"streamrnn": text})


@pytest.mark.parametrize(
    ("values", "tensors", "message"),
    [
        ({"kind": "mlp"}, {}, "no network of the kind 'mlp'; known: lstm, mlp-window"),
        ({"kind": ["lstm"]}, {}, "no network of the kind"),
        ({"kind": "lstm"}, {}, "window"),
        ({"window": 5}, {}, r"window.weight must be float32 \(5, 15\)"),
        ({"window": 0}, {}, "window must be within 1..4096, got 0"),
        ({"window": 4096, "n_inputs": 4096}, {}, "a window may hold 1048576 numbers"),
        ({"window": 2.5}, {}, "window"),
        ({"hidden": 10**12}, {}, "hidden must be within"),
        ({"hidden": [5]}, {}, "hidden"),
        ({"depth": 1}, {}, "depth"),
        ({}, {"window.bias": np.full(5, np.nan, np.float32)}, "window.bias holds NaN"),
        ({}, {"lstm.bias_ih_l0": np.zeros(5, np.float32)}, "unknown"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path, values, tensors, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(packed(values, FORMAT, **tensors))
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
