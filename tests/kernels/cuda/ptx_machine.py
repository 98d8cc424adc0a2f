"""Runs a kernel's PTX: all blocks of a grid in lockstep, each instruction once for all its lanes.

Lanes that stand at the same instruction are a group. Of the groups that can go on, the one with the
smallest program counter does; so lanes that parted meet again where structured code ends.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict

import numpy as np
from ptx_access import Memory
from ptx_barriers import LEFT, Barriers
from ptx_lanes import Array, Group, Lanes, Step
from ptx_memory import Fault, GlobalMemory
from ptx_operations import bind_any
from ptx_parse import Instruction, Program, Symbol, Unsupported
from ptx_warp import bind_warp

#: Lanes that run together, and bytes of their registers; more blocks run after each other.
MOST_LANES, _REGISTER_BYTES = 8192, 48 << 20
#: Registers of machines that are kept to be used again.
_KEPT_BYTES = 96 << 20
_NOTHING = {
    "membar",
    "fence",
    "prefetch",
    "prefetchu",
    "nanosleep",
    "griddepcontrol",
    "applypriority",
}
_FORMATS = {"f32": "<f", "f64": "<d"}


class Machine:
    """A number of blocks of one program, ready to run again and again."""

    def __init__(
        self,
        program: Program,
        n_blocks: int,
        n_threads: int,
        dynamic_bytes: int = 0,
    ) -> None:
        self.program = program
        self.lanes = Lanes(program, n_blocks, n_threads)
        self.memory = Memory(self.lanes, program.shared_bytes + dynamic_bytes)
        self.n_bytes = sum(rows.nbytes for rows in self.lanes.rows.values())
        self.barriers = Barriers(self.lanes, self.memory, self._put, self.where)
        self.counts = [0] * len(program.instructions)
        self.steps = [self._bind(at, ins) for at, ins in enumerate(program.instructions)]
        self.steps.append(self._end(len(self.steps), None))
        self.counts.append(0)

    def run(
        self,
        memory: GlobalMemory,
        grid: tuple[int, int],
        first_block: int,
        arguments: dict[str, bytes],
    ) -> None:
        """Run the blocks from `first_block` on to their end."""
        self.counts[:] = [0] * len(self.counts)
        self.lanes.place(grid, first_block)
        self.memory.start(memory, first_block, arguments)
        for width, rows in self.lanes.rows.items():
            rows.fill(False if width == 1 else int("7FC0DEAD7FC0DEAD"[: 2 * width], 16))
        self.live = self.lanes.present.copy()
        self.n_live = int(np.count_nonzero(self.live))
        self.pending: dict[int, Array] = {0: self.live.copy()}
        self.barriers.start(first_block)
        with np.errstate(all="ignore"):
            self._go()
            self.barriers.check_end()
            self.memory.barrier(None, self.barriers.sets)

    def _go(self) -> None:
        steps, counts, pending = self.steps, self.counts, self.pending
        pc = 0
        try:
            while pending:
                pc = min(pending)
                group = self._group(pending.pop(pc))
                limit = min(pending, default=len(steps))
                n_warps = group.n_warps
                while pc < limit:
                    counts[pc] += n_warps
                    to = steps[pc](group)
                    if to is None:
                        pc += 1
                    elif to == LEFT:
                        break
                    else:
                        pc = to
                else:
                    self._put(pc, group.mask)
        except (Fault, Unsupported) as error:
            raise type(error)(f"{self.where(pc)}: {error}") from error

    def where(self, pc: int) -> str:
        """Say which instruction stands at a place."""
        if pc >= len(self.program.instructions):
            return f"{self.program.name}: at the end"
        ins = self.program.instructions[pc]
        return f"{self.program.name}, line {ins.line} ({ins.text})"

    def _group(self, mask: Array) -> Group:
        n = int(np.count_nonzero(mask))
        return Group(mask, n, alone=n == self.n_live)

    def _put(self, pc: int, mask: Array) -> None:
        there = self.pending.get(pc)
        self.pending[pc] = mask if there is None else there | mask

    # Binding

    def _bind(self, at: int, ins: Instruction) -> Step:
        if control := self._control(at, ins):
            return control
        step = bind_warp(self.memory, ins) or self.memory.bind(ins) or bind_any(self.lanes, ins)
        if step is None and ins.words[0] in _NOTHING:
            return lambda g: None
        if step is None:
            raise Unsupported(f"{self.where(at)}: unknown instruction")
        if ins.guard is None:
            return step
        chosen, inner = self.lanes.predicate(ins.guard), step

        def guarded(g: Group) -> None:
            narrow = g.narrow(chosen())
            if narrow is not None:
                inner(narrow)

        return guarded

    def _control(self, at: int, ins: Instruction) -> Step | None:
        name = ins.words[0]
        if name == "bra":
            (label,) = ins.operands
            assert isinstance(label, Symbol)
            return self._branch(at, ins, self.program.labels[label.name])
        if name in ("ret", "exit"):
            return self._end(at, ins)
        if name == "trap":
            return self._trap(ins)
        if name in ("bar", "barrier") and ins.words[1] != "warp":
            words = [word for word in ins.words[1:] if word not in ("cta", "aligned")]
            if words != ["sync"] or ins.guard is not None:
                raise Unsupported(f"{self.where(at)}: this form of a barrier")
            return self.barriers.bind(at, ins)
        return None

    def _branch(self, at: int, ins: Instruction, target: int) -> Step:
        if ins.guard is None:
            return lambda g: target
        chosen = self.lanes.predicate(ins.guard)

        def branch(g: Group) -> int | None:
            taken = chosen() if g.full else chosen() & g.mask
            n = int(np.count_nonzero(taken))
            if n == 0:
                return None
            if n == g.n:
                return target
            self._put(target, taken.copy())
            self._put(at + 1, g.mask & ~taken)
            return LEFT

        return branch

    def _end(self, at: int, ins: Instruction | None) -> Step:
        chosen = None if ins is None or ins.guard is None else self.lanes.predicate(ins.guard)

        def end(g: Group) -> int | None:
            gone = g.mask if chosen is None else g.mask & chosen()
            if not gone.any():
                return None
            self.live = self.live & ~gone
            self.n_live = int(np.count_nonzero(self.live))
            rest = g.mask & ~gone
            if rest.any():
                self._put(at + 1, rest)
            return LEFT

        return end

    def _trap(self, ins: Instruction) -> Step:
        chosen = None if ins.guard is None else self.lanes.predicate(ins.guard)

        def trap(g: Group) -> None:
            if chosen is None or (chosen() & g.mask).any():
                raise Fault("the kernel traps")

        return trap


def launch(
    program: Program,
    memory: GlobalMemory,
    grid: tuple[int, int],
    n_threads: int,
    arguments: tuple[int | float, ...],
    dynamic_bytes: int = 0,
) -> tuple[Counter[str], Counter[str]]:
    """Run a kernel; return how often warps executed each opcode, and the bank conflicts of each."""
    if not 1 <= n_threads <= program.max_threads:
        raise Fault(f"{program.name} started with {n_threads} threads of {program.max_threads}")
    if len(arguments) != len(program.parameters):
        raise Fault(f"{program.name} takes {len(program.parameters)} arguments")
    given = {
        name: _pack(kind, value)
        for (name, kind), value in zip(program.parameters, arguments, strict=True)
    }
    n_blocks = grid[0] * grid[1]
    lane_bytes = sum(width * n for width, n in program.n_registers.items())
    most = min(MOST_LANES, _REGISTER_BYTES // max(1, lane_bytes))
    at_once = max(1, most // (-(-n_threads // 32) * 32))
    counts: Counter[str] = Counter()
    conflicts: Counter[str] = Counter()
    try:
        for first in range(0, n_blocks, at_once):
            size = min(at_once, n_blocks - first)
            machine = _machine(program, size, n_threads, dynamic_bytes)
            machine.run(memory, grid, first, given)
            for ins, count in zip(program.instructions, machine.counts, strict=False):
                if count:
                    counts[ins.opcode] += count
            conflicts.update(machine.memory.conflicts)
        for space in memory.spaces.values():
            try:
                space.log.end()
            except Fault as error:
                raise Fault(f"{program.name}: {error}") from error
    finally:
        for space in memory.spaces.values():
            space.log.clear()
            space.settle()
    return counts, conflicts


#: Those used last, which hold their programs. To bind a program takes longer than a short run.
_MACHINES: OrderedDict[tuple[int, ...], Machine] = OrderedDict()


def _machine(program: Program, n_blocks: int, n_threads: int, dynamic_bytes: int) -> Machine:
    key = (id(program), n_blocks, n_threads, dynamic_bytes)
    machine = _MACHINES.pop(key, None)
    if machine is None:
        machine = Machine(program, n_blocks, n_threads, dynamic_bytes)
    _MACHINES[key] = machine
    while sum(one.n_bytes for one in _MACHINES.values()) > _KEPT_BYTES and len(_MACHINES) > 1:
        _MACHINES.popitem(last=False)
    return machine


def _pack(kind: str, value: int | float) -> bytes:
    if kind in _FORMATS:
        return struct.pack(_FORMATS[kind], value)
    size = int(kind[1:]) // 8
    return (int(value) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
