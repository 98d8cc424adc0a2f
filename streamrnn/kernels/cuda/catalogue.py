"""Every form of every kernel that the backend can ask for: what is compiled and checked ahead."""

from __future__ import annotations

from streamrnn.kernels.cuda import back_launches, launches, tensor
from streamrnn.kernels.cuda.kernel import Kernel


def catalogue(capability: tuple[int, int]) -> list[Kernel]:
    """Return all kernels that a device of a compute capability may be asked to run."""
    exact = [*launches.kernels(training=True), *back_launches.kernels()]
    rounded = tensor.kernels() if capability >= tensor.OLDEST else []
    return list(dict.fromkeys([*exact, *rounded]))
