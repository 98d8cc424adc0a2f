"""All ways of running a network give the same bits: step, stepper, sums ahead, tick, chunk, run."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import ways_laws
from hypothesis import given, settings
from rnn_shapes import wide_shapes

from streamrnn.kernels import get_backend
from streamrnn.kernels.params import State

pytestmark = [
    pytest.mark.parametrize("name", ["numpy", "cpu"]),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]
PRECISIONS = pytest.mark.parametrize("precision", ["exact", "bf16"])


@PRECISIONS
@given(shape=wide_shapes)
@settings(max_examples=12)
def test_every_way_gives_the_bits_of_a_sequence(name, dtype, precision, shape):
    ways_laws.every_way_gives_the_bits_of_a_sequence(get_backend(name), dtype, precision, shape)


@given(shape=wide_shapes)
@settings(max_examples=12)
def test_a_sequence_equals_the_oracle(name, dtype, shape):
    ways_laws.a_sequence_equals_the_oracle(get_backend(name), dtype, shape)


@given(shape=wide_shapes)
@settings(max_examples=12)
def test_lengths_and_rows_do_not_disturb_one_another(name, dtype, shape):
    ways_laws.lengths_and_rows_do_not_disturb_one_another(get_backend(name), dtype, shape)


@given(shape=wide_shapes)
@settings(max_examples=12)
def test_bf16_is_within_the_bound_of_rounded_weights(name, dtype, shape):
    ways_laws.bf16_is_within_the_bound_of_rounded_weights(get_backend(name), dtype, shape)


def test_bf16_moves_logits_by_thousandths(name, dtype):
    ways_laws.bf16_moves_logits_by_thousandths(get_backend(name), dtype)


def test_bf16_gives_back_the_weights_and_refuses_what_it_cannot(name, dtype):
    ways_laws.bf16_gives_back_the_weights_and_refuses_what_it_cannot(get_backend(name), dtype)


def test_a_state_written_between_ahead_and_step_is_the_one_that_counts(name, dtype):
    ways_laws.a_state_written_between_ahead_and_step_is_the_one_that_counts(
        get_backend(name), dtype
    )


def test_a_stepper_reads_any_layout_and_says_what_is_wrong(name, dtype):
    ways_laws.a_stepper_reads_any_layout_and_says_what_is_wrong(get_backend(name), dtype)


def test_a_state_has_room_and_reads_as_plain_arrays(name, dtype):
    given_h = np.arange(6, dtype=dtype).reshape(2, 3)
    state = State((given_h,), (given_h + 10,))
    assert np.array_equal(state.h[0], given_h)
    assert np.array_equal(state.c[0], given_h + 10)
    given_h[:] = 0
    assert state.h[0][1, 2] == 5
    assert state.arena.ctypes.data % 64 == 0
    assert state.arena.sum() == state.h[0].sum() + state.c[0].sum()
    for twin in (state.copy(), copy.copy(state), copy.deepcopy(state)):
        twin.arena[:] = 0
        assert not twin.h[0].any()
        assert twin.address == twin.arena.ctypes.data
    assert state.h[0][1, 2] == 5


def test_nan_in_a_state_or_frame_stays_and_a_reset_ends_it(name, dtype):
    ways_laws.nan_in_a_state_or_frame_stays_and_a_reset_ends_it(get_backend(name), dtype)


def test_denormal_numbers_are_kept_not_flushed(name, dtype):
    ways_laws.denormal_numbers_are_kept_not_flushed(get_backend(name), dtype)


def test_a_transposed_batch_is_refused_and_not_scrambled(name, dtype):
    ways_laws.a_transposed_batch_is_refused_and_not_scrambled(get_backend(name), dtype)
