"""Every form of every kernel that the backend can ask for: what is compiled and checked ahead."""

from __future__ import annotations

from streamrnn.kernels.cuda import launches
from streamrnn.kernels.cuda.kernel import Kernel


def catalogue(capability: tuple[int, int]) -> list[Kernel]:
    """Return all kernels that a device of a compute capability may be asked to run."""
    del capability
    return launches.kernels(training=True)
