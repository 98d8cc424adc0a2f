"""Which port an address means, now and after a cable was pulled and plugged in again."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.text import printable
from streamrnn.sources.ports.listing import Lister, Port

_LOG = logging.getLogger(__name__)

_USB = "usb="
_AUTO = "auto"


class Finder:
    """Finds the port of an address, and the same board again.

    The first `find` remembers which USB device it found. Later ones find that device wherever it
    is, and never another one that took its path.

    Parameters
    ----------
    address : str
        A path, ``auto`` (the only USB port) or ``usb=SERIALNUMBER``.
    lister : callable
        Gives the ports that there are.

    Attributes
    ----------
    port : Port or None
        What was found; None before, and for a path that is not on USB.
    """

    def __init__(self, address: str, lister: Lister) -> None:
        self.address = address
        self.port: Port | None = None
        self._lister = lister
        self._is_known = False
        self._has_twin = False
        self._said = ""

    def find(self) -> str:
        """Return the path to open.

        Raises
        ------
        SourceError
            The board is not plugged in, or another one is where it was.
        ConfigError
            The address fits several ports.
        """
        if self.port is not None:
            return self._again(self.port)
        if self._is_known:
            return self.address
        ports = self._lister()
        board = self._first(ports)
        path = self.address
        if board is not None:
            self._has_twin = sum(is_same_board(port, board) for port in ports) > 1
            self.port = board
            path = path if self._names_a_path else board.path
        self._is_known = os.path.exists(path)
        return path

    @property
    def _names_a_path(self) -> bool:
        return self.address != _AUTO and not self.address.startswith(_USB)

    def _first(self, ports: Sequence[Port]) -> Port | None:
        if self.address == _AUTO:
            return _only(ports)
        if self.address.startswith(_USB):
            return _by_serial_number(ports, self.address[len(_USB) :])
        real = os.path.realpath(self.address)
        return next((p for p in ports if p.is_usb and os.path.realpath(p.path) == real), None)

    def _again(self, board: Port) -> str:
        """Return where a board is now; what was named stays its name as long as it fits."""
        ports = [port for port in self._lister() if port.is_usb]
        same = [port for port in ports if is_same_board(port, board)]
        # Twins without a number of their own: the one in the same socket, or at the same path.
        same.sort(key=lambda p: (p.location != board.location, p.path != board.path, p.path))
        is_known_by_number = board.serial_number and not self._has_twin
        if same and (is_known_by_number or _is_at(same[0], board)):
            return same[0].path
        wanted = describe(board)
        for port in ports:
            if os.path.realpath(port.path) == os.path.realpath(board.path):
                text = f"{board.path} is another board now, {describe(port)}: plug in {wanted}"
                if text != self._said:  # who waits asks often
                    self._said = text
                    _LOG.warning("%s", text)
                raise SourceError(text)
        raise SourceError(f"{wanted} is not plugged in")


def is_same_board(a: Port, b: Port) -> bool:
    """Return whether two ports are the same interface of the same USB device, as far as it says."""
    return (a.vid, a.pid, a.serial_number, _interface(a)) == (
        b.vid, b.pid, b.serial_number, _interface(b)
    )  # fmt: skip


def address_of(port: Port, ports: Sequence[Port]) -> str:
    """Return the best address of a port: one that finds the board on every socket, if there is."""
    n_same = sum(p.serial_number == port.serial_number for p in ports)
    plain = port.serial_number.isascii() and port.serial_number.isalnum()
    if plain and port.is_usb and n_same == 1:
        return f"serial:{_USB}{port.serial_number}"
    return f"serial:{port.path}"


def describe(port: Port) -> str:
    """Return what a port is, for people: ``Arduino Uno (USB serial number 8573531)``."""
    number = f"USB serial number {port.serial_number}" if port.serial_number else "no serial number"
    return printable(f"{port.title} ({number})", 200)


def _interface(port: Port) -> str:
    """Return which interface of its device a port is; ``""`` when it has one alone."""
    return port.location.partition(":")[2]


def _is_at(port: Port, board: Port) -> bool:
    return port.location == board.location or port.path == board.path


def _only(ports: Sequence[Port]) -> Port:
    usb = [port for port in ports if port.is_usb]
    if len(usb) == 1:
        return usb[0]
    if not usb:
        others = ", ".join(f"serial:{port.path}" for port in ports)
        hint = f" (not on USB: {others})" if others else ""
        raise SourceError(
            f"serial:auto: no USB serial port is plugged in{hint}: check the cable "
            "(some only charge), or try another socket"
        )
    raise ConfigError(f"serial:auto: {len(usb)} ports are plugged in; name one: {_choice(usb)}")


def _by_serial_number(ports: Sequence[Port], number: str) -> Port:
    found = [port for port in ports if port.is_usb and port.serial_number == number]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(f"serial:{port.by_id or port.path}" for port in found)
        raise ConfigError(
            f"serial:usb={printable(number)}: {len(found)} ports have it; name one: {paths}"
        )
    usb = [port for port in ports if port.is_usb]
    there = f"there is {_choice(usb)}" if usb else "no USB serial port is"
    raise SourceError(
        f"no board with the USB serial number {printable(number)!r} is plugged in; {there}"
    )


def _choice(ports: Sequence[Port]) -> str:
    shown = [f"{address_of(p, ports)} ({printable(p.title, 60)}, {p.path})" for p in ports]
    return printable(", ".join(shown), 1000)
