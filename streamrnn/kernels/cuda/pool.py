"""A device's memory, kept for the next who asks: giving it back to the driver stops the device.

Everything on a device is done in order, so memory may be given to the next as soon as it came back,
while what was started before still uses it.
"""

from __future__ import annotations

from collections.abc import Callable

#: The driver gives multiples of this.
_STEP_BYTES = 512


class Pool:
    """Memory in pieces.

    Parameters
    ----------
    allocate : callable
        Returns the address of so many bytes from the driver, 0 if there are too few.
    release : callable
        Gives such an address back to the driver.
    """

    def __init__(self, allocate: Callable[[int], int], release: Callable[[int], object]) -> None:
        self._allocate = allocate
        self._release = release
        self._sizes: dict[int, int] = {}
        self._kept: dict[int, list[int]] = {}

    @property
    def n_kept_bytes(self) -> int:
        """How much nobody has."""
        # Of a copy: more may come back meanwhile, whenever Python collects its garbage.
        return sum(size * len(addresses) for size, addresses in list(self._kept.items()))

    def take(self, n_bytes: int) -> int:
        """Return the address of at least `n_bytes`; 0 if the driver has too few left."""
        size = rounded(n_bytes)
        kept = self._kept.get(size)
        if kept:
            return kept.pop()
        address = self._allocate(size)
        if not address:
            self.drop()
            # It may just fit without what rounding adds.
            size = max(1, -(-n_bytes // _STEP_BYTES)) * _STEP_BYTES
            address = self._allocate(size)
        if address:
            self._sizes[address] = size
        return address

    def give(self, address: int) -> None:
        """Take memory back."""
        size = self._sizes[address]
        self._kept.setdefault(size, []).append(address)

    def drop(self) -> None:
        """Give all that nobody has to the driver."""
        kept, self._kept = self._kept, {}
        for addresses in kept.values():
            for address in addresses:
                del self._sizes[address]
                self._release(address)


def rounded(n_bytes: int) -> int:
    """Return the size of the piece for so many bytes: at most a sixteenth more where it is large.

    Few different sizes are asked for often; with some rounding, pieces fit again.
    """
    step = max(_STEP_BYTES, 1 << max(0, n_bytes.bit_length() - 5))
    return max(1, -(-n_bytes // step)) * step
