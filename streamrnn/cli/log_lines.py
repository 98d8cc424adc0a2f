"""Warnings while a picture is on the terminal, which they would tear."""

from __future__ import annotations

import logging
from collections.abc import Callable

from streamrnn.core.text import printable


class LogLines(logging.Handler):
    """Hands the log's lines to a picture while it is shown.

    Parameters
    ----------
    show : callable
        Takes a line.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        self._before: list[logging.Handler] = []

    def begin(self) -> None:
        """Take the lines from now on."""
        root = logging.getLogger()
        self._before, root.handlers = root.handlers, [self]

    def end(self) -> None:
        """Let them go where they went before."""
        logging.getLogger().handlers = self._before

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; what a device said in it is escaped."""
        self._show(printable(record.getMessage(), 1000))
