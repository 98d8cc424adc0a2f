"""Memory as the interpreter sees it: every access is checked, and races are found.

Each allocation has a window of addresses of its own, so far from the next one that no 32-bit index
reaches it: what is stored behind an array's end is never hidden by a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: Generic addresses of shared memory begin here, those of allocation n at ``n << WINDOW_BITS``.
SHARED_WINDOW = 1 << 60
WINDOW_BITS = 36
_NOBODY, _MANY, ATOMIC = -1, -2, -3
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
#: So many logged elements are compacted to those that differ.
_LOG_LIMIT = 1 << 21


class Fault(Exception):
    """A kernel did what it must not do."""


class Space:
    """Bytes, whether each was written, and who touched them since the last barrier.

    Parameters
    ----------
    name : str
        For messages.
    n_bytes : int
        Those that may be touched; the arrays are padded to whole vectors.
    """

    def __init__(self, name: str, n_bytes: int, fill: int = 0xFF) -> None:
        self.name, self.n_bytes = name, n_bytes
        padded = -(-max(n_bytes, 1) // 16) * 16
        self.data = np.full(padded, fill, np.uint8)
        self.known = np.zeros(padded, np.uint8)
        self.all_known = False
        self.log = RaceLog(self)
        self._views: dict[tuple[int, int], Array] = {}
        self._known: dict[int, Array] = {}

    def thread(self, who: Any) -> str:
        """Say which thread a number means."""
        block, thread = divmod(int(who), self.log.block_lanes)
        return f"thread {thread} of block {block}"

    def view(self, width: int, count: int) -> Array:
        """Return the bytes as unsigned numbers, for a vector as (n, count)."""
        key = (width, count)
        if key not in self._views:
            flat = self.data.view(_UNSIGNED[width])
            whole = len(flat) // count * count
            self._views[key] = flat if count == 1 else flat[:whole].reshape(-1, count)
        return self._views[key]

    def _known_view(self, width: int) -> Array:
        if width not in self._known:
            wide = self.known.view(_UNSIGNED[min(width, 8)])
            self._known[width] = wide.reshape(-1, 2) if width == 16 else wide
        return self._known[width]

    def load(self, at: Array, width: int, count: int, who: Array) -> Array:
        """Return what stands at offsets, which are in bounds and aligned."""
        unit = at // (width * count) if width * count > 1 else at
        self.check_known(unit, width * count, at, who)
        self.log.read(at, who, width * count)
        return self.view(width, count)[unit]

    def check_known(self, unit: Array, n_bytes: int, at: Array, who: Array) -> None:
        """Refuse to read what was never written."""
        if self.all_known:
            return
        view = self._known_view(n_bytes)
        known = view[unit] == view.dtype.type(0x0101010101010101 & np.iinfo(view.dtype).max)
        if np.count_nonzero(known) != known.size:
            bad = int(np.argmin(known.reshape(len(at), -1).all(axis=1)))
            raise Fault(f"{self.thread(who[bad])} reads {at[bad]} of {self.name}: never written")

    def store(self, at: Array, values: Array, width: int, count: int, who: Array) -> None:
        """Store numbers at offsets, which are in bounds and aligned."""
        unit = at // (width * count) if width * count > 1 else at
        view = self.view(width, count)
        view[unit] = values
        if np.count_nonzero(view[unit] != values):
            raise Fault(f"lanes store different values to one place of {self.name}")
        if not self.all_known:
            known = self._known_view(width * count)
            known[unit] = known.dtype.type(0x0101010101010101 & np.iinfo(known.dtype).max)
        self.log.write(at, who, width * count, values)

    def forget(self, at: Array, n_bytes: int, who: Array) -> None:
        """Count bytes as never written; something else is on its way to them."""
        self._known_view(n_bytes)[at // n_bytes] = 0
        self.all_known = False
        values = np.zeros((len(at), n_bytes), np.uint8)
        self.log.write(at, who, n_bytes, values)

    def settle(self) -> None:
        """See whether all is known now, so that reads need not look."""
        self.all_known = bool(self.known[: self.n_bytes].all())


class RaceLog:
    """Who read and wrote what since the last barrier, and in the whole launch.

    A thread is a number; ``who >> 5`` is its warp and ``who // block_lanes`` its block.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.block_lanes = 32
        self.of_launch = True
        self.reads: list[tuple[Array, Array, int]] = []
        self.writes: list[tuple[Array, Array, int, Array]] = []
        self.old_reads: list[tuple[Array, Array, int]] = []
        self.old_writes: list[tuple[Array, Array, int, Array]] = []
        self._n_old = 0
        self._owner: dict[int, Array] = {}

    def read(self, at: Array, who: Array, n_bytes: int) -> None:
        """Log a read."""
        self.reads.append((at, who, n_bytes))

    def write(self, at: Array, who: Array, n_bytes: int, values: Array) -> None:
        """Log a write."""
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(at), n_bytes)
        self.writes.append((at, who, n_bytes, raw))

    def atomic(self, at: Array, n_bytes: int) -> None:
        """Log an atomic operation, which races with plain ones alone."""
        nobody = np.full(len(at), ATOMIC, np.int64)
        self.write(at, nobody, n_bytes, np.zeros((len(at), n_bytes), np.uint8))

    def barrier(self, blocks: Array | None) -> None:
        """End the epoch of blocks (None: of all): within each, warps must not have raced."""
        reads, writes, later_reads, later_writes = self.reads, self.writes, [], []
        if blocks is not None:
            reads, later_reads = self._split(self.reads, blocks)
            writes, later_writes = self._split(self.writes, blocks)
        if writes:
            self._check(reads, writes, 32, "warps")
        if self.of_launch:
            self.old_reads += reads
            self.old_writes += writes
            self._n_old += sum(len(entry[0]) for entry in reads)
            if self._n_old > _LOG_LIMIT:
                self._compact()
        self.reads, self.writes = later_reads, later_writes

    def end(self) -> None:
        """End the launch: different blocks must not have raced."""
        self.barrier(None)
        if self.old_writes and self.of_launch:
            self._check(self.old_reads, self.old_writes, self.block_lanes, "blocks")
        self.old_reads, self.old_writes, self._n_old = [], [], 0

    def clear(self) -> None:
        """Forget everything."""
        self.reads, self.writes, self.old_reads, self.old_writes = [], [], [], []
        self._n_old = 0

    def _split(self, entries: list[Any], blocks: Array) -> tuple[list[Any], list[Any]]:
        now, later = [], []
        for at, who, n_bytes, *values in entries:
            mine = blocks[np.maximum(who, 0) // self.block_lanes] | (who == ATOMIC)
            for part, chosen in ((now, mine), (later, ~mine)):
                if chosen.any():
                    part.append((at[chosen], who[chosen], n_bytes, *(v[chosen] for v in values)))
        return now, later

    def _check(self, reads: list[Any], writes: list[Any], lanes: int, who: str) -> None:
        step = min(entry[2] for entry in (*reads, *writes))
        step = min(step, 4)
        at, agent = _granules(writes, step, lanes)
        value = np.concatenate(
            [np.ascontiguousarray(entry[3]).view(_UNSIGNED[step]).ravel() for entry in writes]
        )
        owner = self._owners(step)
        owner[at] = agent
        clash = owner[at] != agent
        try:
            if clash.any():
                self._check_writers(at, agent, value, clash, step, who)
                owner[at[clash]] = _MANY
            if reads:
                read_at, reader = _granules(reads, step, lanes)
                owners = owner[read_at]
                bad = (owners != _NOBODY) & (owners != reader)
                if bad.any():
                    first = int(np.argmax(bad))
                    raise Fault(
                        f"race: {who} read and write {int(read_at[first]) * step} of "
                        f"{self.space.name} with nothing between them"
                    )
        finally:
            owner[at] = _NOBODY

    def _check_writers(
        self, at: Array, agent: Array, value: Array, clash: Array, step: int, who: str
    ) -> None:
        """Several may write the same value to one place; an atomic operation may not be among."""
        shared = np.isin(at, at[clash])
        at, agent, value = at[shared], agent[shared], value[shared]
        order = np.argsort(at, kind="stable")
        at, agent, value = at[order], agent[order], value[order]
        same = at[1:] == at[:-1]
        bad = same & ((value[1:] != value[:-1]) | (agent[1:] == ATOMIC) | (agent[:-1] == ATOMIC))
        bad &= ~((agent[1:] == ATOMIC) & (agent[:-1] == ATOMIC))
        if bad.any():
            raise Fault(
                f"race: {who} write different values to {int(at[:-1][bad][0]) * step} of "
                f"{self.space.name} with nothing between them"
            )

    def _owners(self, step: int) -> Array:
        if step not in self._owner:
            self._owner[step] = np.full(len(self.space.data) // step, _NOBODY, np.int64)
        return self._owner[step]

    def _compact(self) -> None:
        if not self.old_reads:
            return
        step = min(4, *(entry[2] for entry in self.old_reads))
        at, block = _granules(self.old_reads, step, self.block_lanes)
        n_blocks = int(block.max()) + 1
        keys = np.unique(at * n_blocks + block)
        self.old_reads = [(keys // n_blocks * step, keys % n_blocks * self.block_lanes, step)]
        self._n_old = 0


def _granules(entries: list[Any], step: int, lanes: int) -> tuple[Array, Array]:
    """Return each touched granule of `step` bytes, and the warp or block that touched it."""
    places, agents = [], []
    for at, who, n_bytes, *_ in entries:
        agent = np.where(who == ATOMIC, ATOMIC, who // lanes)
        count, first = n_bytes // step, at // step
        if count > 1:
            first = (first[:, None] + np.arange(count)).ravel()
            agent = np.repeat(agent, count)
        places.append(first)
        agents.append(agent)
    return np.concatenate(places), np.concatenate(agents)


class GlobalMemory:
    """The device's memory: allocations, each in its own window."""

    def __init__(self) -> None:
        self.spaces: dict[int, Space] = {}
        self._next = 1

    def allocate(self, n_bytes: int) -> int:
        """Return the address of new memory, filled with poison."""
        number = self._next
        self._next += 1
        self.spaces[number] = Space(f"allocation {number} ({n_bytes} bytes)", n_bytes)
        return number << WINDOW_BITS

    def free(self, address: int) -> None:
        """Give an allocation back."""
        number, offset = divmod(address, 1 << WINDOW_BITS)
        if offset or number not in self.spaces:
            raise Fault(f"free of {address:#x}, which is no allocation (or was freed before)")
        del self.spaces[number]

    def part(self, address: int, n_bytes: int) -> tuple[Space, slice]:
        """Return where bytes that the host touches stand."""
        space = self.spaces.get(address >> WINDOW_BITS)
        offset = address & ((1 << WINDOW_BITS) - 1)
        if space is None or offset + n_bytes > space.n_bytes:
            raise Fault(f"the host touches {n_bytes} bytes at {self.describe(address)}")
        return space, slice(offset, offset + n_bytes)

    def describe(self, address: int) -> str:
        """Say where an address is."""
        number, offset = divmod(address, 1 << WINDOW_BITS)
        if number in self.spaces:
            return f"{offset} of {self.spaces[number].name}"
        for near, back in ((number + 1, (1 << WINDOW_BITS) - offset),):
            if near in self.spaces and back < 1 << 34:
                return f"{back} bytes before {self.spaces[near].name}"
        freed = 0 < number < self._next
        return f"{address:#x}, which " + ("was freed" if freed else "belongs to no allocation")

    def locate(self, addresses: Array, n_bytes: int) -> Iterator[tuple[Space, Array, Any]]:
        """Yield each allocation with the offsets in it and which of the addresses they are."""
        number = int(addresses[0]) >> WINDOW_BITS
        space = self.spaces.get(number)
        if space is not None:
            at = addresses - np.uint64(number << WINDOW_BITS)
            if int(np.maximum.reduce(at)) <= space.n_bytes - n_bytes:
                yield space, self._aligned(at, n_bytes), slice(None)
                return
        windows = addresses >> np.uint64(WINDOW_BITS)
        for window in np.unique(windows):
            which = np.flatnonzero(windows == window)
            space = self.spaces.get(int(window))
            at = addresses[which] & np.uint64((1 << WINDOW_BITS) - 1)
            limit = -1 if space is None else space.n_bytes - n_bytes
            if space is None or int(at.max()) > limit:
                bad = addresses[which][np.argmax(at)]
                raise Fault(f"out of bounds: {n_bytes} bytes at {self.describe(int(bad))}")
            yield space, self._aligned(at, n_bytes), which

    @staticmethod
    def _aligned(at: Array, n_bytes: int) -> Array:
        if n_bytes > 1 and int(np.bitwise_or.reduce(at)) & (n_bytes - 1):
            raise Fault(f"misaligned: {n_bytes} bytes at offset {int(at[0])}")
        return at.view(np.int64)
