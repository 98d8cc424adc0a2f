"""A serial port as a link; the only place for pyserial."""

from __future__ import annotations

import contextlib
import errno
import os
import select

import serial

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.base import option_flag, option_int, split_options

try:
    from termios import error as _TerminalError  # noqa: N812 - it is an error class
except ImportError:  # pragma: no cover - not on POSIX
    _TerminalError = OSError  # type: ignore[misc,assignment]

#: Most bytes that one read takes: more than a tty buffers.
_READ_BYTES = 65_536

_FAILURES = (OSError, ValueError, _TerminalError)


class SerialLink:
    """A serial port.

    The control lines DTR and RTS keep the level that opening gives them on every system (both on):
    many boards reset when one of them moves.

    Parameters
    ----------
    path : str
        Device path; a link in ``/dev/serial/by-id`` finds the same board again on another port.
    baud : int
        Ignored by USB devices that have no real serial line.
    dtr, rts : bool
        Levels to open with.
    """

    can_return = True

    def __init__(
        self, path: str, baud: int = 115_200, *, dtr: bool = True, rts: bool = True
    ) -> None:
        self.path = path
        self.name = f"serial:{path}"
        self._port = serial.Serial(
            None, baud, timeout=0, write_timeout=1.0, exclusive=True, dsrdtr=False, rtscts=False
        )
        self._port.port = path
        self._port.dtr = dtr
        self._port.rts = rts

    def open(self) -> None:
        """Open the port for this process alone, or raise `SourceError`."""
        self.close()
        try:
            self._port.open()
        except _FAILURES as error:
            raise SourceError(_why(self.path, error)) from error
        # USB adapters gather bytes for up to 16 ms unless told not to; others have no such mode.
        with contextlib.suppress(*_FAILURES, NotImplementedError):
            self._port.set_low_latency_mode(True)

    def read(self, timeout_s: float) -> bytes:
        """Return all that is waiting; see `streamrnn.core.link.Link`."""
        try:
            fd = self._port.fileno()
            ready, _, _ = select.select((fd,), (), (), timeout_s)
            if not ready:
                return b""
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except _FAILURES as error:
            raise LinkLostError(f"{self.name}: {error}") from error
        if not data:  # readable, but empty: the device hung up
            raise LinkLostError(f"{self.name} hung up")
        return data

    def write(self, data: bytes) -> None:
        """Send `data`, or raise `LinkLostError`."""
        try:
            self._port.write(data)
        except _FAILURES as error:
            raise LinkLostError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the port; harmless when it is not open."""
        with contextlib.suppress(*_FAILURES):
            self._port.close()


def open_link(rest: str) -> SerialLink:
    """Return the link of ``serial:PATH[?baud=115200&dtr=yes&rts=yes]``; it is not opened yet."""
    path, options = split_options(rest, ("baud", "dtr", "rts"), "serial:")
    return SerialLink(
        path,
        option_int(options, "baud", 115_200, 1, "serial:"),
        dtr=option_flag(options, "dtr", True, "serial:"),
        rts=option_flag(options, "rts", True, "serial:"),
    )


def _why(path: str, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return f"no such port: {path} (plugged in? `ls /dev/serial/by-id` lists what is there)"
    if code == errno.EACCES:
        return (
            f"no permission to open {path}: join the group that owns it "
            "(`sudo usermod -aG dialout $USER`, then log in again)"
        )
    if code in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program: close it first"
    if code in (errno.ENXIO, errno.EIO, errno.ENODEV):
        return f"no device behind {path}: plug it in again"
    if not os.path.exists(path):  # gone while it was being opened
        return f"no such port: {path}"
    return f"{path} cannot be opened as a serial port: {error}"
