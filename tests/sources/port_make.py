"""What the tests of ports share."""

from __future__ import annotations

from pathlib import Path

from streamrnn.sources.ports.listing import Port


def usb_port(path: str | Path, number: str = "", *, location: str = "1-1", pid: int = 0x43) -> Port:
    """Return a USB port as the system would list it."""
    title = f"Board {number}".strip()
    return Port(str(path), title, "Maker", title, 0x2341, pid, number, location)
