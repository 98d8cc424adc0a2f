"""``sim:`` addresses: a simulated board as a link, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.options import ORIGINS, make_board
from firmware_sim.raw import RawBoard, raw_board
from firmware_sim.scenario import make_options
from firmware_sim.words import WORDS
from streamrnn.core.errors import ConfigError
from streamrnn.core.link import Link
from streamrnn.core.text import did_you_mean, printable

LINKS = ("memory", "pty")
_ORIGINS = (*ORIGINS, "raw")
_NOT_OF_BOARD = ("speed", "link", "scenario")


def open_link(rest: str) -> Link:
    """Return a link to a simulated board; it is not open yet.

    Parameters
    ----------
    rest : str
        What follows ``sim:``: nothing, ``signals?person=3&seed=1&rate=100&speed=1&seconds=60``,
        ``playback?file=NAME&speed=0``, or ``raw?file=NAME`` (see `firmware_sim.raw`). Options:
        scenario (a TOML file, whose values all others overrule), file, person, people (``1,2,3``),
        seed, rate, seconds, lead, plan, packet (frames in one), drift (ppm), jitter (us), baud,
        form, columns, separator, faults, speed (0: as fast as it is read) and link (``memory`` or
        ``pty``).

    Raises
    ------
    ConfigError
        An unknown origin or option, or a value that makes no sense.
    SessionError
        The session cannot be played back.
    """
    where = f"sim:{printable(rest, 80)}"
    name, _, query = rest.partition("?")
    # `sim:?person=3` has no need of the word signals.
    if name and name not in _ORIGINS:
        hint = did_you_mean(name, _ORIGINS)
        known = ", ".join(_ORIGINS)
        raise ConfigError(f"{where}: unknown origin {printable(name)!r}{hint}; known: {known}")
    values: dict[str, str] = {}
    for part in query.split("&") if query else []:
        if not part:
            continue
        ((key, value),) = parse_qsl(part, keep_blank_values=True) or [(part, "")]
        if key not in _PARSERS:
            raise ConfigError(f"{where}: unknown option {key!r}{did_you_mean(key, _PARSERS)}")
        values[key] = value
    try:
        return _make_link(name, {key: _PARSERS[key](values[key]) for key in values}, where)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _make_link(origin: str, values: Mapping[str, Any], where: str) -> Link:
    speed = values.get("speed", 1.0)
    board = _make_board(origin, values)
    if values.get("link") == "pty":
        from firmware_sim.cables.pty_link import PtyLink  # `sim:` seldom asks for a terminal

        return PtyLink(board, speed, where)
    return MemoryLink(board, speed, where)


def _make_board(origin: str, values: Mapping[str, Any]) -> Board | RawBoard:
    if origin == "raw":
        for key in values:
            if key not in ("file", "rate", "speed", "link"):
                raise ConfigError(f"raw bytes go out as they are: {key!r} cannot change them")
        if "file" not in values:
            raise ConfigError("raw needs the name of a file: raw?file=NAME")
        return raw_board(values["file"][0], values.get("rate", 100.0))
    own = {_FIELDS.get(k, k): v for k, v in values.items() if k not in _NOT_OF_BOARD}
    if origin:
        own["origin"] = origin
    return make_board(make_options(own, values.get("scenario")))


def _link_kind(text: str) -> str:
    if text not in LINKS:
        raise ConfigError(f"link must be {' or '.join(LINKS)}, got {printable(text, 40)!r}")
    return text


def _speed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"speed must be a number, got {printable(text, 40)!r}") from None


#: What is not said of the board itself, and what is.
_PARSERS: dict[str, Callable[[str], Any]] = {
    "file": lambda text: (text,),
    "scenario": str,
    "faults": str,
    "speed": _speed,
    "link": _link_kind,
    **{word.name: word.read for word in WORDS},
}
_FIELDS = {"file": "files", **{word.name: word.field for word in WORDS}}
