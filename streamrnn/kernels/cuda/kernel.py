"""What a CUDA kernel is to a running process: a description that imports no Numba."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Architectures that kernels are compiled and checked for, oldest first (docs/performance-gpu.md).
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90a", "sm_100", "sm_120")
#: The oldest compute capability that the toolchain still compiles for.
OLDEST = (7, 5)


@dataclass(frozen=True)
class Kernel:
    """A kernel in one form: what is compiled at once.

    Attributes
    ----------
    name : str
        A word, the kernel's name in the machine code.
    module : str
        Where its factory stands; only the compiler imports it.
    factory : str
        A function of `options` that returns the kernel, a Python function.
    signature : str
        Codes of the arguments, such as ``"f4* i4*  i4"``; see `streamrnn.kernels.native.Unit`.
    options : tuple of (str, int)
        What is fixed when it is compiled: rows a thread, whether there is a tape, ...
    max_threads : int
        Most threads a block; the compiler gives each as many registers as these leave.
    min_blocks : int
        Blocks that a multiprocessor must be able to hold at once.
    """

    name: str
    module: str
    factory: str
    signature: str
    options: tuple[tuple[str, int], ...] = ()
    max_threads: int = 256
    min_blocks: int = 1

    @property
    def full_name(self) -> str:
        """The name with all options: one kernel, one name."""
        options = "".join(f"-{key}{value}" for key, value in self.options)
        return f"{self.name}{options}-t{self.max_threads}b{self.min_blocks}"

    @property
    def codes(self) -> list[str]:
        """The codes of the arguments."""
        return self.signature.split()

    def to_json(self) -> Mapping[str, object]:
        """Return what the compiler needs to know."""
        return {
            "name": self.name,
            "module": self.module,
            "factory": self.factory,
            "signature": self.signature,
            "options": list(self.options),
            "max_threads": self.max_threads,
            "min_blocks": self.min_blocks,
        }


def architecture(capability: tuple[int, int]) -> str:
    """Return the architecture to compile for, for a device of a compute capability.

    Hopper's has the ``a``: without it, some of its own instructions are refused.
    """
    major, minor = capability
    return f"sm_{major}{minor}" + ("a" if capability == (9, 0) else "")


def capability_of(architecture_name: str) -> tuple[int, int]:
    """Return the compute capability that an architecture such as ``sm_90a`` stands for."""
    digits = architecture_name.removeprefix("sm_").rstrip("af")
    return int(digits[:-1]), int(digits[-1])
