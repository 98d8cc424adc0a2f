"""In exact precision the CUDA kernels give the bits of the CPU's, by whatever way they are run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rnn_make import Shape, draw, make_lengths, make_params, make_state
from simulated import SimulatedDevice, tell_arrays_apart

from streamrnn.kernels import get_backend, host

F32 = "float32"
#: With lengths from 0 on. One layer of each size; more layers; one step; inputs for a product.
SHAPES = [
    Shape(n_in=2, hidden=(1,), n_classes=1, n_steps=3, n_rows=5, seed=1),
    Shape(n_in=6, hidden=(17,), n_classes=5, n_steps=9, n_rows=3, seed=2),
    Shape(n_in=31, hidden=(32,), n_classes=4, n_steps=4, n_rows=9, seed=3),
    Shape(n_in=33, hidden=(33,), n_classes=65, n_steps=3, n_rows=17, seed=4),
    Shape(n_in=7, hidden=(64,), n_classes=5, n_steps=1, n_rows=2, seed=5),
    Shape(n_in=3, hidden=(64, 33), n_classes=16, n_steps=4, n_rows=33, seed=6),
    Shape(n_in=1, hidden=(5, 70, 2), n_classes=2, n_steps=4, n_rows=6, seed=7),
    # Its weights do not all fit in 48 KB of shared memory.
    Shape(n_in=9, hidden=(128,), n_classes=3, n_steps=3, n_rows=5, seed=8, weight=0.2),
]
pytestmark = pytest.mark.usefixtures("cuda_compiler")


@pytest.fixture(scope="module")
def cpu():
    if not host.features().get("fma", host.features().get("neon", False)):
        pytest.skip("this processor has no fused multiply-add: its bits are others than a GPU's")
    return get_backend("cpu")


def cuda(monkeypatch, **device):
    from streamrnn.kernels.cuda.backend import CudaBackend

    tell_arrays_apart(monkeypatch)
    return CudaBackend(SimulatedDevice(**{"shared_bytes": 48 << 10} | device))


def results(backend, shape, *, lengths=None, mask=None, keep_tape=False):
    """Return logits and end state of a sequence."""
    handle, state = backend.upload(make_params(shape, F32)), make_state(shape, F32)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    logits, _ = backend.forward(handle, x, state, lengths, mask, keep_tape=keep_tape)
    return logits, state.arena


def same(got, expected):
    return all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.hidden)))
def test_a_sequence_has_the_bits_of_the_cpu(monkeypatch, cpu, shape):
    lengths = make_lengths(shape) if shape.seed % 2 else None
    mask = draw(shape, F32, shape.n_rows, shape.hidden[-1], salt=9) if shape.seed % 3 else None
    expected = results(cpu, shape, lengths=lengths, mask=mask)
    backend = cuda(monkeypatch, n_multiprocessors=132 if shape.seed % 4 < 2 else 1)
    assert same(results(backend, shape, lengths=lengths, mask=mask), expected)
    taped = results(backend, shape, lengths=lengths, mask=mask, keep_tape=True)
    assert same(taped, expected)


@pytest.mark.parametrize("architecture", ["sm_75", "sm_120"])
def test_every_architecture_gives_the_same_bits(monkeypatch, cpu, architecture):
    backend = cuda(monkeypatch, architecture=architecture, n_multiprocessors=2)
    for shape in (SHAPES[3], SHAPES[6]):
        lengths = make_lengths(shape)
        assert same(results(backend, shape, lengths=lengths), results(cpu, shape, lengths=lengths))


@pytest.mark.parametrize("shape", [SHAPES[2], SHAPES[6]], ids=["one", "three"])
def test_steps_and_streams_have_the_bits_of_the_cpu(monkeypatch, cpu, shape):
    found = []
    for backend in (cuda(monkeypatch), cpu):
        handle, state = backend.upload(make_params(shape, F32)), make_state(shape, F32)
        streams = backend.streams(handle, shape.n_rows)
        streams.restore(state, np.arange(shape.n_rows)[::-1].copy())
        x = draw(shape, F32, 3, shape.n_rows, shape.n_in)
        logits = np.empty((4, shape.n_rows, shape.n_classes), np.float32)
        backend.step(handle, x[0], state, logits[0])
        backend.step(handle, x[1], state, logits[1])
        streams.tick(x[0], logits[2])
        rows = np.array([3, 0, 4])
        streams.tick(x[2, :3], logits[3, :3], rows)
        found.append((logits[:3], logits[3, :3], state.arena, streams.snapshot().arena))
    assert same(*found)


def test_numbers_at_the_limits_have_the_bits_of_the_cpu(monkeypatch, cpu):
    # Saturated gates, denormal states and zeros of both signs, in one batch.
    shape = replace(SHAPES[1], n_rows=8, n_steps=2)
    found = []
    for backend in (cuda(monkeypatch), cpu):
        handle, state = backend.upload(make_params(shape, F32)), make_state(shape, F32)
        x = draw(shape, F32, 2, 8, shape.n_in)
        x[0, 0], x[0, 1], x[0, 2], x[0, 3] = 1e30, -1e5, 1e-42, -0.0
        state.c[0][4], state.c[0][5], state.h[0][6] = 1e-39, -0.0, 1e-44
        logits, _ = backend.forward(handle, x, state)
        found.append([a.view(np.uint32) for a in (logits, state.arena)])
    assert same(*found)
