"""Write the newest results into the table of docs/accuracy.md.

python -m benchmarks.accuracy table
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.accuracy.protocols import PROTOCOLS, Protocol, Target
from benchmarks.report import RESULTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "accuracy.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_HEAD = (
    "| set | figure | asked | default recipe | sd of seeds | 95 % interval | window MLP | |",
    "|---|---|---|---|---|---|---|---|",
)
#: What is shown of a set of which nothing is asked.
_UNASKED = (Target("accuracy", 0.0),)

Document = dict[str, Any]


def main() -> int:
    """Rewrite the table; return the exit code."""
    lines = [*_HEAD]
    for protocol in PROTOCOLS.values():
        lines += lines_of(protocol, newest(protocol.name))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        print(f"{DOCUMENT.name} has no {BEGIN} .. {END}")
        return 1
    table = "\n".join(lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    print(table)
    return 0


def newest(name: str, folder: Path = RESULTS) -> Document | None:
    """Return the newest full results of a set, or None."""
    paths = sorted(folder.glob(f"????-??-??-accuracy-{name}.json"))
    if not paths:
        return None
    document: Document = json.loads(paths[-1].read_text(encoding="utf-8"))
    return document


def lines_of(protocol: Protocol, document: Document | None) -> list[str]:
    """Return the lines of one set."""
    rows = {row["what"]: row for row in document["rows"]} if document else {}
    lines = []
    for target in protocol.targets or _UNASKED:
        own = f"lstm: {target.row}"
        spreads = [row for what, row in rows.items() if what.startswith(f"{own}, sd of")]
        value = _cell(rows.get(own), target.figure)
        low = _cell(rows.get(f"{own}, 95 % from"), target.figure)
        high = _cell(rows.get(f"{own}, 95 % to"), target.figure)
        is_measured = value != "-"
        reached = is_measured and rows[own][target.figure] >= target.least
        cells = (
            protocol.name,
            target.figure + (f", {target.row}" if target.row != "all" else ""),
            f"{target.least:g}" if target.least else "-",
            value if is_measured else "not measured",
            _cell(spreads[0] if spreads else None, target.figure),
            f"{low} - {high}" if low != "-" else "-",
            _cell(rows.get(f"mlp-window: {target.row}"), target.figure),
            ("reached" if reached else "missed") if is_measured and target.least else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(row: dict[str, Any] | None, figure: str) -> str:
    value = row.get(figure) if row else None
    return "-" if value is None else f"{value:.3f}"
