"""What a board says in plain words is heard, between lines and between packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_make import (
    BOOT,
    N_BOOT_LINES,
    N_PANIC_LINES,
    PANIC,
    PANIC_WORDS,
    detector,
    line,
    values_of,
)
from wire_make import ENCODER, data, frames_of, make_hello, push_cut

from streamrnn.wire.words import MAX_WORDS, Words

FORMS = ("numbers", "named", "teleplot", "json")
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@pytest.mark.parametrize("form", FORMS)
def test_a_panic_inside_a_text_stream_is_junk_and_its_words_are_kept(form: str) -> None:
    lines = b"".join(line(form, values_of(i)) for i in range(5))
    reader = detector()
    reader.push(lines)
    assert reader.last_words == ""
    items = reader.push(PANIC + BOOT + lines)
    assert reader.last_words == PANIC_WORDS
    assert len(frames_of(items)) == 5
    assert reader.counters.n_bad_content == N_PANIC_LINES + N_BOOT_LINES
    n_text_lines = reader.n_text_lines
    assert reader.n_text_refused == n_text_lines
    assert 0 < n_text_lines <= N_PANIC_LINES + N_BOOT_LINES
    reader.push(BOOT + lines)
    words = reader.last_words
    assert words.startswith("rst:0x1 (POWERON_RESET)")
    reader.push(lines + lines[: len(lines) // 2].replace(b"0", b"#") + b"\r\n" + lines)
    assert reader.last_words == words  # damaged data is no text
    assert reader.n_text_lines < 2 * n_text_lines


@given(CUTS)
def test_the_words_do_not_depend_on_how_bytes_were_cut(cuts: list[int]) -> None:
    hello = make_hello()
    packets = [ENCODER.hello(hello), *(data(hello, n) for n in range(5))]
    wire = b"".join(packets)
    cut_short = data(hello, 5)[:9]
    streams = [b"".join(line(form, values_of(i)) for i in range(5)) for form in FORMS]
    for stream in (*streams, wire + cut_short):
        reader = detector()
        push_cut(reader, stream + PANIC + BOOT + b"\0" * (stream[-1:] != b"\n") + stream[:], cuts)
        assert reader.last_words == PANIC_WORDS


def test_a_panic_between_packets() -> None:
    hello = make_hello()
    reader = detector()
    reader.push(ENCODER.hello(hello) + data(hello, 0))
    reader.push(data(hello, 1)[:7] + PANIC[:50])
    assert reader.last_words == ""
    reader.push(PANIC[50:] + BOOT)
    items = reader.push(b"\0" + data(hello, 2))
    assert len(frames_of(items)) == 1
    assert reader.last_words == PANIC_WORDS
    assert reader.counters.n_bad_framing + reader.counters.n_bad_crc == 1
    assert reader.n_text_refused == 1


def test_what_is_said_before_the_first_packet_is_one_refused_run() -> None:
    hello = make_hello()
    reader = detector()
    reader.push(BOOT + PANIC + b"\0" + ENCODER.hello(hello) + data(hello, 0) + b"\x05\x01\0")
    assert reader.n_text_lines > 2
    assert reader.counters.n_bad_framing == 2
    assert reader.n_text_refused == 1


def test_good_packets_say_nothing() -> None:
    hello = make_hello(boot_id="Guru Meditation")
    reader = detector()
    reader.push(BOOT)
    before = reader.last_words
    reader.push(b"\0" + ENCODER.hello(hello) + data(hello, 0) + b"\x05\x01\0" + data(hello, 1))
    assert reader.counters.n_bad_framing == 2
    assert reader.last_words == before


def test_words_are_escaped_and_bounded_and_noise_is_not_words() -> None:
    words = Words()
    words.take(b"\x1b[2Jpanic " + b"x" * 1000)
    assert words.last.startswith(r"\x1b[2Jpanic xxx")
    assert len(words.last) == MAX_WORDS
    for noise in (b"12,3", b"\x80abc\x81\x82\x83", b"a b c", b""):
        words.take(noise)
    assert words.last.startswith(r"\x1b[2Jpanic")
    words.end_block()
    words.take(b"Low battery")
    words.take(b"WiFi connected")
    assert words.last == "WiFi connected"


def test_a_board_that_panics_and_falls_silent_is_heard() -> None:
    hello = make_hello()
    reader = detector()
    reader.push(ENCODER.hello(hello) + data(hello, 0))
    assert reader.last_words == ""
    reader.push(PANIC)
    assert reader.last_words == PANIC_WORDS
    assert reader.last_words == PANIC_WORDS  # asking changes nothing
    reader.push(b"\0" + data(hello, 1))
    assert reader.last_words == PANIC_WORDS
