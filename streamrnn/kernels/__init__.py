"""Compiled arithmetic, and the only place for Numba. `get_backend` is the one seam for devices."""

from streamrnn.kernels.backend import get_backend

__all__ = ["get_backend"]
