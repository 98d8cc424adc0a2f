"""Sums of products in tiles: the inner loop of all matrix products of training.

A tile is some rows of one or more vectors whose sums stay in registers over the whole of k::

    out[m][j] = start[m][j] + sum over k, ascending, of a[m][k] * w[k][j]

Each row and each k has a stride, so one loop serves products with the weights, with the turned
weights, and of rows with rows (then k counts time steps and rows). As many rows are worked on
together as the registers hold; that changes no sum.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils

from streamrnn.kernels.jit import intrinsic
from streamrnn.kernels.rnn.machine import N_REGISTERS
from streamrnn.kernels.rnn.simd import VECTORS, ir_type, read, splat, write

_WORD = ir.IntType(64)
#: Rows of a tile of two vectors, and of one of four, of which the registers hold the sums, the
#: vectors of w, and one of a.
TALL_ROWS, BROAD_ROWS = (8, 4) if N_REGISTERS == 32 else (4, 2)


class _Tile:
    """Writes the instructions of one tile."""

    def __init__(self, builder: Any, rows: int, vectors: int, kind: Any) -> None:
        self.builder, self.rows, self.vectors = builder, rows, vectors
        self.kind, self.lanes = kind, kind.lanes
        name = f"llvm.fmuladd.v{kind.lanes}f{kind.element.bitwidth}"
        declared = ir.FunctionType(ir_type(kind), [ir_type(kind)] * 3)
        self.fma = cast(Any, cgutils.get_or_insert_function)(builder.module, declared, name)

    def places(self, first: Any, stride: Any) -> list[Any]:
        """Return the pointers to all vectors of rows that are `stride` elements apart."""
        b = self.builder
        rows = [b.gep(first, [b.mul(_WORD(m), stride)]) if m else first for m in range(self.rows)]
        return [b.gep(row, [_WORD(j * self.lanes)]) for row in rows for j in range(self.vectors)]

    def load(self, first: Any, stride: Any) -> list[Any]:
        """Return the vectors of all rows."""
        return [read(self.builder, place, self.kind) for place in self.places(first, stride)]

    def store(self, values: list[Any], first: Any, stride: Any) -> None:
        """Write the vectors of all rows."""
        for value, place in zip(values, self.places(first, stride), strict=True):
            write(self.builder, value, place, self.kind)

    def sum(self, sums: list[Any], a: Any, a_row: Any, a_k: Any, w: Any, w_k: Any, n: Any) -> Any:
        """Add the products; return the sums."""
        # A pointer for every third row: the others are one or two strides away, which an address
        # can hold, so few registers go to addresses.
        b = self.builder
        leaders = [b.gep(a, [b.mul(_WORD(m), a_row)]) for m in range(0, self.rows, 3)]
        steps = [b.mul(_WORD(m), a_row) for m in range(3)]
        places = [(m // 3, steps[m % 3] if m % 3 else None) for m in range(self.rows)]
        return self._sum(sums, leaders, places, a_k, w, w_k, n)

    def sum_first(
        self, sums: list[Any], a: Any, count: Any, a_k: Any, w: Any, w_k: Any, n: Any
    ) -> Any:
        """Do the same with `count` rows that stand side by side, and a row of ones as the last.

        The last of them is there again in place of those that the tile lacks.
        """
        places = [(0, which) for which in self.first(count)]
        return self._sum(sums, [a], [*places, None], a_k, w, w_k, n)

    def first(self, count: Any) -> list[Any]:
        """Return which row each row but the last is: itself, or the last of `count` rows."""
        b = self.builder
        last = b.sub(count, _WORD(1))
        return [
            b.select(b.icmp_signed("<", _WORD(m), last), _WORD(m), last)
            for m in range(self.rows - 1)
        ]

    def _sum(
        self,
        sums: list[Any],
        leaders: list[Any],
        rows: list[Any],
        a_k: Any,
        w: Any,
        w_k: Any,
        n: Any,
    ) -> Any:
        """Add the products; a row is the number of a leader and the way from it, or None: ones."""
        b = self.builder
        before = b.block
        body, behind = b.append_basic_block("sum"), b.append_basic_block("summed")
        b.cbranch(b.icmp_signed(">", n, _WORD(0)), body, behind)
        b.position_at_end(body)
        k, at_w = self._phi(_WORD(0), before), self._phi(w, before)
        at_a = [self._phi(leader, before) for leader in leaders]
        running = [self._phi(value, before) for value in sums]
        w_vectors = [
            read(b, b.gep(at_w, [_WORD(j * self.lanes)]), self.kind) for j in range(self.vectors)
        ]
        added = []
        for m, row in enumerate(rows):
            sums_of_row = running[m * self.vectors : (m + 1) * self.vectors]
            if row is None:
                added += [b.fadd(x, y) for x, y in zip(w_vectors, sums_of_row, strict=True)]
                continue
            leader, way = row
            place = b.gep(at_a[leader], [way]) if way else at_a[leader]
            x = splat(b, b.load(place), self.kind)
            added += [
                b.call(self.fma, [y, x, z]) for y, z in zip(w_vectors, sums_of_row, strict=True)
            ]
        after = b.add(k, _WORD(1))
        k.add_incoming(after, body)
        at_w.add_incoming(b.gep(at_w, [w_k]), body)
        for place in at_a:
            place.add_incoming(b.gep(place, [a_k]), body)
        for phi, value in zip(running, added, strict=True):
            phi.add_incoming(value, body)
        b.cbranch(b.icmp_signed("<", after, n), body, behind)
        b.position_at_end(behind)
        totals = [self._phi(value, before) for value in sums]
        for phi, value in zip(totals, added, strict=True):
            phi.add_incoming(value, body)
        return totals

    def _phi(self, value: Any, block: Any) -> Any:
        phi = self.builder.phi(value.type)
        phi.add_incoming(value, block)
        return phi


def _tile(rows: int, vectors: int, *, from_zero: bool) -> Any:
    """Return an intrinsic ``(out, o_row, start, s_row, a, a_row, a_k, w, w_k, n)``.

    `start` and `out` may be the same. With `from_zero` the sums begin at 0 and are added to
    `start` at the end.
    """

    def tile(
        typing_context: Any,
        out: Any,
        o_row: Any,
        start: Any,
        s_row: Any,
        a: Any,
        a_row: Any,
        a_k: Any,
        w: Any,
        w_k: Any,
        n: Any,
    ) -> Any:
        if not (isinstance(out, types.CPointer) and out == start == a == w):
            return None
        kind = VECTORS[out.dtype]

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out_at, out_row, start_at, start_row, *product = arguments
            work = _Tile(builder, rows, vectors, kind)
            if from_zero:
                zero = ir.Constant(ir_type(kind), None)
                sums = work.sum([zero] * (rows * vectors), *product)
                given = work.load(start_at, start_row)
                sums = [builder.fadd(x, y) for x, y in zip(given, sums, strict=True)]
            else:
                sums = work.sum(work.load(start_at, start_row), *product)
            work.store(sums, out_at, out_row)
            return context.get_dummy_value()

        i = types.int64
        return types.void(out, i, out, i, out, i, i, out, i, i), codegen

    return intrinsic(tile)


def _rest(rows: int, vectors: int) -> Any:
    """Return an intrinsic ``(out, o_row, ones, a, a_k, w, w_k, n, count)``.

    It goes on with 0 < `count` < `rows` rows, which stand side by side in `a`, and with `ones`, the
    sum of w itself.
    """

    def rest(
        typing_context: Any,
        out: Any,
        o_row: Any,
        ones: Any,
        a: Any,
        a_k: Any,
        w: Any,
        w_k: Any,
        n: Any,
        count: Any,
    ) -> Any:
        if not (isinstance(out, types.CPointer) and out == ones == a == w):
            return None
        kind = VECTORS[out.dtype]

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out_at, out_row, ones_at, a_at, a_step, w_at, w_step, length, n_rows = arguments
            work = _Tile(builder, rows, vectors, kind)
            first = [builder.gep(out_at, [builder.mul(m, out_row)]) for m in work.first(n_rows)]
            places = [
                builder.gep(row, [_WORD(j * kind.lanes)])
                for row in [*first, ones_at]
                for j in range(vectors)
            ]
            start = [read(builder, place, kind) for place in places]
            sums = work.sum_first(start, a_at, n_rows, a_step, w_at, w_step, length)
            for value, place in zip(sums, places, strict=True):
                write(builder, value, place, kind)
            return context.get_dummy_value()

        i = types.int64
        return types.void(out, i, out, out, i, out, i, i, i), codegen

    return intrinsic(rest)


#: Rows times four vectors, and times two: going on from `start`.
broad_on = _tile(BROAD_ROWS, 4, from_zero=False)
tall_on = _tile(TALL_ROWS, 2, from_zero=False)
#: The second, summed from 0, then added to `start`.
tall_add = _tile(TALL_ROWS, 2, from_zero=True)
#: What is left over: fewer rows, or one vector.
broad2_on = _tile(2, 4, from_zero=False)
broad1_on = _tile(1, 4, from_zero=False)
slim_on = _tile(TALL_ROWS, 1, from_zero=False)
slim_add = _tile(TALL_ROWS, 1, from_zero=True)
slim1_on = _tile(1, 1, from_zero=False)
#: Fewer rows than in a tile, and the sum of w.
broad_rest, tall_rest = _rest(BROAD_ROWS, 4), _rest(TALL_ROWS, 2)
