"""Kernels for other processors than this one: narrower vectors, and no fused multiply-add."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

#: A processor's name, without which features would be this machine's, and its vectors in bytes.
TARGETS = [("haswell", 32), ("nehalem", 16)]
WAYS = "cpu-float32 and (every_way or oracle or lengths)"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names are of x86-64")
@pytest.mark.parametrize(("name", "vector_bytes"), TARGETS)
def test_other_processors_keep_the_laws(name, vector_bytes):
    environment = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    width = "from streamrnn.kernels.rnn import machine; print(machine.VECTOR_BYTES)"
    said = subprocess.run(
        [sys.executable, "-c", width], check=True, capture_output=True, text=True, env=environment
    )
    assert said.stdout.split() == [str(vector_bytes)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", WAYS,
         str(Path(__file__).with_name("test_inference.py"))],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
