"""The results as JSON, as a table on the screen, and as tables in docs/reliability.md."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.reliability.bar import replace_text

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
#: The table of all checks.
SUMMARY = "summary"

Result = Mapping[str, Any]


def today() -> str:
    """Return the date, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def whole(results: Mapping[str, Result], *, is_quick: bool, is_part: bool) -> dict[str, Any]:
    """Return the document of a run."""
    name = "reliability" + ("-part" if is_part else "") + ("-quick" if is_quick else "")
    return {
        "benchmark": name,
        "date": today(),
        "machine": report.machine(),
        "bars": {bar: dict(result) for bar, result in results.items()},
    }


def is_met(result: Result) -> bool:
    """Return whether every check of a bar is met."""
    return all(check["is_met"] for check in result["checks"])


def _verdicts(document: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "bar": name.replace("_", " "),
            "asked": check["asked"],
            "measured": check["figure"],
            "": "met" if check["is_met"] else "MISSED",
        }
        for name, result in document["bars"].items()
        for check in result["checks"]
    ]


def table(document: Mapping[str, Any]) -> str:
    """Return all checks as a table for the screen, with what a reader must know before it."""
    where = document["machine"]
    head = f"\n{document['benchmark']}, {document['date']}, {where['processor']}, "
    lines = [head + f"{where['n_cores']} cores"]
    for name, result in document["bars"].items():
        lines += [f"  {name}: {note}" for note in result["notes"]]
    columns = ("", "bar", "asked", "measured")
    rows = [{column: row[column] for column in columns} for row in _verdicts(document)]
    widths = {c: max((len(row[c]) for row in rows), default=0) for c in columns[:-1]}
    lines += ["  ".join(row[c].ljust(widths.get(c, 0)) for c in columns).rstrip() for row in rows]
    return "\n".join(lines)


def write_page(document: Mapping[str, Any], page: Path = PAGE) -> None:
    """Replace the tables of the page for which the document has results.

    A bar's own table stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``; that of
    all checks is called ``summary``, and is written when all bars are there.
    """
    text = page.read_text(encoding="utf-8")
    for name, result in document["bars"].items():
        text = between(text, name, _of_bar(result))
    if not document["benchmark"].endswith("-part"):
        where = document["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        said = (
            f"{document['date']}: {where['processor']}, {where['n_cores']} cores, "
            f"{where['system']}, Python {where['python']}, {versions}"
        )
        text = between(text, SUMMARY, f"{markdown(_verdicts(document))}\n\n{said}")
    replace_text(page, text)


def _of_bar(result: Result) -> str:
    parts = [f"Measured {result['date']}."]
    if result["rows"]:
        parts.append(markdown(result["rows"]))
    if result["notes"]:
        parts.append("\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(parts)


def between(text: str, name: str, content: str) -> str:
    """Return the text with what stands between the markers of `name` replaced.

    Raises
    ------
    SystemExit
        The page has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"docs/reliability.md has no {begin} ... {end}")
    return f"{head}{begin}\n{content}\n{end}{tail}"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table; the keys of the first are the columns."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
