"""The laws that every backend keeps, asked of the CUDA backend on a device that interprets PTX.

Each array in its memory has a fence behind it, and each piece of memory is new and full of poison:
see `simulated`. A few shapes stand for many; the same laws are asked of a real device in tests/gpu.
"""

from __future__ import annotations

import laws
import pytest
import streams_laws
import update_laws
import ways_laws
from rnn_make import Shape
from simulated import SimulatedDevice, tell_arrays_apart

from streamrnn.kernels import get_backend

F32 = "float32"
#: One unit; a thread more than half a warp; two and three layers, with one more than a warp.
SHAPES = [
    Shape(n_in=1, hidden=(1,), n_classes=1, n_steps=1, n_rows=1),
    Shape(n_in=5, hidden=(17,), n_classes=3, n_steps=4, n_rows=7, seed=1),
    Shape(n_in=40, hidden=(33, 9), n_classes=17, n_steps=3, n_rows=6, seed=2),
    Shape(n_in=3, hidden=(64, 32, 5), n_classes=4, n_steps=3, n_rows=9, seed=3),
]
#: What has 6 rows or more, for laws that touch single ones.
ODD = Shape(n_in=5, hidden=(17, 6), n_classes=3, n_steps=4, n_rows=7)

pytestmark = pytest.mark.usefixtures("cuda_compiler")
shapes = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.hidden))
)


@pytest.fixture(params=[132, 1], ids=["wide", "narrow"])
def backend(request, monkeypatch):
    """A device with room for a block of each row, and one whose only block does all of them."""
    from streamrnn.kernels.cuda.backend import CudaBackend

    tell_arrays_apart(monkeypatch)
    return CudaBackend(SimulatedDevice(n_multiprocessors=request.param, shared_bytes=48 << 10))


@shapes
def test_forward_and_backward_equal_the_oracle(backend, shape):
    ends, masked = bool(shape.seed & 1), bool(shape.seed & 2)
    laws.forward_and_backward_equal_the_oracle(backend, F32, shape, ends, masked)


@shapes
def test_every_way_gives_the_bits_of_a_sequence(backend, shape):
    ways_laws.every_way_gives_the_bits_of_a_sequence(backend, F32, "exact", shape)


@shapes
def test_rows_padding_and_slices(backend, shape):
    laws.a_row_of_a_batch_is_the_row_alone_to_the_bit(backend, F32, shape)
    laws.padding_changes_nothing(backend, F32, shape, 3)


@shapes
def test_updates_equal_the_oracle(backend, shape):
    update_laws.updates_equal_the_oracle(backend, F32, shape, 0.05 * (shape.seed % 2))


@shapes
def test_streams(backend, shape):
    streams_laws.a_stream_is_the_same_stepped_alone(backend, F32, shape)


LAWS = {
    law.__name__: law
    for law in (
        laws.nan_stays_in_its_row,
        laws.rows_of_no_steps_keep_their_state,
        laws.reset_rows_and_download,
        laws.inputs_of_any_layout_are_read,
        laws.no_rows_and_no_steps,
        update_laws.an_update_carries_the_state_and_repeats_to_the_bit,
        update_laws.a_batch_without_weight_has_no_gradient,
        streams_laws.a_snapshot_is_a_copy,
        streams_laws.nan_stays_in_its_stream,
        streams_laws.wrong_ticks_are_named,
    )
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law(backend, name):
    LAWS[name](backend, F32, ODD)


def test_slices_with_the_state_carried_are_one_long_run(backend):
    laws.slices_with_the_state_carried_are_one_long_run(backend, F32, ODD, n_steps=11, n_slice=4)


@pytest.mark.parametrize("where", ["x", "state"])
def test_a_gradient_that_is_not_finite_moves_nothing(backend, where):
    update_laws.a_gradient_that_is_not_finite_moves_nothing(backend, F32, where, ODD)


def test_gradients_are_finite_differences(backend):
    laws.gradients_are_finite_differences(backend, F32, (5, 3), wide_backend=laws.ORACLE)


@pytest.mark.parametrize("hidden", [(34,), (48, 20)], ids=["one", "two"])
def test_bf16_keeps_to_its_bound_and_to_its_bits(backend, hidden):
    shape = Shape(n_in=6, hidden=hidden, n_classes=5, n_steps=3, n_rows=9, weight=0.25)
    # Tensor cores take what the weights are multiplied by in bfloat16 too; tanh is exact here.
    ways_laws.bf16_is_within_the_bound_of_rounded_weights(backend, F32, shape, 2.0**-8, 0.0)
    ways_laws.every_way_gives_the_bits_of_a_sequence(backend, F32, "bf16", shape)
    executed = {op for done in backend.device.counts for op in done.executed}
    assert "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" in executed


def test_bf16_gives_back_the_weights(backend):
    ways_laws.bf16_gives_back_the_weights_and_refuses_what_it_cannot(backend, F32)


def test_huge_inputs_saturate(backend):
    laws.huge_inputs_saturate(backend, F32, 1e30, ODD)


def test_a_snapshot_goes_on_anywhere(backend):
    streams_laws.a_snapshot_goes_on_anywhere(backend, get_backend("cpu"), F32, ODD)


def test_steps_of_odd_states_and_frames(backend):
    ways_laws.denormal_numbers_are_kept_not_flushed(backend, F32)
    ways_laws.nan_in_a_state_or_frame_stays_and_a_reset_ends_it(backend, F32)
    ways_laws.a_state_written_between_ahead_and_step_is_the_one_that_counts(backend, F32)
    ways_laws.a_stepper_reads_any_layout_and_says_what_is_wrong(backend, F32)
    ways_laws.a_transposed_batch_is_refused_and_not_scrambled(backend, F32)
    laws.wrong_arguments_are_named(backend, F32)
