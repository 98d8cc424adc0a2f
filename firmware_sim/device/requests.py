"""What the host asks of a board: acted on once, answered as often as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from streamrnn.wire.packet import Command, Ping
from streamrnn.wire.reference import ReferenceDecoder

#: A request that comes again within this time is a retry; later, another host may count anew.
RETRY_US = 2_000_000


class Answer(NamedTuple):
    """What the board says to a request.

    Attributes
    ----------
    command : Command
    ok : bool
    message : str
        Why not.
    """

    command: Command
    ok: bool
    message: str


class Requests:
    """Reads what the host sends.

    Parameters
    ----------
    act : callable
        Does what a command asks for; returns whether that was possible, and why not.
    """

    def __init__(self, act: Callable[[Command], tuple[bool, str]]) -> None:
        self._act = act
        self._decoder = ReferenceDecoder()
        self._last: tuple[int, str] | None = None
        self._last_us = 0
        self._answer = (True, "")

    def read(self, data: bytes, clock_us: int) -> Iterator[Answer | Ping]:
        """Give an answer to each request in `data`, and each ping.

        Parameters
        ----------
        data : bytes
            Cut anywhere.
        clock_us : int
            Board time.
        """
        for item in self._decoder.push(data):
            if isinstance(item, Command):
                asked = (item.request_id, item.name)
                if asked != self._last or clock_us - self._last_us > RETRY_US:
                    self._answer = self._act(item)
                self._last, self._last_us = asked, clock_us
                yield Answer(item, *self._answer)
            elif isinstance(item, Ping):
                yield item
