"""A link on top of messages: who is listened to, what is one line, and when a sender is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Protocol

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.messages.reorder import Reorder, is_wire

#: A sender that says nothing for this long is gone. A board that speaks the wire says HELLO every
#: second before START, and frames behind it.
SILENT_S = 3.0

_LINE_ENDS = (b"\n", b"\r")
_NOT_TEXT = bytes([*range(9), 11, 12, *range(14, 32), 127])


class Carrier(Protocol):
    """Gives and takes whole messages.

    Attributes
    ----------
    name : str
        For people.
    extra : dict of str to int
        What it counts.
    hint : str
        What may be wrong if nothing ever comes; ``""`` for nothing in particular.
    """

    name: str
    extra: dict[str, int]
    hint: str

    def open(self) -> None:
        """Get ready, or raise `SourceError`."""
        ...

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        """Return senders and messages, waiting up to `timeout_s` for the first.

        Raises
        ------
        LinkLostError
            Nothing can come any more before the next `open`.
        """
        ...

    def send(self, to: Hashable, data: bytes) -> None:
        """Send a message to one that has sent something, or raise `LinkLostError`."""
        ...

    def close(self) -> None:
        """Let go of everything; harmless when not open."""
        ...


class MessageLink:
    """The bytes of one sender, out of the messages that come.

    A message holds whole packets or whole lines. Text without an end of line gets one. The first
    sender that says something that can be a stream is listened to until it falls silent; what
    others send meanwhile is counted and dropped. Then the link is lost, and the next one that
    speaks brings it back.

    Parameters
    ----------
    carrier : Carrier
    silent_s : float
    clock : callable
        Seconds, monotonic.
    """

    can_return = True

    def __init__(
        self,
        carrier: Carrier,
        silent_s: float = SILENT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = carrier.name
        self.silence_hint = carrier.hint
        self._carrier = carrier
        self._silent_s = silent_s
        self._clock = clock
        self._reorder = Reorder()
        self._n_foreign = 0
        self._is_open = self._was_silent = False
        self._forget()

    def _forget(self) -> None:
        self._sender: Hashable = None
        self._heard_s = 0.0
        self._early = b""
        self._reorder.reset()

    @property
    def extra(self) -> dict[str, int]:
        """What befell messages, besides what a stream's counters say."""
        counted = {
            **self._carrier.extra,
            "n_foreign_messages": self._n_foreign,
            "n_reordered_messages": self._reorder.n_reordered,
        }
        return {name: n for name, n in counted.items() if n}

    def open(self) -> None:
        """Get ready, or raise `SourceError`; behind a silence, not before somebody speaks again."""
        if not self._is_open:
            self._carrier.open()
            self._is_open = True
        if not self._was_silent:
            return
        try:
            self._early = self._take(0.0)
        except LinkLostError as error:
            self.close()
            raise SourceError(str(error)) from error
        if not self._early:
            raise SourceError(f"{self.name} is silent")
        self._was_silent = False

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived; see `streamrnn.core.link.Link`."""
        if self._early:
            data, self._early = self._early, b""
            return data
        until_s = self._clock() + timeout_s
        while True:
            now_s = self._clock()
            due_s = self._reorder.deadline_s
            data = self._take(max(0.0, min(until_s, until_s if due_s is None else due_s) - now_s))
            if data:
                return data
            now_s = self._clock()
            if self._sender is not None and now_s > self._heard_s + self._silent_s:
                self._was_silent = True
                raise LinkLostError(f"{self.name}: nothing came for {self._silent_s:g} s")
            if now_s >= until_s:
                return b""

    def write(self, data: bytes) -> None:
        """Send `data` to whom is listened to; to nobody if none has spoken yet."""
        if self._sender is not None:
            self._carrier.send(self._sender, data)

    def close(self) -> None:
        """Let go of everything; harmless when not open."""
        self._carrier.close()
        self._is_open = False
        self._forget()

    def _take(self, timeout_s: float) -> bytes:
        """Return the next bytes of the sender, in order."""
        pieces: list[bytes] = []
        messages = self._carrier.receive(timeout_s)
        now_s = self._clock()
        for sender, message in messages:
            if not message:
                continue
            if sender != self._sender:
                if self._sender is not None or not (is_text(message) or is_wire(message)):
                    self._n_foreign += 1
                    continue
                self._sender = sender
            self._heard_s = now_s
            pieces += self._reorder.push(ended(message), now_s)
        return b"".join(pieces + self._reorder.due(now_s))


def ended(message: bytes) -> bytes:
    """Return a message with the end of its last packet or line, if that was left out."""
    if message.endswith((b"\0", *_LINE_ENDS)):
        return message
    return message + (b"\n" if is_text(message) else b"\0")


def is_text(message: bytes) -> bool:
    """Return whether a message has no control characters: that it can be lines."""
    return len(message.translate(None, _NOT_TEXT)) == len(message)
