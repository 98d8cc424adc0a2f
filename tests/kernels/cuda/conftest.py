"""What tests of CUDA kernels share; without the compiler they are skipped, and it is said."""

from __future__ import annotations

import importlib.util

import pytest

_NEEDED = ("numba.cuda.compiler", "cuda.bindings.nvjitlink")


def _missing() -> list[str]:
    missing = []
    for name in _NEEDED:
        try:
            found = importlib.util.find_spec(name)
        except ImportError:
            found = None
        if found is None:
            missing.append(name)
    return missing


@pytest.fixture(scope="session")
def cuda_compiler() -> None:
    """Skip the test where CUDA kernels cannot be compiled."""
    if missing := _missing():
        pytest.skip(
            f"no CUDA compiler ({', '.join(missing)} is missing): install the [cuda-compile] extra "
            "of streamrnn, then the GPU's kernels are compiled and executed here without a GPU"
        )
