"""Mistakes of a newcomer, and the ports on which they are made."""

from benchmarks.reliability.newcomer.mistakes import run

__all__ = ["run"]
