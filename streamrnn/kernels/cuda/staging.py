"""Memory of the host that a device reads and writes by itself, for arrays on their way.

The driver does not say when it has read an array that it was given: at once if it copies it first,
but later if the array lies in such memory itself, or if the device reads all of the host's. What is
copied to here first may be changed right after. A place is used again after the device was waited
for, which each read does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_ALIGNMENT_BYTES = 256


class Staging:
    """Room for arrays on their way.

    Parameters
    ----------
    allocate : callable
        Returns the address of so many bytes that a device can read and write.

    Attributes
    ----------
    read_at : int
        Address of `READ_BYTES` for what comes from the device.
    """

    #: Reads up to here are worth a copy of their own.
    READ_BYTES = 64 << 10
    #: Larger arrays take longer to copy than a device takes to be waited for.
    WRITE_BYTES = 1 << 20
    _ALL_BYTES = 4 << 20

    def __init__(self, allocate: Callable[[int], int]) -> None:
        self.read_at = allocate(self.READ_BYTES + self._ALL_BYTES)
        self._begin = self.read_at + self.READ_BYTES
        self._n_used = 0

    def takes(self, n_bytes: int) -> bool:
        """Return whether an array goes through here on its way to the device."""
        return n_bytes <= self.WRITE_BYTES

    def has_room(self, n_bytes: int) -> bool:
        """Return whether there is room for an array before the device is waited for."""
        return self._n_used + n_bytes <= self._ALL_BYTES

    def put(self, data: int, n_bytes: int) -> int:
        """Copy an array to where there is room; return its address."""
        at = self._begin + self._n_used
        ctypes.memmove(at, data, n_bytes)
        self._n_used += -(-n_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        return at

    def clear(self) -> None:
        """Take all as arrived: the device was waited for."""
        self._n_used = 0
