"""Which serial ports there are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port that the system knows.

    Attributes
    ----------
    path : str
        ``/dev/ttyACM0``.
    description : str
        What is plugged in, in its own words; may be empty.
    """

    path: str
    description: str


def serial_ports() -> list[Port]:
    """Return the serial ports with something behind them, by path."""
    from serial.tools.list_ports import comports

    found = [(port.device, port.description) for port in comports()]
    return [Port(path, "" if text == "n/a" else text) for path, text in sorted(found)]
