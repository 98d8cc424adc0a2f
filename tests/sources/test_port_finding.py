"""An address means one board, wherever it is plugged in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from port_make import usb_port

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.sources.ports.finding import Finder, address_of
from streamrnn.sources.ports.listing import Port


class Socket:
    """A USB hub: what is plugged in changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: list[Port] = []

    def __call__(self) -> Sequence[Port]:
        return self.ports

    def plug(self, name: str, number: str = "", *, location: str = "1-1", pid: int = 0x43) -> str:
        path = self.folder / name
        path.touch()
        self.ports.append(usb_port(path, number, location=location, pid=pid))
        return str(path)

    def pull(self, path: str) -> None:
        self.ports = [port for port in self.ports if port.path != path]
        Path(path).unlink()


@pytest.fixture
def hub(tmp_path: Path) -> Socket:
    return Socket(tmp_path)


def test_a_board_with_a_number_is_found_under_any_path(hub: Socket) -> None:
    path = hub.plug("ttyACM0", "A1")
    finder = Finder(path, hub)
    assert finder.find() == path
    hub.pull(path)
    with pytest.raises(SourceError, match=r"Board A1 \(USB serial number A1\) is not plugged in"):
        finder.find()
    elsewhere = hub.plug("ttyACM7", "A1", location="3-2")
    assert finder.find() == elsewhere


def test_another_board_on_the_same_path_is_never_taken(
    hub: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    path = hub.plug("ttyACM0", "A1")
    finder = Finder(path, hub)
    finder.find()
    hub.pull(path)
    hub.plug("ttyACM0", "B2")
    for _ in range(3):
        with pytest.raises(SourceError, match="is another board now, Board B2"):
            finder.find()
    assert len(caplog.messages) == 1  # it is said once


def test_a_board_without_a_number_is_known_by_its_kind_and_place(hub: Socket) -> None:
    path = hub.plug("ttyUSB0", location="1-1")
    finder = Finder(path, hub)
    finder.find()
    hub.pull(path)
    twin = hub.plug("ttyUSB3", location="4-4")  # the same kind, elsewhere: may be anyone's
    with pytest.raises(SourceError, match=r"Board \(no serial number\) is not plugged in"):
        finder.find()
    back = hub.plug("ttyUSB1", location="1-1")
    assert finder.find() == back
    hub.pull(back)
    hub.pull(twin)
    assert hub.plug("ttyUSB0", location="2-1") == path
    assert finder.find() == path
    hub.pull(path)
    hub.plug("ttyUSB0", location="2-1", pid=0x99)
    with pytest.raises(SourceError, match="is another board now"):
        finder.find()


def test_clones_that_all_have_one_number_are_not_mixed_up(hub: Socket) -> None:
    first = hub.plug("ttyUSB0", "0001", location="1-1")
    hub.plug("ttyUSB1", "0001", location="1-2")
    finder = Finder(first, hub)
    assert finder.find() == first
    hub.pull(first)
    with pytest.raises(SourceError, match="is not plugged in"):
        finder.find()
    back = hub.plug("ttyUSB5", "0001", location="1-1")
    assert finder.find() == back


def test_the_two_ports_of_one_device_are_told_apart(hub: Socket) -> None:
    hub.plug("ttyACM0", "A1", location="1-1:1.0")
    data = hub.plug("ttyACM1", "A1", location="1-1:1.2")
    finder = Finder(data, hub)
    finder.find()
    hub.pull(data)
    hub.pull(hub.ports[0].path)
    back = hub.plug("ttyACM4", "A1", location="2-1:1.2")
    hub.plug("ttyACM3", "A1", location="2-1:1.0")
    assert finder.find() == back


def test_a_path_that_is_no_usb_port_is_just_a_path(hub: Socket, tmp_path: Path) -> None:
    path = tmp_path / "ttyS0"
    hub.ports.append(Port(str(path), "", location=""))
    finder = Finder(str(path), hub)
    for _ in range(2):
        assert finder.find() == str(path)
    assert finder.port is None
    path.touch()
    hub.ports[:] = [usb_port(path, "A1")]
    finder.find()
    assert finder.port == hub.ports[0]  # it came after the first look


def test_a_link_by_id_leads_to_the_board(hub: Socket, tmp_path: Path) -> None:
    path = hub.plug("ttyACM0", "A1")
    link = tmp_path / "usb-Board_A1"
    link.symlink_to(path)
    finder = Finder(str(link), hub)
    assert finder.find() == str(link)
    assert finder.port == hub.ports[0]


def test_auto_is_the_only_port_there_is(hub: Socket) -> None:
    with pytest.raises(SourceError, match="no USB serial port is plugged in: check the cable"):
        Finder("auto", hub).find()
    hub.ports.append(Port("/dev/ttyS0", ""))
    with pytest.raises(SourceError, match=r"\(not on USB: serial:/dev/ttyS0\)"):
        Finder("auto", hub).find()
    path = hub.plug("ttyACM0", "A1")
    assert Finder("auto", hub).find() == path
    other = hub.plug("ttyUSB0")
    with pytest.raises(ConfigError) as caught:
        Finder("auto", hub).find()
    assert str(caught.value) == (
        "serial:auto: 2 ports are plugged in; name one: "
        f"serial:usb=A1 (Board A1, {path}), serial:{other} (Board, {other})"
    )


def test_a_serial_number_is_an_address(hub: Socket) -> None:
    with pytest.raises(SourceError, match=r"'A1' is plugged in; no USB serial port is"):
        Finder("usb=A1", hub).find()
    path = hub.plug("ttyACM3", "A1")
    assert Finder("usb=A1", hub).find() == path
    with pytest.raises(SourceError, match=r"'zzz' is plugged in; there is serial:usb=A1 \(Board"):
        Finder("usb=zzz", hub).find()
    hub.plug("ttyACM4", "A1", location="1-1:1.2")
    with pytest.raises(ConfigError, match=r"2 ports have it; name one: serial:.*ttyACM3, serial:"):
        Finder("usb=A1", hub).find()


def test_the_address_that_is_shown_finds_the_board(hub: Socket) -> None:
    hub.plug("ttyACM0", "A1")
    hub.plug("ttyUSB0", "00 01\x1b[2J", location="1-2")
    hub.plug("ttyUSB1", location="1-3")
    for port in hub.ports:
        address = address_of(port, hub.ports)
        assert address.isprintable()
        assert Finder(address.removeprefix("serial:"), hub).find() == port.path
