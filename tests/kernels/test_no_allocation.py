"""A frame costs no allocation, and nothing is compiled once a stream runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rnn_make import Shape, draw, make_params, make_state

from streamrnn.kernels import get_backend, native
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState

SHAPE = Shape(3, (5,), 3, 4, 6)


def test_frames_allocate_nothing_by_the_counters_of_numba() -> None:
    probe = Path(__file__).with_name("allocation_probe.py")
    environment = {**os.environ, "NUMBA_NRT_STATS": "1"}
    done = subprocess.run(
        [sys.executable, str(probe)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    counts = json.loads(done.stdout)
    assert counts.pop("other") >= 100  # the counters count
    assert counts == {"push": 0, "tick": 0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_compiles_behind_the_warm_up(dtype):
    backend, params = get_backend("cpu"), make_params(SHAPE, dtype)
    backend.warm_up(np.dtype(dtype), training=True)
    before = native.n_compiled()
    handle, opt = backend.upload(params), OptState.zeros(params)
    x = draw(SHAPE, dtype, 4, 6, 3)
    frozen = x.copy()
    frozen.flags.writeable = False
    for odd in (x, frozen, np.asfortranarray(x), np.repeat(x, 2, axis=2)[:, :, ::2]):
        backend.step(handle, odd[0], make_state(SHAPE, dtype), np.empty((6, 3), dtype))
        logits, tape = backend.forward(handle, odd, make_state(SHAPE, dtype), keep_tape=True)
        backend.backward(handle, tape, np.asfortranarray(logits))
        batch = Batch(
            x=odd,
            targets=np.zeros((4, 6), np.int64),
            weights=np.broadcast_to(np.ones(6, dtype), (4, 6)),
            lengths=np.full(6, 4),
            state=make_state(SHAPE, dtype),
        )
        loss = LossSpec(np.ones(3, dtype))
        backend.train_step(handle, batch, loss, AdamSpec(np.float64(1e-3)), opt)
    assert native.n_compiled() == before


def test_the_seam_imports_no_numba():
    code = (
        "import sys; from streamrnn.kernels import get_backend\n"
        "get_backend('cpu'), get_backend('numpy')\n"
        "assert not {'numba', 'scipy.linalg'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
