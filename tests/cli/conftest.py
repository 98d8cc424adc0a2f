"""What every test of a command relies on."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.cuda import driver
from streamrnn.runtime.warmup import compile_live, compile_usual


@pytest.fixture(autouse=True, scope="session")
def compiled() -> None:
    """Have the kernels compiled before the first command: it would say so on stderr."""
    compile_usual()
    compile_live(np.float64)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no driver, whatever machine this is."""

    def open_device() -> driver.DriverDevice:
        raise BackendUnavailable("no NVIDIA driver is installed here (libcuda.so.1 was not found)")

    monkeypatch.setattr(driver, "open_device", open_device)
