"""Why a port does not open, and what to do: one line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from streamrnn.core.text import printable
from streamrnn.sources.ports.holders import Holder, holders, is_running
from streamrnn.sources.ports.listing import Lister, Port, serial_ports

#: USB serial adapters by vendor (and product, where a vendor makes other things, too), and the
#: Linux driver that serves them.
_DRIVERS = {
    (0x0403, None): "ftdi_sio",
    (0x067B, None): "pl2303",
    (0x10C4, 0xEA60): "cp210x",
    (0x10C4, 0xEA70): "cp210x",
    (0x1A86, 0x5523): "ch341",
    (0x1A86, 0x7522): "ch341",
    (0x1A86, 0x7523): "ch341",
}
#: USB interface classes of a modem-like serial port: communications (2), data (10).
_CDC = ("02", "0a")
_MODEM_MANAGER = "ModemManager"
_USB_DEVICES = "/sys/bus/usb/devices"


def why_not_open(
    path: str, error: Exception, *, lister: Lister = serial_ports, usb: str = _USB_DEVICES
) -> str:
    """Return why opening a port failed, and what to do about it.

    Parameters
    ----------
    path : str
        What was opened.
    error : Exception
        What that raised.
    lister : callable
        Gives the ports that there are.
    usb : str
        Where USB devices are listed.
    """
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return no_such_port(path, lister(), usb)
    if code == errno.EACCES:
        return no_permission(path)
    if code == errno.EPERM:
        return f"not allowed to open {path}: a container must be given the device (--device {path})"
    if code in (errno.EBUSY, errno.EAGAIN):
        return in_use(path, holders(path))
    if code in (errno.ENXIO, errno.EIO, errno.ENODEV):
        return f"no device behind {path}: plug it in again"
    ioctl_code = next(iter(getattr(error.__context__, "args", ())), None)
    if code == errno.EISDIR or ioctl_code == errno.ENOTTY:
        return f"{path} is not a serial port: `streamrnn devices` lists those that there are"
    if not os.path.exists(path):  # gone while it was being opened
        return f"no such port: {path}"
    return f"{path} cannot be opened as a serial port: {printable(str(error))}"


def no_such_port(path: str, ports: Sequence[Port], usb: str = _USB_DEVICES) -> str:
    """Return that there is no such port, and what there is instead."""
    there = [f"{port.path} ({printable(port.title, 60)})" for port in ports if port.is_usb]
    if there:
        return f"no such port: {path}; plugged in: {', '.join(there)}"
    undriven = without_driver(usb)
    if undriven:
        return f"no such port: {path}; {undriven[0]}"
    return (
        f"no such port: {path} (plugged in? some cables only charge; "
        "`streamrnn devices` lists what is there)"
    )


def in_use(path: str, who: Sequence[Holder], proc: str = "/proc") -> str:
    """Return that a port is in use, and by whom."""
    names = " and ".join(map(str, who))
    if who and all(holder.program != _MODEM_MANAGER for holder in who):
        return f"{path} is in use by {names}: close it first"
    if who or is_running(_MODEM_MANAGER, proc):
        return (
            f"{path} is in use by {names or f'another program, perhaps {_MODEM_MANAGER}'}, which "
            "looks at each new port for some seconds: try again, or "
            f"`sudo systemctl stop {_MODEM_MANAGER}`"
        )
    return (
        f"{path} is in use by another program, or another user's: close it first "
        f"(`sudo fuser -v {path}` names it)"
    )


def no_permission(path: str) -> str:
    """Return who may open a port, and how to become one of them."""
    import grp  # on POSIX alone, as are the errors that lead here
    import pwd

    try:
        status = os.stat(path)
        user = pwd.getpwuid(os.getuid())
    except (OSError, KeyError):
        return f"no permission to open {path}"
    mode, group_id = status.st_mode, status.st_gid
    try:
        group = grp.getgrgid(group_id)
        name, members = group.gr_name, group.gr_mem
    except KeyError:
        name, members = str(group_id), []
    head = f"no permission to open {path}"
    if group_id == 0 or not (mode & stat.S_IRGRP and mode & stat.S_IWGRP):
        return (
            f"{head}: it is {stat.filemode(mode)}, group {name}; if it was plugged in just now try "
            f"again, else `sudo chmod a+rw {path}` helps until it is unplugged"
        )
    if group_id in (os.getgid(), *os.getgroups()):
        return f"{head}: you are in its group {name}, so something else forbids it (a sandbox?)"
    if user.pw_name in members or user.pw_gid == group_id:
        return (
            f"{head}: you joined the group {name}, but logged in before that: log out and in "
            f"again (until then: `newgrp {name}`)"
        )
    return (
        f"{head}: it belongs to the group {name}: `sudo usermod -aG {name} {user.pw_name}`, "
        "then log out and in again"
    )


def without_driver(folder: str = _USB_DEVICES, proc: str = "/proc") -> list[str]:
    """Return a line for each USB device that looks like a serial port and has no driver.

    Parameters
    ----------
    folder : str
        Where the system lists USB devices and their interfaces (``1-2`` and ``1-2:1.0``).
    proc : str
        Where processes are listed.
    """
    lines = []
    try:
        interfaces = sorted(name for name in os.listdir(folder) if ":" in name)
    except OSError:  # another system, or no USB
        return []
    for name in interfaces:
        interface = Path(folder, name)
        device = Path(folder, name.partition(":")[0])
        holder = os.path.basename(os.path.realpath(interface / "driver"))
        if holder not in ("driver", "usbfs"):  # no such link, or a program took the device
            continue
        vid, pid = _hex(device / "idVendor"), _hex(device / "idProduct")
        driver = _DRIVERS.get((vid, pid)) or _DRIVERS.get((vid, None))
        if driver is None and _read(interface / "bInterfaceClass") in _CDC:
            driver = "cdc_acm"
        if driver is not None:
            lines.append(_undriven(device, vid, pid, driver, proc))
    return list(dict.fromkeys(lines))


def _undriven(device: Path, vid: int, pid: int, driver: str, proc: str) -> str:
    title = printable(_read(device / "product"), 60) or "a USB device"
    line = f"{title} ({vid:04x}:{pid:04x}) is plugged in, but no driver serves it: "
    if is_running("brltty", proc):
        line += "brltty takes such adapters for Braille displays: `sudo systemctl stop brltty`, "
        line += "plug it in again, and if that is not it "
    return f"{line}`sudo modprobe {driver}`"


def _hex(path: Path) -> int:
    try:
        return int(_read(path), 16)
    except ValueError:
        return -1


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
