"""What every test of a command relies on."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.runtime.warmup import compile_live, compile_usual


@pytest.fixture(autouse=True, scope="session")
def compiled() -> None:
    """Have the kernels compiled before the first command: it would say so on stderr."""
    compile_usual()
    compile_live(np.float64)
