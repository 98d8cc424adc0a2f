"""``python -m benchmarks.accuracy``: see `benchmarks.accuracy.run`."""

from __future__ import annotations

import sys

from benchmarks.accuracy.run import main

if __name__ == "__main__":
    sys.exit(main())
