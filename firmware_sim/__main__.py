"""``python -m firmware_sim``: a simulated board for any program that reads a serial port."""

from __future__ import annotations

import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit status.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.
    """
    # As long as there is nothing to clean up, Ctrl-C just ends it, in the middle of an import, too.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from firmware_sim.program import run

        return run(sys.argv[1:] if argv is None else argv)
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
