"""What every source offers, and how the part of a URL behind the scheme is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import Counters, Item, StreamInfo

if TYPE_CHECKING:
    from streamrnn.sources.timing import TimingReport


class Timer(Protocol):
    """Takes the time of a stage; `streamrnn.runtime.latency.StageTimer` is one.

    Attributes
    ----------
    is_detailed : bool
        Whether the time before the arrival is asked for, too.
    """

    is_detailed: bool

    def add(self, stage: str, ns: int) -> None:
        """Count a duration that was measured elsewhere, in nanoseconds."""
        ...

    def start(self) -> int:
        """Return the mark for the first lap, in nanoseconds."""
        ...

    def arrive(self) -> int:
        """Return the mark for the first lap of bytes that have just arrived."""
        ...

    def lap(self, stage: str, since_ns: int) -> int:
        """Count the time since a mark for `stage`; return the mark for the next lap."""
        ...


class Source(Protocol):
    """Gives the items of one stream.

    Attributes
    ----------
    name : str
        For people: ``serial:/dev/ttyACM0``.
    live : bool
        True if frames come at their own pace, so that a late consumer must lose some.
    """

    name: str
    live: bool

    @property
    def info(self) -> StreamInfo:
        """What the stream says of itself; known once it is open."""
        ...

    @property
    def metadata(self) -> dict[str, str]:
        """What a recording of it says of itself, besides `info`; known once it is open."""
        ...

    @property
    def counters(self) -> Counters:
        """What happened to the bytes so far."""
        ...

    @property
    def timing(self) -> TimingReport | None:
        """What the times of its frames tell so far; None when nothing is known of them."""
        ...

    def open(self) -> None:
        """Connect and learn `info`, or raise `SourceError`; frames flow from the first read on."""
        ...

    def read(self, timeout_s: float) -> list[Item]:
        """Return the next items, waiting up to `timeout_s` for the first; the last one is `End`."""
        ...

    def close(self) -> None:
        """Let go of everything; harmless when not open."""
        ...


def split_options(
    rest: str, allowed: Iterable[str], where: str, also: Iterable[str] = ()
) -> tuple[str, dict[str, str]]:
    """Split ``PATH?key=value&key=value``.

    Parameters
    ----------
    rest : str
        What follows the scheme.
    allowed : iterable of str
        Keys that exist.
    where : str
        For messages: ``"serial:"``.
    also : iterable of str
        Keys that were taken out before; for messages.

    Raises
    ------
    ConfigError
        An unknown key.
    """
    address, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    names = list(allowed)
    for key in options:
        if key not in names:
            raise ConfigError(
                f"{where} has no option {printable(key)!r}{did_you_mean(key, [*names, *also])}; "
                f"known: {', '.join([*names, *also])}"
            )
    return address, options


def option_flag(options: dict[str, str], key: str, default: bool, where: str) -> bool:
    """Return a yes/no option, or raise `ConfigError`."""
    value = options.get(key, "yes" if default else "no")
    if value in ("1", "yes", "on", "true"):
        return True
    if value in ("0", "no", "off", "false"):
        return False
    raise ConfigError(f"{where} {key} must be yes or no, got {printable(value)!r}")


def option_int(options: dict[str, str], key: str, default: int, low: int, where: str) -> int:
    """Return a whole-number option of at least `low`, or raise `ConfigError`."""
    value = options.get(key, str(default))
    if not value.isascii() or not value.isdigit() or int(value[:12]) < low:
        raise ConfigError(f"{where} {key} must be a number from {low}, got {printable(value)!r}")
    return int(value[:12])
