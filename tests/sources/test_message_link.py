from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_make import MemoryCarrier, text_messages, wire_messages

from streamrnn.core.errors import SourceError
from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.types import Frames, Gap
from streamrnn.sources.messages.link import MessageLink, ended, is_text
from streamrnn.sources.stream import StreamSource


def opened(carrier: MemoryCarrier) -> MessageLink:
    link = MessageLink(carrier, clock=carrier.clock)
    assert isinstance(link, Link)
    link.open()
    return link


def test_a_line_without_its_end_gets_one() -> None:
    assert ended(b"1,2,3") == b"1,2,3\n"
    assert ended(b"temp:21.5|g") == b"temp:21.5|g\n"
    assert ended(b"1\r\n") == b"1\r\n"
    packet = wire_messages(1)[1]
    assert ended(packet) == packet
    assert ended(packet[:-1]) == packet


@given(st.binary(max_size=200))
def test_a_message_ends_in_an_end_and_keeps_its_bytes(message: bytes) -> None:
    out = ended(message)
    assert out.startswith(message)
    assert len(out) <= len(message) + 1
    assert out[-1:] in (b"\0", b"\n", b"\r")


def test_text_has_no_control_characters() -> None:
    assert is_text("µV:1.5\t2\r\n".encode())
    assert not is_text(b"1,2\x1b[2J")
    assert not is_text(wire_messages(1)[1])


def test_the_first_sender_wins_while_it_speaks() -> None:
    carrier = MemoryCarrier()
    link = opened(carrier)
    link.write(b"?")  # nobody to tell
    carrier.inbox = [("noise", b"\x07\x08"), ("a", b"1\n"), ("b", b"2\n"), ("a", b"3\n")]
    assert b"".join(link.read(0.01) for _ in range(4)) == b"1\n3\n"
    assert link.extra == {"n_foreign_messages": 2}
    link.write(b"!")
    assert carrier.sent == [("a", b"!")]
    carrier.inbox = []
    with pytest.raises(LinkLostError, match="nothing came for 3 s"):
        link.read(10.0)
    link.close()
    for _ in range(3):
        with pytest.raises(SourceError, match="silent"):
            link.open()
    assert carrier.n_opened == 2  # once again, not once a try
    carrier.inbox = [("b", b"4\n"), ("a", b"5\n")]
    link.open()
    assert link.read(0.1) == b"4\n"
    assert link.read(0.01) == b""
    link.close()


def test_nothing_at_all_is_no_silence() -> None:
    carrier = MemoryCarrier()
    link = opened(carrier)
    for _ in range(100):
        assert link.read(0.1) == b""


def test_a_held_datagram_comes_in_time() -> None:
    carrier = MemoryCarrier()
    link = opened(carrier)
    head, zero, _, two, _ = wire_messages(3)
    carrier.inbox = [("a", head), ("a", zero), ("a", two)]
    assert link.read(1.0) + link.read(1.0) == head + zero
    begin_s = carrier.now_s
    assert link.read(1.0) == two
    assert carrier.now_s < begin_s + 0.03


def test_a_carrier_that_breaks_is_a_lost_link() -> None:
    carrier = MemoryCarrier()
    link = opened(carrier)
    carrier.inbox = [("a", b"1\n")]
    link.read(0.1)
    with pytest.raises(LinkLostError):
        link.read(10.0)
    link.close()
    link_is_back_but_breaks(carrier, link)


def link_is_back_but_breaks(carrier: MemoryCarrier, link: MessageLink) -> None:
    with pytest.raises(SourceError):
        link.open()
    carrier.is_broken = True
    with pytest.raises(SourceError, match="broken"):
        link.open()
    assert not carrier.is_open
    with pytest.raises(SourceError, match="not there"):
        link.open()
    carrier.is_broken = False
    carrier.inbox = [("a", b"2\n")]
    link.open()
    assert link.read(0.1) == b"2\n"


def test_a_sender_that_falls_silent_is_a_gap_and_comes_back() -> None:
    carrier = MemoryCarrier()
    link = MessageLink(carrier, clock=carrier.clock)
    carrier.inbox = [("a", line) for line in text_messages(5, end="")]
    source = StreamSource(link, 100.0, clock=carrier.clock)
    source.open()
    items = [item for _ in range(320) for item in source.read(0.01)]
    assert sum(len(item) for item in items if isinstance(item, Frames)) == 5
    assert [item for item in items if isinstance(item, Gap)] == [Gap("unplug", restart=True)]
    carrier.inbox = [("other", line) for line in text_messages(4, end="")]
    items = [item for _ in range(20) for item in source.read(0.01)]
    assert sum(len(item) for item in items if isinstance(item, Frames)) == 4
    assert source.counters.n_unplugs == 1
    source.close()
