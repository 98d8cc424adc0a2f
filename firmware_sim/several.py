"""Several boards of one program: what makes each of them another one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_sim.origin import Block, Origin
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable
from streamrnn.wire.schema import Hello

if TYPE_CHECKING:
    from firmware_sim.options import BoardOptions

MAX_BOARDS = 64
#: Where a board's number comes in, in the names of its files and topics.
NUMBER = "{n}"


class NumberedOrigin:
    """An origin of a board with a number: it stands behind its name and its boot id.

    Parameters
    ----------
    origin : Origin
    number : int
        From 1.
    """

    def __init__(self, origin: Origin, number: int) -> None:
        self._origin = origin
        self._number = number
        self.keeps_time = origin.keeps_time
        self._rename()

    def _rename(self) -> None:
        hello, number = self._origin.hello, self._number
        self.hello: Hello = replace(
            hello, name=f"{hello.name} {number}", boot_id=f"{hello.boot_id}.{number}"
        )

    def next(self, n_max: int) -> Block:
        """Return up to `n_max` frames more."""
        return self._origin.next(n_max)

    def set_rate(self, rate_hz: float) -> bool:
        """Change the rate, if the origin can."""
        is_set = self._origin.set_rate(rate_hz)
        self._rename()
        return is_set


def nth_options(options: BoardOptions, n: int) -> BoardOptions:
    """Return the options of board `n` of several, from 0: another seed and other people."""
    return replace(
        options,
        number=n + 1,
        seed=options.seed + n,
        person=options.person + n,
        people=tuple(person + n for person in options.people),
    )


def nth_name(pattern: str | None, n: int, n_boards: int, what: str) -> str | None:
    """Return a name with the board's number, from 1, where `NUMBER` stands in it.

    Raises
    ------
    ConfigError
        Several boards would get the same name.
    """
    if pattern is None:
        return None
    if n_boards > 1 and NUMBER not in pattern:
        shown = printable(pattern, 60)
        raise ConfigError(f"{what} {shown}: {n_boards} boards need {NUMBER} in it for their number")
    return pattern.replace(NUMBER, str(n + 1))
