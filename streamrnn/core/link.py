"""The transport below a stream: something that gives and takes bytes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class LinkLostError(OSError):
    """The other end went away (a cable pulled, a peer closed); the link may come back."""


@runtime_checkable
class Link(Protocol):
    """A byte transport: a serial port, a TCP connection, the simulator.

    A link knows nothing of packets. `open` may be called again after `LinkLostError`. It may have
    more attributes: ``waits = True`` if it never runs ahead of its reader, so that nothing has to
    be dropped when that is late; ``is_deaf = True`` if nothing can be sent to the device;
    ``extra``, a dict of str to int, if it counts what befell its bytes; ``silence_hint`` and
    ``garbage_hint``, what may be wrong if nothing ever comes, or nothing that makes sense.

    Attributes
    ----------
    name : str
        For people: ``serial:/dev/ttyACM0``.
    can_return : bool
        True if `open` may succeed again later (a device that is plugged back in).
    """

    name: str
    can_return: bool

    def open(self) -> None:
        """Connect, or raise `streamrnn.core.errors.SourceError`."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived, waiting up to `timeout_s` for the first byte.

        Returns
        -------
        bytes
            ``b""`` when nothing came in time.

        Raises
        ------
        LinkLostError
            The other end went away.
        EOFError
            Nothing will ever follow.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send `data`, or raise `LinkLostError`."""
        ...

    def close(self) -> None:
        """Disconnect; harmless when not open."""
        ...
