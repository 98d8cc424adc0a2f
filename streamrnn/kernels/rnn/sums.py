"""Sums of products, k ascending, held in registers: what nearly all time is spent on.

The intrinsics here do::

    out[row][block] = plus[row][block] + (start[block] + sum over k of w[block][k] x[row][k])

where each of ``out[row][block]``, ``plus[row][block]``, ``start[block]`` and ``w[block][k]`` is the
four gates' vectors, one behind the other (see layout.py). `row_sums` does it for one row and up to
`ROW_BLOCKS` blocks, `tile_sums` for up to `TILE_ROWS` rows and one block. `head_sums` is for the
head, which has one vector in place of four, and up to `HEAD_ROWS` rows; `head_row_sums` for one
row, so short that the processor does other work while its additions wait for one another. Missing
rows or blocks are done as copies of the last one, which costs no time that could be used otherwise.

Weights are floats, or bfloat16 in pairs: an unsigned 32-bit word holds those of an even k in its
lower half and of the next k in its upper half. The upper one is read with the lower one as the tail
of its mantissa, which saves an instruction; `layout.pack_pairs` takes that into account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from streamrnn.kernels.jit import intrinsic
from streamrnn.kernels.rnn.machine import HEAD_ROWS, ROW_BLOCKS, TILE_ROWS
from streamrnn.kernels.rnn.simd import VECTORS, ir_type, part_pointer, read, splat, write

_WORD, _I32 = ir.IntType(64), ir.IntType(32)


class _Emitter:
    """Writes the instructions of one tile.

    Attributes
    ----------
    vectors : int
        In a block.
    pairs : bool
        Weights are bfloat16 pairs.
    """

    def __init__(self, builder: Any, element: Any, vectors: int, pairs: bool) -> None:
        self.builder = builder
        self.kind = VECTORS[element]
        self.vectors, self.pairs = vectors, pairs
        vector = ir_type(self.kind)
        name = f"llvm.fmuladd.v{self.kind.lanes}f{element.bitwidth}"
        declared = ir.FunctionType(vector, [vector] * 3)
        declare: Any = cgutils.get_or_insert_function
        self.fma = declare(builder.module, declared, name)

    def pointers(self, first: Any, stride: Any, n: int, given: Any) -> list[Any]:
        """Return pointers to n parts, `stride` apart, of which `given` are there."""
        return [part_pointer(self.builder, first, j, stride, given) for j in range(n)]

    def places(self, pointer: Any) -> list[Any]:
        """Return the pointers to the vectors of a block."""
        lanes = self.kind.lanes
        return [self.builder.gep(pointer, [_WORD(g * lanes)]) for g in range(self.vectors)]

    def load(self, pointer: Any) -> list[Any]:
        """Load the vectors of a block."""
        return [read(self.builder, place, self.kind) for place in self.places(pointer)]

    def words(self, pointer: Any) -> list[tuple[Any, Any]]:
        """Load a block's words of pairs, and return the weights of even and of odd k."""
        builder, lanes = self.builder, self.kind.lanes
        word, single = ir.VectorType(_I32, lanes), ir.VectorType(ir.FloatType(), lanes)
        shift, results = ir.Constant(word, [16] * lanes), []
        for place in self.places(pointer):
            both = builder.load(builder.bitcast(place, word.as_pointer()))
            both.align = 4
            halves = [builder.bitcast(w, single) for w in (builder.shl(both, shift), both)]
            if ir_type(self.kind) != single:
                halves = [builder.fpext(half, ir_type(self.kind)) for half in halves]
            results.append((halves[0], halves[1]))
        return results

    def add(self, totals: list[Any], weights: list[Any], x_rows: list[Any], k: Any) -> list[Any]:
        """Return the totals with the products of one k added."""
        results = []
        for r, row in enumerate(x_rows):
            value = self.builder.load(self.builder.gep(row, [k]))
            x = splat(self.builder, value, self.kind)
            for j, w in enumerate(weights):
                total = totals[r * len(weights) + j]
                results.append(self.builder.call(self.fma, [w, x, total]))
        return results

    def add_step(self, totals: list[Any], w_blocks: list[Any], x_rows: list[Any], s: Any) -> Any:
        """Return the totals with step `s` added: one k, or with pairs two."""
        at = self.builder.mul(s, _WORD(self.vectors * self.kind.lanes))
        here = [self.builder.gep(w, [at]) for w in w_blocks]
        if not self.pairs:
            return self.add(totals, [w for place in here for w in self.load(place)], x_rows, s)
        both = [w for place in here for w in self.words(place)]
        k = self.builder.shl(s, _WORD(1))
        totals = self.add(totals, [even for even, _ in both], x_rows, k)
        return self.add(totals, [odd for _, odd in both], x_rows, self.builder.add(k, _WORD(1)))

    def loop(self, totals: list[Any], w_blocks: list[Any], x_rows: list[Any], n: Any) -> list[Any]:
        """Return the totals with n steps added."""
        builder = self.builder
        before = builder.block
        body, behind = builder.append_basic_block("k"), builder.append_basic_block("sums")
        builder.cbranch(builder.icmp_signed(">", n, _WORD(0)), body, behind)
        builder.position_at_end(body)
        s = builder.phi(_WORD)
        s.add_incoming(_WORD(0), before)
        sums = [builder.phi(total.type) for total in totals]
        added = self.add_step(sums, w_blocks, x_rows, s)
        next_s = builder.add(s, _WORD(1))
        s.add_incoming(next_s, body)
        for phi, total, value in zip(sums, totals, added, strict=True):
            phi.add_incoming(total, before)
            phi.add_incoming(value, body)
        again = builder.cbranch(builder.icmp_signed("<", next_s, n), body, behind)
        again.set_metadata("llvm.loop", _not_unrolled(builder.module))
        builder.position_at_end(behind)
        results = []
        for total, value in zip(totals, added, strict=True):
            phi = builder.phi(total.type)
            phi.add_incoming(total, before)
            phi.add_incoming(value, body)
            results.append(phi)
        return results

    def last_of_odd(
        self, totals: list[Any], w_blocks: list[Any], x_rows: list[Any], n: Any
    ) -> list[Any]:
        """Return the totals with the last k of an odd number added, which has no partner."""
        builder = self.builder
        before = builder.block
        last = builder.sub(n, _WORD(1))
        with builder.if_then(builder.trunc(n, ir.IntType(1))):
            at = builder.mul(builder.ashr(last, _WORD(1)), _WORD(self.vectors * self.kind.lanes))
            even = [e for w in w_blocks for e, _ in self.words(builder.gep(w, [at]))]
            added, inside = self.add(totals, even, x_rows, last), builder.block
        results = []
        for total, value in zip(totals, added, strict=True):
            phi = builder.phi(total.type)
            phi.add_incoming(total, before)
            phi.add_incoming(value, inside)
            results.append(phi)
        return results


def _not_unrolled(module: Any) -> Any:
    """Return the note on a loop that keeps LLVM from unrolling it, for which registers lack."""
    no = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    note = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}"), no])
    note.operands = (note, no)  # what LLVM knows a loop's note by
    return note


def _make(n_rows: int, n_blocks: int, n_vectors: int) -> Callable[..., Any]:
    def sums(
        typing_context: Any, w: Any, w_block: Any, start: Any, start_block: Any, x: Any, x_row: Any,
        n: Any, plus: Any, plus_row: Any, plus_block: Any, out: Any, out_row: Any, given: Any,
    ) -> Any:  # fmt: skip
        element, word = x.dtype, types.int64
        alone = isinstance(plus, types.Integer)
        if element not in VECTORS or not (start == x == out and (alone or plus == x)):
            return None
        pairs = w.dtype == types.uint32

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (w, w_block, start, start_block, x, x_row, n, plus, plus_row, plus_block, out, out_row,
             given) = arguments  # fmt: skip
            emit = _Emitter(builder, element, n_vectors, pairs)
            rows_given, blocks_given = (given, _WORD(1)) if n_rows > 1 else (_WORD(1), given)

            def blocks(first: Any, stride: Any) -> list[Any]:
                return emit.pointers(first, stride, n_blocks, blocks_given)

            def rows(first: Any, stride: Any) -> list[Any]:
                return emit.pointers(first, stride, n_rows, rows_given)

            w_blocks, x_rows = blocks(w, w_block), rows(x, x_row)
            totals = [v for place in blocks(start, start_block) for v in emit.load(place)] * n_rows
            totals = emit.loop(totals, w_blocks, x_rows, builder.ashr(n, _WORD(1)) if pairs else n)
            if pairs:
                totals = emit.last_of_odd(totals, w_blocks, x_rows, n)
            out_block = _WORD(n_vectors * emit.kind.lanes)
            added = [
                v
                for row in ([] if alone else rows(plus, plus_row))
                for place in blocks(row, plus_block)
                for v in emit.load(place)
            ]
            to = [
                place
                for row in rows(out, out_row)
                for block in blocks(row, out_block)
                for place in emit.places(block)
            ]
            if not alone:
                totals = [builder.fadd(a, b) for a, b in zip(added, totals, strict=True)]
            for total, place in zip(totals, to, strict=True):
                write(builder, total, place, emit.kind)
            return context.get_dummy_value()

        more = word if alone else plus
        arguments = (w, word, start, word, x, word, word, more, word, word, out, word, word)
        return types.void(*arguments), codegen

    return intrinsic(sums)


#: Arguments: w, w_block, start, start_block, x, x_row, n, plus, plus_row, plus_block, out, out_row,
#: and how many blocks are given (`row_sums`, which ignores the rows' strides) or rows (the others,
#: which ignore the blocks'). Strides count elements. Where `plus` is a number instead of a pointer,
#: nothing is added.
row_sums = _make(1, ROW_BLOCKS, 4)
tile_sums = _make(TILE_ROWS, 1, 4)
head_sums = _make(HEAD_ROWS, 1, 1)
head_row_sums = _make(1, 1, 1)
