"""The compiler beside other versions of what it stands on."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMPILE = """
import numpy
if hasattr(numpy, "row_stack"):
    del numpy.row_stack
from streamrnn.kernels.cuda import compile
from streamrnn.kernels.cuda.catalogue import catalogue
kernel = next(kernel for kernel in catalogue((9, 0)) if kernel.name == "gather")
print(compile.ptx_of(kernel, "sm_90a"))
"""


@pytest.mark.usefixtures("cuda_compiler")
def test_a_numpy_that_lost_a_name_of_numba_cuda_s_still_compiles():
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ".target sm_90a" in done.stdout
