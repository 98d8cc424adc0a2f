"""Memory as the interpreter sees it: every access is checked, and races are found.

Each allocation has a window of addresses of its own, so far from the next one that no 32-bit index
reaches it: what is stored behind an array's end is never hidden by a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: Generic addresses of shared memory begin here, those of allocation n at ``n << WINDOW_BITS``.
SHARED_WINDOW = 1 << 60
WINDOW_BITS = 36
_NOBODY, _MANY, ATOMIC = -1, -2, -3
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
#: Offsets, threads, bytes each, and what was written (n, bytes).
Entry = tuple[Array, Array, int, Array | None]
Agent = Callable[[Array], Array]
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
        #: Bytes between arrays, which nobody may store to; None if there are none.
        self.fenced: Array | None = None
        self.log = RaceLog(self)
        self._owners: dict[int, Array] = {}
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
        if self.fenced is not None and self.fenced[at].any():
            bad = int(np.argmax(self.fenced[at]))
            raise Fault(f"{self.thread(who[bad])} stores between arrays: {at[bad]} of {self.name}")
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

    def owners(self, step: int) -> Array:
        """Return who touched each granule: nobody; whoever changes it changes it back."""
        if step not in self._owners:
            self._owners[step] = np.full(len(self.data) // step, _NOBODY, np.int64)
        return self._owners[step]

    def settle(self) -> None:
        """See whether all is known now, so that reads need not look."""
        self.all_known = bool(self.known[: self.n_bytes].all())

    def is_between(self, at: Array) -> Array:
        """Return whether bytes lie between arrays: the host may copy what spans several."""
        if self.fenced is not None:
            return self.fenced[at]
        # Arrays begin at multiples of 256: what is missing up to the next one is nobody's.
        whole = -(-len(self.known) // 256) * 256
        known = np.pad(self.known, (0, whole - len(self.known))).reshape(-1, 256) != 0
        last = np.where(known.any(axis=1), 256 - known[:, ::-1].argmax(axis=1), 256)
        return at % 256 >= last[at // 256]


class RaceLog:
    """Who read and wrote what: since the last barrier of some, since that of all, in the launch.

    A thread is a number; ``who >> 5`` is its warp and ``who // block_lanes`` its block. A barrier
    of some threads of a block orders what they do; only one of all orders that with what the others
    did.
    """

    def __init__(self, space: Space, *, of_launch: bool = True) -> None:
        self.space, self.of_launch = space, of_launch
        self.block_lanes, self.first_lane = 32, 0
        self.reads: list[Entry] = []
        self.writes: list[Entry] = []
        #: Behind a barrier of some, and of all.
        self.met: tuple[list[Entry], list[Entry]] = ([], [])
        self.old: tuple[list[Entry], list[Entry]] = ([], [])

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened since the last barrier of all."""
        return not (self.reads or self.writes or self.met[0] or self.met[1])

    def read(self, at: Array, who: Array, n_bytes: int) -> None:
        """Log a read."""
        self.reads.append((at, who, n_bytes, None))

    def write(self, at: Array, who: Array, n_bytes: int, values: Array) -> None:
        """Log a write."""
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(at), n_bytes)
        self.writes.append((at, who, n_bytes, raw))

    def atomic(self, at: Array, n_bytes: int) -> None:
        """Log an atomic operation, which races with plain ones alone."""
        nobody = np.full(len(at), ATOMIC, np.int64)
        self.write(at, nobody, n_bytes, np.zeros((len(at), n_bytes), np.uint8))

    def meet(self, chosen: Array | None) -> None:
        """A barrier of some threads of a block (None: all threads are in such): no warps race."""
        reads, writes = self._take(chosen)
        self._check(reads, writes, self._warps, "warps")
        self._keep(self.met, reads, writes, 32)

    def barrier(self, chosen: Array | None, sets: Array) -> None:
        """Let all threads of blocks meet; what `sets` says are those that met before."""
        reads, writes = self._take(chosen)
        self._check(reads, writes, self._warps, "warps")
        (met_reads, more), (met_writes, more_writes) = (_split(e, chosen, self) for e in self.met)
        if met_reads or met_writes:
            reads, writes = met_reads + reads, met_writes + writes
            self._check(reads, writes, lambda who: sets[who - self.first_lane], "warps")
        self.met = (more, more_writes)
        if self.of_launch:
            self._keep(self.old, reads, writes, self.block_lanes)

    def end(self) -> None:
        """End the launch: different blocks must not have raced."""
        reads, writes = self.old
        self.clear()
        self._check(reads, writes, lambda who: who // self.block_lanes, "blocks")

    def clear(self) -> None:
        """Forget everything."""
        self.reads, self.writes, self.met, self.old = [], [], ([], []), ([], [])

    @staticmethod
    def _warps(who: Array) -> Array:
        return who >> 5

    def _take(self, chosen: Array | None) -> tuple[list[Entry], list[Entry]]:
        (reads, self.reads), (writes, self.writes) = (
            _split(entries, chosen, self) for entries in (self.reads, self.writes)
        )
        return reads, writes

    def _keep(
        self, where: tuple[list[Entry], list[Entry]], reads: list[Entry], writes: list[Entry],
        lanes: int,
    ) -> None:  # fmt: skip
        where[1].extend(writes)
        where[0].extend(reads)
        if sum(len(entry[0]) for entry in where[0][1:]) > _LOG_LIMIT:
            where[0][:] = [_compact(where[0], lanes)]

    def _check(self, reads: list[Entry], writes: list[Entry], agent_of: Agent, who: str) -> None:
        if not writes:
            return
        step = min(4, *(entry[2] for entry in (*reads, *writes)))
        at, agent = _granules(writes, step, agent_of)
        value = np.concatenate(
            [np.ascontiguousarray(entry[3]).view(_UNSIGNED[step]).ravel() for entry in writes]
        )
        owner = self.space.owners(step)
        owner[at] = agent
        clash = owner[at] != agent
        try:
            if clash.any():
                self._check_writers(at, agent, value, clash, step, who)
                owner[at[clash]] = _MANY
            if reads:
                read_at, reader = _granules(reads, step, agent_of)
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


def _split(
    entries: list[Entry], chosen: Array | None, log: RaceLog
) -> tuple[list[Entry], list[Entry]]:
    """Part entries into those of chosen threads (None: all) and those of the others."""
    if chosen is None:
        return entries, []
    parts: tuple[list[Entry], list[Entry]] = ([], [])
    for at, who, n_bytes, values in entries:
        mine = (who == ATOMIC) | chosen[np.maximum(who - log.first_lane, 0)]
        for part, some in zip(parts, (mine, ~mine), strict=True):
            if some.any():
                raw = None if values is None else values[some]
                part.append((at[some], who[some], n_bytes, raw))
    return parts


def _granules(entries: list[Entry], step: int, agent_of: Agent) -> tuple[Array, Array]:
    """Return each touched granule of `step` bytes, and who touched it."""
    places, agents = [], []
    for at, who, n_bytes, _ in entries:
        agent = who if len(who) and who[0] == ATOMIC else agent_of(who)
        count, first = n_bytes // step, at // step
        if count > 1:
            first = (first[:, None] + np.arange(count)).ravel()
            agent = np.repeat(agent, count)
        places.append(first)
        agents.append(agent)
    return np.concatenate(places), np.concatenate(agents)


def _compact(reads: list[Entry], lanes: int) -> Entry:
    """Return reads as one of each granule by each warp or block of so many lanes."""
    step = min(4, *(entry[2] for entry in reads))
    at, agent = _granules(reads, step, lambda who: who // lanes)
    n_agents = int(agent.max()) + 1
    keys = np.unique(at * n_agents + agent)
    return keys // n_agents * step, keys % n_agents * lanes, step, None


class Planned(int):
    """A number of bytes that knows which of them lie between arrays."""

    fences: tuple[tuple[int, int], ...] = ()


class GlobalMemory:
    """The device's memory: allocations, each in its own window."""

    def __init__(self) -> None:
        self.spaces: dict[int, Space] = {}
        self._next = 1

    def allocate(self, n_bytes: int) -> int:
        """Return the address of new memory, filled with poison, and fenced if that is `Planned`."""
        number = self._next
        self._next += 1
        space = self.spaces[number] = Space(f"allocation {number} ({n_bytes} bytes)", n_bytes)
        if isinstance(n_bytes, Planned):
            space.fenced = np.zeros(len(space.data), bool)
            for begin, end in n_bytes.fences:
                space.fenced[begin:end] = True
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
