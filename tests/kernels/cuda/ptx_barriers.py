"""Barriers of a block: of all its threads, or of as many as an instruction says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ptx_access import Memory
from ptx_lanes import WARP, Array, Group, Lanes, Step
from ptx_memory import Fault
from ptx_parse import Instruction, Unsupported

#: What an instruction returns when its group does not go on as it is.
LEFT = -1
_N_BARRIERS = 16


class Barriers:
    """Who waits at which barrier of which block.

    Threads of one barrier must come to the same instruction. Hardware does not ask for that, but
    who comes to another one believes to be elsewhere.

    Parameters
    ----------
    lanes : Lanes
    memory : Memory
        Is told who met.
    put : function of (pc, mask)
        Lets lanes go on.
    where : function
        Says which instruction stands at a place.
    """

    def __init__(
        self,
        lanes: Lanes,
        memory: Memory,
        put: Callable[[int, Array], None],
        where: Callable[[int], str],
    ) -> None:
        self.lanes, self.memory, self._put, self._where = lanes, memory, put, where
        self.n_present = int(np.count_nonzero(lanes.present))
        self._block = np.arange(lanes.n) // lanes.block_lanes

    def start(self, first_block: int) -> None:
        """Begin a launch: nobody waits."""
        self.first_block = first_block
        self.at = np.full(self.lanes.n, -1, np.int64)
        self.key = np.zeros(self.lanes.n, np.int64)
        self.needed = np.zeros(self.lanes.n, np.int64)
        #: The first warp of those that a thread met at a barrier of some, else its own.
        self.sets = np.arange(self.lanes.n) // WARP

    def bind(self, at: int, ins: Instruction) -> Step:
        """Bind ``bar.sync number`` or ``bar.sync number, count``."""
        number = self.lanes.source(ins.operands[0], "u32")
        count = self.lanes.source(ins.operands[1], "u32") if len(ins.operands) > 1 else None

        def barrier(g: Group) -> int | None:
            if count is None and g.n == self.n_present:
                self._all_met(None)
                return None
            lanes = g.lanes
            if int(number[lanes].max()) >= _N_BARRIERS:
                raise Fault(f"a block has {_N_BARRIERS} barriers")
            self.at[lanes] = at
            self.key[lanes] = self._block[lanes] * _N_BARRIERS + number[lanes]
            self.needed[lanes] = self.lanes.n_threads if count is None else count[lanes]
            self._release()
            return LEFT

        return barrier

    def _release(self) -> None:
        waiting = np.flatnonzero(self.at >= 0)
        _, first, members, n = np.unique(
            self.key[waiting], return_index=True, return_inverse=True, return_counts=True
        )
        needed = self.needed[waiting[first]]
        if (self.needed[waiting] != needed[members]).any() or (needed % WARP).any():
            raise Fault(f"a barrier is given different or odd numbers of threads: {needed}")
        at = self.at[waiting]
        other = at != at[first][members]
        if other.any():
            places = {self._where(int(pc)) for pc in (at[other][0], at[first][members][other][0])}
            block = self.first_block + int(self._block[waiting[other][0]])
            raise Fault(f"divergent barrier: block {block} waits at {' and at '.join(places)}")
        if (n > needed).any():
            raise Fault(f"{n.max()} threads come to a barrier of {needed[np.argmax(n)]}")
        free = (n == needed)[members]
        if not free.any():
            return
        gone = waiting[free]
        chosen = np.zeros(self.lanes.n, bool)
        chosen[gone] = True
        whole = needed == self.lanes.n_threads
        for met, is_block in ((whole, True), (~whole, False)):
            some = np.zeros(self.lanes.n, bool)
            some[waiting[free & met[members]]] = True
            if some.any():
                everyone = np.count_nonzero(some) == self.n_present
                if is_block:
                    self._all_met(None if everyone else some)
                else:
                    self._some_met(some, waiting, waiting[first] // WARP, members)
                    self.memory.meet(None if everyone else some)
        pcs = self.at.copy()
        self.at[gone] = -1
        for pc in np.unique(pcs[gone]):
            self._put(int(pc) + 1, chosen & (pcs == pc))

    def _all_met(self, chosen: Array | None) -> None:
        self.memory.barrier(chosen, self.sets)
        own = np.arange(self.lanes.n) // WARP
        self.sets = own if chosen is None else np.where(chosen, own, self.sets)

    def _some_met(self, some: Array, waiting: Array, warps: Array, members: Array) -> None:
        sets = self.sets.copy()
        sets[waiting] = np.where(some[waiting], warps[members], sets[waiting])
        own = np.arange(self.lanes.n) // WARP
        if ((self.sets != own) & (sets != self.sets)).any():
            raise Unsupported("threads that meet others than before, without all of the block")
        self.sets = sets

    def check_end(self) -> None:
        """Refuse an end while threads wait."""
        if (self.at >= 0).any():
            lane = int(np.argmax(self.at >= 0))
            block = self.first_block + int(self._block[lane])
            raise Fault(
                f"{self._where(int(self.at[lane]))}: threads of block {block} wait at a barrier "
                "that others of the block never reach"
            )
