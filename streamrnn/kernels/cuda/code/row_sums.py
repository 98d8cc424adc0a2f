"""Sums of products over a few rows, k ascending, held in registers: what takes nearly all time.

For each k, `add_products` loads 16 bytes of weights and 4 bytes a row (16 for four of them at
once), does 4 multiply-adds a row, and moves an address by an addition. The machine code has 6.75
instructions a k for one row (4 of them multiply-adds), 11 for two (8), 20 for four (16) and 38 for
eight (32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types

from streamrnn.kernels.cuda.code.rows import FLOAT, I32, I64, joined, n_lanes, split, wide
from streamrnn.kernels.cuda.code.words import intrinsic

#: LLVM's numbers of address spaces.
_GLOBAL, _SHARED = 1, 3


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
        self.w_step, self.a_step = (builder.shl(stride, I32(2)) for stride in strides)  # bytes
        declare: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(FLOAT, [FLOAT] * 3)
        self.fma = declare(builder.module, kind, "llvm.fma.f32")

    def _vector(self, address: Any, offset: int, width: int) -> list[Any]:
        """Load numbers next to one another, aligned to as many."""
        builder = self.builder
        kind = ir.VectorType(FLOAT, width) if width > 1 else FLOAT
        space = _SHARED if address.type == I32 else _GLOBAL
        place = builder.add(address, address.type(offset))
        value = builder.load(builder.inttoptr(place, ir.PointerType(kind, space)))
        value.align = 4 * width
        if width == 1:
            return [value]
        return [builder.extract_element(value, I32(j)) for j in range(width)]

    def _ahead(self, address: Any, step: Any, n: int = 1) -> Any:
        """Return the address n steps further."""
        by = self.builder.mul(step, I32(n)) if n > 1 else step
        return self.builder.add(address, by if address.type == I32 else wide(self.builder, by))

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
        n_sets = builder.udiv(n, I32(depth))
        before = builder.block
        names = ("first", "pairs", "behind", "odd", "last", "rest")
        first, body, behind, odd, last, rest = map(builder.append_basic_block, names)
        builder.cbranch(builder.icmp_unsigned(">", n_sets, I32(0)), first, rest)

        def parts(values: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
            """Return the totals, the weights and the rows' numbers of a list of them all."""
            at = n_totals + 4 * depth
            return values[:n_totals], values[n_totals:at], values[at:]

        builder.position_at_end(first)
        weights, w_next = self.load_weights(w, depth)
        numbers, a_next = self.load_rows(a, self.a_depth)
        came = [builder.sub(n_sets, I32(1)), w_next, a_next, *totals, *weights, *numbers]
        builder.cbranch(builder.icmp_unsigned(">", n_sets, I32(2)), body, behind)

        builder.position_at_end(body)
        loop = [self._phi(value, first) for value in came]
        left, w_at, a_at, *held = loop
        sums, weights, numbers = parts(held)
        other, w_at = self.load_weights(w_at, depth)
        sums, numbers, a_at = self.add_set(sums, weights, numbers, a_at, ahead=True)
        again, w_at = self.load_weights(w_at, depth)
        sums, numbers, a_at = self.add_set(sums, other, numbers, a_at, ahead=True)
        went = [builder.sub(left, I32(2)), w_at, a_at, *sums, *again, *numbers]
        for phi, value in zip(loop, went, strict=True):
            phi.add_incoming(value, body)
        branch = builder.cbranch(builder.icmp_unsigned(">", went[0], I32(1)), body, behind)
        branch.set_metadata("llvm.loop", _not_unrolled(builder.module))

        builder.position_at_end(behind)
        left, *came = (self._phi(x, first, y, body) for x, y in zip(came, went, strict=True))
        builder.cbranch(builder.icmp_unsigned(">", left, I32(0)), odd, last)
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
        has_bit = builder.icmp_unsigned("!=", builder.and_(n, I32(size)), I32(0))
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
    there = builder.addrspacecast(pointer, ir.PointerType(FLOAT, space))
    return builder.ptrtoint(there, I32 if space == _SHARED else I64)


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
