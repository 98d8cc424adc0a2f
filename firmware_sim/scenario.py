"""A board and what goes wrong with it, as a TOML file.

seed = 1
[board]          # any field of `BoardOptions`
rate_hz = 100
drift_ppm = 40
[[fault]]        # any number, hit in this order; see `firmware_sim.faults`
kind = "flip"
share = 1e-5
[[fault]]
kind = "unplug"
at_s = [10, 30]
for_s = 2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from firmware_sim.faults import FaultPlan, checked_plan, fault_from_table, parse_faults
from firmware_sim.options import BoardOptions
from firmware_sim.origins.noise import noise_from_table
from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

_TABLES = ("seed", "board", "noise", "fault")
_MAX_BYTES = 1 << 20


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
    options = read_scenario(scenario)
    planned, more = options.faults, parse_faults(values.get("faults", ""))
    assert not isinstance(planned, str)
    return replace(options, **{**values, "faults": checked_plan([*planned.faults, *more.faults])})


def read_scenario(path: Path | str) -> BoardOptions:
    """Return the board that a file describes; `make_board` makes it.

    Raises
    ------
    ConfigError
        The file cannot be read, or says something that makes no sense: one line, with the nearest
        right name.
    """
    import tomllib  # most boards have no scenario

    where = printable(str(path), 200)
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {where}: {error.strerror or error}") from None
    if len(text) > _MAX_BYTES:
        raise ConfigError(f"{where}: longer than a scenario can be")
    try:
        document = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: {printable(str(error))}") from None
    return scenario_from(document, where)


def scenario_from(document: Mapping[str, Any], where: str = "scenario") -> BoardOptions:
    """Return the board that a document describes; see `read_scenario`."""
    for key in document:
        if key not in _TABLES:
            text = printable(key, 40)
            board = {field.name for field in fields(BoardOptions)}
            hint = "; it belongs into [board]" if key in board else did_you_mean(text, _TABLES)
            raise ConfigError(f"{where}: unknown {text!r}{hint}")
    values = document.get("board", {})
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: board must be a table: [board]")
    if "noise" in values:
        raise ConfigError(f"{where}: write each noise as a table of its own: [[noise]]")
    if "seed" in values:
        raise ConfigError(f"{where}: seed stands at the top, not in [board]")
    if "seed" in document:
        values = {"seed": document["seed"], **values}
    options = from_mapping(BoardOptions, values, f"{where} [board]")
    if options.seed < 0:
        raise ConfigError(f"{where}: seed must be 0 or more, got {options.seed}")
    noise = tuple(
        noise_from_table(table, f"{where}: noise {number}")
        for number, table in enumerate(_tables(document, "noise", where), start=1)
    )
    faults = [
        fault_from_table(table, f"{where}: fault {number}")
        for number, table in enumerate(_tables(document, "fault", where), start=1)
    ]
    specs = options.faults if isinstance(options.faults, str) else ""
    try:
        plan: FaultPlan = checked_plan([*parse_faults(specs).faults, *faults])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return replace(options, noise=noise, faults=plan)


def _tables(document: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError(f"{where}: write each {name} as a table of its own: [[{name}]]")
    return tables
