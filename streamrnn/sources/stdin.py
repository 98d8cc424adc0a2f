"""Standard input as a link: what another program sends, or a file, through a pipe."""

from __future__ import annotations

import os
import select

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.sources.base import split_options
from streamrnn.wire.options import KEYS

_READ_BYTES = 65_536


class StdinLink:
    """The bytes of a pipe or a file. Nothing is lost: who writes waits for the reader.

    Parameters
    ----------
    fd : int
        Its end is the end of the stream; it stays open.
    """

    name = "stdin"
    can_return = False
    waits = True
    is_deaf = True
    silence_hint = "stdin: reads what another program writes: cat dump | streamrnn ..."

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd

    def open(self) -> None:
        """Look what is there, or raise `SourceError`."""
        try:
            is_terminal = os.isatty(self._fd)
            os.fstat(self._fd)
        except OSError as error:
            raise SourceError(f"stdin: is closed: {error.strerror}") from error
        if is_terminal:
            raise SourceError(
                "stdin: is this terminal: pipe something into it, "
                "as in `cat dump | streamrnn run --source stdin:`"
            )

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived; see `streamrnn.core.link.Link`."""
        try:
            if not select.select((self._fd,), (), (), timeout_s)[0]:
                return b""
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise LinkLostError(f"stdin: {error}") from error
        if not data:
            raise EOFError
        return data

    def write(self, data: bytes) -> None:
        """Do nothing: there is no way back through a pipe."""

    def close(self) -> None:
        """Do nothing: it was opened by whoever started this program."""


def open_link(rest: str) -> StdinLink:
    """Return the link of ``stdin:``."""
    address, _ = split_options(rest, (), "stdin:", KEYS)
    if address not in ("", "-"):
        raise ConfigError(f"stdin: takes no address, got {printable(address)!r}")
    return StdinLink()
