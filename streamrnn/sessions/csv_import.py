"""CSV, TSV and semicolon files into sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, Channel, Frames, Label, StreamInfo
from streamrnn.sessions import csv_labels
from streamrnn.sessions.csv_table import Table, TableReader
from streamrnn.sessions.csv_time import UNITS_US, Times, find_time_column, read_times
from streamrnn.sessions.form import MAX_CHANNELS
from streamrnn.sessions.rate import sequence_of_times
from streamrnn.sessions.session import Session, frame_period_us
from streamrnn.wire.packet import frame_time_us

_UNIT_IN_HEADER = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]{1,16})[)\]]")


def import_csv(
    path: Path | str,
    *,
    rate_hz: float | None = None,
    time_column: str | None = None,
    time_unit: str | None = None,
    label_column: str | None = None,
    labels_path: Path | str | None = None,
    label: str | None = None,
    onehot: Mapping[str, str] | None = None,
    channels: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    subject: str = "",
) -> Session:
    """Return the session in a delimited text file.

    Parameters
    ----------
    path : Path
        Comma, tab or semicolon; UTF-8; the first line names the columns.
    rate_hz : float or None
        Frame rate, where there is no time column.
    time_column, time_unit : str or None
        None finds the column by its name (t, time, timestamp_ms, ...) and the unit ("s", "ms",
        "us", "ns") by the name or by the rate that it would make. Steps of more than 2.5 periods
        are gaps: frame numbers jump there.
    label_column : str or None
        Column with one class name or number a row; empty, 0 and none mean no gesture. None takes a
        column called label, labels, gesture or class, unless labels come from elsewhere.
    labels_path : Path or None
        A second file with columns start, end, label (`csv_labels.from_file`).
    label : str or None
        The whole file is one trial of this gesture.
    onehot : mapping of str to str
        Columns that are 1 while a gesture lasts, and its name.
    channels : sequence of str or None
        Names of all columns, where the file has no header.
    rename, drop : mapping, sequence
        Columns to be called otherwise, or left out.
    units : mapping of str to str
        Unit of a channel, or of all whose names begin so: ``{"acc": "m/s^2"}``. A header like
        ``Gyro X (deg/s)`` names the unit itself.
    subject : str
        Who it was.

    Raises
    ------
    SessionError
        The file cannot be read, a cell is no number, fewer than two frames, ...; the message names
        file, line and column.
    ConfigError
        Options that contradict each other.
    """
    path = Path(path)
    onehot = dict(onehot or {})
    rename = dict(rename or {})
    _check_options(rate_hz, time_unit)
    truth = _LabelSource(label_column, labels_path, label, onehot)
    reader = TableReader(path, channels)
    dropped = [reader.column(name) for name in (*drop, *onehot)]
    rest = [name for name in reader.names if name not in dropped]
    time_name = reader.column(time_column) if time_column else find_time_column(rest)
    if label_column:
        reader.column(label_column)
    elif not (labels_path or label or onehot):
        label_column = next((n for n in rest if n.lower() in csv_labels.LABEL_COLUMNS), None)
        truth = _LabelSource(label_column, None, None, {})
    elif truths := [name for name in rest if name.lower() in csv_labels.LABEL_COLUMNS]:
        # As a channel it would tell the network what it is to find.
        raise SessionError(
            f"{path}: labels come from elsewhere, so column {printable(truths[0])!r} would be a "
            f"channel: leave it out with --drop {printable(truths[0])}"
        )
    special = {time_name, label_column, *dropped}
    names = [name for name in reader.names if name not in special]
    if not 1 <= len(names) <= MAX_CHANNELS:
        raise SessionError(f"{path} has {len(names)} channels, 1 to {MAX_CHANNELS} are possible")
    for name in rename:
        reader.column(name)
    table = reader.read(
        [*names, *onehot, *([time_name] if time_name else [])],
        [label_column] if label_column else [],
    )
    if len(table) < 2:
        raise SessionError(f"{path} has {len(table)} frames, a session needs at least 2")
    times = read_times(table, time_name, time_unit) if time_name else None
    seq, t_us, rate, how = _clock(table, times, rate_hz)
    end_us = int(t_us[-1]) + frame_period_us(rate, t_us)
    x = np.stack([table.numbers[name] for name in names], axis=1).astype(np.float32)
    info = StreamInfo(_channels(names, rename, units or {}), rate)
    metadata = {"source": f"import:{path.name}", "rate": how}
    if subject:
        metadata["subject"] = subject
    host_ns = t_us * 1000 if times is None else times.host_ns
    labels = truth.labels(table, times, t_us, end_us)
    return Session(info, Frames(x, seq, t_us), host_ns, labels, [], metadata)


@dataclass(frozen=True, slots=True)
class _LabelSource:
    """Where labels come from: at most one of these."""

    column: str | None
    path: Path | str | None
    whole: str | None
    onehot: Mapping[str, str]

    def __post_init__(self) -> None:
        ways = {
            "--label-column": self.column, "--labels": self.path, "--label": self.whole,
            "--onehot": self.onehot,
        }  # fmt: skip
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise ConfigError(
                f"{given[0]} and {given[1]} both say where labels come from: choose one"
            )

    def labels(self, table: Table, times: Times | None, t_us: I64, end_us: int) -> list[Label]:
        if self.column:
            return csv_labels.from_column(table.texts[self.column], t_us, end_us)
        if self.path:
            return csv_labels.from_file(Path(self.path), times, t_us, end_us)
        if self.whole:
            return [Label(self.whole, 0, end_us, csv_labels.SOURCE)]
        return csv_labels.from_onehot(table, self.onehot, t_us, end_us)


def _check_options(rate_hz: float | None, time_unit: str | None) -> None:
    if rate_hz is not None and not 0.0 < rate_hz <= 1e6:
        raise ConfigError(f"--rate must be above 0 and at most 1000000 Hz, got {rate_hz:g}")
    if time_unit is not None and time_unit not in UNITS_US:
        raise ConfigError(f"--time-unit is one of {', '.join(UNITS_US)}; got {time_unit!r}")


def _clock(table: Table, times: Times | None, rate_hz: float | None) -> tuple[I64, I64, float, str]:
    """Return frame numbers, times, rate, and how the rate was found."""
    if times is None:
        if rate_hz is None:
            raise SessionError(
                f"{table.path} has no time column: name it (--time-column) or give --rate in Hz"
            )
        seq = np.arange(len(table), dtype=np.int64)
        return seq, frame_time_us(0, seq, rate_hz), float(rate_hz), "given"
    seq, fitted = sequence_of_times(times.t_us)
    if rate_hz is None:
        return seq, times.t_us, float(f"{fitted:.4g}"), "fitted"
    if abs(fitted / rate_hz - 1.0) > 0.05:
        raise SessionError(
            f"{table.path}: its time column says {fitted:.4g} Hz, --rate says {rate_hz:g} Hz: "
            "leave one out (--drop the column, or check --time-unit)"
        )
    return seq, times.t_us, float(rate_hz), "given"


def _channels(
    names: Sequence[str], rename: Mapping[str, str], units: Mapping[str, str]
) -> tuple[Channel, ...]:
    """Return the channels, with the unit of the longest `units` key, or of the header."""
    found = []
    for column in names:
        headed = _UNIT_IN_HEADER.fullmatch(column)
        name, unit = headed.groups() if headed else (column, "")
        name = rename.get(column, rename.get(name, name))
        keys = sorted((key for key in units if name.startswith(key)), key=len)
        found.append(Channel(name, units[keys[-1]] if keys else unit))
    called = [channel.name for channel in found]
    if len(set(called)) != len(called):
        raise ConfigError("two channels would have the same name: check --rename")
    for key in units:
        if not any(name.startswith(key) for name in called):
            raise ConfigError(f"--unit {printable(key)}: no channel is called so or begins so")
    return tuple(found)
