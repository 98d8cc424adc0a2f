"""Python objects as kernels see them: the arguments of built-in methods (see `pycall`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from streamrnn.kernels import pycall
from streamrnn.kernels.jit import intrinsic, kernel

_WORD, _INT = ir.IntType(64), ir.IntType(32)


def _reader(element: Any) -> Any:
    """Return an intrinsic ``(address, n_bytes_behind) -> int64``."""

    def read(typing_context: Any, base: Any, behind: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = builder.inttoptr(builder.add(*arguments), element.as_pointer())
            value = builder.load(at)
            return value if element is _WORD else builder.sext(value, _WORD)

        return types.int64(types.int64, types.int64), codegen

    return intrinsic(read)


#: ``word(address, n)``: the int64 that stands n bytes behind the address.
word = _reader(_WORD)
#: ``half_word(address, n)``: the int32 there.
half_word = _reader(_INT)


@intrinsic
def _increment(typing_context: Any, at: Any) -> Any:
    """Add 1 to the 32 low bits of the int64 at an address, unless they are negative.

    Of an immortal object (PEP 683) they are, and must stay.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _INT.as_pointer())
        old = builder.load(pointer)
        new = builder.add(old, ir.Constant(_INT, 1))
        mortal = builder.icmp_signed(">=", old, ir.Constant(_INT, 0))
        builder.store(builder.select(mortal, new, old), pointer)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _calls(name: str, n: int) -> Any:
    """Return an intrinsic that calls a function of CPython's API with `n` words."""

    def declared(builder: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD] * n)
        function: Any = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        return builder.call(function, arguments)

    def one(typing_context: Any, a: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return declared(builder, arguments)

        return types.int64(types.int64), codegen

    def two(typing_context: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return declared(builder, arguments)

        return types.int64(types.int64, types.int64), codegen

    return intrinsic(one if n == 1 else two)


_call_one = _calls("PyObject_CallOneArg", 2)
#: ``integer(n)``: a new Python int.
integer = _calls("PyLong_FromLongLong", 1)


@kernel
def slots_of(context: int) -> int:
    """Return the address of the slots of a context object."""
    return int(word(context, pycall.DATA_AT))


@kernel
def none(slots: int) -> int:
    """Return None, as a new reference."""
    result = word(slots, 8 * pycall.NONE)
    _increment(result)
    return int(result)


@kernel
def fall_back(slots: int, argument: int) -> int:
    """Return what the Python fallback makes of the argument (0 if it raised)."""
    return int(_call_one(word(slots, 8 * pycall.FALLBACK), argument))


@kernel
def array_data(slots: int, argument: int) -> int:
    """Return where the data of an array argument begins; 0 if it is not what the kernel takes."""
    if (
        word(argument, pycall.TYPE_AT) != word(slots, 8 * pycall.ARRAY_TYPE)
        or word(argument, pycall.DTYPE_AT) != word(slots, 8 * pycall.DTYPE)
        or half_word(argument, pycall.FLAGS_AT) & pycall.GOOD_FLAGS != pycall.GOOD_FLAGS
    ):
        return 0
    n, n_columns = 1, 1
    shape = word(argument, pycall.SHAPE_AT)
    for axis in range(half_word(argument, pycall.NDIM_AT)):
        n_columns = word(shape, 8 * axis)
        n *= n_columns
    is_fit = n == word(slots, 8 * pycall.N_ELEMENTS) and n_columns == word(
        slots, 8 * pycall.N_COLUMNS
    )
    if not is_fit:
        return 0
    return int(word(argument, pycall.DATA_AT))


@kernel
def is_bytes(slots: int, argument: int) -> bool:
    """Return whether an argument is `bytes`: ``bytes_size`` of them from ``bytes_data`` on."""
    return bool(word(argument, pycall.TYPE_AT) == word(slots, 8 * pycall.BYTES_TYPE))


@kernel
def bytes_size(argument: int) -> int:
    """Return the length of a `bytes` argument."""
    return int(word(argument, pycall.SIZE_AT))


@kernel
def bytes_data(argument: int) -> int:
    """Return where the data of a `bytes` argument begins; nothing may be read behind its end."""
    return int(argument + pycall.BYTES_AT)


def _pointer(element: Any, numba_element: Any) -> Any:
    """Return an intrinsic that turns an address into a typed pointer."""
    kind = types.CPointer(numba_element)  # type: ignore[no-untyped-call]

    def cast_(typing_context: Any, at: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], element.as_pointer())

        return kind(types.int64), codegen

    return intrinsic(cast_)


#: ``f4_pointer(address)`` and so on: an address, an int64, as a pointer.
f4_pointer = _pointer(ir.FloatType(), types.float32)
f8_pointer = _pointer(ir.DoubleType(), types.float64)
i8_pointer = _pointer(_WORD, types.int64)
i2_pointer = _pointer(ir.IntType(16), types.int16)
