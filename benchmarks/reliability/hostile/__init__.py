"""Hostile files: how they are made, who reads them, and what comes out."""

from benchmarks.reliability.hostile.bar import run

__all__ = ["run"]
