"""Text lines against Python's own float()."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_make import flat, frames_of, push_cut

from streamrnn.core.types import Channel, StreamInfo
from streamrnn.wire.text import MAX_LINE, PIECE_BYTES, TextDecoder

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
CUTS = st.lists(st.integers(1, 80), min_size=1, max_size=5)


def plain_values(line: str) -> list[float] | None:
    """What a line holds, by regular expressions and float(); None: junk."""
    line = line.strip(" \t")
    checked = re.fullmatch(r"(\$?)(.*)\*([0-9a-fA-F]{2})", line, re.S)
    if checked:
        parity = 0
        for c in checked[2].encode("latin-1"):
            parity ^= c
        if parity != int(checked[3], 16):
            return None
        line = checked[2].strip(" \t")
    if not line:
        return []
    parts = [part.strip(" \t") for part in re.split("[,;]", line)]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if not all(parts):
        return None
    words = [word for part in parts for word in re.split("[ \t]+", part)]
    if not all(NUMBER.match(word) for word in words):
        return None
    with np.errstate(over="ignore"):
        singles = [np.float32(float(word)) for word in words]
    return None if not np.isfinite(singles).all() else [float(single) for single in singles]


def assert_one_ulp(got: np.ndarray, wanted: list[list[float]]) -> None:
    expected = np.array(wanted, np.float32).reshape(got.shape)
    ulps = got.view(np.int32).astype(np.int64) - expected.view(np.int32)
    assert np.abs(ulps).max(initial=0) <= 1


def words() -> st.SearchStrategy[str]:
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
    return st.one_of(
        finite.map(repr),
        finite.map("{:.3f}".format),
        finite.map("{:+.9e}".format),
        st.integers(-(10**12), 10**12).map(str),
        st.decimals(-1000, 1000, places=9).map("{:f}".format),
        st.from_regex(NUMBER, fullmatch=True).map(str.strip).filter(lambda w: len(w) < 60),
        st.sampled_from(["1e39", "-1e999", "1e-60", "0e999", "000000000000000000001", "3.", ".5"]),
    )


@given(st.lists(st.lists(words(), min_size=2, max_size=2), min_size=1, max_size=20))
def test_numbers_are_pythons_within_one_float32_ulp(rows: list[list[str]]) -> None:
    decoder = TextDecoder(2)
    lines = [",".join(row) for row in rows]
    items = decoder.push("\n".join(["0,0", *lines, ""]).encode())
    wanted = [values for line in lines if (values := plain_values(line)) is not None]
    frames = frames_of(items)
    assert frames.x.shape == (len(wanted) + 1, 2)
    assert_one_ulp(frames.x[1:], wanted)
    assert decoder.counters.n_bad_content == len(lines) - len(wanted)


SEPARATORS = [",", ";", "\t", " ", ", ", " ,", ",,", "; ;", " - ", ""]
ENDS = ["\n", "\r\n", "\r", "\n\n", " \n", ",\n", ",,\n", "*00\n"]


@given(st.integers(0, 2**32), CUTS)
def test_lines_are_the_plain_oracles_in_any_chunks(seed: int, cuts: list[int]) -> None:
    rng = random.Random(seed)
    text = "1,2\n"
    for _ in range(rng.randint(1, 30)):
        n = rng.choice([1, 2, 2, 2, 2, 3])
        line = rng.choice(SEPARATORS).join(
            f"{rng.uniform(-9, 9):.{rng.randint(0, 9)}f}" for _ in range(n)
        )
        kind = rng.random()
        if kind < 0.1:
            line = rng.choice(["ax,ay", "nan,1", "inf 1", "0x1,2", "1_0,2", "#1,2", "é,1", "\0,1"])
        elif kind < 0.2:
            parity = 0
            for c in line.encode():
                parity ^= c
            line = (
                rng.choice(["", "$"])
                + f"{line}*{parity ^ rng.choice([0, 0, 1]):02{rng.choice('xX')}}"
            )
        elif kind < 0.25:
            line += " " * MAX_LINE
        text += line + rng.choice(ENDS)
    text += "7,8"  # without its end
    data = text.encode("latin-1")
    wanted, n_bad = [], 0
    for line in re.split("[\r\n]", text)[:-1]:
        values = plain_values(line) if len(line) <= MAX_LINE else None
        if values is not None and len(values) == 2:
            wanted.append(values)
        elif values != []:
            n_bad += 1
    decoder, cut = TextDecoder(2, 50.0), TextDecoder(2, 50.0)
    items = decoder.push(data)
    frames = frames_of(items)
    assert_one_ulp(frames.x, wanted)
    assert frames.seq.tolist() == list(range(len(wanted)))
    assert frames.t_us.tolist() == [20_000 * n for n in range(len(wanted))]
    counters = decoder.counters
    assert counters.n_bad_content + counters.n_bad_crc + counters.n_oversize == n_bad
    assert counters.n_packets == counters.n_frames == len(wanted)
    assert flat(push_cut(cut, data, cuts)) == flat(items)
    assert cut.counters == counters


def test_three_lines_that_agree_settle_the_channels_and_are_not_lost() -> None:
    decoder = TextDecoder(rate_hz=100.0)
    assert decoder.push(b"3.5,1\n1,2,3\n4,5,6\n") == []
    assert decoder.n_channels is None
    info, frames = decoder.push(b"7,8,9\n1,2\n10,11,12\n")
    assert info == StreamInfo((Channel("ch0"), Channel("ch1"), Channel("ch2")), 100.0)
    assert frames_of([frames]).x.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
    assert frames_of([frames]).t_us.tolist() == [0, 10_000, 20_000, 30_000]
    assert decoder.n_channels == 3
    assert decoder.counters.extra == {"n_half_lines": 1}
    assert decoder.counters.n_bad_content == 1


def test_junk_between_breaks_the_agreement_and_what_was_held_is_counted() -> None:
    decoder = TextDecoder()
    assert decoder.push(b"hello\n1,2\n3,4\nboot\n5,6\n7,8\n*FF\n1\n") == []
    counters = decoder.counters
    assert counters.n_bad_content == 2 + 1 + 2
    assert counters.n_bad_crc == 1
    assert counters.extra == {"n_half_lines": 1}
    items = decoder.push(b"2\n3\n")
    assert frames_of(items).x.tolist() == [[1], [2], [3]]
    assert frames_of(items).t_us.tolist() == [0, 0, 0]


def test_a_held_first_line_of_another_arity_is_the_half_line() -> None:
    decoder = TextDecoder()
    items = decoder.push(b"4\n1,2\n3,4\n5,6\n")
    assert frames_of(items).x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert decoder.counters.n_bad_content == 0
    assert decoder.counters.extra == {"n_half_lines": 1}


def test_with_known_channels_the_first_line_may_be_half() -> None:
    decoder = TextDecoder(2)
    assert frames_of(decoder.push(b"5\n1,2\n")).x.tolist() == [[1, 2]]
    assert decoder.counters.n_bad_content == 0
    decoder.resync()
    items = decoder.push(b"9\n3,4\n5,")
    assert frames_of(items).seq.tolist() == [1]
    assert decoder.counters.extra == {"n_half_lines": 2}
    decoder.resync()
    assert frames_of(decoder.push(b"6,7\n")).x.tolist() == [[6, 7]]


def test_reset_starts_a_new_stream() -> None:
    decoder = TextDecoder()
    decoder.push(b"1,2\n1,2\n1,2\n1,")
    decoder.reset()
    assert decoder.n_channels is None
    items = decoder.push(b"1\n2\n3\n")
    assert isinstance(items[0], StreamInfo)
    assert frames_of(items).seq.tolist() == [0, 1, 2]
    assert decoder.counters.n_frames == 6


def test_a_line_without_end_is_bounded_and_counted_once() -> None:
    decoder = TextDecoder(1)
    decoder.push(b"1\n")
    for _ in range(100):
        decoder.push(b"1" * 1000)
    items = decoder.push(b"\n2\n")
    assert frames_of(items).x.tolist() == [[2]]
    assert decoder.counters.n_oversize == 1
    longest = b"1 " * (MAX_LINE // 2 - 1) + b"11\n"
    decoder = TextDecoder(MAX_LINE // 2)
    assert frames_of(decoder.push(longest)).x.shape == (1, MAX_LINE // 2)
    assert frames_of(TextDecoder().push(longest * 3)).x.shape == (3, MAX_LINE // 2)


def test_a_push_larger_than_the_columns_gives_all() -> None:
    data = b"1\n" * (3 * PIECE_BYTES)
    _, frames = TextDecoder(1).push(data)
    assert frames_of([frames]).seq.tolist() == list(range(3 * PIECE_BYTES))
    wide = b"1 2 3 4 5 6 7\n" * 30_000
    assert len(frames_of(TextDecoder(7).push(wide))) == 30_000


def test_random_bytes_do_not_raise() -> None:
    decoder = TextDecoder()
    decoder.push(np.random.default_rng(3).bytes(300_000))
    counters = decoder.counters
    assert counters.n_bad_content > 100


@pytest.mark.parametrize("n_channels", [0, -1, 257])
def test_a_number_of_channels_that_cannot_be(n_channels: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.256"):
        TextDecoder(n_channels)
