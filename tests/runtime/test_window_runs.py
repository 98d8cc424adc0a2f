"""A window network runs wherever a recurrent one does, and says where it does not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import INFO, backend, bundle, lines, make_frames, run, without

from streamrnn.core.errors import ConfigError
from streamrnn.features.chain import FeatureChain
from streamrnn.model.spec import WindowSpec
from streamrnn.model.window import WindowNetwork, init_window_params
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet import Fleet
from streamrnn.runtime.offline import run_session
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.sessions.session import Session


@cache
def window_bundle() -> Bundle:
    """Return the tests' model with a window network in its place, that decides often."""
    base = bundle()
    params = init_window_params(WindowSpec(base.params.n_inputs, 7, 8, 3), 2)
    # Spread the logits, so that each class is the likeliest now and then.
    network = WindowNetwork(params, backend("numpy"))
    chain = FeatureChain.from_document(base.features.to_document())
    logits = network.forward(chain.push(make_frames(500).x)[:, None], network.new_state())[:, 0]
    params.w_out[:] *= 6.0 / logits.std(axis=0)[:, None]
    params.b_out[:] = -logits.mean(axis=0) * 6.0 / logits.std(axis=0)
    return replace(base, params=params)


FRAMES = without(make_frames(400), [50, 51, *range(200, 240)])


@given(cuts=st.lists(st.integers(0, len(FRAMES)), max_size=8))
@settings(max_examples=20)
def test_any_chunking_gives_the_same_records(cuts):
    model = window_bundle()
    edges = [0, *sorted(cuts), len(FRAMES)]
    blocks = [FRAMES[a:b] for a, b in itertools.pairwise(edges)]
    records = run(blocks, model)
    assert records == run([FRAMES], model)
    assert any('"gesture"' in line for line in records)
    assert sum('"reset"' in line for line in records) == 1


def test_live_is_offline_and_a_file_gives_the_same(tmp_path):
    model = window_bundle()
    session = Session(INFO, FRAMES, FRAMES.t_us * 1000)
    live = run([FRAMES[n : n + 1] for n in range(len(FRAMES))], model)
    read = window_bundle().save(tmp_path / "w.safetensors").load(tmp_path / "w.safetensors")
    assert lines(run_session(model, session, backend())) == live
    assert lines(run_session(read, session, backend("numpy"))) == live


def test_a_twin_starts_afresh():
    pipeline = Pipeline(window_bundle(), backend())
    pipeline.start(INFO)
    pipeline.push(FRAMES[:40])
    twin = pipeline.twin()
    twin.start(INFO)
    twin.push(FRAMES[:10])
    fresh = Pipeline(window_bundle(), backend())
    fresh.start(INFO)
    fresh.push(FRAMES[:10])
    assert np.array_equal(twin.probabilities, fresh.probabilities)


def test_what_it_does_not_do_is_said_in_one_line():
    model = window_bundle()
    with pytest.raises(ConfigError, match="this model is a window network"):
        Fleet(model, 4)
    with pytest.raises(ConfigError, match="not in bf16: leave out --precision"):
        Pipeline(replace(model, precision="bf16"), backend())
