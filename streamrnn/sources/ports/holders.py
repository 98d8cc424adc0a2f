"""Who has a port open, as far as /proc says: Linux shows the files of one's own programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamrnn.core.text import printable

#: Master ends of pseudo-terminals: who has one *is* the board.
_MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that has a port open.

    Attributes
    ----------
    pid : int
        Number of the process.
    program : str
        Its name.
    """

    pid: int
    program: str

    def __str__(self) -> str:
        """Return ``minicom (pid 4711)``."""
        return f"{self.program} (pid {self.pid})"


def holders(path: str, proc: str = "/proc") -> list[Holder]:
    """Return the other programs that have a port open.

    Parameters
    ----------
    path : str
        A device, or a link to one.
    proc : str
        Where processes are listed.

    Returns
    -------
    list of Holder
        By number; without this process, without those of other users, which Linux does not show,
        and without the program that plays a pseudo-terminal's board.
    """
    real = os.path.realpath(path)
    found = []
    for pid in _processes(proc):
        if pid != os.getpid() and _has_open(f"{proc}/{pid}", real):
            found.append(Holder(pid, _program(f"{proc}/{pid}")))
    return found


def is_running(program: str, proc: str = "/proc") -> bool:
    """Return whether any user runs a program of this name."""
    return any(_line(f"{proc}/{pid}/comm") == program[:15] for pid in _processes(proc))


def _processes(proc: str) -> Iterator[int]:
    try:
        names = os.listdir(proc)
    except OSError:  # another system
        return
    yield from sorted(int(name) for name in names if name.isdigit())


def _has_open(process: str, real: str) -> bool:
    has = False
    try:
        for fd in os.listdir(f"{process}/fd"):
            target = _target(f"{process}/fd/{fd}")
            if target in _MASTERS and _plays(f"{process}/fdinfo/{fd}", real):
                return False
            has = has or target == real
    except OSError:  # another user's, or it has just ended
        return False
    return has


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed in between
        return ""


def _plays(fdinfo: str, real: str) -> bool:
    """Return whether a master end belongs to the terminal ``/dev/pts/N``."""
    try:
        text = Path(fdinfo).read_text()
    except OSError:
        return False
    index = os.path.basename(real) if os.path.dirname(real) == "/dev/pts" else ""
    return ["tty-index:", index] in [line.split() for line in text.splitlines()]


def _program(process: str) -> str:
    """Return a program's name; of a script the script's."""
    try:
        words = Path(f"{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    name = os.path.basename(words[0]) if words and words[0] else _line(f"{process}/comm")
    if name.startswith("python"):
        for n, word in enumerate(words[1:], 1):
            if word == "-c":
                break
            if word == "-m" and n + 1 < len(words):
                return printable(words[n + 1], 60)
            if word and not word.startswith("-"):
                return printable(os.path.basename(word), 60)
    return printable(name, 60) or "?"


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
