"""Delimited text into named columns, with errors that name line and column."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F64

DELIMITERS = ",\t;"
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Table:
    """A delimited file in memory.

    Attributes
    ----------
    path : Path
    names : tuple of str
        Of the columns, unique.
    lines : list of int
        Line number of each row.
    numbers : dict of str to float64 (N,)
        The columns that were asked for as numbers; all finite.
    texts : dict of str to list of str
        The other ones.
    """

    path: Path
    names: tuple[str, ...]
    lines: list[int]
    numbers: dict[str, F64]
    texts: dict[str, list[str]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)


class TableReader:
    """Opens a delimited file, finds its delimiter and its header; `read` takes the rows.

    Parameters
    ----------
    path : Path
    names : sequence of str or None
        Column names; then a header, if there is one, is stepped over.

    Raises
    ------
    SessionError
        No such file, not text, empty, no header, or two columns of the same name.
    """

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except IsADirectoryError:
            raise SessionError(f"{path} is a folder, not a file to import") from None
        except FileNotFoundError:
            raise SessionError(f"no such file: {path}") from None
        except UnicodeDecodeError:
            raise SessionError(f"{path} is not text in UTF-8") from None
        except OSError as error:
            raise SessionError(f"cannot read {path}: {error.strerror or error}") from None
        first = next((line for line in text.split("\n") if line.strip()), "")
        if not first:
            raise SessionError(f"{path} is empty")
        self.delimiter = max(DELIMITERS, key=first.count)
        self._rows = self._cells(text)
        self._first: tuple[int, list[str]] | None = None
        line, header = next(self._rows, (0, []))  # a line of nothing but delimiters is none
        if not header:
            raise SessionError(f"{path} holds no cell with anything in it")
        n_columns = len(header)
        if _all_numbers(header):
            if names is None:
                raise SessionError(
                    f"{path} line {line} holds numbers, not channel names: "
                    "add a header line, or name the columns (--channels a,b,c)"
                )
            self._first = (line, header)
        found = tuple(header if names is None else names)
        if len(found) != n_columns:
            raise SessionError(f"{path} has {n_columns} columns, but {len(found)} names were given")
        self.names = self._unique(found, line)

    def column(self, name: str) -> str:
        """Return `name` if there is such a column, or raise `SessionError`."""
        if name not in self.names:
            near = did_you_mean(name, self.names) or f"; there are: {', '.join(self.names[:12])}"
            raise SessionError(f"{self.path} has no column {printable(name)!r}{printable(near)}")
        return name

    def read(self, numbers: Sequence[str], texts: Sequence[str] = ()) -> Table:
        """Return all rows.

        Raises
        ------
        SessionError
            A row of another width, or a cell of `numbers` that is no finite number.
        """
        at = [self.names.index(name) for name in numbers]
        text_at = [(name, self.names.index(name)) for name in texts]
        lines: list[int] = []
        columns: dict[str, list[str]] = {name: [] for name in texts}
        blocks: list[F64] = []
        block: list[list[float]] = []
        for line, cells in self._data_rows():
            if len(cells) != len(self.names):
                raise SessionError(
                    f"{self.path} line {line} has {len(cells)} cells, the header {len(self.names)}"
                )
            block.append([self._number(cells, k, line) for k in at])
            for name, k in text_at:
                columns[name].append(cells[k].strip())
            lines.append(line)
            if len(block) == _BLOCK_ROWS:
                blocks.append(np.array(block, np.float64))
                block = []
        blocks.append(np.array(block, np.float64).reshape(len(block), len(at)))
        values = np.concatenate(blocks)
        by_name = {name: values[:, k] for k, name in enumerate(numbers)}
        return Table(self.path, self.names, lines, by_name, columns)

    # ---- inside

    def _cells(self, text: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)
        trailing: bool | None = None
        try:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if trailing is None:  # a delimiter at the end of every line makes an empty column
                    trailing = len(cells) > 1 and not cells[-1].strip()
                if trailing and not cells[-1].strip():
                    del cells[-1]
                yield reader.line_num, cells
        except csv.Error as error:
            raise SessionError(f"{self.path} line {reader.line_num}: {error}") from None

    def _data_rows(self) -> Iterator[tuple[int, list[str]]]:
        if self._first is not None:
            yield self._first
        yield from self._rows

    def _unique(self, names: Sequence[str], line: int) -> tuple[str, ...]:
        clean = tuple(name.strip() for name in names)
        for k, name in enumerate(clean):
            if not name:
                raise SessionError(f"{self.path} line {line}: column {k + 1} has no name")
            if name in clean[:k]:
                raise SessionError(
                    f"{self.path} line {line}: two columns are called {printable(name)!r}"
                )
        return clean

    def _number(self, cells: list[str], k: int, line: int) -> float:
        cell = cells[k]
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in cell or abs(value) > _LARGEST:
            raise SessionError(
                f"{self.path} line {line}, column {printable(self.names[k])!r}: {_why_not(cell)}"
            )
        return value


#: Samples become float32.
_LARGEST = float(np.finfo(np.float32).max)


def _all_numbers(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", c) for c in cells)


def _why_not(cell: str) -> str:
    shown = printable(cell.strip(), 40)
    if not shown:
        return "the cell is empty"
    if re.fullmatch(r"[-+]?\d+,\d+", shown):
        return f"'{shown}' has a decimal comma, write a point"
    if shown.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return f"{shown} is not a sample: take the row out or repair it"
    return f"'{shown}' is not a number" + (
        " that fits a float32" if re.fullmatch(r"[-+.\deE]+", shown) else ""
    )
