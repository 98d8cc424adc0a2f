"""Hosts and ports in the addresses of sources, and libraries that may be missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable


def host_and_port(
    address: str, example: str, *, host: str | None = None, port: int | None = None
) -> tuple[str, int]:
    """Return the parts of ``HOST:PORT``, ``[::1]:PORT``, and what defaults leave out.

    Parameters
    ----------
    address : str
    example : str
        Of a whole address, for the message: ``"tcp:192.168.1.7:3333"``.
    host : str, optional
        Where none, or an empty one, is named: ``PORT`` and ``:PORT`` are fine then.
    port : int, optional
        Where none is named: ``HOST`` is fine then.

    Raises
    ------
    ConfigError
        It names no host or no port.
    """
    where = example.partition(":")[0]
    form = "HOST:PORT" if host is None else "PORT or HOST:PORT"
    form = form if port is None else "HOST or HOST:PORT"
    wrong = ConfigError(f"{where}: needs {form}, as in {example}; got {printable(address)!r}")
    if address.startswith("["):
        name, bracket, number = address[1:].partition("]")
        if not bracket or (number and not number.startswith(":")):
            raise wrong
        number = number[1:]
    elif address.count(":") > 1:
        raise ConfigError(f"{where}: an IPv6 address stands in brackets: [::1]:5005")
    elif port is not None:
        name, _, number = address.partition(":")
    else:
        name, _, number = address.rpartition(":")
    if not name:
        if host is None:
            raise wrong
        name = host
    if not number and port is not None:
        return name, port
    if not number.isascii() or not number.isdigit() or not 0 < int(number[:6]) < 65_536:
        raise wrong
    return name, int(number)


def joined_address(host: str, port: int) -> str:
    """Return ``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def optional(module: str, scheme: str, package: str) -> Any:
    """Import a library that comes with the extra of the same name as a scheme.

    Raises
    ------
    ConfigError
        It is not installed, or cannot be loaded here.
    """
    try:
        return import_module(module)
    except (ImportError, RuntimeError, OSError) as error:  # pylsl: without its library
        missing = isinstance(error, ModuleNotFoundError)
        why = "" if missing else f" ({printable(str(error), 80)})"
        raise ConfigError(
            f"{scheme}: needs {package}{why}: pip install 'streamrnn[{scheme}]'"
        ) from None
