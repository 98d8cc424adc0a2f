"""The laws of streams (streams_laws.py), on the CPU and in each dtype."""

from __future__ import annotations

import pytest
import streams_laws
from hypothesis import given, settings
from rnn_make import Shape
from rnn_shapes import shapes

from streamrnn.kernels import get_backend

pytestmark = [
    pytest.mark.parametrize("name", ["numpy", "cpu"]),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]


@pytest.mark.parametrize("precision", ["exact", "bf16"])
@given(shape=shapes)
@settings(max_examples=25)
def test_a_stream_is_the_same_stepped_alone(name, dtype, precision, shape):
    streams_laws.a_stream_is_the_same_stepped_alone(get_backend(name), dtype, shape, precision)


@given(shape=shapes)
@settings(max_examples=15)
def test_a_snapshot_goes_on_anywhere(name, dtype, shape):
    for elsewhere in ("numpy", "cpu"):
        streams_laws.a_snapshot_goes_on_anywhere(
            get_backend(name), get_backend(elsewhere), dtype, shape
        )


def test_a_snapshot_is_a_copy(name, dtype):
    streams_laws.a_snapshot_is_a_copy(get_backend(name), dtype, streams_laws.ODD)


def test_nan_stays_in_its_stream(name, dtype):
    streams_laws.nan_stays_in_its_stream(get_backend(name), dtype, streams_laws.ODD)


def test_wrong_ticks_are_named(name, dtype):
    streams_laws.wrong_ticks_are_named(get_backend(name), dtype, streams_laws.ODD)


def test_threads_change_no_bit(name, dtype):
    """Many streams, so that rows are shared between threads."""
    shape = Shape(n_in=6, hidden=(64,), n_classes=5, n_steps=2, n_rows=2048)
    streams_laws.a_stream_is_the_same_stepped_alone(get_backend(name, n_threads=2), dtype, shape)
