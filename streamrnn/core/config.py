"""Plain documents (TOML, JSON) into frozen dataclasses, with errors that a person can act on."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return ``cls(**values)`` after checking names and types.

    Parameters
    ----------
    cls : type
        A dataclass whose fields are bool, int, float, str, None, unions of these, dicts, or tuples
        of them.
    values : mapping
        As `tomllib` or `json` gives it; lists become tuples.
    where : str
        Where the values come from, for messages: ``"gestures.toml [decision]"``.

    Raises
    ------
    ConfigError
        Unknown key (the nearest right one is named), missing key, or wrong type.
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            wrong = printable(key, 60)
            raise ConfigError(f"{where}: unknown option {wrong!r}{did_you_mean(wrong, names)}")
    for f in fields(cls):  # type: ignore[arg-type]
        if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: option {f.name!r} is missing")
    checked = {key: _checked(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(f"{where}: {printable(str(error), 300)}") from None


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields: slow to find, and the same every time."""
    return typing.get_type_hints(cls)


def _checked(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        inner = [option for option in options if option is not type(None)]
        if len(inner) == 1:
            return _checked(inner[0], value, where)
        return _one_of(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {_shown(value)}")
        inner = typing.get_args(hint)[0]
        return tuple(_checked(inner, v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {_shown(value)}")
        inner = typing.get_args(hint)[1]
        return {
            str(k): _checked(inner, v, f"{where}.{printable(str(k), 60)}") for k, v in value.items()
        }
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > sys.float_info.max:
            raise ConfigError(f"{where} is too large")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {hint.__name__}, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """Return a wrong value as one line that is not long."""
    return printable(repr(value), 80)


def _one_of(options: Sequence[Any], value: Any, where: str) -> Any:
    """Return the value as the first of several types that it is of."""
    for option in options:
        try:
            return _checked(option, value, where)
        except ConfigError:
            continue
    names = " or ".join(option.__name__ for option in options)
    raise ConfigError(f"{where} must be {names}, got {_shown(value)}")
