"""Plain scalar kernels as Numba's CUDA simulator runs them, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("cudasim_child.py")


@pytest.mark.usefixtures("cuda_compiler")
def test_plain_kernels_hold_in_numbas_simulator():
    done = subprocess.run(
        [sys.executable, str(CHILD)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["check_loss", "check_norm_and_adam", "check_reduce", "check_gather"]
