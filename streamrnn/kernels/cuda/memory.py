"""Device memory that is given back when nothing holds it any more."""

from __future__ import annotations

import weakref

from streamrnn.kernels.cuda.device import Device

#: Every array begins at a multiple of this, what a device's own allocations begin at.
ALIGNMENT_BYTES = 256


class Buffer:
    """A piece of device memory; it is given back when this object dies.

    Parameters
    ----------
    device : Device
        Kept alive as long as the buffer.
    n_bytes : int
        0 takes nothing.

    Attributes
    ----------
    address : int
        Where it begins; 0 for one of no bytes.
    n_bytes : int

    Raises
    ------
    BackendUnavailable
        The device has too little memory left.
    """

    def __init__(self, device: Device, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.address = device.allocate(n_bytes) if n_bytes else 0
        if n_bytes:
            # When the process ends the driver takes everything back, and may be gone before.
            weakref.finalize(self, device.free, self.address).atexit = False


class Places:
    """Says where arrays lie that share one buffer, end to end.

    So that what belongs together is asked for at once: there is room for all of it or an error.

    Attributes
    ----------
    n_bytes : int
        Size of the buffer, as far as it is planned.
    """

    def __init__(self) -> None:
        self.n_bytes = 0

    def add(self, n_elements: int, element_bytes: int = 4) -> int:
        """Return the byte offset of one more array."""
        offset = self.n_bytes
        size = n_elements * element_bytes
        self.n_bytes += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return offset


class Workspace:
    """One buffer that is used again and again, and grows when more is asked for."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._buffer = Buffer(device, 0)

    def take(self, n_bytes: int) -> int:
        """Return the address of at least so many bytes; what was taken before is lost."""
        if self._buffer.n_bytes < n_bytes:
            self._buffer = Buffer(self._device, 0)  # first give back, then ask
            self._buffer = Buffer(self._device, n_bytes)
        return self._buffer.address
