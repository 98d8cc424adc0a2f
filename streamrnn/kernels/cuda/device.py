"""What the backend needs of a device. The driver gives it, and so does an interpreter in the tests.

Addresses are plain integers. Everything that is given to a device is done in order; `read` and
`wait` wait for it, nothing else needs to.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from streamrnn.kernels.cuda.kernel import Kernel

#: Any array that is C-contiguous.
Array = np.ndarray[Any, np.dtype[Any]]


class Device(Protocol):
    """A CUDA device.

    Attributes
    ----------
    name : str
        As its maker calls it.
    capability : (int, int)
        Compute capability.
    n_multiprocessors : int
    shared_bytes : int
        Most dynamic shared memory that a block may ask for.
    """

    name: str
    capability: tuple[int, int]
    n_multiprocessors: int
    shared_bytes: int

    def prepare(self, kernels: list[Kernel]) -> None:
        """Compile (or load from the cache) and load kernels; `launch` does so for any other.

        Raises
        ------
        BackendUnavailable
            There is neither compiled code nor a compiler.
        """
        ...

    def allocate(self, n_bytes: int) -> int:
        """Return the address of new memory, a multiple of 256; its content is anything.

        Raises
        ------
        BackendUnavailable
            The device has too little memory left; it says how much is free and was asked for.
        """
        ...

    def free(self, address: int) -> None:
        """Give memory back, after everything that was given to the device before."""
        ...

    def write(self, address: int, source: Array) -> None:
        """Copy a C-contiguous array to the device; the array may be changed right after."""
        ...

    def read(self, address: int, into: Array) -> None:
        """Copy from the device into a C-contiguous array, and wait for it."""
        ...

    def copy(self, to: int, source: int, n_bytes: int) -> None:
        """Copy on the device."""
        ...

    def zero(self, address: int, n_bytes: int) -> None:
        """Set bytes to 0."""
        ...

    def launch(
        self,
        kernel: Kernel,
        grid: tuple[int, int],
        n_threads: int,
        arguments: tuple[int | float, ...],
        shared_bytes: int = 0,
    ) -> None:
        """Start a kernel.

        Parameters
        ----------
        kernel : Kernel
        grid : (int, int)
            Blocks, x and y; none if one is 0.
        n_threads : int
            Threads a block, at most the kernel's.
        arguments : tuple
            As the kernel's signature says: addresses (0 for none) and numbers.
        shared_bytes : int
            Dynamic shared memory a block.
        """
        ...

    def wait(self) -> None:
        """Wait until everything is done.

        Raises
        ------
        BackendUnavailable
            The device failed at something that was given to it before.
        """
        ...
