"""How a frame is written as text: the forms that sketches print."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import numpy as np

from firmware_sim.device.fetch import Cut
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F32
from streamrnn.wire.schema import Hello

#: ``Serial.print`` of numbers; the Arduino plotter's pairs; Teleplot's lines; an object a line.
FORMS = ("numbers", "named", "teleplot", "json")
#: What a line may say besides: the clock as ``micros()`` and ``millis()`` have it, 32 bits wide,
#: and the number of the frame, 8, 16 or 32 bits wide.
COLUMNS = ("t_us", "t_ms", "seq8", "seq16", "seq32")
SEPARATORS = {"comma": ",", "tab": "\t", "space": " ", "semicolon": ";"}
#: As ``Serial.println`` ends a line.
END = "\r\n"
_CLOCK_MASK = (1 << 32) - 1
#: A plotter splits at colons and blanks.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-/]+")


class LineWriter:
    """Writes frames as lines.

    Values are the shortest decimal numbers that stand for the very float32, so that a reader gets
    the samples bit by bit.

    Parameters
    ----------
    form : {"numbers", "named", "teleplot", "json"}
        ``0.12,-0.98``; ``acc_x:0.12,acc_y:-0.98``; a line ``>acc_x:0.12§g|g`` for each channel
        (name, value, unit, flag); ``{"acc_x":0.12,"acc_y":-0.98}``.
    hello : Hello
        Names and units of the channels, and how samples are stored.
    columns : sequence of str
        Of `COLUMNS`, in front of the samples: a clock and a counter at most. Teleplot has the clock
        as milliseconds between name and value, and the counter as a variable.
    separator : {"comma", "tab", "space", "semicolon"}
        Between plain numbers, and between pairs.

    Raises
    ------
    ConfigError
        Something that it cannot write.

    Notes
    -----
    Teleplot's form: README of github.com/nesnes/teleplot, "Telemetry Format". Named pairs:
    ArduinoSerialPlotterProtocol.md of the Arduino IDE 1.8.
    """

    def __init__(
        self, form: str, hello: Hello, columns: Sequence[str] = (), separator: str = "comma"
    ) -> None:
        if form not in FORMS:
            shown = printable(form, 40)
            hint = did_you_mean(shown, ("wire", *FORMS))
            raise ConfigError(f"unknown form {shown!r}{hint}; known: wire, {', '.join(FORMS)}")
        _check(separator, SEPARATORS, "separator")
        for column in columns:
            _check(column, COLUMNS, "column")
        clocks = [column for column in columns if column.startswith("t_")]
        counters = [column for column in columns if column.startswith("seq")]
        if len(clocks) > 1 or len(counters) > 1:
            raise ConfigError("columns: one clock (t_us or t_ms) and one counter (seqN) at most")
        self.has_seq = bool(counters)
        self.seq_mask = (1 << int(counters[0][3:])) - 1 if counters else 0
        self._clock = clocks[0] if clocks else ""
        self._hello = hello
        self._gap = SEPARATORS[separator]
        channels = hello.stream_info().channels
        is_free = form == "json"
        self._names = [c.name if is_free else _NOT_IN_NAMES.sub("_", c.name) for c in channels]
        self._units = [channel.unit for channel in channels]
        writers: dict[str, Callable[[list[str], str, str], str]] = {
            "numbers": self._numbers,
            "named": self._named,
            "teleplot": self._teleplot,
            "json": self._json,
        }
        self._write = writers[form]

    def pack(self, cut: Cut, seq: int, t_us: int) -> bytes:
        """Return what was just taken from a fetcher, one frame; as `Packer.pack` does."""
        return self.line(cut.payload, seq, t_us)

    def line(self, frame: bytes, seq: int, t_us: int) -> bytes:
        """Return a frame as text, with the end of its line.

        Parameters
        ----------
        frame : bytes
            The samples, as they stand in a DATA packet.
        seq, t_us : int
            Its index and time since boot; written modulo the width of their columns.
        """
        values = [str(value) for value in samples(self._hello, frame)]
        clock_us = t_us & _CLOCK_MASK
        clock = str(clock_us) if self._clock == "t_us" else ""
        if self._clock == "t_ms":
            clock = str((t_us // 1000) & _CLOCK_MASK)
        counter = str(seq & self.seq_mask) if self.has_seq else ""
        return self._write(values, clock, counter).encode()

    def _columns(self, clock: str, counter: str) -> list[tuple[str, str]]:
        said = [(self._clock, clock), ("seq", counter)]
        return [(name, value) for name, value in said if value]

    def _numbers(self, values: list[str], clock: str, counter: str) -> str:
        front = [value for _, value in self._columns(clock, counter)]
        return self._gap.join(front + values) + END

    def _named(self, values: list[str], clock: str, counter: str) -> str:
        pairs = [*self._columns(clock, counter), *zip(self._names, values, strict=True)]
        return self._gap.join(f"{name}:{value}" for name, value in pairs) + END

    def _teleplot(self, values: list[str], clock: str, counter: str) -> str:
        if self._clock == "t_us":
            whole, part = divmod(int(clock), 1000)
            clock = f"{whole}.{part:03d}"
        stamp = f"{clock}:" if clock else ""
        lines = [f">seq:{stamp}{counter}|g"] if counter else []
        for name, unit, value in zip(self._names, self._units, values, strict=True):
            shown = f"§{unit}" if unit else ""
            lines.append(f">{name}:{stamp}{value}{shown}|g")
        return END.join(lines) + END

    def _json(self, values: list[str], clock: str, counter: str) -> str:
        pairs = [*self._columns(clock, counter), *zip(self._names, values, strict=True)]
        return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}" + END


def samples(hello: Hello, frame: bytes) -> F32:
    """Return the samples of a frame in their units: float32(raw) * scale + offset, as on the wire.

    Parameters
    ----------
    hello : Hello
    frame : bytes
        As it stands in a DATA packet.
    """
    parts: list[F32] = []
    at = 0
    for group in hello.groups:
        n = len(group.names)
        raw = np.frombuffer(frame, group.raw_dtype, n, at)
        scale, offset = np.float32(group.scale), np.float32(group.offset)
        parts.append(raw.astype(np.float32) * scale + offset)
        at += group.group_bytes
    return np.concatenate(parts)


def _check(value: str, known: Sequence[str] | dict[str, str], what: str) -> None:
    if value not in known:
        shown = printable(value, 40)
        hint = did_you_mean(shown, known)
        raise ConfigError(f"unknown {what} {shown!r}{hint}; known: {', '.join(known)}")
