"""Names to factories: built-ins in plain sight, plug-ins by entry point that only add."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

T = TypeVar("T")


class Registry(Generic[T]):
    """Factories by name.

    Parameters
    ----------
    kind : str
        What is registered, for messages: ``"source"``.
    group : str
        Entry-point group that plug-ins use.
    builtins : mapping of str to callable
        The built-in factories. A plug-in cannot replace one of them.
    """

    def __init__(self, kind: str, group: str, builtins: Mapping[str, Callable[..., T]]) -> None:
        self.kind = kind
        self.group = group
        self.builtins = dict(builtins)

    def names(self) -> list[str]:
        """Return all known names, sorted."""
        from importlib.metadata import entry_points

        plugins = {entry.name for entry in entry_points(group=self.group)}
        return sorted(plugins | self.builtins.keys())

    def get(self, name: str, *more: str) -> Callable[..., T]:
        """Return the factory called `name`.

        Parameters
        ----------
        name : str
        *more : str
            What else is known elsewhere, for the message.

        Raises
        ------
        ConfigError
            There is none; those that exist are named, and the nearest of them.
        """
        factory = self.find(name)
        if factory is not None:
            return factory
        known = sorted({*self.names(), *more})
        raise ConfigError(
            f"unknown {self.kind} {printable(name)!r}{did_you_mean(name, known)}; "
            f"known: {', '.join(known)}"
        )

    def find(self, name: str) -> Callable[..., T] | None:
        """Return the factory called `name`, or None."""
        if name in self.builtins:
            return self.builtins[name]
        factory: Callable[..., T]
        where = _entry_point(self.group, name)
        if where:
            module, _, attribute = where.partition(":")
            factory = getattr(import_module(module), attribute)
            return factory
        from importlib.metadata import entry_points

        for entry in entry_points(group=self.group):
            if entry.name == name:
                factory = entry.load()
                return factory
        return None


def _entry_point(group: str, name: str) -> str:
    """Return ``module:attribute`` of an entry point; ``""`` if it is in no folder of `sys.path`.

    `importlib.metadata` finds it in other places too, and takes 50 ms to be imported: a quarter of
    what a start may take.
    """
    for folder in sys.path:
        try:
            installed = [n for n in os.listdir(folder or ".") if n.endswith(".dist-info")]
        except OSError:
            continue
        for distribution in installed:
            path = os.path.join(folder, distribution, "entry_points.txt")
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
            except OSError:
                continue
            where = _look_up(text, group, name)
            if where:
                return where
    return ""


def _look_up(text: str, group: str, name: str) -> str:
    """Return ``module:attribute`` from the text of an ``entry_points.txt``, or ``""``."""
    section = ""
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key.startswith("["):
            section = key.strip("[]")
        elif equals and (section, key) == (group, name) and "[" not in value:
            return value
    return ""
