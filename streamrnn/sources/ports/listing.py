"""Which serial ports there are, and what is plugged in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_BY_ID = "/dev/serial/by-id"
_TIMERS = "/sys/bus/usb-serial/devices"
_TTYS = "/sys/class/tty"


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port that the system knows.

    All but the path is what the device says of itself: show it through `printable`.

    Attributes
    ----------
    path : str
        ``/dev/ttyACM0``.
    description : str
        What is plugged in, in its own words; may be empty.
    vendor, product : str
        Who made it, and what it is; may be empty.
    vid, pid : int or None
        USB vendor and product; None for a port that is not on USB.
    serial_number : str
        Of the USB device; cheap adapters have none, or all the same.
    location : str
        Where it is plugged in, and which of its interfaces it is: ``1-2:1.0``.
    by_id : str
        Path that names the board and stays the same on every socket; may be empty.
    """

    path: str
    description: str
    vendor: str = ""
    product: str = ""
    vid: int | None = None
    pid: int | None = None
    serial_number: str = ""
    location: str = ""
    by_id: str = ""

    @property
    def is_usb(self) -> bool:
        """True if USB tells which device it is."""
        return self.vid is not None

    @property
    def title(self) -> str:
        """What is plugged in, in a few words; the path when it does not say."""
        return self.product or self.description or self.path


#: Gives the ports that there are; tests bring their own.
Lister: TypeAlias = Callable[[], Sequence[Port]]


def serial_ports() -> list[Port]:
    """Return the serial ports with something behind them, by path."""
    from serial.tools.list_ports import comports

    links = _links_to(_BY_ID)
    found = []
    for port in comports():
        if port.vid is None and _is_phantom(port.device):
            continue
        description = port.description or ""
        found.append(
            Port(
                port.device,
                "" if description == "n/a" else description,
                port.manufacturer or "",
                port.product or "",
                port.vid,
                port.pid,
                port.serial_number or "",
                port.location or "",
                links.get(os.path.realpath(port.device), ""),
            )
        )
    return sorted(found, key=lambda port: port.path)


def latency_timer_ms(path: str, folder: str = _TIMERS) -> int | None:
    """Return how long the adapter gathers bytes before it sends them, or None.

    Only FTDI's driver says so (``latency_timer`` in sysfs, in milliseconds). 16 is its habit; the
    low-latency mode, which `SerialLink` asks for, makes it 1.
    """
    try:
        file = Path(folder, os.path.basename(os.path.realpath(path)), "latency_timer")
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _is_phantom(path: str, folder: str = _TTYS) -> bool:
    """Return whether the kernel keeps the name of a port (``ttyS0`` and on) with nothing behind.

    Its driver then says type 0, which is PORT_UNKNOWN in <linux/serial_core.h>.
    """
    try:
        return Path(folder, os.path.basename(path), "type").read_text().strip() == "0"
    except OSError:
        return False


def _links_to(folder: str) -> dict[str, str]:
    """Return device path -> link, for the links in a folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    links = [os.path.join(folder, name) for name in names]
    return {os.path.realpath(link): link for link in links}
