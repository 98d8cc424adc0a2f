"""The laws that every backend keeps (laws.py, update_laws.py), on the CPU and in each dtype."""

from __future__ import annotations

import laws
import pytest
import update_laws
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_shapes import shapes

from streamrnn.core.errors import ConfigError
from streamrnn.kernels import get_backend

pytestmark = [
    pytest.mark.parametrize("name", ["numpy", "cpu"]),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]


@given(shape=shapes, ends=st.booleans(), masked=st.booleans())
@settings(max_examples=25)
def test_forward_and_backward_equal_the_oracle(name, dtype, shape, ends, masked):
    laws.forward_and_backward_equal_the_oracle(get_backend(name), dtype, shape, ends, masked)


@given(shape=shapes)
@settings(max_examples=25)
def test_forward_is_repeated_steps_to_the_bit(name, dtype, shape):
    laws.forward_is_repeated_steps_to_the_bit(get_backend(name), dtype, shape)


@given(shape=shapes)
@settings(max_examples=25)
def test_a_row_of_a_batch_is_the_row_alone_to_the_bit(name, dtype, shape):
    laws.a_row_of_a_batch_is_the_row_alone_to_the_bit(get_backend(name), dtype, shape)


@given(shape=shapes, n_more=st.integers(1, 40))
@settings(max_examples=25)
def test_padding_changes_nothing(name, dtype, shape, n_more):
    laws.padding_changes_nothing(get_backend(name), dtype, shape, n_more)


def test_slices_with_the_state_carried_are_one_long_run(name, dtype):
    laws.slices_with_the_state_carried_are_one_long_run(get_backend(name), dtype)


@pytest.mark.parametrize("hidden", [(17,), (5, 3), (3, 4, 2)])
def test_gradients_are_finite_differences(name, dtype, hidden):
    backend = get_backend(name)
    laws.gradients_are_finite_differences(backend, dtype, hidden, wide_backend=backend)


def test_nan_stays_in_its_row(name, dtype):
    laws.nan_stays_in_its_row(get_backend(name), dtype)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_inputs_saturate(name, dtype, size):
    laws.huge_inputs_saturate(get_backend(name), dtype, size)


def test_rows_of_no_steps_keep_their_state(name, dtype):
    laws.rows_of_no_steps_keep_their_state(get_backend(name), dtype)


def test_reset_rows_and_download(name, dtype):
    laws.reset_rows_and_download(get_backend(name), dtype)


def test_wrong_arguments_are_named(name, dtype):
    laws.wrong_arguments_are_named(get_backend(name), dtype)
    with pytest.raises(ConfigError, match="did you mean 'cpu'"):
        get_backend("cpus")


def test_inputs_of_any_layout_are_read(name, dtype):
    laws.inputs_of_any_layout_are_read(get_backend(name), dtype)


def test_no_rows_and_no_steps(name, dtype):
    laws.no_rows_and_no_steps(get_backend(name), dtype)


@given(shape=shapes, clip_norm=st.sampled_from([0.0, 0.05, 100.0]))
@settings(max_examples=12)
def test_updates_equal_the_oracle(name, dtype, shape, clip_norm):
    update_laws.updates_equal_the_oracle(get_backend(name), dtype, shape, clip_norm)


def test_an_update_carries_the_state_and_repeats_to_the_bit(name, dtype):
    update_laws.an_update_carries_the_state_and_repeats_to_the_bit(get_backend(name), dtype)


def test_updates_lower_the_loss(name, dtype):
    update_laws.updates_lower_the_loss(get_backend(name), dtype)


@pytest.mark.parametrize("where", ["x", "state"])
def test_a_gradient_that_is_not_finite_moves_nothing(name, dtype, where):
    update_laws.a_gradient_that_is_not_finite_moves_nothing(get_backend(name), dtype, where)


def test_a_batch_without_weight_has_no_gradient(name, dtype):
    update_laws.a_batch_without_weight_has_no_gradient(get_backend(name), dtype)
