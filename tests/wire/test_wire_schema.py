"""HELLO is never trusted: what makes no sense is one line, and small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_make import make_hello

from streamrnn.core.errors import WireError
from streamrnn.core.types import Channel
from streamrnn.wire.packet import MAX_PAYLOAD
from streamrnn.wire.schema import ChannelGroup, Hello

NAMES = st.text(
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20
)


@st.composite
def hellos(draw: st.DrawFn) -> Hello:
    names = draw(st.lists(NAMES, min_size=1, max_size=20, unique=True))
    cut = draw(st.integers(1, len(names)))
    groups = tuple(
        ChannelGroup(
            tuple(part),
            draw(NAMES),
            draw(st.sampled_from(["i16", "f32"])),
            draw(st.floats(1e-30, 1e30)),
            draw(st.floats(-1e30, 1e30)),
        )
        for part in (names[:cut], names[cut:])
        if part
    )
    rate_hz = draw(st.floats(0.001, 1e6))
    return Hello(draw(NAMES), draw(NAMES), draw(NAMES), rate_hz, groups, draw(st.integers(0, 255)))


@given(hellos())
def test_a_hello_survives_its_json(hello: Hello) -> None:
    assert Hello.from_json(hello.to_json(), hello.schema_id) == hello


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_random_bytes_are_an_error_of_one_line(payload: bytes) -> None:
    with pytest.raises(WireError) as caught:
        Hello.from_json(payload)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def document(**changes: Any) -> dict[str, Any]:
    group = {"names": ["a"], "unit": "g", "dtype": "i16", "scale": 1, "offset": 0}
    base = {"name": "n", "firmware": "f", "boot_id": "b", "rate_hz": 100, "groups": [group]}
    group.update({k[1:]: v for k, v in changes.items() if k.startswith("_")})
    base.update({k: v for k, v in changes.items() if not k.startswith("_")})
    return base


HOSTILE: dict[str, Any] = {
    "rate 0": {"rate_hz": 0},
    "rate too low": {"rate_hz": 1e-4},
    "rate too high": {"rate_hz": 2e6},
    "rate of text": {"rate_hz": "100"},
    "rate true": {"rate_hz": True},
    "rate too large for a float": {"rate_hz": 10**400},
    "rate missing": {"rate_hz": None},
    "name a number": {"name": 7},
    "no groups": {"groups": []},
    "groups no list": {"groups": {}},
    "group no object": {"groups": [7]},
    "too many groups": {"groups": [{}] * 300},
    "names no list": {"_names": "abc"},
    "name no string": {"_names": [1]},
    "name empty": {"_names": [""]},
    "no names": {"_names": []},
    "two names alike": {"_names": ["x\x1b[31m", "x\x1b[31m"]},
    "too many names": {"_names": [str(n) for n in range(257)]},
    "dtype unknown": {"_dtype": "f64\x1b"},
    "scale 0": {"_scale": 0},
    "scale 0 as float32": {"_scale": 1e-60},
    "scale beyond float32": {"_scale": 1e39},
    "offset beyond float32": {"_offset": -1e39},
    "unit a list": {"_unit": []},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused(name: str) -> None:
    with pytest.raises(WireError, match=r"^HELLO") as caught:
        Hello.from_json(json.dumps(document(**HOSTILE[name])).encode())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 4000,
        b'{"rate_hz":NaN}',
        b'{"rate_hz":-Infinity}',
        b"\xff\xfe",
        b"7",
        b" " * (MAX_PAYLOAD + 1),
    ],
)
def test_payloads_that_are_no_object_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match=r"^HELLO"):
        Hello.from_json(payload)


def test_texts_are_bounded_and_printable() -> None:
    hello = Hello.from_json(
        json.dumps(document(name="\x1b]0;x\x07" + "y" * 300, _names=["a\nb"])).encode()
    )
    assert hello.name.isprintable()
    assert len(hello.name) == 64
    assert hello.groups[0].names == ("a\\nb",)


def test_what_the_stream_is() -> None:
    hello = make_hello(dtypes=("i16", "f32"), n=2, rate_hz=80)
    info = hello.stream_info()
    assert info.channels[0] == Channel("i16_0_0", "g")
    assert info.n_channels == hello.n_channels == 4
    assert hello.frame_bytes == 2 * 2 + 2 * 4
    assert hello.max_frames == MAX_PAYLOAD // 12
    assert (info.rate_hz, info.name, info.boot_id) == (80, "board", "b1")


def test_a_hello_that_does_not_fit_into_a_packet_says_so() -> None:
    names = tuple(f"a_rather_long_channel_name_{n}" for n in range(250))
    with pytest.raises(WireError, match="shorter names"):
        Hello("n", "f", "b", 100.0, (ChannelGroup(names),)).to_json()


def test_a_schema_id_is_one_byte() -> None:
    with pytest.raises(WireError, match="schema_id"):
        make_hello(schema_id=256)
