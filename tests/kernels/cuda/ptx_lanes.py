"""Registers of all lanes, groups of lanes, and how operands become rows of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ptx_parse import (
    SIZES,
    Immediate,
    Instruction,
    Operand,
    Program,
    Register,
    Special,
    Symbol,
    Unsupported,
)

Array = np.ndarray[Any, np.dtype[Any]]
WARP = 32

#: NumPy's types; bfloat16 and packed halves are handled as their bits.
DTYPES = {
    name: np.dtype({"b": "u", "u": "u", "s": "i"}[name[0]] + str(size))
    for name, size in SIZES.items()
    if name[0] in "bus" and "f" not in name
} | {
    "f16": np.dtype("f2"),
    "f32": np.dtype("f4"),
    "f64": np.dtype("f8"),
    "bf16": np.dtype("u2"),
    "f16x2": np.dtype("u4"),
    "bf16x2": np.dtype("u4"),
}


class Group:
    """Lanes that execute one instruction together.

    Attributes
    ----------
    mask : ndarray of bool (lanes,)
    n : int
        How many they are.
    where : True or ndarray
        What NumPy gets: True where no other lane's registers would feel it.
    """

    __slots__ = ("_lanes", "_n_warps", "full", "mask", "n", "where")

    def __init__(self, mask: Array, n: int, alone: bool) -> None:
        self.mask, self.n = mask, n
        self.full = n == len(mask)
        self.where: Any = True if alone else mask
        self._lanes: Array | None = None
        self._n_warps = 0

    @property
    def lanes(self) -> Array:
        """Indices of the lanes."""
        if self._lanes is None:
            self._lanes = np.flatnonzero(self.mask)
        return self._lanes

    @property
    def n_warps(self) -> int:
        """Warps that have such a lane."""
        if not self._n_warps:
            self._n_warps = int(self.mask.reshape(-1, WARP).any(axis=1).sum())
        return self._n_warps

    def narrow(self, chosen: Array) -> Group | None:
        """Return those of the lanes that are chosen, None if there are none."""
        mask = chosen & self.mask
        n = int(np.count_nonzero(mask))
        if n == self.n:
            return self
        return Group(mask, n, alone=False) if n else None

    def of(self, row: Array) -> Array:
        """Return what a row holds for these lanes, as a new array."""
        return row.copy() if self.full else row[self.lanes]


Step = Callable[[Group], Any]


class Lanes:
    """The registers of a number of blocks of one program, and their constants.

    Lanes are blocks x whole warps x 32; those behind a block's threads never run.
    """

    def __init__(self, program: Program, n_blocks: int, n_threads: int) -> None:
        self.program, self.n_blocks, self.n_threads = program, n_blocks, n_threads
        self.block_lanes = -(-n_threads // WARP) * WARP
        self.n = n_blocks * self.block_lanes
        self.rows = {
            width: np.zeros((count, self.n), bool if width == 1 else f"u{width}")
            for width, count in program.n_registers.items()
        }
        self.constants: dict[Any, Array] = {}
        tid = np.tile(np.arange(self.block_lanes, dtype=np.uint32), n_blocks)
        self.present = tid < n_threads
        self.specials = {"%tid.x": tid, "%laneid": tid % np.uint32(WARP)}
        self.specials["%warpid"] = tid // np.uint32(WARP)
        for name in ("ctaid.x", "ctaid.y", "nctaid.x", "nctaid.y"):
            self.specials["%" + name] = np.zeros(self.n, np.uint32)
        for name in ("tid.y", "tid.z", "ctaid.z"):
            self.specials["%" + name] = np.zeros(self.n, np.uint32)
        for name, value in (("ntid.x", n_threads), ("ntid.y", 1), ("ntid.z", 1), ("nctaid.z", 1)):
            self.specials["%" + name] = np.full(self.n, value, np.uint32)
        lane = self.specials["%laneid"].astype(np.uint64)
        ones = np.uint64(1)
        for name, bits in (
            ("eq", ones << lane),
            ("lt", (ones << lane) - ones),
            ("le", (ones << (lane + ones)) - ones),
            ("ge", ~((ones << lane) - ones)),
            ("gt", ~((ones << (lane + ones)) - ones)),
        ):
            self.specials["%lanemask_" + name] = bits.astype(np.uint32)

    def place(self, grid: tuple[int, int], first_block: int) -> None:
        """Say which blocks of which grid these are."""
        block = first_block + np.arange(self.n, dtype=np.uint32) // np.uint32(self.block_lanes)
        self.specials["%ctaid.x"][:] = block % grid[0]
        self.specials["%ctaid.y"][:] = block // grid[0]
        self.specials["%nctaid.x"][:], self.specials["%nctaid.y"][:] = grid

    def source(self, operand: Operand | None, kind: str) -> Array:
        """Return a row that shows an operand's values as a type; it stays up to date."""
        dtype = DTYPES[kind]
        if isinstance(operand, Register):
            if operand.width == 1 or operand.width < dtype.itemsize:
                raise Unsupported(f"a register of {operand.width} bytes read as {kind}")
            row = self.rows[operand.width][operand.row]
            if operand.width == dtype.itemsize:
                return row.view(dtype)
            return row.view(f"u{dtype.itemsize}")[:: operand.width // dtype.itemsize].view(dtype)
        if isinstance(operand, Special):
            if operand.name not in self.specials:
                raise Unsupported(operand.name)
            if dtype.itemsize != 4:
                raise Unsupported(f"{operand.name} read as {kind}")
            return self.specials[operand.name].view(dtype)
        if isinstance(operand, Immediate):
            return self._constant(operand, dtype)
        if isinstance(operand, Symbol) and operand.name in self.program.shared:
            return self._constant(Immediate(self.program.shared[operand.name]), dtype)
        raise Unsupported(f"operand {operand} as {kind}")

    def _constant(self, operand: Immediate, dtype: np.dtype[Any]) -> Array:
        key = (operand, dtype)
        if key not in self.constants:
            bits = 8 * dtype.itemsize
            value: Any
            if operand.kind == "int" and dtype.kind != "f":
                value = np.array(operand.value & ((1 << bits) - 1), f"u{dtype.itemsize}")
            elif operand.kind == "int":
                value = np.array(operand.value, dtype)
            else:
                number = np.array(operand.value, "u4" if operand.kind == "f32" else "u8")
                value = number.view("f4" if operand.kind == "f32" else "f8")
                if dtype.kind == "f":
                    value = value.astype(dtype)
                elif value.dtype.itemsize != dtype.itemsize:
                    raise Unsupported(f"constant {operand}")
            self.constants[key] = np.full(self.n, value.view(dtype)[()])
        return self.constants[key]

    def target(self, operand: Operand | None, kind: str) -> Array:
        """Return the row to write a type's values to: wider ones are extended by the copy."""
        dtype = DTYPES[kind]
        if not isinstance(operand, Register) or operand.width < dtype.itemsize:
            raise Unsupported(f"destination {operand} for {kind}")
        row = self.rows[operand.width][operand.row]
        if operand.width == dtype.itemsize:
            return row.view(dtype)
        return row.view("i" + str(operand.width)) if dtype.kind == "i" else row

    def predicate(self, operand: Operand | None) -> Callable[[], Array]:
        """Return a function that gives a predicate's values."""
        if isinstance(operand, Immediate):
            always = np.full(self.n, operand.value != 0)
            return lambda: always
        if not isinstance(operand, Register) or operand.width != 1:
            raise Unsupported(f"predicate {operand}")
        row = self.rows[1][operand.row]
        if operand.negated:
            return lambda: ~row
        return lambda: row

    def predicate_row(self, operand: Operand | None) -> Array:
        """Return the row of a predicate to write to."""
        if not isinstance(operand, Register) or operand.width != 1:
            raise Unsupported(f"predicate {operand}")
        return self.rows[1][operand.row]


def simple(
    lanes: Lanes, ins: Instruction, kinds: tuple[str, ...], function: Callable[..., Array]
) -> Step:
    """Bind an instruction: the first of the types is the destination's, the others the sources'."""
    if len(ins.operands) != len(kinds):
        raise Unsupported(ins.text)
    to = lanes.target(ins.operands[0], kinds[0])
    rows = [
        lanes.source(operand, kind)
        for operand, kind in zip(ins.operands[1:], kinds[1:], strict=True)
    ]
    copy = np.copyto
    if len(rows) == 1:
        (a,) = rows
        return lambda g: copy(to, function(a), "unsafe", g.where)
    if len(rows) == 2:
        a, b = rows
        return lambda g: copy(to, function(a, b), "unsafe", g.where)
    if len(rows) == 3:
        a, b, c = rows
        return lambda g: copy(to, function(a, b, c), "unsafe", g.where)
    return lambda g: copy(to, function(*rows), "unsafe", g.where)
