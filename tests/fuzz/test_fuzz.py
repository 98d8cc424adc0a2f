"""Damaged, senseless and hostile input: a typed error or none, for every reader there is."""

from __future__ import annotations

import pytest
from fuzz_seeds import seeds
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

#: Bytes that readers tend to trip over: lengths and numbers at their limits, ends, deep nesting.
_STRANGE = (
    b"\x00", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80" + bytes(7), b"\n", b"\r\n",
    b"nan", b"-inf", b"1e999", b"9" * 40, b"[" * 300, b'{"a":' * 200, b"\x1b[2J\x07", b"\xc3\x28",
    b"\xef\xbb\xbf", b"../../etc/passwd", b"%s%n", b"'\"", b",,,,", b"\xff\xfe",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Draw a good input that was changed in a few places, or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 40))
        kind = draw(st.integers(0, 5))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = draw(st.sampled_from(_STRANGE))
        elif kind == 3:
            data[at:at] = data[max(0, at - length) : at]
        elif kind == 4:
            data[at : at + length] = draw(st.binary(max_size=length))
        else:
            other = draw(st.sampled_from(seeds(name)))
            data = data[:at] + other[draw(st.integers(0, len(other))) :]
    return bytes(data[:20_000])


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_is_read(name: str) -> None:
    for data in seeds(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=120)
@given(data=st.data())
def test_any_damage_is_read_or_refused_in_words(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(damaged(name)))
