"""Arithmetic, logic, comparison and conversion: what each PTX instruction does to rows of lanes.

Functions that approximate (``ex2.approx``, ``tanh.approx``, ...) are exact here: tests that compare
with a tolerance must allow for the device's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import ptx_floats as floats
import ptx_integers as integers
from ptx_lanes import DTYPES, Array, Lanes, Step, simple
from ptx_parse import Instruction, Several, Unsupported

#: What may stand behind an opcode and changes nothing here.
_ROUNDED = {"rn", "approx", "full"}
_COMPARISONS: dict[str, Any] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "lo": np.less, "ls": np.less_equal,
    "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip


_BINARY: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}  # fmt: skip
_INTEGERS: dict[str, Any] = {
    "min": np.minimum, "max": np.maximum, "div": integers.divide, "rem": integers.remainder,
    "neg": np.negative, "abs": np.abs, "not": np.invert,
    "cnot": lambda a: (a == 0).astype(a.dtype), "brev": integers.reverse_bits,
}  # fmt: skip
#: The product's sum with -0 keeps the sign of a zero.
_TRUNCATED: dict[str, Any] = {
    "fma": floats.truncated,
    "add": lambda a, b: floats.truncated(a, np.ones_like(a), b),
    "sub": lambda a, b: floats.truncated(a, np.ones_like(a), -b),
    "mul": lambda a, b: floats.truncated(a, b, np.full_like(a, -0.0)),
}
#: With types of its operands, destination first; "" is the instruction's own.
_BITS: dict[str, Any] = {
    "shl": (("", "", "u32"), integers.shift(np.left_shift)),
    "shr": (("", "", "u32"), integers.shift(np.right_shift)),
    "popc": (("u32", ""), integers.bit_count),
    "clz": (("u32", ""), integers.leading_zeros),
    "bfe": (("", "", "u32", "u32"), integers.extract),
    "bfi": (("", "", "", "u32", "u32"), integers.insert),
    "prmt": (("", "", "", ""), integers.permute),
}
_FLOATS: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "min": floats.minimum, "max": floats.maximum, "neg": np.negative, "abs": np.abs,
    "sqrt": np.sqrt, "rcp": lambda a: a.dtype.type(1) / a,
    "copysign": lambda a, b: np.copysign(b, a),
    "rsqrt": floats.wide(lambda a: 1 / np.sqrt(a)), "ex2": floats.wide(np.exp2),
    "lg2": floats.wide(np.log2), "sin": floats.wide(np.sin), "cos": floats.wide(np.cos),
    "tanh": floats.wide(np.tanh), "fma": floats.fma32,
}  # fmt: skip


def bind_arithmetic(lanes: Lanes, ins: Instruction) -> Step:
    """Bind an instruction whose operands are all of one type."""
    name, *modifiers, kind = ins.words
    n_sources = len(ins.operands) - 1
    if kind not in DTYPES:
        raise Unsupported(ins.text)
    if DTYPES[kind].kind == "f":
        return _bind_float(lanes, ins, name, set(modifiers), kind)
    if kind.startswith(("bf", "f")):
        raise Unsupported(ins.text)
    unsigned = "u" + kind[1:]
    if name in _BINARY and not modifiers:
        return _bind_ufunc(lanes, ins, unsigned, _BINARY[name])
    if name in _INTEGERS and not modifiers:
        return simple(lanes, ins, (kind,) * (n_sources + 1), _INTEGERS[name])
    if name in ("mul", "mad"):
        return _bind_product(lanes, ins, name, modifiers, kind)
    if name == "shf":
        return _bind_funnel(lanes, ins, modifiers)
    if name in _BITS and not modifiers:
        kinds, function = _BITS[name]
        return simple(lanes, ins, tuple(one or kind for one in kinds), function)
    raise Unsupported(ins.text)


def _bind_funnel(lanes: Lanes, ins: Instruction, modifiers: list[str]) -> Step:
    left, wraps = modifiers[0] == "l", modifiers[1] == "wrap"

    def funnel(low: Array, high: Array, by: Array) -> Array:
        n = (by & np.uint32(31) if wraps else np.minimum(by, np.uint32(32))).astype(np.uint64)
        both = (high.astype(np.uint64) << np.uint64(32)) | low
        moved = (both << n) >> np.uint64(32) if left else both >> n
        return moved.astype(np.uint32)

    return simple(lanes, ins, ("b32",) * 4, funnel)


def _bind_product(
    lanes: Lanes, ins: Instruction, name: str, modifiers: list[str], kind: str
) -> Step:
    double = kind[0] + str(2 * int(kind[1:]))
    adds = name == "mad"
    if modifiers == ["lo"]:
        kind = "u" + kind[1:]
        if not adds:
            return simple(lanes, ins, (kind,) * 3, np.multiply)
        return simple(lanes, ins, (kind,) * 4, lambda a, b, c: a * b + c)
    if modifiers == ["hi"]:
        if not adds:
            return simple(lanes, ins, (kind,) * 3, floats.multiply_high)
        return simple(lanes, ins, (kind,) * 4, lambda a, b, c: floats.multiply_high(a, b) + c)
    if modifiers == ["wide"]:
        dtype = DTYPES[double]
        if not adds:
            return simple(
                lanes, ins, (double, kind, kind), lambda a, b: np.multiply(a, b, dtype=dtype)
            )
        return simple(
            lanes,
            ins,
            (double, kind, kind, double),
            lambda a, b, c: np.multiply(a, b, dtype=dtype) + c,
        )
    raise Unsupported(ins.text)


def _bind_float(lanes: Lanes, ins: Instruction, name: str, modifiers: set[str], kind: str) -> Step:
    flushed, held = "ftz" in modifiers, "sat" in modifiers
    rest = modifiers - {"ftz", "sat"} - _ROUNDED
    if rest == {"rz"} and kind == "f32" and name in _TRUNCATED:
        return simple(lanes, ins, (kind,) * len(ins.operands), _TRUNCATED[name])
    if name not in _FLOATS or rest or (kind != "f32" and name in ("fma", "rsqrt", "ex2")):
        raise Unsupported(ins.text)
    function = _FLOATS[name]
    if kind == "f16" and name not in ("neg", "abs"):
        raise Unsupported(ins.text)
    if flushed:
        plain = function
        function = lambda *rows: floats.flush(plain(*(floats.flush(row) for row in rows)))  # noqa: E731
    if held:
        unheld = function
        function = lambda *rows: floats.saturate(unheld(*rows))  # noqa: E731
    if isinstance(function, np.ufunc) and function.nin == 2:
        return _bind_ufunc(lanes, ins, kind, function)
    return simple(lanes, ins, (kind,) * len(ins.operands), function)


def _bind_ufunc(lanes: Lanes, ins: Instruction, kind: str, ufunc: Any) -> Step:
    to = lanes.target(ins.operands[0], kind)
    a, b = (lanes.source(operand, kind) for operand in ins.operands[1:])

    def run(g: Any) -> None:
        ufunc(a, b, to, where=g.where)

    return run


def bind_compare(lanes: Lanes, ins: Instruction) -> Step:
    """Bind ``setp``: one or two predicates from a comparison, combined with another predicate."""
    _, comparison, *modifiers, kind = ins.words
    if "ftz" in modifiers:
        raise Unsupported(ins.text)
    is_float = DTYPES[kind].kind == "f"
    a, b = (lanes.source(operand, kind) for operand in ins.operands[1:3])
    unordered = is_float and comparison.endswith("u") and comparison[:-1] in _COMPARISONS
    function: Any
    if comparison in ("num", "nan"):
        negated = comparison == "num"
        function = lambda x, y: (np.isnan(x) | np.isnan(y)) ^ negated  # noqa: E731
    elif unordered:
        ordered = _COMPARISONS[comparison[:-1]]
        function = lambda x, y: ordered(x, y) | np.isnan(x) | np.isnan(y)  # noqa: E731
    elif is_float and comparison == "ne":
        function = lambda x, y: (x != y) & ~np.isnan(x) & ~np.isnan(y)  # noqa: E731
    else:
        function = _COMPARISONS[comparison]
    (to,) = ins.operands[:1]
    if modifiers:
        join = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[modifiers[0]]
        other = lanes.predicate(ins.operands[3])
    else:
        join, other = None, None
    rows = [lanes.predicate_row(part) for part in (to.parts if isinstance(to, Several) else (to,))]

    def compare(g: Any) -> None:
        result = function(a, b)
        for row, value in zip(rows, (result, ~result) if len(rows) > 1 else (result,), strict=True):
            joined = value if join is None or other is None else join(value, other())
            np.copyto(row, joined, where=g.where)

    return compare


def bind_select(lanes: Lanes, ins: Instruction) -> Step:
    """Bind ``selp``."""
    kind = ins.words[-1]
    to = lanes.target(ins.operands[0], kind)
    a, b = (lanes.source(operand, kind) for operand in ins.operands[1:3])
    chosen = lanes.predicate(ins.operands[3])
    return lambda g: np.copyto(to, np.where(chosen(), a, b), where=g.where)


def bind_predicate_logic(lanes: Lanes, ins: Instruction) -> Step:
    """Bind ``and.pred``, ``or.pred``, ``xor.pred``, ``not.pred`` and ``mov.pred``."""
    to = lanes.predicate_row(ins.operands[0])
    rows = [lanes.predicate(operand) for operand in ins.operands[1:]]
    name = ins.words[0]
    if name in ("mov", "not"):
        (row,) = rows
        return lambda g: np.copyto(to, row() if name == "mov" else ~row(), where=g.where)
    function = _BINARY[name]
    a, b = rows
    return lambda g: np.copyto(to, function(a(), b()), where=g.where)


def bind_move(lanes: Lanes, ins: Instruction) -> Step:
    """Bind ``mov``, which also packs and unpacks vectors, and ``cvta``, which moves addresses."""
    kind = ins.words[-1]
    to, source = ins.operands
    if isinstance(source, Several):
        part = f"b{int(kind[1:]) // len(source.parts)}"
        row = lanes.target(to, kind)
        rows = [lanes.source(one, part) for one in source.parts]

        def pack(g: Any) -> None:
            joined = np.ascontiguousarray(np.stack(rows, axis=1)).view(row.dtype).reshape(-1)
            np.copyto(row, joined, where=g.where)

        return pack
    if isinstance(to, Several):
        part = f"b{int(kind[1:]) // len(to.parts)}"
        whole = lanes.source(source, kind)
        targets = [None if one is None else lanes.target(one, part) for one in to.parts]
        dtype = DTYPES[part]

        def unpack(g: Any) -> None:
            halves = whole.copy().view(dtype).reshape(len(whole), -1)
            for n, target in enumerate(targets):
                if target is not None:
                    np.copyto(target, halves[:, n], where=g.where)

        return unpack
    row, value = lanes.target(to, kind), lanes.source(source, kind)
    return lambda g: np.copyto(row, value, where=g.where)


def bind_convert(lanes: Lanes, ins: Instruction) -> Step:
    """Bind ``cvt``."""
    modifiers, to, source = list(ins.words[1:-2]), ins.words[-2], ins.words[-1]
    rounding = next((m for m in modifiers if m[:2] in ("rn", "rz", "rm", "rp", "ri")), "")
    rest = set(modifiers) - {rounding, "sat", "ftz"}
    if rest or to not in DTYPES or source not in DTYPES:
        raise Unsupported(ins.text)
    if to in ("bf16x2", "f16x2") and source == "f32" and len(ins.operands) == 3:
        half = _converter(ins, to[:-2], source, rounding, False)

        def both(high: Array, low: Array) -> Array:
            parts = [half(part).view(np.uint16).astype(np.uint32) for part in (high, low)]
            return (parts[0] << np.uint32(16)) | parts[1]

        return simple(lanes, ins, (to, source, source), both)
    convert = _converter(ins, to, source, rounding, "sat" in modifiers)
    if "ftz" in modifiers:
        unflushed = convert
        flush_after = DTYPES[to].kind == "f" and to == "f32"

        def convert(a: Array) -> Array:
            result = unflushed(floats.flush(a) if source == "f32" else a)
            return floats.flush(result) if flush_after else result

    return simple(lanes, ins, (to, source), convert)


def _converter(
    ins: Instruction, to: str, source: str, rounding: str, held: bool
) -> Callable[[Array], Array]:
    target, origin = DTYPES[to], DTYPES[source]
    if source == "bf16":
        inner = _identity if to == "f32" else _converter(ins, to, "f32", rounding, held)
        return lambda a: inner(floats.bf16_to_f32(a))
    if to == "bf16":
        if source != "f32" or rounding not in ("rn", "rz"):
            raise Unsupported(ins.text)
        return lambda a: floats.f32_to_bf16(a, rounding)
    if origin.kind == "f" and target.kind == "f":
        if rounding in ("rni", "rzi", "rmi", "rpi") and origin == target:
            return {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[rounding]
        if rounding not in ("", "rn"):
            raise Unsupported(ins.text)
        return lambda a: floats.saturate(a.astype(target)) if held else a.astype(target)
    if origin.kind == "f":
        return lambda a: floats.to_integer(a, rounding, target)
    if target.kind == "f":
        if rounding != "rn":
            raise Unsupported(ins.text)
        return lambda a: a.astype(target)
    if not held:
        return lambda a: a.astype(target)
    low, high = np.iinfo(target).min, np.iinfo(target).max
    own = np.iinfo(origin)
    return lambda a: np.clip(a, max(low, own.min), min(high, own.max)).astype(target)


def _identity(a: Array) -> Array:
    return a


def bind_any(lanes: Lanes, ins: Instruction) -> Step | None:
    """Bind an instruction that works on registers alone; None if it is of another kind."""
    name = ins.words[0]
    if ins.words[-1] == "pred":
        return bind_predicate_logic(lanes, ins)
    if name == "setp":
        return bind_compare(lanes, ins)
    if name == "selp":
        return bind_select(lanes, ins)
    if name == "mov":
        return bind_move(lanes, ins)
    if name == "cvt":
        return bind_convert(lanes, ins)
    if name == "lop3" and len(ins.operands) == 5:
        table = ins.operands[4]
        shorter = Instruction(ins.words, ins.operands[:4], ins.guard, ins.text, ins.line)
        return simple(lanes, shorter, ("b32",) * 4, integers.logic3(getattr(table, "value", 0)))
    tables = (_BINARY, _INTEGERS, _BITS, _FLOATS, {"mul": 0, "mad": 0, "shf": 0})
    return bind_arithmetic(lanes, ins) if any(name in table for table in tables) else None
