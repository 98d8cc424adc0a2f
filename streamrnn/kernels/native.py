"""Compiled kernels as plain object code: found, checked, loaded and called without Numba.

A *unit* is what is compiled together. Numba compiles it once, in a process of its own
(`streamrnn.kernels.compile`); the object code is kept in a private folder and loaded by llvmlite
alone, so a start with a warm cache never imports Numba. The key of a file is a digest of all that
its bytes depend on: the sources of the unit, the versions of the compiler and of Python, and the
processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from streamrnn.kernels import store

_ROOT = Path(__file__).parent
#: Sources on which every unit depends.
_EVERYWHERE = ("compile.py", "jit.py", "objects.py", "pycall.py")
#: How entries are called: codes of types as in a `Unit`.
_CTYPES: Mapping[str, Any] = {
    "i8": ctypes.c_int64,
    "f8": ctypes.c_double,
    "": None,
}


@dataclass(frozen=True)
class Unit:
    """Entries that are compiled together.

    Attributes
    ----------
    name : str
        A word.
    module : str
        Where the kernels stand that are the entries; only the compiler imports it.
    entries : mapping of str to str
        Name and signature of each, such as ``"i8* T* i8 -> i8"``: NumPy's codes with the number of
        bytes (``i8`` int64, ``f8`` float64, ``u1`` uint8), ``*`` behind the type of a pointer, T
        for the dtype of a generic unit; nothing behind the arrow for no result.
    generic : bool
        There is one for float32 and one for float64.
    sources : tuple of str
        What it is compiled from, as patterns below ``streamrnn/kernels``, besides what every unit
        is compiled with.
    """

    name: str
    module: str
    entries: Mapping[str, str] = field(hash=False)
    generic: bool = False
    sources: tuple[str, ...] = ("*/*.py",)


@dataclass(frozen=True)
class Part:
    """A unit for one dtype: what is compiled at once.

    Attributes
    ----------
    unit : Unit
    dtype : str
        ``"f4"``, ``"f8"``, or ``""`` for a unit that is not generic.
    """

    unit: Unit
    dtype: str

    @property
    def name(self) -> str:
        """The unit's name and dtype."""
        return f"{self.unit.name}-{self.dtype}" if self.dtype else self.unit.name

    def symbol(self, entry: str) -> str:
        """Return the name of an entry in the object code."""
        return f"streamrnn.{self.name}.{entry}"

    def signature(self, entry: str) -> tuple[list[str], str]:
        """Return the codes of an entry's arguments and of its result."""
        arguments, _, result = self.unit.entries[entry].partition("->")
        codes = [code.replace("T", self.dtype) for code in arguments.split()]
        return codes, result.strip().replace("T", self.dtype)


class Library:
    """The entries of a loaded unit, as attributes: functions of addresses and numbers.

    They release the interpreter's lock. Nothing is checked: the caller keeps the arrays alive and
    in bounds.
    """

    def __init__(self, part: Part, code: bytes) -> None:
        self._engine = _engine()
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._addresses = {}
        for name in part.unit.entries:
            address = self._engine.get_function_address(part.symbol(name))
            if not address:
                raise RuntimeError(f"the compiled code of {part.name} lacks {name}")
            self._addresses[name] = address
            arguments, result = part.signature(name)
            kinds = [ctypes.c_void_p if code[-1] == "*" else _CTYPES[code] for code in arguments]
            setattr(self, name, ctypes.CFUNCTYPE(_CTYPES[result], *kinds)(address))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(f"no entry {name!r}; there are {', '.join(self._addresses)}")

    def address(self, name: str) -> int:
        """Return where the code of an entry begins."""
        return int(self._addresses[name])


def load(unit: Unit, dtype: npt.DTypeLike | None = None) -> Library:
    """Return a unit, compiled now or before; the second call for the same costs nothing.

    Parameters
    ----------
    unit : Unit
    dtype : float32, float64 or None
        Of a generic unit.
    """
    return _load(part_of(unit, dtype))


def part_of(unit: Unit, dtype: npt.DTypeLike | None = None) -> Part:
    """Return a unit for one dtype."""
    if unit.generic == (dtype is None):
        raise ValueError(f"unit {unit.name} is{'' if unit.generic else ' not'} generic")
    return Part(unit, "" if dtype is None else np.dtype(dtype).str[1:])


#: What `prepare` calls before it compiles: how many units it will.
Progress = Callable[[int], None]
_progress: list[Progress] = []


def on_compile(progress: Progress) -> None:
    """Have `progress` called before units are compiled, which takes seconds."""
    _progress[:] = [progress]


def prepare(parts: Sequence[Part]) -> int:
    """Compile those of the units that were never compiled here, side by side; return how many."""
    missing = [part for part in dict.fromkeys(parts) if _stored(part) is None]
    if missing:
        for progress in _progress:
            progress(len(missing))
        from streamrnn.kernels.build import build

        for part, code in build(missing).items():
            _fresh[part] = code
            store.write(part.name, digest(part), code)
    return len(missing)


def n_compiled() -> int:
    """Return how many units this process had compiled; a live run must not add to it."""
    return len(_fresh)


#: Code that was compiled by this process; it works without a cache too.
_fresh: dict[Part, bytes] = {}


@cache
def _load(part: Part) -> Library:
    prepare([part])
    code = _stored(part)
    if code is None:
        raise RuntimeError(f"the code of {part.name} was compiled, and is gone")
    return Library(part, code)


def _stored(part: Part) -> bytes | None:
    return _fresh.get(part) or store.read(part.name, digest(part))


@cache
def digest(part: Part) -> str:
    """Return what the object code of a unit depends on, as 16 hexadecimal digits."""
    total = hashlib.sha256(repr((part.name, sorted(part.unit.entries.items()))).encode())
    for pattern in (*_EVERYWHERE, *part.unit.sources):
        for path in sorted(_ROOT.glob(pattern)):
            total.update(_source(path))
    total.update(repr(target()).encode())
    return total.hexdigest()[:16]


@cache
def _source(path: Path) -> bytes:
    return hashlib.sha256(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes()).digest()


@cache
def target() -> tuple[str, ...]:
    """Return what a compiled unit depends on besides its sources."""
    version = importlib.metadata.version
    return (
        f"python {sys.version_info.major}.{sys.version_info.minor}",
        f"numba {version('numba')}",
        f"llvmlite {version('llvmlite')}",
        llvm.get_process_triple(),
        *processor(),
    )


def processor() -> tuple[str, str]:
    """Return the name and the features of the processor that is compiled for, in LLVM's words.

    The variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES override what this machine has.
    """
    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None and not os.environ.get("NUMBA_CPU_NAME"):
        features = llvm.get_host_cpu_features().flatten()
    return name, features or ""


def address(a: npt.NDArray[Any]) -> int:
    """Return where the data of an array begins; the caller keeps it alive.

    Raises
    ------
    ValueError
        The array is not C-contiguous, writable and aligned.
    """
    if not (a.flags.c_contiguous and a.flags.writeable and a.flags.aligned):
        raise ValueError("a kernel's array must be C-contiguous and writable")
    return int(a.ctypes.data)


def aligned(n: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return `n` zeros that begin at a multiple of 64 bytes: a cache line, and a wide vector."""
    kind = np.dtype(dtype)
    raw = np.zeros(n * kind.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n * kind.itemsize].view(kind)


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _engine() -> Any:
    """Return an empty engine to load object code into."""
    _initialise()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
