"""The window network learns by true gradients, from the slices that the recurrent one gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.kernels import get_backend
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState
from streamrnn.kernels.rnn import reference
from streamrnn.model.spec import WindowSpec
from streamrnn.model.window import WindowNetwork, WindowParams, init_window_params
from streamrnn.training import window as window_module
from streamrnn.training.fit import TrainingStopped, fit
from streamrnn.training.window import WindowTrainer, cross_entropy, window_spec


def task(seed: int, dtype: str, *, window: int = 4, masked: bool = True):
    """A network and a slice of three lanes, one cut short and one empty."""
    rng = np.random.default_rng(seed)
    params = init_window_params(WindowSpec(3, window, 5, 4, dtype), seed)
    params.b_in[:] = rng.normal(size=5) * 0.3
    state = params.new_state(3)
    state.h[0][:] = rng.normal(size=state.h[0].shape)
    mask = (rng.random((3, 5)) > 0.3).astype(dtype) * 1.5 if masked else None
    batch = Batch(
        rng.normal(size=(7, 3, 3)).astype(dtype),
        rng.integers(0, 4, (7, 3)),
        (rng.random((7, 3)) > 0.3).astype(dtype) * rng.uniform(0.2, 1.0, (7, 3)).astype(dtype),
        np.array([7, 4, 0]),
        state,
        mask,
    )
    return params, batch, LossSpec(np.array([0.5, 1.0, 2.0, 1.5], dtype), 0.1)


def loss_of(params: WindowParams, batch: Batch, loss: LossSpec) -> float:
    state = batch.state.copy()
    logits, _ = WindowTrainer().forward(params, batch.x, state, batch.lengths, batch.out_mask)
    return cross_entropy(logits, batch, loss)[0]


@pytest.mark.parametrize(
    ("numbers_at_once", "piece", "rows"), [(1, 1 << 17, 64), (1 << 21, 1 << 17, 64), (99, 40, 4)]
)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_finite_differences(monkeypatch, masked, numbers_at_once, piece, rows):
    monkeypatch.setattr(window_module, "NUMBERS_AT_ONCE", numbers_at_once)
    monkeypatch.setattr(window_module, "PIECE", piece)
    monkeypatch.setattr(window_module, "ROWS", rows)
    params, batch, loss = task(1, "float64", masked=masked)
    trainer = WindowTrainer()
    logits, tape = trainer.forward(
        params, batch.x, batch.state.copy(), batch.lengths, batch.out_mask, keep_tape=True
    )
    grads = trainer.backward(params, tape, cross_entropy(logits, batch, loss)[1])
    step = 1e-6
    for array, grad in zip(params.arrays(), grads.arrays(), strict=True):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + step
            above = loss_of(params, batch, loss)
            array[at] = kept - step
            below = loss_of(params, batch, loss)
            array[at] = kept
            # A difference of two values near 1 over 2e-6 keeps about ten digits.
            assert grad[at] == pytest.approx((above - below) / (2 * step), abs=1e-8)


@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=20)
def test_the_loss_is_the_oracles(seed, dtype):
    _, batch, loss = task(seed, dtype)
    logits = np.random.default_rng(seed).normal(size=(7, 3, 4)).astype(dtype) * 5
    got, want = cross_entropy(logits, batch, loss), reference.cross_entropy(logits, batch, loss)
    # Sums in float64 in another order; the gradient is rounded to its dtype.
    assert got[0] == pytest.approx(want[0], rel=1e-12)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-6 if dtype == "float32" else 1e-12)


def test_steps_without_weight_teach_nothing():
    params, batch, loss = task(3, "float32")
    batch.weights[:] = 0
    before = [array.copy() for array in params.arrays()]
    result = WindowTrainer().train_step(params, batch, loss, AdamSpec(0.1), OptState.zeros(params))
    assert (result.loss, result.grad_norm) == (0.0, 0.0)
    for array, kept in zip(params.arrays(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@given(seed=st.integers(0, 1000), cut=st.integers(1, 6))
@settings(max_examples=20)
def test_training_sees_what_a_stream_shows(seed, cut):
    """Slices of any length, windows carried over: the logits of the live network."""
    params, batch, _ = task(seed, "float64", masked=False)
    trainer, network = WindowTrainer(), WindowNetwork(params, get_backend("numpy"))
    state, live = batch.state.copy(), batch.state.copy()
    wanted = network.forward(batch.x, live)
    parts = [trainer.forward(params, x, state)[0] for x in (batch.x[:cut], batch.x[cut:])]
    np.testing.assert_allclose(np.concatenate(parts), wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(state.h[0], live.h[0])


def test_rows_end_where_they_end():
    params, batch, _ = task(5, "float64", masked=False)
    state, live = batch.state.copy(), batch.state.copy()
    trainer, network = WindowTrainer(), WindowNetwork(params, get_backend("numpy"))
    logits, _ = trainer.forward(params, batch.x, state, batch.lengths)
    wanted = network.forward(batch.x, live, batch.lengths)
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(state.h[0], live.h[0])
    assert not logits[4:, 1].any()


@given(rows=st.integers(1, 200), inner=st.integers(1, 300), columns=st.integers(1, 70))
@settings(max_examples=20)
def test_products_in_pieces_are_products(rows, inner, columns):
    rng = np.random.default_rng(rows)
    a, b = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    np.testing.assert_allclose(window_module._product(a, b), a @ b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(window_module._outer(a.T.copy(), b), a @ b, rtol=0, atol=1e-11)


def test_the_window_is_as_long_as_a_gesture_within_bounds():
    assert window_spec(6, 64, 5, 26.4).window == 26
    assert window_spec(6, 64, 5, 0.0).window == 8
    assert window_spec(6, 64, 5, 500.0).window == 128
    assert window_spec(39, 64, 5, 142.0).window == 52
    assert window_spec(4096, 64, 5, 500.0).window == 1


@pytest.mark.parametrize("labels", ["frame", "trial", "rows"])
def test_it_learns_the_tiny_task_in_every_form(make_session, config, labels):
    gaps = labels == "frame"
    sessions = [make_session(n, subject=f"s{n}", gaps=gaps) for n in range(5)]
    config = replace(config, model="mlp-window", hidden=(16,), labels=labels, epochs=20)
    bundle = fit(sessions, config)
    assert isinstance(bundle.params, WindowParams)
    assert bundle.training["held_out_event_f1"] > 0.9


def test_a_resumed_run_ends_in_the_same_weights(sessions, config, tmp_path):
    config = replace(config, model="mlp-window", hidden=(8,))
    whole = fit(sessions, config)
    n_asked = 0

    def stop() -> bool:
        nonlocal n_asked
        n_asked += 1
        return n_asked > 40

    with pytest.raises(TrainingStopped):
        fit(sessions, config, checkpoint_dir=tmp_path, should_stop=stop)
    resumed = fit(sessions, config, checkpoint_dir=tmp_path, resume=True)
    for a, b in zip(resumed.params.arrays(), whole.params.arrays(), strict=True):
        assert a.tobytes() == b.tobytes()
