"""A few rows of a batch as one value, and sums of products over them, held in registers.

A value of `Rows` has a number for each of 1, 2, 4 or 8 rows; of one row it is a plain float. The
arithmetic of the cell takes it as it takes any vector (`rnn.gates`), and each lane does what a
float would do, so the bits do not depend on how many rows a thread has.

All functions here are intrinsics. `like` is any value with as many rows as the result shall have.
Rows in memory are `stride` elements apart; where there are only `n` of them, the rest is neither
read, which gives 0, nor written. Indices and strides are
unsigned 32-bit numbers, `first` an unsigned 64-bit one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from llvmlite import ir
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.cuda import cgutils, types
from numba.cuda.extending import register_model
from numba.extending import lower_builtin, models

from streamrnn.kernels.cuda.code.words import intrinsic
from streamrnn.kernels.rnn.simd import Vector, ir_type

_I32, _I64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_FOUR = ir.VectorType(_FLOAT, 4)
#: LLVM's numbers of address spaces.
_GLOBAL, _SHARED = 1, 3


class Rows(Vector):
    """The Numba type of a float32 of each of some rows."""

    def __init__(self, n_rows: int) -> None:
        self.element, self.lanes = types.float32, n_rows
        types.Type.__init__(self, name=f"rows({n_rows})")


@cast(Callable[..., Any], register_model(Rows))
class _RowsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Rows) -> None:
        super().__init__(manager, kind, ir_type(kind))  # type: ignore[no-untyped-call]


#: By the number of rows.
KINDS: dict[int, Any] = {1: types.float32} | {n: Rows(n) for n in (2, 4, 8)}
_VECTORS = [kind for kind in KINDS.values() if isinstance(kind, Rows)]


def _define_operator(function: Callable[..., Any], instruction: str) -> None:
    """Give rows one of Python's operators."""

    class Template(ConcreteTemplate):
        cases = [_signature(kind, kind, kind) for kind in _VECTORS]  # noqa: RUF012

    def lower(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)

    _infer_global(function)(Template)
    for kind in _VECTORS:
        _lower_builtin(function, kind, kind)(lower)


_signature, _infer_global, _lower_builtin = (
    cast(Callable[..., Any], f) for f in (signature, infer_global, lower_builtin)
)
_define_operator(operator.add, "fadd")
_define_operator(operator.sub, "fsub")
_define_operator(operator.mul, "fmul")
_define_operator(operator.truediv, "fdiv")


def n_lanes(kind: Any) -> int:
    """Return how many rows a value of a type has."""
    return kind.lanes if isinstance(kind, Rows) else 1


def split(builder: Any, kind: Any, value: Any) -> list[Any]:
    """Return the numbers of the rows."""
    if not isinstance(kind, Rows):
        return [value]
    return [builder.extract_element(value, _I32(r)) for r in range(kind.lanes)]


def joined(builder: Any, kind: Any, parts: list[Any]) -> Any:
    """Return the value of the numbers of its rows."""
    if not isinstance(kind, Rows):
        return parts[0]
    value = ir.Constant(ir_type(kind), ir.Undefined)
    for r, part in enumerate(parts):
        value = builder.insert_element(value, part, _I32(r))
    return value


def _wide(builder: Any, number: Any) -> Any:
    return number if number.type.width == 64 else builder.zext(number, _I64)


def _places(builder: Any, pointer: Any, first: Any, stride: Any, lanes: int) -> list[Any]:
    """Return each row's place, one from the other: offsets would all be kept in registers."""
    step = _wide(builder, stride)
    places = [builder.gep(pointer, [_wide(builder, first)])]
    while len(places) < lanes:
        places.append(builder.gep(places[-1], [step]))
    return places


def _if_given(builder: Any, given: Any, load: Callable[[], list[Any]]) -> list[Any]:
    """Return the numbers that `load` gives, or zeros."""
    before = builder.block
    with builder.if_then(given, likely=True):
        numbers, inside = load(), builder.block
    parts = []
    for number in numbers:
        part = builder.phi(_FLOAT)
        part.add_incoming(ir.Constant(_FLOAT, 0.0), before)
        part.add_incoming(number, inside)
        parts.append(part)
    return parts


def _is_given(builder: Any, r: int, n: Any) -> Any:
    return builder.icmp_unsigned("<", _I32(r), n)


def _load_one(builder: Any, place: Any) -> list[Any]:
    return [builder.load(place)]


def _load_four(builder: Any, place: Any) -> list[Any]:
    value = builder.load(builder.bitcast(place, _FOUR.as_pointer()))
    value.align = 16
    return [builder.extract_element(value, _I32(g)) for g in range(4)]


@intrinsic
def zeros(typing_context: Any, n_rows: Any) -> Any:
    """Return zeros of so many rows, a constant."""
    if not isinstance(n_rows, types.IntegerLiteral):
        return None
    kind = KINDS[n_rows.literal_value]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return ir.Constant(ir_type(kind), 0.0 if n_rows.literal_value == 1 else None)

    return kind(n_rows), codegen


@intrinsic
def load_rows(typing_context: Any, like: Any, a: Any, at: Any) -> Any:
    """Return the rows' numbers that begin at ``a[at]``, next to one another and aligned so."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, index = arguments
        place = builder.gep(pointer, [_wide(builder, index)])
        value = builder.load(builder.bitcast(place, ir_type(like).as_pointer()))
        value.align = min(16, 4 * n_lanes(like))
        return value

    return like(like, a, at), codegen


@intrinsic
def store_rows(typing_context: Any, a: Any, at: Any, value: Any) -> Any:
    """Write the rows' numbers to ``a[at]`` and behind it, aligned to as many."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, index, numbers = arguments
        place = builder.gep(pointer, [_wide(builder, index)])
        place = builder.bitcast(place, ir_type(value).as_pointer())
        builder.store(numbers, place).align = min(16, 4 * n_lanes(value))
        return context.get_dummy_value()

    return types.void(a, at, value), codegen


@intrinsic
def gather_rows(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, n: Any) -> Any:
    """Return ``a[first + row * stride]`` of each row."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, given = arguments
        parts = []
        for r, place in enumerate(_places(builder, pointer, begin, step, n_lanes(like))):
            is_given = _is_given(builder, r, given)
            parts += _if_given(builder, is_given, partial(_load_one, builder, place))
        return joined(builder, like, parts)

    return like(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def scatter_rows(typing_context: Any, a: Any, first: Any, stride: Any, n: Any, value: Any) -> Any:
    """Write each given row's number to ``a[first + row * stride]``."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, step, given, numbers = arguments
        places = _places(builder, pointer, begin, step, n_lanes(value))
        for r, part in enumerate(split(builder, value, numbers)):
            with builder.if_then(_is_given(builder, r, given), likely=True):
                builder.store(part, places[r])
        return context.get_dummy_value()

    return types.void(a, first, types.uint32, types.uint32, value), codegen


@intrinsic
def gather_gates(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, n: Any) -> Any:
    """Return the four numbers that begin at ``a[first + row * stride]`` of each row."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, given = arguments
        fours = []
        for r, place in enumerate(_places(builder, pointer, begin, step, n_lanes(like))):
            is_given = _is_given(builder, r, given)
            fours.append(_if_given(builder, is_given, partial(_load_four, builder, place)))
        gates = [joined(builder, like, [four[g] for four in fours]) for g in range(4)]
        return cgutils.pack_array(builder, gates)

    return types.UniTuple(like, 4)(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def scatter_gates(
    typing_context: Any, a: Any, first: Any, stride: Any, n: Any,
    v0: Any, v1: Any, v2: Any, v3: Any,
) -> Any:  # fmt: skip
    """Write four numbers of each given row to ``a[first + row * stride]`` and behind it."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, step, given, *values = arguments
        lanes = n_lanes(v0)
        places = _places(builder, pointer, begin, step, lanes)
        parts = [split(builder, v0, value) for value in values]
        for r in range(lanes):
            four = joined_four(builder, [part[r] for part in parts])
            with builder.if_then(_is_given(builder, r, given), likely=True):
                builder.store(four, builder.bitcast(places[r], _FOUR.as_pointer())).align = 16
        return context.get_dummy_value()

    return types.void(a, first, types.uint32, types.uint32, v0, v0, v0, v0), codegen


def joined_four(builder: Any, parts: list[Any]) -> Any:
    """Return four numbers as LLVM's vector."""
    value = ir.Constant(_FOUR, ir.Undefined)
    for g, part in enumerate(parts):
        value = builder.insert_element(value, part, _I32(g))
    return value


@intrinsic
def state_rows(
    typing_context: Any, like: Any, a: Any, at: Any, stride: Any, index: Any, row: Any, n: Any
) -> Any:
    """Return ``a[which * stride + at]`` of each row from `row` on.

    ``which`` is the row's number, or ``index[row]`` where `index`, a pointer to int32, is not 0.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, column, step, table, first, given = arguments

        def load(r: int) -> list[Any]:
            which = _looked_up(builder, table, builder.add(first, _I32(r)))
            return [builder.load(_state_place(builder, pointer, which, step, column))]

        parts: list[Any] = []
        for r in range(n_lanes(like)):
            parts += _if_given(builder, _is_given(builder, r, given), partial(load, r))
        return joined(builder, like, parts)

    word = types.uint32
    return like(like, a, word, word, index, word, word), codegen


@intrinsic
def set_state_rows(
    typing_context: Any, a: Any, at: Any, stride: Any, index: Any, row: Any, n: Any, value: Any
) -> Any:
    """Write what `state_rows` reads, for the given rows."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, column, step, table, first, given, numbers = arguments
        for r, part in enumerate(split(builder, value, numbers)):
            with builder.if_then(_is_given(builder, r, given), likely=True):
                which = _looked_up(builder, table, builder.add(first, _I32(r)))
                builder.store(part, _state_place(builder, pointer, which, step, column))
        return context.get_dummy_value()

    word = types.uint32
    return types.void(a, word, word, index, word, word, value), codegen


def _looked_up(builder: Any, table: Any, row: Any) -> Any:
    """Return ``table[row]``, or the row itself where there is no table."""
    given = builder.icmp_unsigned("!=", builder.ptrtoint(table, _I64), _I64(0))
    before = builder.block
    with builder.if_then(given, likely=False):
        found = builder.load(builder.gep(table, [builder.zext(row, _I64)]))
        inside = builder.block
    which = builder.phi(_I32)
    which.add_incoming(row, before)
    which.add_incoming(found, inside)
    return which


def _state_place(builder: Any, pointer: Any, which: Any, stride: Any, column: Any) -> Any:
    at = builder.mul(builder.zext(which, _I64), builder.zext(stride, _I64))
    return builder.gep(pointer, [builder.add(at, builder.zext(column, _I64))])


@intrinsic
def where_live(typing_context: Any, t: Any, ends: Any, row: Any, n: Any, new: Any, old: Any) -> Any:
    """Return `new` of each row that has not ended before step `t`, else `old`."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        step, table, first, given, after, before = arguments
        parts = []
        pairs = zip(split(builder, new, after), split(builder, new, before), strict=True)
        for r, (a, b) in enumerate(pairs):
            here = builder.block
            with builder.if_then(_is_given(builder, r, given), likely=True):
                place = builder.gep(table, [builder.zext(builder.add(first, _I32(r)), _I64)])
                live = builder.icmp_signed("<", step, builder.load(place))
                chosen, inside = builder.select(live, a, b), builder.block
            part = builder.phi(_FLOAT)
            part.add_incoming(b, here)
            part.add_incoming(chosen, inside)
            parts.append(part)
        return joined(builder, new, parts)

    return new(types.int32, ends, types.uint32, types.uint32, new, new), codegen


@intrinsic
def live_rows(
    typing_context: Any, like: Any, ends: Any, t_from: Any, row: Any, step: Any, n: Any,
    n_batch: Any,
) -> Any:  # fmt: skip
    """Return a bit for each of n rows of time and batch, `step` apart from `row` on, that is live.

    Row ``t * n_batch + b`` has ended if ``t + t_from >= ends[b]``. Without `ends` all live.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, table, begin, first, apart, given, modulus = arguments
        bits = _I32(0)
        has_ends = builder.icmp_unsigned("!=", builder.ptrtoint(table, _I64), _I64(0))
        for r in range(n_lanes(like)):
            is_given = _is_given(builder, r, given)
            before = builder.block
            with builder.if_then(builder.and_(has_ends, is_given)):
                flat = builder.add(first, builder.mul(_I32(r), apart))
                t = builder.udiv(flat, modulus)
                which = builder.sub(flat, builder.mul(t, modulus))
                end = builder.load(builder.gep(table, [builder.zext(which, _I64)]))
                live, inside = builder.icmp_signed("<", builder.add(t, begin), end), builder.block
            bit = builder.phi(ir.IntType(1))
            bit.add_incoming(is_given, before)
            bit.add_incoming(live, inside)
            bits = builder.or_(bits, builder.shl(builder.zext(bit, _I32), _I32(r)))
        return bits

    word = types.uint32
    return word(like, ends, types.int32, word, word, word, word), codegen


@intrinsic
def gather_some(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, bits: Any) -> Any:
    """Return ``a[first + row * stride]`` of each row that has its bit, 0 of the others."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, wanted = arguments
        parts = []
        for r, place in enumerate(_places(builder, pointer, begin, step, n_lanes(like))):
            has_bit = builder.icmp_unsigned("!=", builder.and_(wanted, _I32(1 << r)), _I32(0))
            parts += _if_given(builder, has_bit, partial(_load_one, builder, place))
        return joined(builder, like, parts)

    return like(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def factors(
    typing_context: Any, like: Any, a: Any, column: Any, width: Any, row: Any, step: Any, n: Any,
    n_batch: Any,
) -> Any:  # fmt: skip
    """Return ``a[(row + lane * step) % n_batch, column]`` of each lane; `a` has `width` columns."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, j, n_columns, first, apart, given, modulus = arguments

        def load(r: int) -> list[Any]:
            which = builder.urem(builder.add(first, builder.mul(_I32(r), apart)), modulus)
            return [builder.load(_state_place(builder, pointer, which, n_columns, j))]

        parts: list[Any] = []
        for r in range(n_lanes(like)):
            parts += _if_given(builder, _is_given(builder, r, given), partial(load, r))
        return joined(builder, like, parts)

    word = types.uint32
    return like(like, a, word, word, word, word, word, word), codegen


@intrinsic
def where_bits(typing_context: Any, value: Any, bits: Any) -> Any:
    """Return `value` of each row that has its bit, 0 of the others."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        numbers, wanted = arguments
        parts = []
        for r, part in enumerate(split(builder, value, numbers)):
            has_bit = builder.icmp_unsigned("!=", builder.and_(wanted, _I32(1 << r)), _I32(0))
            parts.append(builder.select(has_bit, part, ir.Constant(_FLOAT, 0.0)))
        return joined(builder, value, parts)

    return value(value, types.uint32), codegen


@intrinsic
def store_turned(
    typing_context: Any, a: Any, first: Any, step: Any, n_in: Any, n_rows: Any, value: Any
) -> Any:
    """Write element ``e = first + lane * step`` of a block of rows of `n_in` to its turned place.

    That is ``a[(e % n_in) * n_rows + e // n_in]``; elements behind the last row are not written.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, apart, width, rows, numbers = arguments
        n_elements = builder.mul(width, rows)
        for s, part in enumerate(split(builder, value, numbers)):
            element = builder.add(begin, builder.mul(_I32(s), apart))
            with builder.if_then(builder.icmp_unsigned("<", element, n_elements)):
                row = builder.udiv(element, width)
                k = builder.sub(element, builder.mul(row, width))
                at = builder.add(builder.mul(k, rows), row)
                builder.store(part, builder.gep(pointer, [builder.zext(at, _I64)]))
        return context.get_dummy_value()

    word = types.uint32
    return types.void(a, word, word, word, word, value), codegen


class _Sums:
    """Writes the loop of `add_products`.

    While the products of some k are added, the numbers of the next ones are on their way to other
    registers; these two sets change places within the loop's body, so nothing is moved.

    Addresses in shared memory are kept as 32-bit numbers, as the machine has them.
    """

    #: k of a set, of weights and of the rows' numbers, by the number of rows: as many as hide a
    #: load's latency, and fit. The second is for weights that are not in shared memory.
    NEAR = {1: (4, 4), 2: (4, 4), 4: (2, 2), 8: (1, 1)}  # noqa: RUF012
    FAR = NEAR | {8: (2, 1)}

    def __init__(self, builder: Any, n_rows: int, strides: tuple[Any, Any], *, far: bool) -> None:
        self.builder, self.n_rows = builder, n_rows
        self.w_depth, self.a_depth = (self.FAR if far else self.NEAR)[n_rows]
        self.w_step, self.a_step = (builder.shl(stride, _I32(2)) for stride in strides)  # bytes
        declare: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(_FLOAT, [_FLOAT] * 3)
        self.fma = declare(builder.module, kind, "llvm.fma.f32")

    def _vector(self, address: Any, offset: int, width: int) -> list[Any]:
        """Load numbers next to one another, aligned to as many."""
        builder = self.builder
        kind = ir.VectorType(_FLOAT, width) if width > 1 else _FLOAT
        space = _SHARED if address.type == _I32 else _GLOBAL
        place = builder.add(address, address.type(offset))
        value = builder.load(builder.inttoptr(place, ir.PointerType(kind, space)))
        value.align = 4 * width
        if width == 1:
            return [value]
        return [builder.extract_element(value, _I32(j)) for j in range(width)]

    def _ahead(self, address: Any, step: Any, n: int = 1) -> Any:
        """Return the address n steps further."""
        by = self.builder.mul(step, _I32(n)) if n > 1 else step
        return self.builder.add(address, by if address.type == _I32 else _wide(self.builder, by))

    def load_weights(self, w: Any, n: int) -> tuple[list[Any], Any]:
        """Return the weights of n k, and the address behind them."""
        weights = []
        for _ in range(n):
            weights += self._vector(w, 0, 4)
            w = self._ahead(w, self.w_step)
        return weights, w

    def load_rows(self, a: Any, n: int) -> tuple[list[Any], Any]:
        """Return the rows' numbers of n k, and the address behind them.

        As many k at once as 16 bytes hold; they lie next to one another if they are more.
        """
        numbers = []
        at_once = min(n, max(1, 4 // self.n_rows))
        for _ in range(n // at_once):
            size = at_once * self.n_rows
            for begin in range(0, size, 4):
                numbers += self._vector(a, 4 * begin, min(4, size))
            a = self._ahead(a, self.a_step, at_once)
        return numbers, a

    def add(self, totals: list[Any], weights: list[Any], numbers: list[Any]) -> list[Any]:
        """Return the totals, gate by gate, with the products of some k added."""
        for k in range(len(weights) // 4):
            four = weights[4 * k : 4 * k + 4]
            row = numbers[k * self.n_rows : (k + 1) * self.n_rows]
            products = [(w, x) for w in four for x in row]
            totals = [
                self.builder.call(self.fma, [w, x, total])
                for (w, x), total in zip(products, totals, strict=True)
            ]
        return totals

    def add_set(
        self, totals: list[Any], weights: list[Any], numbers: list[Any], a: Any, *, ahead: bool
    ) -> tuple[list[Any], list[Any], Any]:
        """Add a set of weights; the first of its rows' numbers are there, the rest is loaded.

        Returns the totals, the next set's first numbers if they shall be loaded too, and the
        address behind them.
        """
        size = 4 * self.a_depth
        parts = [weights[at : at + size] for at in range(0, len(weights), size)]
        for n, part in enumerate(parts, 1):
            held = numbers
            if ahead or n < len(parts):
                numbers, a = self.load_rows(a, self.a_depth)
            totals = self.add(totals, part, held)
        return totals, numbers, a

    def run(self, totals: list[Any], w: Any, a: Any, n: Any) -> list[Any]:
        """Return the totals with n k added: sets of some, then what is left."""
        builder, depth, n_totals = self.builder, self.w_depth, len(totals)
        n_sets = builder.udiv(n, _I32(depth))
        before = builder.block
        names = ("first", "pairs", "behind", "odd", "last", "rest")
        first, body, behind, odd, last, rest = map(builder.append_basic_block, names)
        builder.cbranch(builder.icmp_unsigned(">", n_sets, _I32(0)), first, rest)

        def parts(values: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
            """Return the totals, the weights and the rows' numbers of a list of them all."""
            at = n_totals + 4 * depth
            return values[:n_totals], values[n_totals:at], values[at:]

        builder.position_at_end(first)
        weights, w_next = self.load_weights(w, depth)
        numbers, a_next = self.load_rows(a, self.a_depth)
        came = [builder.sub(n_sets, _I32(1)), w_next, a_next, *totals, *weights, *numbers]
        builder.cbranch(builder.icmp_unsigned(">", n_sets, _I32(2)), body, behind)

        builder.position_at_end(body)
        loop = [self._phi(value, first) for value in came]
        left, w_at, a_at, *held = loop
        sums, weights, numbers = parts(held)
        other, w_at = self.load_weights(w_at, depth)
        sums, numbers, a_at = self.add_set(sums, weights, numbers, a_at, ahead=True)
        again, w_at = self.load_weights(w_at, depth)
        sums, numbers, a_at = self.add_set(sums, other, numbers, a_at, ahead=True)
        went = [builder.sub(left, _I32(2)), w_at, a_at, *sums, *again, *numbers]
        for phi, value in zip(loop, went, strict=True):
            phi.add_incoming(value, body)
        branch = builder.cbranch(builder.icmp_unsigned(">", went[0], _I32(1)), body, behind)
        branch.set_metadata("llvm.loop", _not_unrolled(builder.module))

        builder.position_at_end(behind)
        left, *came = (self._phi(x, first, y, body) for x, y in zip(came, went, strict=True))
        builder.cbranch(builder.icmp_unsigned(">", left, _I32(0)), odd, last)
        builder.position_at_end(odd)
        other, w_at = self.load_weights(came[0], depth)
        sums, numbers, a_at = self.add_set(*parts(came[2:]), came[1], ahead=True)
        builder.branch(last)

        builder.position_at_end(last)
        went = [w_at, a_at, *sums, *other, *numbers]
        w_at, a_at, *held = (self._phi(x, behind, y, odd) for x, y in zip(came, went, strict=True))
        sums, _, a_at = self.add_set(*parts(held), a_at, ahead=False)
        builder.branch(rest)

        builder.position_at_end(rest)
        came, went = [w, a, *totals], [w_at, a_at, *sums]
        w, a, *sums = (self._phi(x, before, y, last) for x, y in zip(came, went, strict=True))
        size = depth // 2
        while size:
            w, a, sums = self._run_some(sums, w, a, n, size)
            size //= 2
        return sums

    def _run_some(
        self, totals: list[Any], w: Any, a: Any, n: Any, size: int
    ) -> tuple[Any, Any, list[Any]]:
        """Add `size` k, a power of two, if the number n has that bit."""
        builder = self.builder
        before = builder.block
        has_bit = builder.icmp_unsigned("!=", builder.and_(n, _I32(size)), _I32(0))
        with builder.if_then(has_bit):
            weights, w_after = self.load_weights(w, size)
            numbers, a_after = self.load_rows(a, size)
            added, inside = self.add(totals, weights, numbers), builder.block
        came, went = (w, a, *totals), (w_after, a_after, *added)
        w, a, *sums = (self._phi(x, before, y, inside) for x, y in zip(came, went, strict=True))
        return w, a, sums

    def _phi(self, value: Any, block: Any, *more: Any) -> Any:
        phi = self.builder.phi(value.type)
        for v, b in ((value, block), *zip(more[0::2], more[1::2], strict=True)):
            phi.add_incoming(v, b)
        return phi


def _not_unrolled(module: Any) -> Any:
    """Return the note on a loop that keeps LLVM from unrolling it once more."""
    no = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    note = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}"), no])
    note.operands = (note, no)  # what LLVM knows a loop's note by
    return note


def _address(builder: Any, pointer: Any, space: int) -> Any:
    """Return a pointer's address in shared memory, or among all memory, as a number."""
    there = builder.addrspacecast(pointer, ir.PointerType(_FLOAT, space))
    return builder.ptrtoint(there, _I32 if space == _SHARED else _I64)


def _make(space: int) -> Callable[..., Any]:
    def sums(
        typing_context: Any, v0: Any, v1: Any, v2: Any, v3: Any, w: Any, w_stride: Any,
        a: Any, a_stride: Any, n: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
            *values, w_at, w_step, a_at, a_step, count = arguments
            lanes = n_lanes(v0)
            totals = [part for value in values for part in split(builder, v0, value)]
            emit = _Sums(builder, lanes, (w_step, a_step), far=space == _GLOBAL)
            w_from, a_from = _address(builder, w_at, space), _address(builder, a_at, _SHARED)
            sums = emit.run(totals, w_from, a_from, count)
            parts = [sums[j * lanes : (j + 1) * lanes] for j in range(4)]
            return cgutils.pack_array(builder, [joined(builder, v0, part) for part in parts])

        word = types.uint32
        return types.UniTuple(v0, 4)(v0, v0, v0, v0, w, word, a, word, word), codegen

    return intrinsic(sums)


#: Arguments: v0, v1, v2, v3, w, w_stride, a, a_stride, n. Return four values of rows with products
#: added, k ascending, each fused with its sum::
#:
#:     v[j][row] += sum over k < n of w[k * w_stride + j] * a[k * a_stride + row]
#:
#: Both are read 16 bytes at a time and aligned so. With fewer than 4 rows, `a_stride` is their
#: number, and `a` is read up to 16 bytes at once. `a` is in shared memory, and so is `w` of
#: `add_products`; that of `add_far_products` is in the device's.
add_products, add_far_products = _make(_SHARED), _make(_GLOBAL)
