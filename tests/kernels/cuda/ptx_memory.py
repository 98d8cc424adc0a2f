"""Memory as the interpreter sees it: every access is checked, and races are found.

Each allocation has a window of addresses of its own, so far from the next one that no 32-bit index
reaches it: what is stored behind an array's end is never hidden by a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ptx_races import NOBODY, Fault, RaceLog

Array = np.ndarray[Any, np.dtype[Any]]

#: Generic addresses of shared memory begin here, those of allocation n at ``n << WINDOW_BITS``.
SHARED_WINDOW = 1 << 60
WINDOW_BITS = 36
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


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
            self._owners[step] = np.full(len(self.data) // step, NOBODY, np.int64)
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
        return (at % 256 >= last[at // 256]) & (at // 256 < (self.n_bytes - 1) // 256)


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
