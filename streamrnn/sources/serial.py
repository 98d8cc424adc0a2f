"""A serial port as a link; with `streamrnn.sources.ports` the only place for pyserial."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time

import serial

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.sources.base import option_flag, option_int, split_options
from streamrnn.sources.ports.finding import Finder
from streamrnn.sources.ports.holders import holders
from streamrnn.sources.ports.listing import Lister, Port, serial_ports
from streamrnn.sources.ports.trouble import in_use, why_not_open
from streamrnn.wire.options import KEYS

try:
    from termios import error as _TerminalError  # noqa: N812 - it is an error class

    from streamrnn.sources.ports import lines
except ImportError:  # pragma: no cover - not on POSIX
    _TerminalError = OSError  # type: ignore[misc,assignment]
    lines = None  # type: ignore[assignment]

_LOG = logging.getLogger(__name__)

BAUD = 115_200
#: Most bytes that one read takes: more than a tty buffers.
_READ_BYTES = 65_536
#: How long the last command may take to leave. A driver may wait 30 s at the close otherwise.
_DRAIN_S = 0.1
#: Receivers follow a rate that is off by this share at most.
_BAUD_TOLERANCE = 0.03

_FAILURES = (OSError, ValueError, _TerminalError)


class SerialLink:
    """A serial port, for this process alone.

    DTR and RTS are left as opening sets them (Linux: both on), and stay so behind the close, so
    that no board is reset by our coming and going; `streamrnn.sources.ports.lines` says more. A
    board on USB is found again by its serial number on whatever port it comes back to.

    Parameters
    ----------
    address : str
        A path, ``auto`` (the only USB port that there is) or ``usb=SERIALNUMBER``.
    baud : int
        Any rate that the adapter can make. Ignored by USB devices that have no real serial line.
    dtr, rts : bool, optional
        Levels to set, in one step, as soon as it is open.
    reset : bool
        Reset the board when it is opened first.
    lister : callable
        Gives the ports that there are.

    Attributes
    ----------
    baud : int
    path : str
        What was opened last; before, the address.
    """

    can_return = True
    #: What may be wrong if nothing makes sense.
    garbage_hint = "wrong baud rate? streamrnn probe finds the right one"

    def __init__(
        self,
        address: str,
        baud: int = BAUD,
        *,
        dtr: bool | None = None,
        rts: bool | None = None,
        reset: bool = False,
        lister: Lister = serial_ports,
    ) -> None:
        self.path = address
        self.baud = baud
        self.name = f"serial:{printable(address, 200)}"
        self._levels = dtr, rts
        self._reset = reset
        self._lister = lister
        self._finder = Finder(address, lister)
        self._was_open = False
        # `dsrdtr` has pyserial leave DTR alone; RTS it can only switch on, where it is already.
        self._port = serial.Serial(
            None, baud, timeout=0, write_timeout=1.0, exclusive=True, dsrdtr=True, rtscts=False
        )

    @property
    def port(self) -> Port | None:
        """The USB device that was found; None for others, and before the first `open`."""
        return self._finder.port

    @property
    def silence_hint(self) -> str:
        """What may be wrong if nothing comes."""
        return (
            f"is the device powered, and its program running and sending at {self.baud} baud? "
            "streamrnn probe tries other rates"
        )

    def open(self) -> None:
        """Open the port for this process alone.

        Raises
        ------
        SourceError
            It is not there, in use, or not to be opened; the message says what to do.
        ConfigError
            The address fits several ports.
        """
        self.close()
        self.path = self._finder.find()
        self._port.port = self.path
        try:
            self._port.open()
        except _FAILURES as error:
            # Who waits for a board to come back asks 50 times a second, and needs no advice.
            why = f"{self.path}: {error}" if self._was_open else self._why(error)
            raise SourceError(why) from error
        if lines is not None:
            try:
                self._set_up(self._port.fileno())
            except _FAILURES as error:  # it went away meanwhile
                self.close()
                raise SourceError(f"{self.path}: {error}") from error
        # USB adapters gather bytes for up to 16 ms unless told not to; others have no such mode.
        with contextlib.suppress(*_FAILURES, NotImplementedError):
            self._port.set_low_latency_mode(True)
        self._was_open = True

    def _why(self, error: Exception) -> str:
        return why_not_open(self.path, error, lister=self._lister)

    def _set_up(self, fd: int) -> None:
        """Take the port for us alone, and see to its lines."""
        lines.keep_on_close(fd)
        if not self._was_open:
            # Not all programs lock what they open, and two readers would share the bytes.
            others = holders(self.path)
            if others:
                self._port.close()
                raise SourceError(in_use(self.path, others))
            true_baud = lines.true_baud(fd)
            if true_baud and abs(true_baud / self.baud - 1) > _BAUD_TOLERANCE:
                _LOG.warning("%s: gives %d baud, not %d", self.name, true_baud, self.baud)
        lines.claim(fd, own=True)
        if self._reset and not self._was_open:
            lines.reset(fd)
            self._port.reset_input_buffer()
        lines.set_lines(fd, *self._levels)

    def set_baud(self, baud: int) -> None:
        """Go to another rate and forget what came at the old one; the port stays open."""
        self.baud = baud
        try:
            self._port.baudrate = baud
            self._port.reset_input_buffer()
        except _FAILURES as error:
            raise LinkLostError(f"{self.name}: {error}") from error

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
        if self._port.is_open:
            with contextlib.suppress(*_FAILURES):
                self._drain()
                if lines is not None:
                    lines.claim(self._port.fileno(), own=False)
        with contextlib.suppress(*_FAILURES):
            self._port.close()

    def _drain(self) -> None:
        """Let the last command leave, and drop it if it does not."""
        until_s = time.monotonic() + _DRAIN_S
        while self._port.out_waiting:
            if time.monotonic() > until_s:
                self._port.reset_output_buffer()
                return
            time.sleep(0.002)


def open_link(rest: str) -> SerialLink:
    """Return the link of ``serial:ADDRESS[?baud=115200&dtr=no&rts=no&reset=yes]``, not opened yet.

    The address is a path, ``auto``, or ``usb=SERIALNUMBER``.
    """
    address, options = split_options(rest, ("baud", "dtr", "rts", "reset"), "serial:", KEYS)

    def level(key: str) -> bool | None:
        return option_flag(options, key, True, "serial:") if key in options else None

    return SerialLink(
        address,
        option_int(options, "baud", BAUD, 1, "serial:"),
        dtr=level("dtr"),
        rts=level("rts"),
        reset=option_flag(options, "reset", False, "serial:"),
    )
