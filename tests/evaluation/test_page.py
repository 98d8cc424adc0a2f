"""The page: one file, nothing from outside, every name harmless, the same every time."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from html.parser import HTMLParser

import pytest

from streamrnn.core.errors import StreamRNNError
from streamrnn.core.types import Label
from streamrnn.evaluation.det import det_curve
from streamrnn.evaluation.html import page, worst
from streamrnn.evaluation.pictures import style
from streamrnn.evaluation.pictures.timeline import MOST_STRIPS, strips
from streamrnn.evaluation.report import FoldFacts, Report, evaluate
from streamrnn.kernels.backend import get_backend

from evaluation_make import follower, session_of  # isort: skip

LABELS = [Label("up", 200_000, 600_000), Label("down", 1_000_000, 1_400_000)]
EVIL = '</title><script>alert("&amp;")</script>-->$\\frac$ \x1b[31m\u202e'
CURVE = [{"epoch": k, "loss": 1 / k, "held_out_f1": 1 - 1 / k} for k in range(1, 6)]


def report_of(*names: str, label: str = "down", n: int = 100) -> Report:
    report = Report(("up",), keep_runs=True, model="sha256:00ff")
    labels = [LABELS[0], Label(label, 1_000_000, 1_400_000)]
    sessions = [session_of(labels, n=n, subject=f"{name} herself") for name in names]
    return evaluate(follower(), sessions, get_backend("numpy"), report=report, names=names)


@cache
def usual() -> str:
    """Return a page with everything on it, drawn once for all who only read it."""
    report = report_of("a.mcap", "b.mcap")
    report.folds.append(FoldFacts("anna", ("a.mcap",), 100))
    curves = {"anna": CURVE, "ben": CURVE[:3]}
    return page(report, title="Evaluation of m.safetensors", learning=curves)


class Parsed(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "path", "use", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in ("path", "use"):
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def titles(text: str) -> set[str]:
    return {attrs["aria-label"] for tag, attrs in Parsed(text).tags if tag == "svg"}


def test_a_page_has_each_picture_and_each_figure():
    text = usual()
    assert titles(text) == {
        "Timeline of a.mcap",
        "Histogram of the delays",
        "Score against the deadline",
        "Confusion: true against found",
        "Confusion: class of the frame against class of the event that covers the frame",
        "Misses against false activations",
        "Calibration of the probabilities",
        "Learning curve",
    }
    seen = Parsed(text)
    assert not seen.open  # every tag is closed
    for words in (
        "Evaluation of m.safetensors",
        "sha256:00ff",
        "a.mcap herself",
        "mean F1 of the gestures",
        "false activations an hour",
        "Left out in turn",
    ):
        assert words in seen.text


def test_nothing_is_loaded_and_nothing_runs():
    text = usual()
    assert "http:" not in text
    assert "https:" not in text
    for tag, attrs in Parsed(text).tags:
        assert tag not in ("script", "link", "img", "image", "iframe", "object", "base")
        assert not {"src", "srcset", "xlink:href", "action"} & attrs.keys()
        assert attrs.get("href", "#").startswith("#")
        assert not any(key.startswith("on") for key in attrs)
    assert all(ref.startswith("#") for ref in re.findall(r"url\(([^)]*)\)", text))
    assert "default-src 'none'" in text


def test_references_within_a_picture_lead_to_something():
    text = usual()
    ids = [attrs["id"] for _, attrs in Parsed(text).tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {*re.findall(r"url\(#([^)]*)\)", text), *re.findall(r'href="#([^"]*)"', text)}
    assert wanted
    assert wanted <= set(ids)


def test_names_are_only_ever_text():
    text = page(report_of(EVIL, label=EVIL), title=EVIL, learning={EVIL: CURVE})
    seen = Parsed(text)
    assert not seen.open
    assert all(tag != "script" for tag, _ in seen.tags)
    assert '</title><script>alert("&amp;")</script>' in seen.text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_same_report_is_the_same_page():
    assert usual() == usual.__wrapped__()


def test_the_session_with_most_mistakes_is_drawn_unless_another_is_asked_for():
    report = Report(("up",), keep_runs=True)
    sessions = [session_of(LABELS[:1]), session_of(LABELS)]
    evaluate(
        follower(), sessions, get_backend("numpy"), report=report, names=["good.mcap", "bad.mcap"]
    )
    assert worst(report) is report.sessions[1]
    assert "Timeline of bad.mcap" in titles(page(report))
    asked = titles(page(report, shown=report.sessions[:1]))
    assert "Timeline of good.mcap" in asked
    assert "Timeline of bad.mcap" not in asked


def test_of_a_long_session_the_stretches_with_mistakes_are_drawn():
    labels = [Label("up", k * 1_000_000, k * 1_000_000 + 400_000) for k in range(100)]
    labels[50] = Label("down", 50_000_000, 50_400_000)
    report = Report(("up",), keep_runs=True)
    session = session_of(labels, n=5000)
    evaluate(follower(), [session], get_backend("numpy"), report=report)
    parts = strips(report.sessions[0])
    assert len(parts) == MOST_STRIPS
    assert any(start <= 50_000_000 < end for start, end in parts)
    assert parts == sorted(parts)


def test_a_report_without_events_or_labels_has_a_page():
    report = Report(("up",), keep_runs=True)
    evaluate(follower(), [session_of([])], get_backend("numpy"), report=report)
    assert "Histogram of the delays" not in titles(page(report))


def test_the_trade_off_passes_through_the_decision_as_it_is():
    report = report_of("a.mcap")
    curve = det_curve(report.sessions)
    assert curve is not None
    # The network is sure: at no usual threshold does anything change. The second gesture is one
    # that the model does not know, so it takes no part.
    assert curve.here == (pytest.approx(3600 / 1.6), 0.0)
    assert curve.here in curve.points
    assert curve.unit == "an hour"


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(style, "find_spec", lambda name: None)
    with pytest.raises(StreamRNNError, match=r"pip install 'streamrnn\[report\]'"):
        page(report_of("a.mcap"))
    assert importlib.util.find_spec("matplotlib") is not None
