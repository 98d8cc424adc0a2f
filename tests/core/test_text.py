"""Text from outside never steers a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.text import counted, did_you_mean, printable


@given(st.text(max_size=300))
def test_printable_text_has_no_control_characters_and_a_bounded_length(text: str) -> None:
    safe = printable(text, 80)
    assert len(safe) <= 80
    assert all(c.isprintable() for c in safe)


def test_plain_text_stays_and_escapes_show() -> None:
    assert printable("acc_x für 3°") == "acc_x für 3°"
    assert printable("\x1b[2Jgone\n") == "\\x1b[2Jgone\\n"
    assert printable("a" * 200, 10) == "aaaaaaa..."


def test_the_nearest_name_is_offered() -> None:
    assert did_you_mean("trian", ["train", "run"]) == " (did you mean 'train'?)"
    assert did_you_mean("qqq", ["train"]) == ""


def test_one_is_no_plural() -> None:
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
