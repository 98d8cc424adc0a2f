"""RTNeural (C++), through a small extension module that the reader builds.

RTNEURAL_DIR names a folder that holds a Python extension module `rtneural_step`, compiled against
RTNeural's `LSTMLayerT` of the shapes measured here, with these functions (handles and addresses are
integers; arrays are float32; a frame is any object with a buffer; gates are in the order i, f, g, o
as everywhere here)::

    create(n_inputs, n_hidden, n_layers) -> handle, or 0: a shape that was not compiled
    set_layer(handle, n, w_ih (4H, I), w_hh (4H, H), b (4H,))    addresses; copied
    reset(handle)
    step(handle, x (I,), h (H,))                                 a frame, an address
    run(handle, x (T, I), n_steps, h (T, H))                     addresses

Nothing of RTNeural stands here: it is no Python package.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import numpy as np

from benchmarks.peers.base import Job, Peer
from benchmarks.shapes import Task


class RtNeural(Peer):
    """RTNeural's LSTM behind a C call from Python."""

    name = "RTNeural"
    packages = ()

    @classmethod
    def missing(cls) -> str:
        if not os.environ.get("RTNEURAL_DIR"):
            return "RTNEURAL_DIR is not set"
        try:
            _module()
        except ImportError as error:
            return f"RTNEURAL_DIR holds no module rtneural_step ({error})"
        return ""

    def _network(self, task: Task) -> tuple[Any, int]:
        module = _module()
        handle = module.create(task.n_inputs, task.n_hidden, task.n_layers)
        for n, p in enumerate(task.params.layers):
            arrays = [np.ascontiguousarray(a) for a in (p.w_ih, p.w_hh, p.b)]
            if handle:
                module.set_layer(handle, n, *(a.ctypes.data for a in arrays))
        if handle:
            module.reset(handle)
        return module, handle

    def step(self, task: Task) -> Job | None:
        module, handle = self._network(task)
        if not handle:
            return None
        h = np.zeros(task.n_hidden, np.float32)
        step, h_at = module.step, h.ctypes.data

        def advance(frame: Any) -> Any:
            step(handle, frame, h_at)
            return h

        return Job(advance, np.array)

    def chunk(self, task: Task) -> Job | None:
        module, handle = self._network(task)
        if not handle:
            return None
        x, h = task.x, np.zeros((task.n_steps, task.n_hidden), np.float32)
        run, x_at, h_at, n = module.run, x.ctypes.data, h.ctypes.data, task.n_steps

        def call() -> Any:
            run(handle, x_at, n, h_at)
            return h

        return Job(call, np.array)


def _module() -> Any:
    folder = os.environ["RTNEURAL_DIR"]
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("rtneural_step")
