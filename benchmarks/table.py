"""Write the newest results into the table of docs/performance.md.

    python -m benchmarks.table

Of each benchmark the newest JSON in benchmarks/results is taken. Everything between the two markers
of the document is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import bound, ours
from benchmarks.live import PLAIN
from benchmarks.report import RESULTS

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
NAMES = (
    "step", "streams", "fleet", "sequence", "training", "training-2-threads", "decode", "startup",
    "end_to_end",
)  # fmt: skip
_TIMES = ("ns", "us", "ms")
#: What one call or update does, for tables.
_WHAT = {"step": "a frame", "chunk": "a frame", "ahead": "a frame", "push": "a frame",
         "streams": "a stream-step", "fleet": "a stream-step", "sequence": "a frame",
         "train": "an update"}  # fmt: skip

Document = dict[str, Any]


def newest(name: str, folder: Path = RESULTS) -> Document | None:
    """Return the newest results of a benchmark, or None."""
    paths = [
        path
        for path in folder.glob("*.json")
        if re.sub(r"^\d{4}-\d\d-\d\d-", "", path.stem) == name
    ]
    if not paths:
        return None
    document: Document = json.loads(max(paths).read_text(encoding="utf-8"))
    return document if all("job" in row for row in document["rows"]) else None  # an older form


def lines_of(document: Document) -> list[Sequence[str]]:
    """Return the lines (job, ours, of the bound, peers) of one benchmark."""
    jobs: dict[str, list[Document]] = {}
    for row in document["rows"]:
        jobs.setdefault(row["job"], []).append(row)
    if document["benchmark"] == "startup":
        return _starts(document["rows"])
    return [_line(job, rows, _threads(document)) for job, rows in jobs.items()]


def _threads(document: Document) -> str:
    n_threads = document["settings"].get("n_threads", 1)
    return f", {n_threads} threads" if n_threads > 1 else ""


def _line(job: str, rows: Sequence[Document], where: str) -> Sequence[str]:
    own = next(row for row in rows if row["contender"].startswith(ours.NAME))
    peers = [row for row in rows if row["contender"] not in (own["contender"], bound.NAME)]
    unit = next((unit for unit in _TIMES if unit in own), None)
    if unit is not None:
        figure = f"{_text(own[unit])} {unit} {_WHAT[job.split(maxsplit=1)[0]]}"
        if own.get("peak_mib") is not None:
            figure += f", {own['peak_mib']:g} MiB"
        others = ", ".join(map(_ratio, peers))
    elif "MB_s" in own:
        is_calls = job.endswith(" 64 bytes")
        figure = f"{own['us_call']:g} us a call" if is_calls else f"{own['MB_s']:.0f} MB/s"
        others = ", ".join(map(_ratio, peers))
    else:
        figure = _latency(own)
        others = ", ".join(f"{row['contender']} {_latency(row)}" for row in peers)
    limit = own.get("x_bound")
    return job + where, figure, "-" if limit is None else f"{limit:.2f}", others or "-"


def _ratio(row: Document) -> str:
    name = "nothing ahead" if row["contender"] == PLAIN else row["contender"]
    memory = row.get("peak_mib")
    return f"{name} {_text(row['ours_faster'])}x" + (f" ({memory:g} MiB)" if memory else "")


def _latency(row: Document) -> str:
    share = 100 * row["cpu_share"]
    return f"p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, {share:.0f} % of a core"


def _starts(rows: Sequence[Document]) -> list[Sequence[str]]:
    others = ", ".join(
        f"{row['contender']} {row['s']:.2f} s" for row in rows if row["contender"] != ours.NAME
    )
    return [
        (row["job"], f"{row['s']:.2f} s", "-", (others or "-") if "warm" in row["job"] else "-")
        for row in rows
        if row["contender"] == ours.NAME
    ]


def _text(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def render(documents: Iterable[Document]) -> str:
    """Return what stands between the markers."""
    documents = list(documents)
    if not documents:
        return "No results yet: run `make bench`."
    lines = ["| job | streamrnn | times the bound | peers: their time over ours |",
             "|---|---|---|---|"]  # fmt: skip
    for document in documents:
        lines += [f"| {' | '.join(line)} |" for line in lines_of(document)]
    missed = [
        words + _threads(document)
        for document in documents
        for words, reached in document["targets"].items()
        if not reached
    ]
    lines += ["", "Targets missed:" if missed else "All targets were reached."]
    lines += [f"- {words}" for words in missed]
    lines += ["", _machine(documents)]
    return "\n".join(lines)


def _machine(documents: Sequence[Document]) -> str:
    newest_first = max(documents, key=lambda document: str(document["date"]))
    where = newest_first["machine"]
    versions: dict[str, str] = dict(where["versions"])
    for document in documents:
        versions |= document["settings"].get("peers", {})
    dates = sorted({document["date"] for document in documents})
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{where['processor']}, {where['n_cores']} cores, {where['system']},"
        f" Python {where['python']}; {' and '.join(dates)}; {listed}."
    )


def main() -> int:
    """Rewrite the document; return the exit code."""
    found = [document for document in map(newest, NAMES) if document is not None]
    text = DOCUMENT.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{DOCUMENT.name} lacks {BEGIN} or {END}", file=sys.stderr)
        return 1
    DOCUMENT.write_text(f"{before}{begin}\n{render(found)}\n{end}{after}", encoding="utf-8")
    print(f"{DOCUMENT.name}: {len(found)} of {len(NAMES)} benchmarks have results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
