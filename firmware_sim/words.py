"""What can be said of a board: ``--rate 50`` on the command line, ``rate=50`` in an address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_sim.signals import DEFAULT_PERSON, DEFAULT_SEED
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that can be said.

    Attributes
    ----------
    name : str
        As it is written.
    field : str
        Of `firmware_sim.options.BoardOptions`.
    metavar : str
        Stands for its value in the help.
    kind : callable
        Makes the value of a text, or raises ValueError.
    form : str
        What such a text is.
    help : str
    """

    name: str
    field: str
    metavar: str
    kind: Callable[[str], Any]
    form: str
    help: str

    def read(self, text: str) -> Any:
        """Return the value that a text stands for, or raise `ConfigError`."""
        try:
            return self.kind(text)
        except ValueError:
            shown = printable(text, 40)
            raise ConfigError(f"{self.name} must be {self.form}, got {shown!r}") from None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_WHOLE, _NUMBER, _TEXT = "a whole number", "a number", "a word"
WORDS = (
    Word("person", "person", "N", int, _WHOLE, f"who moves ({DEFAULT_PERSON} by default)"),
    Word("people", "people", "N,N", _numbers, "whole numbers as 1,2,3", "several in turn: 1,2,3"),
    Word("seed", "seed", "N", int, _WHOLE, f"what happens when ({DEFAULT_SEED} by default)"),
    Word("rate", "rate_hz", "HZ", float, "a number of Hz", "frames a second of signals, lines of "
         "--raw (100 by default)"),
    Word("seconds", "seconds", "S", float, _NUMBER, "length of signals; endless by default"),
    Word("lead", "lead_s", "S", float, "a number of seconds", "seconds to the first gesture"),
    Word("plan", "plan", "WORD", str, _TEXT, "all, null or the name of a gesture"),
    Word("packet", "frames_per_packet", "N", int, _WHOLE, "most frames in one packet"),
    Word("drift", "drift_ppm", "PPM", float, "a number (ppm)", "of its clock"),
    Word("jitter", "jitter_us", "US", float, "a number (us)", "of its samples (standard "
         "deviation)"),
    Word("baud", "baud", "BAUD", int, _WHOLE, "speed of its UART; what does not fit is lost"),
    Word("form", "form", "FORM", str, _TEXT, "wire (packets, the default), numbers, named, "
         "teleplot or json"),
    Word("columns", "columns", "NAMES", _names, "names as t_us,seq8", "of lines: t_us or t_ms, "
         "seq8, seq16 or seq32"),
    Word("separator", "separator", "WORD", str, _TEXT, "of lines: comma (the default), tab, space, "
         "semicolon"),
)  # fmt: skip
