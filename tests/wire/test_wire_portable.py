"""The decoders for a processor without wide vectors and without carry-less multiplication."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ORACLES = "any_chunking or plain_oracles or numbers_are"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names are of x86-64")
def test_another_processor_equals_the_oracles() -> None:
    here = Path(__file__).parent
    files = [str(here / name) for name in ("test_wire_decoder.py", "test_wire_text.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", ORACLES, *files],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""},
    )
    assert done.returncode == 0, done.stdout
    assert " 0 " not in done.stdout.splitlines()[-1]
