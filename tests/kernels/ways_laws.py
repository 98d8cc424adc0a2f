"""The laws of the ways to run a network: any gives the same bits; see laws.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from laws import ORACLE
from rnn_make import Shape, assert_close, draw, make_lengths, make_params, make_state, row_of

ODD = Shape(n_in=5, hidden=(17, 6), n_classes=3, n_steps=7, n_rows=5)


class Run:
    """One random network on one backend, and frames for it."""

    def __init__(self, backend, dtype, shape, precision="exact"):
        self.shape, self.dtype = shape, dtype
        self.backend = backend
        self.handle = self.backend.upload(make_params(shape, dtype), precision=precision)
        self.x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
        self.start = make_state(shape, dtype)

    def sequence(self, x, state, lengths=None):
        return self.backend.forward(self.handle, x, state, lengths)[0]

    def logits(self, n_rows):
        return np.empty((n_rows, self.shape.n_classes), self.dtype)


def every_way_gives_the_bits_of_a_sequence(backend, dtype, precision, shape):
    run = Run(backend, dtype, shape, precision)
    whole = run.start.copy()
    expected = run.sequence(run.x, whole)

    ticked, logits = run.start.copy(), run.logits(shape.n_rows)
    held, held_logits = run.start.copy(), run.logits(shape.n_rows)
    stepper = run.backend.stepper(run.handle, held, held_logits)
    for t in range(shape.n_steps):
        run.backend.step(run.handle, run.x[t], ticked, logits)
        stepper.step(run.x[t])
        assert np.array_equal(logits, expected[t])
        assert np.array_equal(held_logits, expected[t])
    assert np.array_equal(ticked.arena, whole.arena)
    assert np.array_equal(held.arena, whole.arena)

    row = shape.seed % shape.n_rows
    chunk = row_of(run.start, row)
    assert np.array_equal(run.sequence(run.x[:, row : row + 1], chunk)[:, 0], expected[:, row])
    assert np.array_equal(chunk.arena, row_of(whole, row).arena)

    ahead, ahead_logits = row_of(run.start, row), run.logits(1)
    stepper = run.backend.stepper(run.handle, ahead, ahead_logits)
    for t in range(shape.n_steps):
        if t % 3:
            stepper.ahead()
        stepper.step(run.x[t, row])
        assert np.array_equal(ahead_logits[0], expected[t, row])
    assert np.array_equal(ahead.arena, row_of(whole, row).arena)


def a_sequence_equals_the_oracle(backend, dtype, shape):
    # Few steps: random networks this wide are chaotic, and soon make any rounding a large one. Long
    # runs have the bits of single steps, as shown above.
    shape = replace(shape, n_steps=min(shape.n_steps, 3))
    run, oracle = Run(backend, dtype, shape), Run(ORACLE, dtype, shape)
    got, expected = run.start.copy(), run.start.copy()
    assert_close(run.sequence(run.x, got), oracle.sequence(run.x, expected))
    assert_close(got.arena, expected.arena)


def lengths_and_rows_do_not_disturb_one_another(backend, dtype, shape):
    run, lengths = Run(backend, dtype, shape), make_lengths(shape)
    for row, end in enumerate(lengths):
        run.x[end:, row] = np.nan
    whole = run.start.copy()
    got = run.sequence(run.x, whole, lengths)
    for row, end in enumerate(lengths):
        alone = row_of(run.start, row)
        expected = run.sequence(run.x[:end, row : row + 1], alone)
        assert np.array_equal(got[:end, row], expected[:, 0])
        assert not got[end:, row].any()
        assert np.array_equal(row_of(whole, row).arena, alone.arena)


def bf16_is_within_the_bound_of_rounded_weights(
    backend, dtype, shape, signals_off=0.0, tanh_off=0.0
):
    """Hold each logit to what moving each weight by 2**-8 of itself can do, to first order.

    The bound follows the sums: a pre-activation moves by 2**-8 of the sum of |w x| and by what the
    moved inputs bring; a sigmoid passes on a quarter of that, a tanh all of it, a forget gate what
    was there before. A factor of 1.1 stands for what is of second order. `signals_off` is by how
    much of itself a backend may round what the weights are multiplied by, `tanh_off` by how much
    its tanh may be off; a sigmoid is half of one.
    """
    run = Run(backend, dtype, shape, "bf16")
    params = make_params(shape, dtype)
    got_state, state = run.start.copy(), run.start.copy()
    got = run.sequence(run.x, got_state)
    handle, logits = ORACLE.upload(params), run.logits(shape.n_rows)
    d_h = [np.zeros(h.shape) for h in state.h]
    d_c = [np.zeros(c.shape) for c in state.c]
    for t in range(shape.n_steps):
        signal, d_signal = run.x[t].astype(np.float64), np.zeros(run.x[t].shape)
        before = state.copy()
        ORACLE.step(handle, run.x[t], state, logits)
        for n, layer in enumerate(params.layers):
            w_ih, w_hh = np.abs(layer.w_ih.T), np.abs(layer.w_hh.T)
            d_z = d_signal @ w_ih + d_h[n] @ w_hh
            d_z += (2.0**-8 + signals_off) * (
                (np.abs(signal) + d_signal) @ w_ih + (np.abs(before.h[n]) + d_h[n]) @ w_hh
            )
            i, f, g, o = np.split(d_z, 4, axis=1)
            c_size = np.abs(before.c[n])
            i, f, o = (np.minimum(gate / 4, 1) + tanh_off / 2 for gate in (i, f, o))
            d_c[n] = d_c[n] + f * (c_size + d_c[n]) + i + g + tanh_off
            d_h[n] = np.minimum(np.minimum(d_c[n], 2) + tanh_off + o, 2)
            signal, d_signal = state.h[n].astype(np.float64), d_h[n]
        bound = 1.1 * d_signal @ np.abs(params.w_out.T) + 1e-5
        assert (np.abs(got[t] - logits) <= bound).all()


def bf16_moves_logits_by_thousandths(backend, dtype, n_steps=100):
    shape = Shape(n_in=6, hidden=(64,), n_classes=5, n_steps=n_steps, n_rows=4)
    params = make_params(shape, dtype)
    for layer in params.layers:  # as trained networks have them: 1 / sqrt(H), about
        layer.w_ih[:] *= 0.2
        layer.w_hh[:] *= 0.2
    x = draw(shape, dtype, n_steps, 4, 6)
    exact, rounded = (
        backend.forward(backend.upload(params, precision=p), x, make_state(shape, dtype))[0]
        for p in ("exact", "bf16")
    )
    assert 1e-5 < np.abs(exact - rounded).max() < 1e-2


def bf16_gives_back_the_weights_and_refuses_what_it_cannot(backend, dtype):
    params = make_params(ODD, dtype)
    handle = backend.upload(params, precision="bf16")
    for a, b in zip(backend.download(handle).arrays(), params.arrays(), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="precision is 'int3', expected one of exact, bf16"):
        backend.upload(params, precision="int3")


def a_state_written_between_ahead_and_step_is_the_one_that_counts(backend, dtype):
    run = Run(backend, dtype, Shape(n_in=3, hidden=(20, 5), n_classes=2, n_steps=2, n_rows=1))
    other = make_state(run.shape, dtype, salt=7)
    expected = other.copy()
    wanted = run.sequence(run.x[:1], expected)
    held, logits = run.start.copy(), run.logits(1)
    stepper = run.backend.stepper(run.handle, held, logits)
    stepper.ahead()
    held.arena[:] = other.arena
    stepper.step(run.x[0])
    assert np.array_equal(logits, wanted[0])
    assert np.array_equal(held.arena, expected.arena)
    stepper.ahead()
    stepper.reset()
    stepper.step(run.x[1])
    fresh = run.backend.zero_state(run.handle, 1)
    assert np.array_equal(logits, run.sequence(run.x[1:], fresh)[0])


def a_stepper_reads_any_layout_and_says_what_is_wrong(backend, dtype):
    run = Run(backend, dtype, ODD)
    expected = run.sequence(run.x[:1], run.start.copy())[0]
    for odd in (np.asfortranarray(run.x[0]), np.repeat(run.x[0], 2, axis=1)[:, ::2]):
        odd.flags.writeable = False
        logits = run.logits(5)
        run.backend.stepper(run.handle, run.start.copy(), logits).step(odd)
        assert np.array_equal(logits, expected)
    stepper = run.backend.stepper(run.handle, run.start, run.logits(5))
    with pytest.raises(ValueError, match=r"x is .*\(5, 4\), expected .*\(5, 5\)"):
        stepper.step(run.x[0][:, 1:])
    with pytest.raises(ValueError, match="x is float16"):
        stepper.step(run.x[0].astype(np.float16))
    with pytest.raises(ValueError, match=r"logits .*\(4, 3\), expected .*\(5, 3\)"):
        run.backend.stepper(run.handle, run.start, run.logits(4))


def nan_in_a_state_or_frame_stays_and_a_reset_ends_it(backend, dtype):
    run = Run(backend, dtype, Shape(n_in=3, hidden=(20,), n_classes=2, n_steps=4, n_rows=1))
    state, logits = run.start.copy(), run.logits(1)
    stepper = run.backend.stepper(run.handle, state, logits)
    bad = run.x[0].copy()
    bad[0, 1] = np.nan
    stepper.step(bad)
    assert np.isnan(logits).all()
    stepper.ahead()
    stepper.step(run.x[1])
    assert np.isnan(logits).all()
    stepper.reset()
    stepper.step(run.x[2])
    fresh = run.backend.zero_state(run.handle, 1)
    assert np.array_equal(logits[0], run.sequence(run.x[2:3], fresh)[0, 0])


def denormal_numbers_are_kept_not_flushed(backend, dtype):
    tiny = np.finfo(dtype).tiny
    params = make_params(Shape(2, (3,), 1, 1, 1), dtype)
    for a in params.arrays():
        a[...] = 0  # so every gate is 1/2, and g is 0
    handle, logits = backend.upload(params), np.empty((1, 1), dtype)
    state = backend.zero_state(handle, 1)
    state.c[0][:] = tiny / 2
    backend.step(handle, np.zeros((1, 2), dtype), state, logits)
    assert (state.c[0] == tiny / 4).all()


def a_transposed_batch_is_refused_and_not_scrambled(backend, dtype):
    shape = Shape(3, (5,), 2, 1, 4)
    handle = backend.upload(make_params(shape, dtype))
    stepper = backend.stepper(handle, backend.zero_state(handle, 4), np.zeros((4, 2), dtype))
    for odd in ((3, 4), (12,), (2, 6)):
        with pytest.raises(ValueError, match=f"expected {dtype}"):
            stepper.step(np.zeros(odd, dtype))
