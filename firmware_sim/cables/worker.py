"""A thread that waits for sockets and can be woken: what servers of boards and the proxy are."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from typing import Self


class Worker(ABC):
    """Runs `_run` in a thread between `start` and `stop`; a context manager.

    What is waited for in the thread includes `_wake_r`, which becomes readable at `stop`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._wake_r, self._wake_w = -1, -1
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin to work, or raise `SourceError`; return itself."""
        self._prepare()
        self._wake_r, self._wake_w = os.pipe()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the work and wait for that; harmless when called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        os.write(self._wake_w, b"x")
        thread.join()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Take what the work needs, before there is a thread."""

    @abstractmethod
    def _run(self) -> None:
        """Work until `_wake_r` can be read."""
