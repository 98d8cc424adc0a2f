"""Coverage-guided fuzzing of one target: ``python fuzz_atheris.py TARGET [libFuzzer's options]``.

libFuzzer ends it when a target lets anything but its own refusals out, takes longer than
``-timeout`` seconds or more memory than ``-rss_limit_mb``, and says which bytes did it.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["streamrnn"]):
    from fuzz_targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
