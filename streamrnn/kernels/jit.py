"""What every kernel is compiled with.

A kernel is a function under `@kernel`. It is compiled with its callers, by
`streamrnn.kernels.compile`, which is the only module that imports this one and those that import
it: a running process loads what was compiled (`streamrnn.kernels.native`). Tests may call a kernel
directly; Numba then compiles it on the spot.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

_kernels: list[Any] = []
_apart: list[Any] = []
_declare = cast(Any, cgutils.get_or_insert_function)


def kernel(function: Function) -> Function:
    """Make a kernel, with the project's flags.

    No fastmath: it drops NaN checks and lets sums be reordered, and the same bits are a promise.
    ``error_model="numpy"``: Python's checks for division by zero stop vectorisation.
    """
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    _kernels.append(dispatcher)
    return cast(Function, dispatcher)


def apart(function: Function) -> Function:
    """Make a kernel that is never inlined: one copy, however many kernels call it."""
    made = kernel(function)
    _apart.append(made)
    return made


def kernels() -> list[Any]:
    """Return all kernels that were defined so far."""
    return list(_kernels)


def names_apart() -> set[str]:
    """Return LLVM's names of the functions that are never inlined, as far as they are compiled."""
    return {
        compiled.fndesc.llvm_func_name
        for dispatcher in _apart
        for compiled in dispatcher.overloads.values()
    }


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that Numba lowers by LLVM instructions; it can be called in kernels only."""
    return cast(Callable[..., Any], _intrinsic(function))


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` for three floats (or vectors) of one type, fused where the machine can.

    It is ``llvm.fmuladd``: scalar and vector code agree on one machine. (``llvm.fma`` must fuse,
    and without the instruction that is a library call a lane.)
    """
    if not (a == b == c and (isinstance(a, types.Float) or hasattr(a, "lanes"))):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        element = getattr(a, "element", a)
        vector = f"v{a.lanes}" if hasattr(a, "lanes") else ""
        declared = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fmuladd.{vector}f{element.bitwidth}"
        return builder.call(_declare(builder.module, declared, name), arguments)

    return a(a, a, a), codegen


@intrinsic
def ticks(typing_context: Any) -> Any:
    """Return the processor's counter of time, as int64; its rate is for the caller to find out.

    x86 reads the time-stamp counter, AArch64 the virtual timer (LLVM's ``readcyclecounter`` would
    read a counter there that programs may not); anything else has none: 0.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        if platform.machine() in ("x86_64", "AMD64"):
            declared = ir.FunctionType(word, [])
            return builder.call(_declare(builder.module, declared, "llvm.readcyclecounter"), [])
        if platform.machine() in ("aarch64", "arm64"):
            read = ir.FunctionType(word, [])
            return builder.asm(read, "mrs $0, cntvct_el0", "=r", [], side_effect=True)
        return word(0)

    return types.int64(), codegen
