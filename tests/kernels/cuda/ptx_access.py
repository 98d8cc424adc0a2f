"""Instructions that touch memory: loads, stores, atomic operations, copies that land later."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ptx_lanes import DTYPES, WARP, Array, Group, Lanes, Step
from ptx_memory import SHARED_WINDOW, Fault, GlobalMemory, Space
from ptx_parse import SIZES, Address, Immediate, Instruction, Register, Several, Symbol, Unsupported
from ptx_races import RaceLog

_SPACES = {"global": "global", "shared": "shared", "shared_cta": "shared", "param": "param"}
#: Hints and orders that change nothing where every access is done at once.
_IGNORED = {
    "nc", "volatile", "relaxed", "acquire", "release", "weak", "gpu", "cta", "sys", "acq_rel",
    "ca", "cg", "cs", "lu", "cv", "wb", "wt",
}  # fmt: skip
_WORD = (1 << 64) - 1


class Memory:
    """What the lanes of some blocks see of memory.

    Parameters
    ----------
    lanes : Lanes
    shared_bytes : int
        Shared memory of each block, dynamic included.
    """

    def __init__(self, lanes: Lanes, shared_bytes: int) -> None:
        self.lanes, self.shared_bytes = lanes, shared_bytes
        self.memory = GlobalMemory()
        stride = -(-max(shared_bytes, 1) // 16) * 16
        self.shared = Space("shared memory", stride * lanes.n_blocks)
        self.shared.log = RaceLog(self.shared, of_launch=False)
        self.offset = np.arange(lanes.n, dtype=np.int64) // lanes.block_lanes * stride
        self.who = np.arange(lanes.n, dtype=np.int64)
        self.arguments: dict[str, bytes] = {}
        self.conflicts: Counter[str] = Counter()
        self._patterns: dict[tuple[bytes, int], int] = {}
        self._flying: list[tuple[Array, Array, Array, Array]] = []
        self._commits = np.zeros(lanes.n, np.int64)

    def start(self, memory: GlobalMemory, first_block: int, arguments: dict[str, bytes]) -> None:
        """Begin a launch: shared memory is poison."""
        self.memory, self.arguments = memory, arguments
        self.conflicts.clear()
        # A new array: logs keep the old one.
        self.who = first_block * self.lanes.block_lanes + np.arange(self.lanes.n, dtype=np.int64)
        self.shared.data.fill(0xFF)
        self.shared.known.fill(0)
        self.shared.log.clear()
        for space in (self.shared, *self.memory.spaces.values()):
            space.log.block_lanes = self.lanes.block_lanes
            space.log.first_lane = int(self.who[0])
        self._flying.clear()
        self._commits.fill(0)

    def meet_in_warps(self, chosen: Array | None) -> None:
        """Threads of each warp met; `chosen` is who, None for all threads."""
        for space in (self.shared, *self.memory.spaces.values()):
            if not space.log.is_empty:
                space.log.meet_in_warps(chosen)

    def meet(self, chosen: Array | None) -> None:
        """Some threads of each block met at a barrier; `chosen` is who, None for all threads."""
        for space in (self.shared, *self.memory.spaces.values()):
            if not space.log.is_empty:
                space.log.meet(chosen)

    def barrier(self, chosen: Array | None, sets: Array) -> None:
        """All threads of blocks met; `sets` tells apart who met before in the meantime."""
        for space in (self.shared, *self.memory.spaces.values()):
            if not space.log.is_empty:
                space.log.barrier(chosen, sets)

    def bind(self, ins: Instruction) -> Step | None:
        """Bind an instruction that touches memory; None if it does not."""
        name = ins.words[0]
        if name in ("ld", "ldu"):
            return self._bind_load(ins)
        if name == "st":
            return self._bind_store(ins)
        if name in ("atom", "red"):
            return self._bind_atomic(ins)
        if name == "cvta":
            return self._bind_cvta(ins)
        if ins.words[:2] == ("cp", "async"):
            return self._bind_copy(ins)
        return None

    # Addresses

    def address(self, operand: Any) -> Callable[[Group], Array]:
        """Return a function that gives the addresses of a group's lanes."""
        assert isinstance(operand, Address), operand
        base, offset = operand.base, np.uint64(operand.offset & _WORD)
        if isinstance(base, Register):
            row = self.lanes.rows[base.width][base.row]
        elif isinstance(base, Symbol) and base.name in self.lanes.program.shared:
            row = self.lanes.source(base, "u64")
        elif base is None:
            row = np.zeros(self.lanes.n, np.uint64)
        else:
            raise Unsupported(f"address {operand}")
        if row.itemsize == 8:
            return lambda g: (row if g.full else row[g.lanes]) + offset
        return lambda g: (row if g.full else row[g.lanes]).astype(np.uint64) + offset

    def places(
        self, space: str, addresses: Array, n_bytes: int, g: Group
    ) -> Iterator[tuple[Space, Array, Any]]:
        """Yield where addresses are: a space, offsets in it, and which of the lanes."""
        if space == "shared":
            yield self.shared, self.in_shared(addresses, n_bytes, g), slice(None)
        elif space == "global":
            yield from self.memory.locate(addresses, n_bytes)
        else:
            inside = addresses >= np.uint64(SHARED_WINDOW)
            if not inside.any():
                yield from self.memory.locate(addresses, n_bytes)
            elif inside.all():
                near = addresses - np.uint64(SHARED_WINDOW)
                yield self.shared, self.in_shared(near, n_bytes, g), slice(None)
            else:
                raise Fault("lanes of one generic access mean different memories")

    def in_shared(self, addresses: Array, n_bytes: int, g: Group) -> Array:
        last = int(np.maximum.reduce(addresses))
        if last > self.shared_bytes - n_bytes:
            raise Fault(f"out of bounds: {last} of shared memory ({self.shared_bytes} bytes)")
        if int(np.bitwise_or.reduce(addresses)) & (n_bytes - 1):
            raise Fault(f"misaligned: {n_bytes} bytes of shared memory")
        at: Array = addresses.view(np.int64) + (self.offset if g.full else self.offset[g.lanes])
        return at

    def count_conflicts(self, addresses: Array, n_bytes: int, g: Group, opcode: str) -> None:
        near = addresses.view(np.int64) - int(addresses[0])
        key = (near.tobytes() if g.full else near.tobytes() + g.mask.tobytes(), n_bytes)
        extra = self._patterns.get(key)
        if extra is None:
            lanes = np.arange(self.lanes.n) if g.full else g.lanes
            extra = self._patterns[key] = bank_conflicts(near, lanes, n_bytes)
        if extra:
            self.conflicts[opcode] += extra

    # Loads and stores

    def _form(self, ins: Instruction) -> tuple[str, int, str]:
        """Return the memory, how many elements, and their type."""
        kind = ins.words[-1]
        space, count = "generic", 1
        for word in ins.words[1:-1]:
            if word in _SPACES:
                space = _SPACES[word]
            elif word in ("v2", "v4"):
                count = int(word[1])
            elif word not in _IGNORED and not word.startswith(("L1_", "L2_")):
                raise Unsupported(ins.text)
        if kind not in SIZES:
            raise Unsupported(ins.text)
        return space, count, kind

    def _bind_load(self, ins: Instruction) -> Step:
        space, count, kind = self._form(ins)
        to, operand = ins.operands
        if space == "param":
            return self._bind_parameter(ins, kind)
        parts = to.parts if isinstance(to, Several) else (to,)
        rows = [None if part is None else self.lanes.target(part, kind) for part in parts]
        dtype, width = DTYPES[kind], SIZES[kind]
        address, n_bytes, opcode = self.address(operand), width * count, ins.opcode
        shared = space == "shared"

        def load(g: Group) -> None:
            addresses = address(g)
            if shared:
                self.count_conflicts(addresses, n_bytes, g, opcode)
            who = self.who if g.full else self.who[g.lanes]
            for memory, at, which in self.places(space, addresses, n_bytes, g):
                everyone = isinstance(which, slice)
                values = memory.load(at, width, count, who if everyone else who[which]).view(dtype)
                if g.full and everyone:
                    lanes: Any = slice(None)
                else:
                    lanes = g.lanes if everyone else g.lanes[which]
                if count == 1:
                    rows[0][lanes] = values  # type: ignore[index]
                    continue
                for n, row in enumerate(rows):
                    if row is not None:
                        row[lanes] = values[:, n]

        return load

    def _bind_parameter(self, ins: Instruction, kind: str) -> Step:
        to, operand = ins.operands
        assert isinstance(operand, Address)
        assert isinstance(operand.base, Symbol)
        name, offset, dtype = operand.base.name, operand.offset, DTYPES[kind]
        row = self.lanes.target(to, kind)

        def load(g: Group) -> None:
            value = np.frombuffer(self.arguments[name], dtype, 1, offset)
            np.copyto(row, value, where=g.where)

        return load

    def _bind_store(self, ins: Instruction) -> Step:
        space, count, kind = self._form(ins)
        operand, value = ins.operands
        width = SIZES[kind]
        parts = value.parts if isinstance(value, Several) else (value,)
        rows = [self.lanes.source(part, f"u{8 * width}") for part in parts]
        address, n_bytes, opcode = self.address(operand), width * count, ins.opcode
        shared = space == "shared"

        def store(g: Group) -> None:
            addresses = address(g)
            if shared:
                self.count_conflicts(addresses, n_bytes, g, opcode)
            who = self.who if g.full else self.who[g.lanes]
            values = [g.of(row) for row in rows]
            whole = values[0] if count == 1 else np.stack(values, axis=1)
            for memory, at, which in self.places(space, addresses, n_bytes, g):
                memory.store(at, whole[which], width, count, who[which])

        return store

    def _bind_cvta(self, ins: Instruction) -> Step:
        space = _SPACES.get(ins.words[-2])
        row, value = (
            self.lanes.target(ins.operands[0], "u64"),
            self.lanes.source(ins.operands[1], "u64"),
        )
        if space == "global":
            return lambda g: np.copyto(row, value, where=g.where)
        if space != "shared":
            raise Unsupported(ins.text)
        change = np.subtract if ins.words[1] == "to" else np.add
        return lambda g: np.copyto(row, change(value, np.uint64(SHARED_WINDOW)), where=g.where)

    # Atomic operations, lane after lane

    def _bind_atomic(self, ins: Instruction) -> Step:
        returns = ins.words[0] == "atom"
        words = [w for w in ins.words[1:-1] if w not in _IGNORED and w != "noftz"]
        space = next((_SPACES[w] for w in words if w in _SPACES), "generic")
        (name,) = (w for w in words if w not in _SPACES)
        kind = ins.words[-1]
        function = {
            "add": operator.add, "min": min, "max": max, "exch": lambda old, new: new,
            "and": operator.and_, "or": operator.or_, "xor": operator.xor,
        }.get(name)  # fmt: skip
        operands = ins.operands[returns:]
        if name == "cas":
            raise Unsupported(ins.text)
        if function is None:
            raise Unsupported(ins.text)
        to = self.lanes.target(ins.operands[0], kind) if returns and ins.operands[0] else None
        value, address = self.lanes.source(operands[1], kind), self.address(operands[0])
        width, dtype = SIZES[kind], DTYPES[kind]

        def atomic(g: Group) -> None:
            addresses, values = address(g), g.of(value)
            for memory, at, which in self.places(space, addresses, width, g):
                chosen = g.lanes[which]
                memory.check_known(at // width, width, at, self.who[chosen])
                view = memory.view(width, 1).view(dtype)
                for lane, place, new in zip(chosen, at // width, values[which], strict=True):
                    old = view[place]
                    if to is not None:
                        to[lane] = old
                    view[place] = function(old, new)
                memory.log.atomic(at, width)

        return atomic

    # Copies that land later

    def _bind_copy(self, ins: Instruction) -> Step:
        if ins.words[2] in ("commit_group", "wait_group", "wait_all"):
            if ins.words[2] == "commit_group":
                return self._commit
            n = 0
            if ins.words[2] == "wait_group":
                (operand,) = ins.operands
                assert isinstance(operand, Immediate)
                n = operand.value
            everything = ins.words[2] == "wait_all"
            return lambda g: self._land(g, -1 if everything else n)
        if ins.words[2] not in ("ca", "cg") or ins.words[3] not in ("shared", "shared_cta"):
            raise Unsupported(ins.text)
        to, source = self.address(ins.operands[0]), self.address(ins.operands[1])
        size = ins.operands[2]
        assert isinstance(size, Immediate)
        n_bytes = size.value
        filled = self.lanes.source(ins.operands[3], "u32") if len(ins.operands) > 3 else None
        opcode = ins.opcode

        def copy(g: Group) -> None:
            addresses = to(g)
            self.count_conflicts(addresses, n_bytes, g, opcode)
            at = self.in_shared(addresses, n_bytes, g)
            who = self.who if g.full else self.who[g.lanes]
            data = np.zeros((g.n, n_bytes), np.uint8)
            used = np.full(g.n, True) if filled is None else g.of(filled) > 0
            if filled is not None and not np.isin(g.of(filled), (0, n_bytes)).all():
                raise Unsupported(ins.text)
            if used.any():
                wanted = source(g)[used]
                for memory, where, which in self.memory.locate(wanted, n_bytes):
                    lanes = np.flatnonzero(used)[which]
                    data[lanes] = memory.load(where, 1, n_bytes, who[lanes]).reshape(-1, n_bytes)
            self.shared.forget(at, n_bytes, who)
            self._flying.append((g.lanes.copy(), at, data, self._commits[g.lanes]))

        return copy

    def _commit(self, g: Group) -> None:
        self._commits[g.lanes] += 1

    def _land(self, g: Group, n_left: int) -> None:
        """Let copies of these lanes arrive, but for their latest `n_left` groups (-1: all)."""
        still = []
        for lanes, at, data, group in self._flying:
            mine = g.mask[lanes]
            if n_left >= 0:
                mine = mine & (group < self._commits[lanes] - n_left)
            if mine.any():
                self.shared.store(at[mine], data[mine], 1, data.shape[1], self.who[lanes[mine]])
            if not mine.all():
                rest = ~mine
                still.append((lanes[rest], at[rest], data[rest], group[rest]))
        self._flying = still


def bank_conflicts(addresses: Array, lanes: Array, n_bytes: int) -> int:
    """Return how many more passes than needed the banks of shared memory take.

    There are 32 banks of 4 bytes. A warp's 8-byte accesses go in two halves, 16-byte ones in four
    quarters; lanes that want the same word get it at once.
    """
    per_pass = WARP // max(1, n_bytes // 4)
    extra = 0
    passes = lanes // per_pass
    for one in np.unique(passes):
        words = np.unique(addresses[passes == one] // 4)
        spread = (words[:, None] + np.arange(max(1, n_bytes // 4))).ravel()
        extra += int(np.bincount(np.unique(spread) % 32).max()) - 1
    return extra
