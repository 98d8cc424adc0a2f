"""Each reason why a port does not open has a line of its own, with what to do."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from port_make import usb_port

from streamrnn.sources.ports import listing
from streamrnn.sources.ports.holders import Holder
from streamrnn.sources.ports.listing import Port, latency_timer_ms, serial_ports
from streamrnn.sources.ports.trouble import in_use, no_permission, why_not_open, without_driver


def why(path: str | Path, code: int, ports: list[Port] | None = None, usb: str = "/none") -> str:
    text = why_not_open(
        str(path), OSError(code, os.strerror(code)), lister=lambda: ports or [], usb=usb
    )
    assert "\n" not in text
    assert str(path) in text
    return text


def test_no_such_port_says_what_there_is() -> None:
    assert why("/dev/ttyX", errno.ENOENT) == (
        "no such port: /dev/ttyX (plugged in? some cables only charge; "
        "`streamrnn devices` lists what is there)"
    )
    ports = [usb_port("/dev/ttyACM1", "\x1b[2J"), Port("/dev/ttyS0", "")]
    assert why("/dev/ttyX", errno.ENOENT, ports) == (
        r"no such port: /dev/ttyX; plugged in: /dev/ttyACM1 (Board \x1b[2J)"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EPERM, "a container must be given the device (--device"),
        (errno.ENXIO, "no device behind"),
        (errno.EIO, "plug it in again"),
        (errno.EBUSY, "in use"),
        (errno.EAGAIN, "in use"),
        (errno.EINVAL, "cannot be opened as a serial port: [Errno 22] Invalid argument"),
    ],
)
def test_other_reasons(tmp_path: Path, code: int, words: str) -> None:
    path = tmp_path / "tty"
    path.touch()
    assert words in why(path, code)


def test_a_port_that_went_while_it_was_opened() -> None:
    assert why("/dev/ttyX", errno.EINVAL) == "no such port: /dev/ttyX"


def test_who_is_in_the_way(tmp_path: Path) -> None:
    two = [Holder(4711, "minicom"), Holder(4712, "screen")]
    assert in_use("/dev/ttyUSB0", two[:1]) == (
        "/dev/ttyUSB0 is in use by minicom (pid 4711): close it first"
    )
    assert "by minicom (pid 4711) and screen (pid 4712): close" in in_use("/dev/ttyUSB0", two)
    nobody = in_use("/dev/ttyUSB0", [], str(tmp_path))
    assert "in use by another program, or another user's: close it first (`sudo fuser" in nobody
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "comm").write_text("ModemManager\n")
    modem = in_use("/dev/ttyUSB0", [], str(tmp_path))
    assert "perhaps ModemManager" in modem
    assert "`sudo systemctl stop ModemManager`" in modem
    seen = in_use("/dev/ttyUSB0", [Holder(12, "ModemManager")])
    assert "in use by ModemManager (pid 12), which looks at each new port for some" in seen


Someone = Callable[..., Path]


@pytest.fixture
def someone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Someone:
    """Let a user without rights meet a port of a group."""
    path = tmp_path / "ttyUSB0"
    path.touch()

    def meet(*, mode: int = 0o660, gid: int = 20, has_joined: bool, has_groups: list[int]) -> Path:
        status = SimpleNamespace(st_mode=stat.S_IFCHR | mode, st_gid=gid)
        real = os.stat
        monkeypatch.setattr(os, "stat", lambda p, **kw: status if p == str(path) else real(p, **kw))
        group = SimpleNamespace(gr_name="dialout", gr_mem=["anna"] if has_joined else [])
        monkeypatch.setattr(grp, "getgrgid", lambda _: group)
        monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="anna", pw_gid=1000))
        monkeypatch.setattr(os, "getgid", lambda: 1000)
        monkeypatch.setattr(os, "getgroups", lambda: has_groups)
        return path

    return meet


def test_no_permission_names_the_group_and_the_command(someone: Someone) -> None:
    path = someone(has_joined=False, has_groups=[1000])
    assert why(path, errno.EACCES) == (
        f"no permission to open {path}: it belongs to the group dialout: "
        "`sudo usermod -aG dialout anna`, then log out and in again"
    )


def test_a_group_that_was_joined_after_login(someone: Someone) -> None:
    path = someone(has_joined=True, has_groups=[1000])
    assert why(path, errno.EACCES) == (
        f"no permission to open {path}: you joined the group dialout, but logged in before that: "
        "log out and in again (until then: `newgrp dialout`)"
    )


def test_a_port_that_no_group_may_open(someone: Someone) -> None:
    path = someone(mode=0o600, has_joined=True, has_groups=[20])
    assert "it is crw-------, group dialout; if it was plugged in just now" in no_permission(
        str(path)
    )


def test_a_member_who_is_refused_anyway(someone: Someone) -> None:
    path = someone(has_joined=True, has_groups=[20])
    assert "you are in its group dialout, so something else forbids it" in no_permission(str(path))


def test_a_port_that_is_gone_has_no_group(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert no_permission(gone) == f"no permission to open {gone}"


def usb_device(
    folder: Path, name: str, vid: str, pid: str, *, kind: str = "ff", driver: str = ""
) -> None:
    """Make what sysfs shows of a USB device with one interface."""
    device, interface = folder / name, folder / f"{name}:1.0"
    for path in (device, interface):
        path.mkdir()
    (device / "idVendor").write_text(f"{vid}\n")
    (device / "idProduct").write_text(f"{pid}\n")
    (device / "product").write_text("USB Serial\n")
    (interface / "bInterfaceClass").write_text(f"{kind}\n")
    if driver:
        (folder / driver).mkdir(exist_ok=True)
        (interface / "driver").symlink_to(folder / driver)


def test_a_usb_device_without_a_driver_is_named(tmp_path: Path) -> None:
    usb_device(tmp_path, "1-1", "1a86", "7523")
    usb_device(tmp_path, "1-2", "0403", "6001", driver="ftdi_sio")
    usb_device(tmp_path, "1-3", "2341", "0043", kind="02")
    usb_device(tmp_path, "1-4", "046d", "c52b", kind="03")  # a mouse
    assert without_driver(str(tmp_path), str(tmp_path)) == [
        "USB Serial (1a86:7523) is plugged in, but no driver serves it: `sudo modprobe ch341`",
        "USB Serial (2341:0043) is plugged in, but no driver serves it: `sudo modprobe cdc_acm`",
    ]
    assert "but no driver serves it" in why("/dev/ttyUSB0", errno.ENOENT, usb=str(tmp_path))
    assert without_driver(str(tmp_path / "none")) == []


def test_an_adapter_that_the_braille_service_took(tmp_path: Path) -> None:
    usb_device(tmp_path, "1-1", "10c4", "ea60", driver="usbfs")
    proc = tmp_path / "proc" / "5"
    proc.mkdir(parents=True)
    (proc / "comm").write_text("brltty\n")
    (line,) = without_driver(str(tmp_path), str(tmp_path / "proc"))
    assert "brltty takes such adapters for Braille displays: `sudo systemctl stop brltty`" in line
    assert line.endswith("`sudo modprobe cp210x`")


def test_the_latency_timer_of_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").mkdir()
    (tmp_path / "ttyUSB0" / "latency_timer").write_text("16\n")
    assert latency_timer_ms("/dev/ttyUSB0", str(tmp_path)) == 16
    assert latency_timer_ms("/dev/ttyACM0", str(tmp_path)) is None


def test_names_without_a_port_behind_are_known(tmp_path: Path) -> None:
    for name, kind in (("ttyS0", "4"), ("ttyS1", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    phantoms = [listing._is_phantom(f"/dev/ttyS{n}", str(tmp_path)) for n in range(3)]
    assert phantoms == [False, True, False]


def test_the_ports_of_this_machine_can_be_listed() -> None:
    for port in serial_ports():
        assert port.path.startswith("/dev/") or os.name != "posix"
        assert port.description != "n/a"
