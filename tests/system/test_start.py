"""A start is quick because of what it does not load."""

from __future__ import annotations

import subprocess
import sys

#: A board that has played its gestures as soon as it is asked.
BOARD = "sim:signals?person=101&seconds=3&speed=0"


def in_a_new_process(*lines: str) -> None:
    """Run Python lines; they end with what is wrong, or with nothing."""
    code = "\n".join(("import sys", *lines))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_live_run_loads_nothing_that_it_has_no_use_for() -> None:
    in_a_new_process(
        "from streamrnn.cli import main",
        "from streamrnn.kernels import native, units",
        f"try: main(['run', '--source', '{BOARD}'])",
        "except SystemExit as stop: assert not stop.code",
        "heavy = {'numba', 'scipy', 'rich', 'mcap', 'zstandard', 'lz4', 'serial', 'jsonschema',",
        "         'asyncio', 'email', 'http', 'importlib.metadata', 'unittest', 'difflib', 'pty',",
        "         'concurrent.futures', 'subprocess', 'tomllib', 'numpy.ma', 'paho', 'pylsl',",
        "         'brainflow'}",
        "heavy &= set(sys.modules)",
        "more = set(native._codes) - set(units.parts(units.LIVE, 'f4'))",
        "sys.exit(f'loaded {heavy}, compiled {more}' if heavy or more else 0)",
    )


def test_only_the_compiler_imports_numba() -> None:
    in_a_new_process(
        "import pkgutil, streamrnn",
        "for module in pkgutil.walk_packages(streamrnn.__path__, 'streamrnn.'):",
        "    if not module.name.startswith(('streamrnn.kernels.', 'streamrnn.__main__')):",
        "        __import__(module.name)",
        "from streamrnn.kernels import get_backend, units",
        "get_backend('cpu'), get_backend('numpy')",
        "sys.exit(f'{sys.modules[\"numba\"]} was imported' if 'numba' in sys.modules else 0)",
    )
