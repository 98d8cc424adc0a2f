from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.types import Frames, Gap
from streamrnn.sources.messages.reorder import MAX_HELD, Reorder, is_wire
from streamrnn.wire.encode import Encoder
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import ChannelGroup, Hello

ENCODER = Encoder()


def hello(boot_id: str = "b") -> Hello:
    return Hello("mem", "", boot_id, 100.0, (ChannelGroup(("a", "b"), "", "i16", 1.0, 0.0),))


def data(first: int, n: int = 1) -> bytes:
    x = np.full((n, 2), first, np.int16)
    return ENCODER.data(hello(), (x,), first, first * 10_000)


def stream(lengths: list[int]) -> list[bytes]:
    """HELLO and datagrams of so many frames each; every third holds two packets."""
    datagrams, seq = [ENCODER.hello(hello(), 0)], 0
    for k, n in enumerate(lengths):
        datagram = data(seq, n)
        if k % 3 == 2:
            datagram += data(seq + n, n)
            seq += n
        datagrams.append(datagram)
        seq += n
    return datagrams


def shuffled(n: int, reach: int, choice: np.random.Generator) -> list[int]:
    """Indices of which none is more than `reach` places from home; the first stays."""
    keys = np.arange(n) + choice.uniform(0, reach, n)
    keys[0] = -1
    return [int(i) for i in np.argsort(keys, kind="stable")]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_what_is_near_home_is_put_back(lengths: list[int], seed: int) -> None:
    datagrams = stream(lengths)
    order = shuffled(len(datagrams), MAX_HELD - 2, np.random.default_rng(seed))
    reorder = Reorder()
    out = [x for i in order for x in reorder.push(datagrams[i], 0.0)]
    assert out == datagrams
    assert reorder.deadline_s is None


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=40),
    st.lists(st.integers(0, 60), max_size=80),
    st.integers(0, 2**32 - 1),
)
def test_nothing_is_swallowed_whatever_comes(
    lengths: list[int], picks: list[int], seed: int
) -> None:
    datagrams = [*stream(lengths), b"1,2\n", b"\x01\x02\x03\0", b"\0", b"\xff" * 5000]
    given_ = [datagrams[i % len(datagrams)] for i in picks]
    reorder, out, now_s = Reorder(), [], 0.0
    steps = np.random.default_rng(seed).uniform(0, 0.015, len(given_) + 1)
    for datagram, step in zip(given_, steps, strict=False):
        now_s += float(step)
        out += [*reorder.due(now_s), *reorder.push(datagram, now_s)]
    out += reorder.due(now_s + 1.0)
    assert sorted(out) == sorted(given_)
    assert reorder.deadline_s is None


def test_without_a_gap_nothing_waits() -> None:
    reorder = Reorder()
    for datagram in stream([1] * 20):
        assert reorder.push(datagram, 0.0) == [datagram]
    assert reorder.n_reordered == 0


def test_two_that_swapped_lose_nothing() -> None:
    datagrams = stream([1, 1, 1, 1])
    datagrams[2], datagrams[3] = datagrams[3], datagrams[2]
    reorder, decoder = Reorder(), ReferenceDecoder()
    items = [
        item
        for datagram in datagrams
        for piece in reorder.push(datagram, 0.0)
        for item in decoder.push(piece)
    ]
    seq = [int(s) for item in items if isinstance(item, Frames) for s in item.seq]
    assert seq == [0, 1, 2, 3, 4]
    assert decoder.counters.n_lost_frames == decoder.counters.n_duplicate_frames == 0
    assert reorder.n_reordered == 1


def test_what_is_lost_is_waited_for_only_shortly() -> None:
    head, zero, _, two, three = stream([1, 1, 1, 1])
    reorder = Reorder(hold_s=0.02)
    for datagram in (head, zero):
        reorder.push(datagram, 0.0)
    assert reorder.push(two, 1.0) == []
    assert reorder.deadline_s == 1.02
    assert reorder.due(1.019) == []
    assert reorder.due(1.021) == [two]
    assert reorder.push(three, 1.03) == [three]


def test_only_so_many_wait() -> None:
    datagrams = stream([1] * 2 * MAX_HELD)
    reorder = Reorder()
    reorder.push(datagrams[0], 0.0)
    out = [x for datagram in datagrams[2:] for x in reorder.push(datagram, 0.0)]
    assert out == datagrams[2:]


def test_a_boot_starts_anew() -> None:
    reorder = Reorder()
    for datagram in (ENCODER.hello(hello(), 0), data(0), data(1)):
        reorder.push(datagram, 0.0)
    assert reorder.push(data(5), 0.0) == []  # waits for 2
    booted = ENCODER.hello(hello("other"), 0)
    assert reorder.push(booted, 0.0) == [data(5), booted]
    assert reorder.push(data(1), 0.0) == []
    assert reorder.push(data(0), 0.0) == [data(0), data(1)]
    decoder = ReferenceDecoder()
    items = decoder.push(b"".join([ENCODER.hello(hello(), 0), data(5), booted, data(0)]))
    assert any(isinstance(item, Gap) and item.restart for item in items)


def test_a_whole_packet_is_told_from_noise() -> None:
    assert is_wire(data(3))
    assert is_wire(data(3)[:-1])
    assert not is_wire(b"")
    assert not is_wire(b"1,2,3\n")
    assert not is_wire(data(3)[:-3] + b"\0")
