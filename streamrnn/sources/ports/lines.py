"""The control lines DTR and RTS of a port: left alone, or moved on purpose.

Linux switches both lines on, in one step, when a port is opened, and both off when it is closed
for the last time, if the terminal flag HUPCL is set, as it is by habit. No program can prevent the
first; HUPCL can be cleared, and then the lines stay on behind us and the next opening moves
nothing.

What boards make of it:

- **Arduino Uno and its like**: DTR goes to reset through a capacitor. Switching it on resets the
  board; on or off for good does nothing.
- **ESP32 and ESP8266**: two transistors. DTR off and RTS on hold the chip in reset; DTR on and RTS
  off pull its boot pin, so that a chip that leaves reset then waits for a program. Both on, or both
  off, do nothing; so both must move in one step.
- **Boards with USB of their own** (Leonardo, Pico, ESP32-S3): DTR says that somebody listens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
import time

#: How long a reset is held, in seconds: what esptool and the Arduino tools use, too.
_RESET_S = 0.1
#: Major device numbers of Unix98 pseudo-terminals.
_PTYS = range(136, 144)
#: Linux: the terminal's settings with its true speeds, which stand at the end of 44 bytes.
_TCGETS2 = 0x802C542A

# Pseudo-terminals, and some adapters, have no such lines.
_NO_LINES = (OSError, termios.error)


def keep_on_close(fd: int) -> None:
    """Have the lines stay as they are when the port is closed, even by a kill."""
    with contextlib.suppress(*_NO_LINES):
        settings = termios.tcgetattr(fd)
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(fd, termios.TCSANOW, settings)


def set_lines(fd: int, dtr: bool | None, rts: bool | None) -> None:
    """Set lines in one step; None leaves one as it is."""
    if dtr is None and rts is None:
        return
    with contextlib.suppress(*_NO_LINES):
        bits = struct.unpack("I", fcntl.ioctl(fd, termios.TIOCMGET, bytes(4)))[0]
        for line, level in ((termios.TIOCM_DTR, dtr), (termios.TIOCM_RTS, rts)):
            if level is not None:
                bits = bits | line if level else bits & ~line
        fcntl.ioctl(fd, termios.TIOCMSET, struct.pack("I", bits))


def reset(fd: int) -> None:
    """Reset a board: one pulse that works with an Uno's capacitor and an ESP32's transistors."""
    set_lines(fd, False, True)
    time.sleep(_RESET_S)
    set_lines(fd, True, True)


def claim(fd: int, *, own: bool) -> None:
    """Have the system refuse the port to programs that open it after us, or stop that.

    Not a pseudo-terminal: there the mark would outlive us when we are killed.
    """
    if os.major(os.fstat(fd).st_rdev) in _PTYS:
        return
    with contextlib.suppress(*_NO_LINES):
        fcntl.ioctl(fd, termios.TIOCEXCL if own else termios.TIOCNXCL)


def true_baud(fd: int) -> int | None:
    """Return the rate that the driver came to, as Linux says it; None when it does not."""
    try:
        settings = fcntl.ioctl(fd, _TCGETS2, bytes(44))
    except _NO_LINES:
        return None
    return int(struct.unpack_from("I", settings, 40)[0]) or None
