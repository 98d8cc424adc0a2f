"""The laws that every backend keeps (tests/kernels/laws.py and its kin), on many sizes."""

from __future__ import annotations

import golden_laws
import gpu_sizes
import laws
import pytest
import update_laws
import ways_laws

from streamrnn.kernels import get_backend

F32 = "float32"
SOME = [gpu_sizes.some(seed) for seed in gpu_sizes.seeds(40)]
WIDE = [gpu_sizes.wide(seed) for seed in gpu_sizes.seeds(20)]
#: At least 6 rows, for the laws that touch single ones.
ODD = (
    [laws.ODD]
    if gpu_sizes.SMALL
    else [
        laws.ODD,
        laws.Shape(33, (128, 64), 5, 9, 40, weight=0.2),
        laws.Shape(200, (512,), 3, 4, 9, weight=0.06),
    ]
)
sizes = pytest.mark.parametrize("shape", SOME + WIDE, ids=gpu_sizes.name)
odd_sizes = pytest.mark.parametrize("shape", ODD, ids=gpu_sizes.name)


@sizes
def test_forward_and_backward_equal_the_oracle(backend, shape):
    ends, masked = bool(shape.seed & 1), bool(shape.seed & 2)
    laws.forward_and_backward_equal_the_oracle(backend, F32, shape, ends, masked)


@sizes
def test_forward_is_repeated_steps_to_the_bit(backend, shape):
    laws.forward_is_repeated_steps_to_the_bit(backend, F32, shape)


@sizes
def test_a_row_of_a_batch_is_the_row_alone_to_the_bit(backend, shape):
    laws.a_row_of_a_batch_is_the_row_alone_to_the_bit(backend, F32, shape)


@sizes
def test_padding_changes_nothing(backend, shape):
    laws.padding_changes_nothing(backend, F32, shape, 2 if gpu_sizes.SMALL else 1 + shape.seed)


@sizes
def test_every_way_gives_the_bits_of_a_sequence(backend, shape):
    ways_laws.every_way_gives_the_bits_of_a_sequence(backend, F32, "exact", shape)


@sizes
def test_lengths_and_rows_do_not_disturb_one_another(backend, shape):
    ways_laws.lengths_and_rows_do_not_disturb_one_another(backend, F32, shape)


@sizes
@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_updates_equal_the_oracle(backend, shape, clip_norm):
    update_laws.updates_equal_the_oracle(backend, F32, shape, clip_norm)


@odd_sizes
def test_slices_with_the_state_carried_are_one_long_run(backend, shape):
    n_steps, n_slice = (7, 3) if gpu_sizes.SMALL else (50, 13)
    laws.slices_with_the_state_carried_are_one_long_run(
        backend, F32, shape, n_steps=n_steps, n_slice=n_slice
    )


@pytest.mark.parametrize("hidden", [(17,), (5, 3), (3, 4, 2)][: 1 if gpu_sizes.SMALL else 3])
def test_gradients_are_finite_differences(backend, hidden):
    laws.gradients_are_finite_differences(backend, F32, hidden, get_backend("numpy"))


@odd_sizes
def test_nan_stays_in_its_row(backend, shape):
    laws.nan_stays_in_its_row(backend, F32, shape)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_inputs_saturate(backend, size):
    laws.huge_inputs_saturate(backend, F32, size)


@odd_sizes
def test_rows_of_no_steps_keep_their_state(backend, shape):
    laws.rows_of_no_steps_keep_their_state(backend, F32, shape)


@odd_sizes
def test_reset_rows_and_download(backend, shape):
    laws.reset_rows_and_download(backend, F32, shape)


def test_wrong_arguments_are_named(backend):
    laws.wrong_arguments_are_named(backend, F32)


@odd_sizes
def test_inputs_of_any_layout_are_read(backend, shape):
    laws.inputs_of_any_layout_are_read(backend, F32, shape)


@odd_sizes
def test_no_rows_and_no_steps(backend, shape):
    laws.no_rows_and_no_steps(backend, F32, shape)


@odd_sizes
def test_an_update_carries_the_state_and_repeats_to_the_bit(backend, shape):
    update_laws.an_update_carries_the_state_and_repeats_to_the_bit(backend, F32, shape)


def test_updates_lower_the_loss(backend):
    update_laws.updates_lower_the_loss(backend, F32)


@pytest.mark.parametrize("where", ["x", "state"])
@odd_sizes
def test_a_gradient_that_is_not_finite_moves_nothing(backend, where, shape):
    update_laws.a_gradient_that_is_not_finite_moves_nothing(backend, F32, where, shape)


@odd_sizes
def test_a_batch_without_weight_has_no_gradient(backend, shape):
    update_laws.a_batch_without_weight_has_no_gradient(backend, F32, shape)


def test_a_state_written_between_ahead_and_step_is_the_one_that_counts(backend):
    ways_laws.a_state_written_between_ahead_and_step_is_the_one_that_counts(backend, F32)


def test_a_stepper_reads_any_layout_and_says_what_is_wrong(backend):
    ways_laws.a_stepper_reads_any_layout_and_says_what_is_wrong(backend, F32)


def test_nan_in_a_state_or_frame_stays_and_a_reset_ends_it(backend):
    ways_laws.nan_in_a_state_or_frame_stays_and_a_reset_ends_it(backend, F32)


def test_denormal_numbers_are_kept_not_flushed(backend):
    ways_laws.denormal_numbers_are_kept_not_flushed(backend, F32)


def test_a_transposed_batch_is_refused_and_not_scrambled(backend):
    ways_laws.a_transposed_batch_is_refused_and_not_scrambled(backend, F32)


@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
def test_golden_lstm_and_its_gradients(backend, case):
    golden_laws.lstm_and_its_gradients(backend, golden_laws.load(), F32, case)


def test_golden_weighted_cross_entropy(backend):
    golden_laws.weighted_cross_entropy(backend, golden_laws.load(), F32)
