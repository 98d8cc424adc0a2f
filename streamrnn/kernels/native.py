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
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llvmlite
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


#: Gets how many units will be compiled; what it returns is entered while they are.
Progress = Callable[[int], AbstractContextManager[object]]
_progress: list[Progress] = [nullcontext]


def on_compile(progress: Progress) -> None:
    """Have `progress` called before units are compiled, which takes seconds."""
    _progress[:] = [progress]


def compiling(n: int) -> AbstractContextManager[object]:
    """Return what is to be entered while `n` units or kernels are compiled."""
    return _progress[0](n)


def prepare(parts: Sequence[Part]) -> int:
    """Compile those of the units that were never compiled here, side by side; return how many."""
    missing = [part for part in dict.fromkeys(parts) if _stored(part) is None]
    if missing:
        from streamrnn.kernels.build import build

        with compiling(len(missing)):
            made = build(missing)
        for part, code in made.items():
            _codes[part] = code
            store.write(part.name, digest(part), code)
        _compiled.update(made)
    return len(missing)


def is_ready(part: Part) -> bool:
    """Return whether a unit need not be compiled any more."""
    return _stored(part) is not None


def n_compiled() -> int:
    """Return how many units this process had compiled; a live run must not add to it."""
    return len(_compiled)


#: Code that was found or compiled by this process; what was compiled works without a cache too.
_codes: dict[Part, bytes] = {}
_compiled: set[Part] = set()


@cache
def _load(part: Part) -> Library:
    prepare([part])
    return Library(part, _codes[part])


def _stored(part: Part) -> bytes | None:
    code = _codes.get(part) or store.read(part.name, digest(part))
    if code is not None:
        _codes[part] = code
    return code


@cache
def digest(part: Part) -> str:
    """Return what the object code of a unit depends on, as 16 hexadecimal digits."""
    total = hashlib.sha256(repr((part.name, sorted(part.unit.entries.items()))).encode())
    for pattern in (*_EVERYWHERE, *part.unit.sources):
        total.update(_sources(pattern))
    total.update(repr(target()).encode())
    return total.hexdigest()[:16]


@cache
def _sources(pattern: str) -> bytes:
    """Return a digest of the names and contents of the files that match a pattern."""
    total = hashlib.sha256()
    for path in sorted(_ROOT.glob(pattern)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(_ROOT).as_posix()} {content}\n".encode())
    return total.digest()


@cache
def target() -> tuple[str, ...]:
    """Return what a compiled unit depends on besides its sources."""
    return (
        f"python {sys.version_info.major}.{sys.version_info.minor}",
        f"numba {_numba_version()}",
        f"llvmlite {llvmlite.__version__}",
        llvm.get_process_triple(),
        *processor(),
    )


def _numba_version() -> str:
    """Return a digest of what the installed Numba says its version is, without importing it."""
    spec = find_spec("numba")
    if spec is None or spec.origin is None:
        return "none"
    return hashlib.sha256(Path(spec.origin).with_name("_version.py").read_bytes()).hexdigest()


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
