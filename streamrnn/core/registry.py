"""Names to factories: built-ins in plain sight, plug-ins by entry point that only add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from streamrnn.core.errors import ConfigError

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
        plugins = {entry.name for entry in entry_points(group=self.group)}
        return sorted(plugins | self.builtins.keys())

    def get(self, name: str) -> Callable[..., T]:
        """Return the factory called `name`, or raise `ConfigError` naming those that exist."""
        if name in self.builtins:
            return self.builtins[name]
        for entry in entry_points(group=self.group):
            if entry.name == name:
                factory: Callable[..., T] = entry.load()
                return factory
        known = ", ".join(self.names())
        raise ConfigError(f"unknown {self.kind} {name!r}; known: {known}")
