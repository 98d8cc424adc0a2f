"""Labels of an imported table: a column, 0/1 columns, a second file, or one label for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, NULL_NAME, Label
from streamrnn.sessions.csv_table import Table, TableReader
from streamrnn.sessions.csv_time import UNITS_US, Times, unit_in_name
from streamrnn.sessions.labels import labels_from_frames

SOURCE = "import"
LABEL_COLUMNS = ("label", "labels", "gesture", "class")
_NULL_WORDS = {"", "0", "none", "null", "nan", "na", "n/a", "-", NULL_NAME}


def is_null(text: str) -> bool:
    """Tell whether a label cell means "no gesture"."""
    return text.lower() in _NULL_WORDS


def clean_label(text: str) -> str:
    """Return a class name; whole numbers lose their ``.0``."""
    text = text.strip()
    head, point, tail = text.partition(".")
    return head if point and head.lstrip("-").isdigit() and not tail.strip("0") else text


def from_column(cells: list[str], t_us: I64, end_us: int) -> list[Label]:
    """Return the labels of a column with one class name a row."""
    names = [clean_label(cell) for cell in cells]
    classes = (NULL_NAME, *sorted({name for name in names if not is_null(name)}))
    index = {name: k for k, name in enumerate(classes)}
    y = np.array([0 if is_null(name) else index[name] for name in names], np.int64)
    return labels_from_frames(y, classes, t_us, end_us, source=SOURCE)


def from_onehot(table: Table, onehot: Mapping[str, str], t_us: I64, end_us: int) -> list[Label]:
    """Return the labels of columns that are not 0 while their gesture lasts."""
    labels = []
    for column, name in onehot.items():
        y = (table.numbers[column] != 0).astype(np.int64)
        labels += labels_from_frames(y, (NULL_NAME, name), t_us, end_us, source=SOURCE)
    return sorted(labels, key=lambda label: label.start_us)


def from_file(path: Path, times: Times | None, t_us: I64, end_us: int) -> list[Label]:
    """Return the labels of a file with columns start, end and label.

    ``start`` and ``end`` are in the unit and from the origin of the session's time column, or in
    seconds from the first frame where there is none; ``start_ms`` and so on name another unit.

    Parameters
    ----------
    path : Path
    times : Times or None
        Of the session's time column.
    t_us : int64 (N,)
        Times of the frames.
    end_us : int
        End of the session, from 0.

    Raises
    ------
    SessionError
        Columns are missing, or an interval is reversed, outside the session or without a frame.
    """
    reader = TableReader(path)
    start = _column(reader, "start")
    end = _column(reader, "end")
    label = next((name for name in reader.names if name.lower() in LABEL_COLUMNS), None)
    if label is None:
        raise SessionError(f"{path} has no column 'label' (it needs start, end, label)")
    table = reader.read([start, end], [label])
    bounds = [_to_us(table, name, times) for name in (start, end)]
    hint = ""
    if times is not None and times.unit_us != UNITS_US["s"] and unit_in_name(start) is None:
        hint = f" (are its times in seconds? call the columns {start}_s, {end}_s)"
    labels = []
    for k, line in enumerate(table.lines):
        name = clean_label(table.texts[label][k])
        if is_null(name):
            continue
        start_us, behind_us = int(bounds[0][k]), int(bounds[1][k])
        if behind_us <= start_us:
            raise SessionError(f"{path} line {line}: label {printable(name)!r} ends at its start")
        if start_us < 0 or behind_us > end_us + 1_000_000:
            raise SessionError(
                f"{path} line {line}: label {printable(name)!r} lies at {start_us / 1e6:.2f} .. "
                f"{behind_us / 1e6:.2f} s, outside the recording of {end_us / 1e6:.2f} s"
            )
        first, behind = np.searchsorted(t_us, (start_us, behind_us))
        if first == behind:
            raise SessionError(
                f"{path} line {line}: label {printable(name)!r} covers no frame: it lies at "
                f"{start_us / 1e6:g} .. {behind_us / 1e6:g} s, the frames at "
                f"0 .. {t_us[-1] / 1e6:g} s{hint}"
            )
        labels.append(Label(name, start_us, behind_us, SOURCE))
    return sorted(labels, key=lambda item: item.start_us)


def _column(reader: TableReader, word: str) -> str:
    for name in reader.names:
        lower = name.lower()
        if lower == word or (lower.startswith(word) and unit_in_name(name)):
            return name
    raise SessionError(f"{reader.path} has no column {word!r} (it needs start, end, label)")


def _to_us(table: Table, column: str, times: Times | None) -> I64:
    unit = unit_in_name(column)
    origin = 0.0 if times is None else times.origin * times.unit_us
    default_us = UNITS_US["s"] if times is None else times.unit_us
    unit_us = UNITS_US[unit] if unit else default_us
    bounds: I64 = np.rint(table.numbers[column] * unit_us - origin).astype(np.int64)
    return bounds
