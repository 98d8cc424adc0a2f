"""``sim:`` addresses: a simulated board as a link, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.options import ORIGINS, BoardOptions, make_board
from firmware_sim.raw import RawBoard, raw_board
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


def make_options(values: Mapping[str, Any], scenario: str | None = None) -> BoardOptions:
    """Return the options of a scenario, or the usual ones, with others in their place.

    Parameters
    ----------
    values : mapping
        Fields of `BoardOptions`. Faults come on top of those of the scenario.
    scenario : str, optional
        Name of a TOML file.

    Raises
    ------
    ConfigError
        The scenario cannot be read or makes no sense, or a fault does not.
    """
    if scenario is None:
        return replace(BoardOptions(), **values)
    from firmware_sim.faults import checked_plan, parse_faults
    from firmware_sim.scenario import read_scenario

    options = read_scenario(scenario)
    planned, more = options.faults, parse_faults(values.get("faults", ""))
    assert not isinstance(planned, str)
    return replace(options, **{**values, "faults": checked_plan([*planned.faults, *more.faults])})


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


def _number(key: str, kind: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{key} must be {what}, got {printable(text, 40)!r}") from None

    return parse


def parse_people(text: str) -> tuple[int, ...]:
    """Return the numbers in ``1,2,3``, or raise ValueError."""
    return tuple(int(part) for part in text.split(","))


def parse_words(text: str) -> tuple[str, ...]:
    """Return the words in ``t_us,seq8``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _link_kind(text: str) -> str:
    if text not in LINKS:
        raise ConfigError(f"link must be {' or '.join(LINKS)}, got {printable(text, 40)!r}")
    return text


_FIELDS = {
    "file": "files",
    "rate": "rate_hz",
    "lead": "lead_s",
    "packet": "frames_per_packet",
    "drift": "drift_ppm",
    "jitter": "jitter_us",
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "file": lambda text: (unquote(text),),
    "person": _number("person", int, "a whole number"),
    "people": _number("people", parse_people, "whole numbers as 1,2,3"),
    "seed": _number("seed", int, "a whole number"),
    "rate": _number("rate", float, "a number of Hz"),
    "seconds": _number("seconds", float, "a number"),
    "lead": _number("lead", float, "a number of seconds"),
    "plan": str,
    "packet": _number("packet", int, "a whole number"),
    "drift": _number("drift", float, "a number (ppm)"),
    "jitter": _number("jitter", float, "a number (us)"),
    "baud": _number("baud", int, "a whole number"),
    "form": str,
    "columns": parse_words,
    "separator": str,
    "scenario": str,
    "faults": str,
    "speed": _number("speed", float, "a number"),
    "link": _link_kind,
}
