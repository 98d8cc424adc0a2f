"""Finds races: accesses of several threads to one place, one of them a write, in no order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

#: Who touched a place: nobody, several with the same value, whoever did an atomic operation.
NOBODY, _MANY, ATOMIC = -1, -2, -3
WARP = 32
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}
#: So many logged elements are compacted to those that differ.
_LOG_LIMIT = 1 << 21
#: Offsets, threads, bytes each, and what was written (n, bytes).
Entry = tuple[Array, Array, int, Array | None]
#: Reads and writes.
Entries = tuple[list[Entry], list[Entry]]
Agent = Callable[[Array], Array]


class Fault(Exception):
    """A kernel did what it must not do."""


class Shared(Protocol):
    """Memory that several threads touch."""

    name: str

    def owners(self, step: int) -> Array:
        """Return who touched each granule of so many bytes: nobody."""
        ...


class RaceLog:
    """Who read and wrote what, since whatever ordered it last.

    A thread is a number; ``who >> 5`` is its warp and ``who // block_lanes`` its block. What two
    threads do is ordered by ``bar.warp.sync`` if they are in one warp, by a barrier of some threads
    if both are among them, by one of all if they are in one block, and by nothing else in a launch:
    not even that a device happens to run a warp's lanes in step.

    Attributes
    ----------
    now, warped, met, old : (list, list)
        Reads and writes: since the last of all these; since the last but ``bar.warp.sync``; but
        a barrier of some; in the launch.
    """

    def __init__(self, space: Shared, *, of_launch: bool = True) -> None:
        self.space, self.of_launch = space, of_launch
        self.block_lanes, self.first_lane = 32, 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.now: Entries = ([], [])
        self.warped: Entries = ([], [])
        self.met: Entries = ([], [])
        self.old: Entries = ([], [])

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened since the last barrier of all."""
        return not any(any(entries) for entries in (self.now, self.warped, self.met))

    def read(self, at: Array, who: Array, n_bytes: int) -> None:
        """Log a read."""
        self.now[0].append((at, who, n_bytes, None))

    def write(self, at: Array, who: Array, n_bytes: int, values: Array) -> None:
        """Log a write."""
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(at), n_bytes)
        self.now[1].append((at, who, n_bytes, raw))

    def atomic(self, at: Array, n_bytes: int) -> None:
        """Log an atomic operation, which races with plain ones alone."""
        nobody = np.full(len(at), ATOMIC, np.int64)
        self.write(at, nobody, n_bytes, np.zeros((len(at), n_bytes), np.uint8))

    def meet_in_warps(self, chosen: Array | None) -> None:
        """Let the chosen threads (None: all) of each warp meet."""
        entries, self.now = self._split(self.now, chosen)
        self._check(entries, lambda who: who, "threads")
        self._keep(self.warped, entries, WARP)

    def meet(self, chosen: Array | None) -> None:
        """Let some threads of a block meet (None: every thread is in some such barrier)."""
        self._keep(self.met, self._up_to_warps(chosen), WARP)

    def barrier(self, chosen: Array | None, sets: Array) -> None:
        """Let all threads of blocks meet; what `sets` says are those that met before."""
        entries = self._up_to_warps(chosen)
        met, self.met = self._split(self.met, chosen)
        if any(met):
            entries = (met[0] + entries[0], met[1] + entries[1])
            self._check(entries, lambda who: sets[who - self.first_lane], "warps")
        if self.of_launch:
            self._keep(self.old, entries, self.block_lanes)

    def _up_to_warps(self, chosen: Array | None) -> Entries:
        """Take what the chosen did since they met; no two threads and no two warps may race."""
        entries, self.now = self._split(self.now, chosen)
        self._check(entries, lambda who: who, "threads")
        warped, self.warped = self._split(self.warped, chosen)
        if any(warped):
            entries = (warped[0] + entries[0], warped[1] + entries[1])
            self._check(entries, lambda who: who // WARP, "warps")
        return entries

    def end(self) -> None:
        """End the launch: different blocks must not have raced."""
        entries = self.old
        self.clear()
        self._check(entries, lambda who: who // self.block_lanes, "blocks")

    def _split(self, entries: Entries, chosen: Array | None) -> tuple[Entries, Entries]:
        """Part entries into those of chosen threads (None: all) and those of the others."""
        if chosen is None:
            return entries, ([], [])
        parts: tuple[Entries, Entries] = (([], []), ([], []))
        for kind in (0, 1):
            for at, who, n_bytes, values in entries[kind]:
                mine = (who == ATOMIC) | chosen[np.maximum(who - self.first_lane, 0)]
                for part, some in zip(parts, (mine, ~mine), strict=True):
                    if some.any():
                        raw = None if values is None else values[some]
                        part[kind].append((at[some], who[some], n_bytes, raw))
        return parts

    def _keep(self, where: Entries, entries: Entries, lanes: int) -> None:
        where[0].extend(entries[0])
        where[1].extend(entries[1])
        if sum(len(entry[0]) for entry in where[0][1:]) > _LOG_LIMIT:
            where[0][:] = [_compact(where[0], lanes)]

    def _check(self, entries: Entries, agent_of: Agent, who: str) -> None:
        reads, writes = entries
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
                bad = (owners != NOBODY) & (owners != reader)
                if bad.any():
                    first = int(np.argmax(bad))
                    raise Fault(
                        f"race: {who} read and write {int(read_at[first]) * step} of "
                        f"{self.space.name} with nothing between them: {int(reader[first])} reads "
                        f"what {int(owners[first])} writes"
                    )
        finally:
            owner[at] = NOBODY

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
