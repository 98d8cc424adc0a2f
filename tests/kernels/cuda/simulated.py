"""A CUDA device that is an interpreter: it compiles kernels to PTX and executes that.

What it does that no real device would: memory is poison until it is written, and a kernel that
touches what it must not, that races, or that lets a barrier wait in vain ends with a `Fault`.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ptx_machine import launch
from ptx_memory import Fault, GlobalMemory, Planned
from ptx_parse import Program, parse

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.cuda.kernel import Kernel, capability_of
from streamrnn.kernels.cuda.memory import ALIGNMENT_BYTES, Buffer, Places, Workspace

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Launched:
    """What a launch did: how often warps executed each instruction, and its bank conflicts."""

    kernel: Kernel
    grid: tuple[int, int]
    n_threads: int
    executed: Counter[str]
    conflicts: Counter[str]

    @property
    def n_instructions(self) -> int:
        """All instructions that warps executed."""
        return sum(self.executed.values())


@functools.cache
def compiled(kernel: Kernel, architecture: str) -> str:
    """Return a kernel's PTX; compiled once in a process."""
    from streamrnn.kernels.cuda.compile import ptx_of

    return ptx_of(kernel, architecture)


@functools.cache
def read(kernel: Kernel, architecture: str) -> Program:
    """Return a kernel's program; read once in a process."""
    return parse(compiled(kernel, architecture), kernel.name)


def tell_arrays_apart(monkeypatch: Any) -> None:
    """Let the backend plan its memory with fences between arrays, and use none twice.

    So a store behind an array's end is found though the next one lies in the same allocation, and
    so is a read of what an earlier run left where this one wrote nothing.
    """

    def add(self: Places, n_elements: int, element_bytes: int = 4) -> int:
        offset, fences = self.n_bytes, getattr(self.n_bytes, "fences", ())
        end = offset + n_elements * element_bytes
        following = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES + ALIGNMENT_BYTES
        self.n_bytes = planned = Planned(following)
        planned.fences = (*fences, (end, following))
        return int(offset)

    def take(self: Workspace, n_bytes: int) -> int:
        self._buffer = Buffer(self._device, n_bytes)
        return self._buffer.address

    monkeypatch.setattr(Places, "add", add)
    monkeypatch.setattr(Workspace, "take", take)


class SimulatedDevice:
    """A device for tests; see `streamrnn.kernels.cuda.device.Device`.

    Parameters
    ----------
    architecture : str
        For which kernels are compiled.
    shared_bytes : int
        Most dynamic shared memory of a block.
    n_multiprocessors : int
    memory_bytes : int
        All memory; what does not fit is `BackendUnavailable`.
    edit : function, optional
        Gets the PTX of each kernel and returns what is executed: tests plant faults with it.

    Attributes
    ----------
    counts : list of Launched
        One for each launch.
    """

    def __init__(
        self,
        architecture: str = "sm_90a",
        shared_bytes: int = 227 * 1024,
        n_multiprocessors: int = 132,
        memory_bytes: int = 1 << 30,
        edit: Callable[[str], str] | None = None,
    ) -> None:
        self.name = f"interpreter ({architecture})"
        self.architecture = architecture
        self.capability = capability_of(architecture)
        self.shared_bytes, self.n_multiprocessors = shared_bytes, n_multiprocessors
        self.memory = GlobalMemory()
        self.memory_bytes = memory_bytes
        self.counts: list[Launched] = []
        self._edit = edit
        self._programs: dict[Kernel, Program] = {}

    @property
    def n_free_bytes(self) -> int:
        """Memory that is left."""
        return self.memory_bytes - sum(space.n_bytes for space in self.memory.spaces.values())

    @property
    def n_allocations(self) -> int:
        """Allocations that were not given back."""
        return len(self.memory.spaces)

    def program(self, kernel: Kernel) -> Program:
        """Return what is executed for a kernel."""
        if self._edit is None:
            return read(kernel, self.architecture)
        if kernel not in self._programs:
            text = self._edit(compiled(kernel, self.architecture))
            self._programs[kernel] = parse(text, kernel.name)
        return self._programs[kernel]

    def prepare(self, kernels: list[Kernel]) -> None:
        """Compile and read kernels."""
        for kernel in kernels:
            self.program(kernel)

    def allocate(self, n_bytes: int) -> int:
        """Return the address of new memory, all poison."""
        if n_bytes > self.n_free_bytes:
            raise BackendUnavailable(
                f"{self.name} has {self.n_free_bytes} bytes left, {n_bytes} were asked for"
            )
        return self.memory.allocate(n_bytes)

    def free(self, address: int) -> None:
        """Give memory back, once."""
        self.memory.free(address)

    def write(self, address: int, source: Array) -> None:
        """Copy an array to the device."""
        if not source.flags.c_contiguous:
            raise Fault("the host writes from an array that is not C-contiguous")
        if source.nbytes:
            space, part = self.memory.part(address, source.nbytes)
            space.data[part] = source.reshape(-1).view(np.uint8)
            space.known[part] = 1 if space.fenced is None else ~space.fenced[part]
            space.settle()

    def read(self, address: int, into: Array) -> None:
        """Copy what was written on the device into an array."""
        if not into.flags.c_contiguous:
            raise Fault("the host reads into an array that is not C-contiguous")
        if into.nbytes:
            space, part = self.memory.part(address, into.nbytes)
            missing = np.flatnonzero(space.known[part] == 0) + part.start
            missing = missing[~space.is_between(missing)]
            if len(missing):
                raise Fault(f"the host reads {missing[0]} of {space.name}: never written")
            into.reshape(-1).view(np.uint8)[:] = space.data[part]

    def copy(self, to: int, source: int, n_bytes: int) -> None:
        """Copy on the device; what was never written stays so."""
        if n_bytes:
            space, part = self.memory.part(source, n_bytes)
            target, place = self.memory.part(to, n_bytes)
            target.data[place] = space.data[part].copy()
            target.known[place] = space.known[part].copy()
            target.settle()

    def zero(self, address: int, n_bytes: int) -> None:
        """Set bytes to 0."""
        if n_bytes:
            space, part = self.memory.part(address, n_bytes)
            space.data[part] = 0
            space.known[part] = 1 if space.fenced is None else ~space.fenced[part]
            space.settle()

    def launch(
        self,
        kernel: Kernel,
        grid: tuple[int, int],
        n_threads: int,
        arguments: tuple[int | float, ...],
        shared_bytes: int = 0,
    ) -> None:
        """Run a kernel to its end."""
        if len(arguments) != len(kernel.codes):
            raise Fault(f"{kernel.full_name} takes {len(kernel.codes)} arguments")
        if not 0 <= shared_bytes <= self.shared_bytes:
            raise Fault(f"{kernel.full_name} asks for {shared_bytes} bytes of shared memory")
        if n_threads > kernel.max_threads:
            raise Fault(f"{kernel.full_name} is started with {n_threads} threads")
        if grid[0] < 0 or grid[1] < 0 or grid[1] > 65535:
            raise Fault(f"{kernel.full_name} is started with a grid of {grid}")
        if 0 in grid:
            return
        executed, conflicts = launch(
            self.program(kernel),
            self.memory,
            grid,
            n_threads,
            arguments,
            shared_bytes,
        )
        self.counts.append(Launched(kernel, grid, n_threads, executed, conflicts))

    def wait(self) -> None:
        """Everything is done already."""
