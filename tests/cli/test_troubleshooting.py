"""Every line of the tables in docs/troubleshooting.md is what the program really says."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamrnn.cli.probe_advice import advice
from streamrnn.cli.probe_report import report
from streamrnn.core.errors import SourceError, StreamRNNError
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sources import open_source
from streamrnn.sources.listening import Listening
from streamrnn.sources.ports import trouble
from streamrnn.sources.ports.bauds import USUAL
from streamrnn.sources.ports.finding import Finder
from streamrnn.sources.ports.holders import Holder
from streamrnn.sources.ports.listing import Port
from streamrnn.sources.probing import opening
from streamrnn.sources.probing.listening import Listener
from streamrnn.sources.probing.opening import Opened
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.stream import StreamSource
from streamrnn.sources.tcp import TcpLink

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
UNO = Port("/dev/ttyACM0", "", "", "Arduino Uno", 0x2341, 0x43, "A1", "1-1")
NANO = Port("/dev/ttyACM0", "", "", "Nano", 0x2341, 0x58, "B2", "1-1")
CP2102 = Port(
    "/dev/ttyUSB0", "", "", "CP2102 USB to UART Bridge Controller", 0x10C4, 0xEA60, "", "1-2"
)
ACM, USB = "/dev/ttyACM0", "/dev/ttyUSB0"


def rows() -> list[tuple[str, str]]:
    """Return what went wrong and what is printed, of all tables."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = re.match(r"\| (.*?) \| `` (.*) `` \| .* \|$", line)
        if cells:
            found.append((cells[1], cells[2].replace(r"\|", "|")))
    return found


def raised(call: Callable[[], Any]) -> str:
    with pytest.raises(StreamRNNError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the system shows: a CH340 without a driver, and services that run."""
    device, interface = tmp_path / "usb" / "1-1", tmp_path / "usb" / "1-1:1.0"
    for path in (device, interface, tmp_path / "brltty" / "1", tmp_path / "modem" / "1"):
        path.mkdir(parents=True)
    (device / "idVendor").write_text("1a86\n")
    (device / "idProduct").write_text("7523\n")
    (device / "product").write_text("USB Serial\n")
    (interface / "bInterfaceClass").write_text("ff\n")
    (tmp_path / "brltty" / "1" / "comm").write_text("brltty\n")
    (tmp_path / "modem" / "1" / "comm").write_text("ModemManager\n")
    return tmp_path


def not_open(code: int, path: str, *ports: Port, usb: str = "/none") -> str:
    return trouble.why_not_open(path, OSError(code, ""), lister=lambda: ports, usb=usb)


def permission(monkeypatch: pytest.MonkeyPatch, *, has_joined: bool) -> str:
    status = SimpleNamespace(st_mode=stat.S_IFCHR | 0o660, st_gid=20)
    group = SimpleNamespace(gr_name="dialout", gr_mem=["anna"] if has_joined else [])
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda _: status)
        patch.setattr(os, "getgroups", lambda: [1000])
        patch.setattr(os, "getgid", lambda: 1000)
        patch.setattr(grp, "getgrgid", lambda _: group)
        patch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="anna", pw_gid=1000))
        return trouble.no_permission(USB)


def in_the_place_of_another() -> str:
    there = [UNO]
    finder = Finder(ACM, lambda: there)
    finder.find()
    there[:] = [NANO]
    return raised(finder.find)


def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return raised(TcpLink("192.168.1.7", 3333).open)


def senseless(link: SerialLink | TcpLink, data: bytes) -> str:
    head = opening._Head()
    head(data, 0)
    error = SourceError("no sense in it")
    return raised(lambda: opening._explain(link.name, link, head, error, lambda _: None))


def nothing_fits(n_bytes: int) -> str:
    head = opening._Head()
    head.n_bytes = n_bytes
    rates = tuple(rate for rate in USUAL if rate != 115_200)
    return str(opening._nothing_fits(f"serial:{USB}", 115_200, head, rates))


def garbage(link: SerialLink) -> str:
    listening = Listening(link.name, 0.0, ("", link.garbage_hint), 5.0, 2.0)
    listening.took(b"\xff" * 800, 0.0)
    return raised(lambda: listening.check(2.1, False, ""))


def mind(name: str, x: np.ndarray[Any, Any] | None = None, **changes: Any) -> str:
    """Return the one advice on a stream of two channels."""
    if x is None:
        x = np.random.default_rng(1).normal(size=(500, 2))
    info = StreamInfo((Channel(name, "g"), Channel("other", "g")), 100.0)
    listener = Listener(info)
    seq = np.arange(500)
    listener.take(Frames(x.astype(np.float32), seq, seq * 10_000))
    source = StreamSource(SerialLink(USB))
    opened = Opened(source, source.link, source.name)
    document = report(opened, listener, "done") | {
        "format": "wire", "heard_s": 5.0, "span_s": 5.0, "measured_hz": 100.0,
        "timing": {"is_settled": True, "n_gaps": 3},
    }  # fmt: skip
    for key, value in changes.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    return advice(document, opened, listener)[0]


def clipped() -> np.ndarray[Any, Any]:
    x = np.random.default_rng(3).normal(size=(500, 2)) / 20
    x[:, 0] += 2 * np.sin(np.arange(500) / 7)
    return np.minimum(x, 1.75)


def stuck() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).normal(size=(500, 2)) * [0.0, 1.0]


def test_every_line_is_what_the_program_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usb, uno, cp = str(folder / "usb"), [UNO], [UNO, CP2102]
    serial, web = SerialLink(USB), TcpLink("192.168.1.7", 443)
    said = {
        "nothing is plugged in, or the cable only charges": not_open(errno.ENOENT, ACM),
        "the board has another name today": not_open(errno.ENOENT, ACM, CP2102),
        "no driver": not_open(errno.ENOENT, USB, usb=usb),
        "the Braille service took it": trouble.without_driver(usb, str(folder / "brltty"))[0],
        "no permission": permission(monkeypatch, has_joined=False),
        "the group was joined, but not in this login": permission(monkeypatch, has_joined=True),
        "a container was not given the port": not_open(errno.EPERM, USB),
        "another program reads it": trouble.in_use(USB, [Holder(4711, "minicom")]),
        "the modem service looks at it": trouble.in_use(USB, [], str(folder / "modem")),
        "it is no serial port at all": raised(SerialLink("/dev/null").open),
        "the kind of source was left out": raised(lambda: open_source(ACM)),
        "a mistyped option": raised(lambda: open_source(f"serial:{ACM}?bude=9600")),
        "several boards, and `serial:auto`": raised(Finder("auto", lambda: cp).find),
        "the board that was named is not there": raised(Finder("usb=B2", lambda: uno).find),
        "after an unplug another board came to its place": in_the_place_of_another(),
        "the device on the network does not answer": refused(monkeypatch),
        "wrong baud rate, in `run` and `record`": garbage(serial),
        "wrong baud rate, in `probe`": opening.wrong_baud(921_600, 115_200),
        "nothing comes": nothing_fits(0),
        "garbage at every rate": nothing_fits(800),
        "the sketch prints words": senseless(serial, b"lo\r\nHello World\r\nHell"),
        "lines come, but very few": senseless(web, b"1,2,3\n"),
        "the program crashes": senseless(
            serial, b"rst:0x8\r\nGuru Meditation Error: Core  0 panic'ed\r\n"
        ),
        "another protocol": senseless(web, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        "more bytes than the line carries": mind("a", counters={"n_bytes": 57_000}),
        "frames get lost": mind("a", counters={"n_lost_frames": 50}),
        "bytes get damaged": mind("a", counters={"n_bad_crc": 2, "n_packets": 98}),
        "an FTDI adapter that gathers bytes": mind("a", port={"latency_timer_ms": 16}),
        "the sketch is slower than it says": mind("a", clock="counted", measured_hz=98.0),
        "a sensor is not wired up": mind("gyro_x", stuck()),
        "the range is too small": mind("acc_x", clipped()),
    }
    for (what, printed), (row, text) in zip(rows(), said.items(), strict=True):
        assert (what, printed) == (row, text)
        assert "\n" not in text
