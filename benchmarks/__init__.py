"""Benchmarks: one file a question; each writes JSON to `results/` and exits 1 when it misses."""
