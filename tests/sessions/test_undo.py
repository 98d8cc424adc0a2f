"""Labels that are taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_make import INFO, assert_same, frames_of, session_of

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Label
from streamrnn.sessions import label_book
from streamrnn.sessions.describe import describe
from streamrnn.sessions.label_book import LabelBook
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.writer import SessionWriter, write_session

#: What is done at a step: begin, end the oldest open one, take back the newest, or nothing.
steps = st.lists(st.sampled_from(["begin", "end", "undo", ""]), max_size=24)


@settings(max_examples=60)
@given(steps=steps, every=st.integers(1, 6), cut_chunks=st.integers(0, 8))
def test_what_was_taken_back_is_gone_and_a_cut_keeps_what_came_before(
    steps: list[str], every: int, cut_chunks: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against plain bookkeeping, at every flush: the state there is what a cut file reads as."""
    path = tmp_path_factory.mktemp("undo") / "a.mcap"
    names: dict[int, str] = {}
    open_now: list[int] = []
    snapshots: list[tuple[int, set[str]]] = []
    with SessionWriter(path, INFO) as writer:
        for n, step in enumerate(steps):
            writer.write(frames_of(5, first=5 * n))
            if step == "begin":
                number = writer.begin(f"label {n}", source="guide")
                names[number] = f"label {n}"
                open_now.append(number)
            elif step == "end" and open_now:
                writer.end(open_now.pop(0))
            elif step == "undo" and names:
                newest = max(names)
                assert writer.undo().name == names.pop(newest)
                open_now = [number for number in open_now if number != newest]
            if n % every == 0:
                writer.flush()
                snapshots.append((path.stat().st_size, set(names.values())))
    data = path.read_bytes()
    assert {label.name for label in read_session(path).labels} == set(names.values())
    for size, kept in snapshots[-1 - cut_chunks :]:
        path.write_bytes(data[:size])
        assert {label.name for label in read_session(path).labels} == kept


def test_any_label_can_be_taken_back_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        with pytest.raises(SessionError, match="no label to take back"):
            writer.undo()
        first, second, third = (writer.begin(name) for name in "abc")
        writer.write(frames_of(50))
        writer.end(second)
        assert writer.undo(second) == Label("b", 0, 500_000)
        for number in (second, 99):
            with pytest.raises(SessionError, match=f"no label {number}"):
                writer.undo(number)
        with pytest.raises(SessionError, match="not open"):
            writer.end(second)
        writer.end(first)
        assert writer.undo().name == "c"
        assert third == 2
    session = read_session(path)
    assert session.labels == [Label("a", 0, 500_000)]
    assert [label.name for label in session.undone] == ["b", "c"]
    assert session.problems == []
    assert describe(session)["undone"] == 2


def test_across_parts_it_is_gone_too(tmp_path: Path) -> None:
    now = [0]
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO, clock=lambda: now[0], rotate_ns=10**9) as writer:
        kept = writer.begin("kept")
        gone = writer.begin("gone")
        for k in range(4):
            writer.write(frames_of(100, first=100 * k))
            now[0] += 10**9
            if k == 1:
                writer.undo(gone)
        writer.end(kept)
    assert writer.n_parts > 2
    assert [label.name for label in read_session(path).labels] == ["kept"]


def test_a_whole_session_keeps_them(tmp_path: Path) -> None:
    want = session_of(100)
    want.labels = [Label("a", 0, 100_000, "guide"), Label("b", 300_000, 500_000, "guide")]
    want.undone = [Label("a", 150_000, 250_000, "guide")]
    write_session(tmp_path / "a.mcap", want)
    got = read_session(tmp_path / "a.mcap")
    assert_same(got, want)
    assert got.undone == want.undone


def test_the_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_book, "MAX_UNDO", 3)
    book = LabelBook()
    oldest = book.begin(Label("old", 0, 0))
    for n in range(5):
        book.end(book.begin(Label("x", n, n)), n)
    book.end(oldest, 9)  # an end does not make it a new one
    assert book.newest() == 5
    with pytest.raises(SessionError):
        book.undo(1)


@pytest.mark.parametrize("number", ["0", None, 1.5, [1]])
def test_an_undo_of_no_sense_is_left_out(tmp_path: Path, number: object) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        writer.begin("a")
        writer.write(frames_of(10))
        with writer._disk():
            writer._add_json(3, json.loads(json.dumps({"id": number, "phase": "undo"})), 0, 0)
    session = read_session(path)
    assert [label.name for label in session.labels] == ["a"]
    assert session.problems == ["1 label or event record of no sense left out"]
