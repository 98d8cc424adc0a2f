"""Every form of every kernel that the backend can ask for: what is compiled and checked ahead."""

from __future__ import annotations

from streamrnn.kernels.cuda.exact import back_launches, launches
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.tensor import layers, ticks


def catalogue(capability: tuple[int, int]) -> list[Kernel]:
    """Return all kernels that a device of a compute capability may be asked to run."""
    exact = [*launches.kernels(training=True), *back_launches.kernels()]
    on_tensor_cores = capability >= layers.OLDEST
    rounded = [*layers.kernels(), *ticks.kernels()] if on_tensor_cores else []
    return list(dict.fromkeys([*exact, *rounded]))
