"""A wrong baud rate is found out by trying the usual ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from baud_board import BaudBoard

from streamrnn.sources.ports.bauds import USUAL, find_baud, text_share
from streamrnn.sources.serial import SerialLink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ttyUSB0"


RATES = (115_200, 9_600, 921_600, 57_600)


@pytest.mark.parametrize(
    ("lines", "form"),
    [(b"", "wire"), (b"1.5,-2,0.25\r\n", "numbers")],
)
def test_the_rate_of_a_board_is_found(path: Path, lines: bytes, form: str) -> None:
    board = BaudBoard(path, 921_600, lines)
    board.plug()
    link = SerialLink(str(path))
    link.open()
    tried: list[int] = []
    try:
        assert find_baud(link, rates=RATES, trying=tried.append) == (921_600, form)
    finally:
        link.close()
        board.close()
    assert tried == [115_200, 9_600, 921_600]
    if lines:
        assert board.understood == []


def test_slow_lines_are_waited_for_and_not_spoken_to(path: Path) -> None:
    board = BaudBoard(path, 9_600, b"10 20\n", pause_s=0.2)
    board.plug()
    link = SerialLink(str(path))
    link.open()
    try:
        assert find_baud(link, rates=(9_600,)) == (9_600, "numbers")
    finally:
        link.close()
        board.close()
    assert board.understood == []


def test_a_line_that_makes_no_sense_at_any_rate_is_given_up(path: Path) -> None:
    board = BaudBoard(path, 4_711, b"x" * 40)
    board.plug()
    link = SerialLink(str(path))
    link.open()
    try:
        assert find_baud(link, rates=RATES[:2]) is None
    finally:
        link.close()
        board.close()


def test_a_rate_that_calls_boot_loaders_is_never_tried() -> None:
    assert 1_200 not in USUAL


def test_the_share_of_text() -> None:
    assert text_share(b"") == 0.0
    assert text_share(b"1,2\r\n") == 1.0
    assert text_share(b"ab\x00\xff") == 0.5
