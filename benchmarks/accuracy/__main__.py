"""Run the benchmark: see `benchmarks.accuracy.run`."""

from __future__ import annotations

import sys

from benchmarks.accuracy.uhh_rules_old import main

if __name__ == "__main__":
    sys.exit(main())
