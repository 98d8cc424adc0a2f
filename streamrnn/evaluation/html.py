"""A report as one HTML file that needs nothing beside it: no script, no font, no other file.

Labels, file names and subjects come from files of others: everything is escaped, and the page
forbids the browser to load anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from streamrnn import __version__
from streamrnn.core.text import printable
from streamrnn.evaluation.det import det_curve
from streamrnn.evaluation.pictures import curves, matrix, style
from streamrnn.evaluation.pictures.timeline import strips, timeline
from streamrnn.evaluation.report import Report
from streamrnn.evaluation.results import SessionResult
from streamrnn.evaluation.words import hours_words, lines

_CSS = """
:root{--ink:#1f2a36;--soft:#5f6c7b;--line:#e4e8ed;--blue:#0072b2}
*{box-sizing:border-box}
body{margin:0;background:#f6f7f9;color:var(--ink);
 font:15px/1.5 "DejaVu Sans",Verdana,"Segoe UI",Helvetica,Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:36px 28px 60px}
h1{font-size:25px;font-weight:600;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:17px;font-weight:600;margin:40px 0 10px}
p{margin:6px 0;max-width:82ch}
.soft,figcaption{color:var(--soft);font-size:13px}
.mono{font-family:"DejaVu Sans Mono",Consolas,Menlo,monospace;font-size:12px;word-break:break-all}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:22px 0}
.tile,figure,.card{background:#fff;border:1px solid var(--line);border-radius:8px}
.tile{padding:14px 16px;flex:1 1 190px}
.tile b{display:block;font-size:25px;font-weight:600;color:var(--blue);line-height:1.25}
.tile span{display:block;font-size:12.5px;color:var(--soft)}
.card{padding:8px 16px;overflow-x:auto}
figure{margin:0;padding:14px 16px 12px;break-inside:avoid}
figure svg{display:block;width:100%;height:auto}
figcaption{margin-top:8px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:14px}
.stack>*+*{margin-top:14px}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500;font-size:12.5px}
th:first-child,td:first-child,.left{text-align:left}
td:first-child{white-space:normal;overflow-wrap:anywhere}
tr:last-child td,.words tr:last-child th{border-bottom:0}
tr.sum td{font-weight:600;border-top:2px solid #c3cad3}
.words th{width:110px;vertical-align:top}
.words td{text-align:left;white-space:normal}
footer{margin-top:44px;color:var(--soft);font-size:12.5px}
@media(max-width:760px){.two{grid-template-columns:1fr}}
@media print{body{background:#fff;font-size:11.5px}main{max-width:none;padding:0}
 h2{break-after:avoid;margin-top:22px}.tile b{font-size:19px}.card{overflow:visible}
 tr{break-inside:avoid}table{font-size:10px}th{font-size:9.5px}th,td{padding:3px 5px}
 .words th{width:80px}}
"""
_HEAD = ("true", "events", "hit", "missed", "false", "precision", "recall", "F1")


def page(
    report: Report,
    *,
    title: str = "Evaluation",
    shown: Sequence[SessionResult] = (),
    learning: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> str:
    """Return a report as an HTML page, the same for the same report.

    Parameters
    ----------
    report : Report
        With its runs kept, so that there are probabilities to draw.
    title : str
    shown : sequence of SessionResult
        Sessions whose timelines are drawn; the one with most mistakes when empty.
    learning : mapping or None
        Learning curves by fold; see `curves.learning`.

    Raises
    ------
    StreamRNNError
        matplotlib is not installed.
    """
    style.require_matplotlib()
    document = report.to_dict()
    body = [
        _header(report, title),
        _tiles(report, document),
        _section("Gestures", _card(_classes(report))),
        _section("In words", _words(report)),
        _timelines(report, shown),
        _section("When events come", _two(_delays(report))),
        _section("What is confused", _two(_confusions(report, document))),
        _section("Certainty", _two(_certainty(report, learning))),
        _section("People", _card(_groups(document["subjects"], "subject"))),
        _section("Left out in turn", _card(_folds(document["folds"]))),
        _section("Sessions", _card(_groups(document["sessions"], "session"))),
        f"<footer>Made by streamrnn {_text(__version__)}. Intervals are exact for counts "
        "(Garwood 1936) and Student's t for means of people and sessions.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def worst(report: Report) -> SessionResult | None:
    """Return the session with most mistakes, the first of several; None without sessions."""
    return max(report.sessions, key=lambda result: result.n_mistakes, default=None)


def _text(text: object, limit: int = 200) -> str:
    return escape(printable(str(text), limit), quote=True)


def _section(heading: str, inside: str) -> str:
    return f"<section>\n<h2>{_text(heading)}</h2>\n{inside}\n</section>" if inside else ""


def _card(inside: str) -> str:
    return f'<div class="card">{inside}</div>' if inside else ""


def _two(parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return f'<div class="two">\n{inside}\n</div>' if parts else ""


def _picture(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{_text(caption, 600)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], *, total: bool = False) -> str:
    """Return a table whose first column is words and whose others are figures."""
    out = ["<table><thead><tr>", *(f"<th>{_text(h)}</th>" for h in head), "</tr></thead><tbody>"]
    for k, row in enumerate(rows):
        out.append('<tr class="sum">' if total and k == len(rows) - 1 else "<tr>")
        out += [f"<td>{_text(cell)}</td>" for cell in row]
        out.append("</tr>")
    return "".join([*out, "</tbody></table>"])


def _header(report: Report, title: str) -> str:
    n_subjects = len(report.groups("subject"))
    people = f" of {n_subjects} subject{'s' * (n_subjects != 1)}" if n_subjects else ""
    n = report.n_sessions
    said = f"{n} session{'s' * (n != 1)}{people}, {report.n_frames:,} frames"
    model = f'<p class="mono soft">model {_text(report.model)}</p>' if report.model else ""
    return f'<h1>{_text(title)}</h1>\n<p class="soft">{_text(said)}</p>{model}'


def _tiles(report: Report, document: dict[str, Any]) -> str:
    total, facts = report.total, document["false_activations"]
    tiles = [
        (f"{report.macro_f1:.3f}", "mean F1 of the gestures"),
        (f"{total.n_hit} of {total.n_true}", "gestures found"),
    ]
    if facts["per_hour"] is not None:
        low, high = (f"{facts[key]:.2f}" for key in ("low", "high"))
        span = f"95 %: {low} to {high}, from {hours_words(facts['null_hours'])}"
        tiles.append((f"{facts['per_hour']:.2f}", f"false activations an hour ({span})"))
    elif facts["per_1000_null_frames"] is not None:
        said = f"false activations per 1,000 frames without gestures ({facts['n_in_null']} in all)"
        tiles.append((f"{facts['per_1000_null_frames']:.2f}", said))
    delay, unit = document["delay_ms"], "ms"
    if delay is None:
        delay, unit = document["delay_frames"], "frames"
    if delay is not None:
        said = f"median delay from the onset (95 % within {delay['p95']:.0f})"
        tiles.append((f"{delay['p50']:.0f} {unit}", said))
    cells = "".join(
        f'<div class="tile"><b>{_text(value)}</b><span>{_text(what)}</span></div>'
        for value, what in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _classes(report: Report) -> str:
    total = report.total
    rows: list[list[object]] = [
        [label, *_cells(score.n_true, score.n_found, score.n_hit), *_shares(
            score.precision, score.recall, score.f1)]
        for label, score in report.by_class.items()
    ]  # fmt: skip
    rows.append([
        "all, F1: mean of the gestures",
        *_cells(total.n_true, total.n_found, total.n_hit),
        *_shares(total.precision, total.recall, report.macro_f1),
    ])  # fmt: skip
    return _table(("gesture", *_HEAD), rows, total=True)


def _cells(n_true: int, n_found: int, n_hit: int) -> list[object]:
    return [n_true, n_found, n_hit, n_true - n_hit, n_found - n_hit]


def _shares(*values: float) -> list[object]:
    return [f"{value:.3f}" for value in values]


def _words(report: Report) -> str:
    rows = "".join(
        f"<tr><th>{_text(topic)}</th><td>{_text(line, 600)}</td></tr>"
        for topic, line in lines(report)
    )
    return f'<div class="card"><table class="words">{rows}</table></div>'


def _timelines(report: Report, shown: Sequence[SessionResult]) -> str:
    picked = list(shown)
    why = ""
    if not picked:
        one = worst(report)
        picked = [] if one is None or one.run is None else [one]
        if one is not None and one.n_mistakes and report.n_sessions > 1:
            why = ", the session with most mistakes"
    figures = []
    for k, result in enumerate(picked):
        parts = strips(result)
        whole = sum(end - start for start, end in parts) >= result.end_us - result.start_us
        part = "" if whole else "; the stretches with most mistakes are shown"
        n_false = len(result.found) - len(result.pairs)
        counts = (
            f"{len(result.missed)} of {len(result.truth)} gestures missed, "
            f"{n_false} false event{'s' * (n_false != 1)}"
        )
        caption = f"{printable(result.name)}{why}: {counts}{part}."
        figures.append(_picture(timeline(result, f"timeline{k}"), caption))
    return _section("Timeline", f'<div class="stack">{"".join(figures)}</div>' if figures else "")


def _delays(report: Report) -> list[str]:
    if not report.timings:
        return []
    unit = "frames" if report.nominal else "ms"
    delays = report.delays_frames if report.nominal else [us / 1e3 for us in report.delays_us]
    return [
        _picture(curves.delay_histogram(delays, unit), "How long after its onset each found "
                 "gesture was known."),
        _picture(curves.score_against_delay(report.delay_curve(), unit), "The score if an event "
                 "only counted when it was out by then; the events are those of this decision."),
    ]  # fmt: skip


def _confusions(report: Report, document: dict[str, Any]) -> list[str]:
    names, table = report.event_confusion()
    frames = document["frames"]
    return [
        _picture(
            matrix.confusion(names, table, "events", found="found", true="true", shares=False),
            "Events. First row: events where there was no gesture, or a second one for the same. "
            "First column: gestures without an event.",
        ),
        _picture(
            matrix.confusion(frames["labels"], report.frame_confusion()[1], "frames",
                             found="class of the event that covers the frame",
                             true="class of the frame", shares=True),
            f"Frames, per cent of each row: accuracy {frames['accuracy']:.3f}, mean F1 "
            f"{frames['macro_f1']:.3f}.",
        ),
    ]  # fmt: skip


def _certainty(
    report: Report,
    learning: Mapping[str, Sequence[Mapping[str, Any]]] | None,
) -> list[str]:
    parts = []
    trade = det_curve(report.sessions)
    if trade is not None:
        parts.append(
            _picture(
                curves.det(trade.points, trade.here, trade.unit),
                "What a stricter or laxer common threshold would do on these recordings "
                "(detection error trade-off).",
            )
        )
    if report.frame_reliability.error is not None:
        parts.append(
            _picture(
                curves.reliability(report.frame_reliability, report.event_reliability),
                "Said and true: on the diagonal, 0.8 means right 8 times in 10.",
            )
        )
    if learning:
        several = f" of {len(learning)} trainings" if len(learning) > 1 else ""
        parts.append(_picture(curves.learning(learning), f"Learning curve{several}."))
    return parts


def _groups(groups: Sequence[Mapping[str, Any]], by: str) -> str:
    if len(groups) < 2:
        return ""
    people = by == "subject"  # a session may hold one class: a mean over classes says little
    rows = [
        [g["name"], g["n_sessions" if people else "subject"],
         *_cells(g["n_true"], g["n_found"], g["n_hit"]), g["n_in_null"],
         *_shares(g["precision"], g["recall"], g["macro_f1" if people else "f1"])]
        for g in groups
    ]  # fmt: skip
    second, last = ("sessions", "mean F1") if people else ("subject", "F1")
    return _table((by, second, *_HEAD[:5], "in null", "precision", "recall", last), rows)


def _folds(folds: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [f["left_out"], f["n_frames_trained"], *_cells(f["n_true"], f["n_found"], f["n_hit"]),
         *_shares(f["precision"], f["recall"], f["macro_f1"])]
        for f in folds
    ]  # fmt: skip
    return _table(("left out", "frames trained on", *_HEAD[:-1], "mean F1"), rows) if rows else ""
