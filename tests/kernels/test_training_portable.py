"""Training for processors with fewer and narrower registers, and without fused multiply-add."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names are of x86-64")
@pytest.mark.parametrize("name", ["haswell", "nehalem"])
def test_training_keeps_its_laws_on_other_processors(name):
    files = [Path(__file__).with_name(f) for f in ("test_training.py", "test_contract.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-k", "float32 and not numpy", *map(str, files)],
        check=False, capture_output=True, text=True,
        env={**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
