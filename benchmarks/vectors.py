"""Three loops that keep a core as busy as it can be, in vectors of the machine's width.

They are written in LLVM's own instructions, so that no compiler decides how good they are:

- ``fma``: independent chains of multiply-adds on registers;
- ``read``: one multiply-add for every vector read from a buffer, again and again from its start;
- ``cell``: the update of an LSTM cell with the fewest operations known: five powers of two (one
  polynomial of degree 5 each) and two divisions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

_FLOAT, _WORD, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
#: Independent accumulators: more than the latency of a multiply-add times what starts each cycle.
N_CHAINS = 16
#: 2 ** x = 1 + x (c1 + x (c2 + ...)) for |x| <= 0.5, to 2e-7.
_POWER = (0.69314718, 0.24022651, 0.05550357, 0.00961812, 0.00133336)
_MAGIC = 1.5 * 2.0**23  # added and taken away again, it rounds a float32 to an integer


@cache
def lanes() -> int:
    """Return how many float32 the widest vector of this machine holds."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


class _Code:
    """Builds one function of addresses and counts: ``void f(i64, ...)``, a loop in a loop."""

    def __init__(self, module: Any, name: str, n_arguments: int) -> None:
        self.kind = ir.VectorType(_FLOAT, lanes())
        self.bits = ir.VectorType(_WORD, lanes())
        function = ir.Function(
            module, ir.FunctionType(ir.VoidType(), [_LONG] * n_arguments), name=name
        )
        self.arguments = list(function.args)
        self.function = function
        name = f"llvm.fmuladd.v{lanes()}f32"
        declared = module.globals.get(name)
        self._fma = declared or ir.Function(
            module, ir.FunctionType(self.kind, [self.kind] * 3), name=name
        )
        self.build = ir.IRBuilder(function.append_basic_block("entry"))

    def constant(self, value: float) -> Any:
        return ir.Constant(self.kind, [value] * lanes())

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.build.call(self._fma, [a, b, c])

    def _place(self, address: Any, at: Any, n: int) -> Any:
        """Return where vector ``at + n`` behind `address` lies."""
        index = self.build.add(at, _LONG(n))
        offset = self.build.mul(index, _LONG(4 * lanes()))
        return self.build.inttoptr(self.build.add(address, offset), self.kind.as_pointer())

    def load(self, address: Any, at: Any, n: int = 0) -> Any:
        value = self.build.load(self._place(address, at, n))
        value.align = 64
        return value

    def store(self, value: Any, address: Any, at: Any, n: int = 0) -> None:
        self.build.store(value, self._place(address, at, n)).align = 64

    def loop(self, n: Any, step: int, body: Callable[[Any, list[Any]], list[Any]],
             values: list[Any]) -> list[Any]:  # fmt: skip
        """Run `body` for 0, step, ... below `n` (which is above 0), carrying `values`."""
        before = self.build.block
        inside = self.function.append_basic_block()
        behind = self.function.append_basic_block()
        self.build.branch(inside)
        self.build.position_at_end(inside)
        at = self.build.phi(_LONG)
        at.add_incoming(_LONG(0), before)
        carried = [self.build.phi(value.type) for value in values]
        for phi, value in zip(carried, values, strict=True):
            phi.add_incoming(value, before)
        results = body(at, carried)
        following = self.build.add(at, _LONG(step))
        last = self.build.block
        at.add_incoming(following, last)
        for phi, value in zip(carried, results, strict=True):
            phi.add_incoming(value, last)
        more = self.build.icmp_unsigned("<", following, n)
        self.build.cbranch(more, inside, behind)
        self.build.position_at_end(behind)
        return results

    def power_of_two(self, x: Any) -> Any:
        b = self.build
        low, high = self.constant(-120.0), self.constant(120.0)
        x = b.select(b.fcmp_ordered(">", x, high), high, x)
        x = b.select(b.fcmp_ordered("<", x, low), low, x)
        magic = self.constant(_MAGIC)
        shifted = b.fadd(x, magic)
        rest = b.fsub(x, b.fsub(shifted, magic))
        value = self.constant(_POWER[-1])
        for factor in (*_POWER[-2::-1], 1.0):
            value = self.fma(value, rest, self.constant(factor))
        exponent = b.shl(b.bitcast(shifted, self.bits), ir.Constant(self.bits, [23] * lanes()))
        return b.bitcast(b.add(b.bitcast(value, self.bits), exponent), self.kind)


def _fma(module: Any) -> None:
    """``fma(n, data)``: n times `N_CHAINS` vectors; reads two vectors, leaves the sums."""
    code = _Code(module, "fma", 2)
    n, data = code.arguments
    factor, term = code.load(data, _LONG(0)), code.load(data, _LONG(1))
    sums = code.loop(
        n, 1, lambda _, a: [code.fma(value, factor, term) for value in a],
        [code.constant(float(k)) for k in range(N_CHAINS)],
    )  # fmt: skip
    for k, value in enumerate(sums):
        code.store(value, data, _LONG(0), k)
    code.build.ret_void()


def _read(module: Any) -> None:
    """``read(n_times, buffer, n_vectors, data)``; `n_vectors` is a multiple of `N_CHAINS`."""
    code = _Code(module, "read", 4)
    n_times, buffer, n_vectors, data = code.arguments
    factor = code.load(data, _LONG(0))

    def block(at: Any, sums: list[Any]) -> list[Any]:
        return [code.fma(code.load(buffer, at, k), factor, s) for k, s in enumerate(sums)]

    sums = code.loop(
        n_times, 1, lambda _, sums: code.loop(n_vectors, N_CHAINS, block, sums),
        [code.constant(0.0) for _ in range(N_CHAINS)],
    )  # fmt: skip
    for k, value in enumerate(sums):
        code.store(value, data, _LONG(0), k)
    code.build.ret_void()


def _cell(module: Any) -> None:
    """``cell(n_times, z, c, h, n_vectors)``: z holds four vectors (i, f, g, o) for each of c, h."""
    code = _Code(module, "cell", 5)
    n_times, z, c, h, n_vectors = code.arguments
    b, one = code.build, code.constant(1.0)

    def unit(at: Any, _: list[Any]) -> list[Any]:
        first = b.mul(at, _LONG(4))
        i, f, g, o = (code.power_of_two(code.load(z, first, k)) for k in range(4))
        i, f, o, g_below = (b.fadd(e, one) for e in (i, f, o, g))
        both = b.fmul(i, g_below)
        above = code.fma(code.load(c, at), both, b.fmul(b.fsub(one, g), f))
        new = b.fdiv(above, b.fmul(f, both))
        code.store(new, c, at)
        e = code.power_of_two(b.fmul(new, code.constant(-2.88539008)))
        code.store(b.fdiv(b.fsub(one, e), b.fmul(o, b.fadd(one, e))), h, at)
        return []

    code.loop(n_times, 1, lambda _, values: code.loop(n_vectors, 1, unit, values), [])
    code.build.ret_void()


class Loops:
    """The compiled loops: functions of addresses and counts that release the interpreter's lock."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        module = ir.Module("bound")
        module.triple = llvm.get_process_triple()
        for write in (_fma, _read, _cell):
            write(module)
        parsed = llvm.parse_assembly(str(module))
        machine = llvm.Target.from_triple(module.triple).create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            jit=True,
        )
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()
        self.fma = self._function("fma", 2)
        self.read = self._function("read", 4)
        self.cell = self._function("cell", 5)
        self.assembly = str(machine.emit_assembly(parsed))

    def _function(self, name: str, n_arguments: int) -> Callable[..., None]:
        address = self._engine.get_function_address(name)
        made = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n_arguments)(address)
        return made  # type: ignore[no-any-return,unused-ignore]
