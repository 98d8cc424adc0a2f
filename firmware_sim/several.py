"""Several boards of one program: what makes each of them another one."""

from __future__ import annotations

from dataclasses import replace

from firmware_sim.options import BoardOptions
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable

MAX_BOARDS = 64
#: Where a board's number comes in, in the names of its files and topics.
NUMBER = "{n}"


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
