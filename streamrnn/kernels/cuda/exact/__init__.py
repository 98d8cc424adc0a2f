"""Exact float32: launches of the kernels, forwards and backwards, and where numbers lie."""
