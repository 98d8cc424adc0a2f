"""Built-in methods made of compiled kernels: the fastest way from Python into a kernel.

A native function ``object f(self, argument)`` becomes a built-in method by CPython's own
`PyCFunction_NewEx`. Its `self` is the *context*, an int64 array that the kernel reads: what it must
know of the interpreter (the head, below), then whatever the kernel needs. A call costs some 30 ns,
where going through ctypes or through Numba's dispatcher costs 200 to 400.

The kernel looks at its argument natively. An array is taken if it is exactly a NumPy array of the
expected dtype, C-contiguous and aligned, of the expected size and last axis; its fields are those
of `PyArrayObject_fields` (NumPy's C API, stable since 1.7), `bytes` is read as CPython lays it out.
Anything else goes to a Python function, the fallback, which converts the argument or raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import I64

#: Slots of a context that every method has; the kernel's own begin at `N_HEAD`.
NONE, FALLBACK, ARRAY_TYPE, DTYPE, N_ELEMENTS, N_COLUMNS, BYTES_TYPE, N_HEAD = range(8)

# Offsets into PyArrayObject_fields, and the flags C_CONTIGUOUS and ALIGNED.
TYPE_AT, DATA_AT, NDIM_AT, SHAPE_AT, DTYPE_AT, FLAGS_AT = 8, 16, 24, 32, 56, 64
GOOD_FLAGS = 0x0101
# Offsets into PyBytesObject.
SIZE_AT, BYTES_AT = 16, 32

_METH_O = 0x0008


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def _definition(name: str, code: int) -> _MethodDef:
    """Return a method's definition, kept for good.

    CPython reads it once more when a method ends. In a reference cycle that the garbage collector
    breaks, this is after the method's context has lost what it kept.
    """
    return _MethodDef(name.encode(), code, _METH_O, None)


def context(n_slots: int) -> I64:
    """Return a context with room for `n_slots` of the kernel's own."""
    slots = np.zeros(N_HEAD + n_slots, np.int64)
    slots[NONE] = id(None)
    slots[ARRAY_TYPE] = id(np.ndarray)
    slots[BYTES_TYPE] = id(bytes)
    return slots


def method(
    name: str,
    code: int,
    slots: I64,
    fallback: Callable[[Any], Any],
    *,
    dtype: npt.DTypeLike | None = None,
    n_elements: int = 0,
    n_columns: int = 0,
) -> Callable[[Any], Any]:
    """Return a built-in method.

    Parameters
    ----------
    name : str
        For messages.
    code : int
        Address of the native function ``i8 i8 -> i8``.
    slots : int64, from `context`
        Becomes its `self`; must hold the addresses of all that the kernel touches, whose owners
        must outlive the method.
    fallback : callable
        Gets the argument when the kernel cannot take it; its result is the method's. It must not
        lead to a reference cycle that nobody breaks: the method keeps it alive.
    dtype, n_elements, n_columns : dtype and int
        The arrays to take, if the kernel takes arrays: so many elements, the last axis so long.
    """
    if not _layout_is_known():
        return fallback
    # NumPy has one object for each plain dtype, to which almost every array points.
    slots[DTYPE] = id(np.dtype(dtype)) if dtype is not None else 0
    slots[[N_ELEMENTS, N_COLUMNS]] = n_elements, n_columns
    slots[FALLBACK] = id(fallback)
    owner = slots.view(_Context)
    owner.fallback = fallback
    definition_at = ctypes.addressof(_definition(name, code))
    made: Callable[[Any], Any] = _new()(definition_at, owner, None)
    return made


class _Context(np.ndarray[tuple[int], np.dtype[np.int64]]):
    """An array that keeps something alive."""

    fallback: Callable[[Any], Any]


@cache
def _new() -> Any:
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return make


@cache
def _layout_is_known() -> bool:
    """Return whether this interpreter's objects are laid out as the kernels read them."""
    a = np.arange(6, dtype=np.int64).reshape(2, 3)
    text = b"seven b"

    def word(at: int) -> int:
        return ctypes.c_int64.from_address(at).value

    return (
        tuple.__itemsize__ == 8
        and word(id(a) + TYPE_AT) == id(np.ndarray)
        and word(id(a) + DATA_AT) == a.ctypes.data
        and ctypes.c_int.from_address(id(a) + NDIM_AT).value == 2
        and word(word(id(a) + SHAPE_AT) + 8) == 3
        and word(id(a) + DTYPE_AT) == id(np.dtype(np.int64))
        and ctypes.c_int.from_address(id(a) + FLAGS_AT).value & GOOD_FLAGS == GOOD_FLAGS
        and word(id(text) + SIZE_AT) == len(text)
        and ctypes.string_at(id(text) + BYTES_AT, len(text)) == text
    )
