"""Clock and counter columns: what they say of lost, repeated and late frames, and of boots."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_make import line, play, read, values_of
from wire_make import frames_of

from streamrnn.core.types import Channel, Frames, Gap
from streamrnn.wire.forms.columns import lay_out
from streamrnn.wire.forms.lines import Reading
from streamrnn.wire.options import StreamOptions

FORMS = ("numbers", "named", "teleplot", "json")


@given(st.integers(0, 2**32), st.sampled_from(FORMS), st.sampled_from([8, 16, 32]), st.booleans())
def test_counts_are_the_truth_for_any_faults(
    seed: int, form: str, bits: int, says_bits: bool
) -> None:
    played = play(random.Random(seed), form, bits)
    query = {"names": "seq,t_ms,acc_x,acc_y,acc_z"} if form == "numbers" else {}
    if says_bits:
        query["seq"] = f"seq:{bits}"
    reader, items, frames = read(b"".join(played.lines), **query)
    assert reader.has_seq
    assert not reader.is_counted
    assert [round(x) for x in frames.x[:, 0].tolist()] == played.indices
    counters = reader.counters
    assert counters.n_lost_frames == played.n_lost
    assert counters.n_duplicate_frames == played.n_repeated
    assert counters.n_bad_content == 0
    gaps = [item for item in items if isinstance(item, Gap)]
    assert gaps == [Gap("reboot", restart=True)] * played.n_boots
    stretches: list[list[Frames]] = [[]]
    for item in items:
        if isinstance(item, Gap):
            stretches.append([])
        elif isinstance(item, Frames):
            stretches[-1].append(item)
    for blocks in stretches:
        frames = frames_of(blocks)
        t_us = frames.t_us - frames.t_us[0]
        assert (t_us == (frames.seq - frames.seq[0]) * 10_000).all()


@pytest.mark.parametrize(
    ("name", "unit_us"),
    [
        ("t_us", 1),
        ("micros", 1),
        ("Time_us", 1),
        ("timestamp_us", 1),
        ("t_ms", 1_000),
        ("millis", 1_000),
        ("time_ms", 1_000),
        ("timestampMs", 1_000),
        ("time_s", 1_000_000),
        ("t", None),
        ("time", None),
        ("timestamp", None),
        ("bits", None),
        ("speed_ms", None),
    ],
)
def test_a_name_that_clearly_is_a_clock(name: str, unit_us: int | None) -> None:
    reader, items, frames = read(b"".join(line("named", {name: i, "x": i}) for i in range(4)))
    assert reader.is_counted is (unit_us is None)
    if unit_us:
        assert items[0].channel_names == ("x",)
        assert frames.t_us.tolist() == [i * unit_us for i in range(4)]
    else:
        assert items[0].channel_names == (name, "x")


def test_a_clock_by_its_unit_in_a_header() -> None:
    _, items, frames = read(b"Time (s),x\n0,1\n0.01,2\n0.0200004,3\n")
    assert items[0].channels == (Channel("x"),)
    assert frames.t_us.tolist() == [0, 10_000, 20_000]


@pytest.mark.parametrize(
    ("name", "values", "is_seq"),
    [
        ("seq", [4, 5, 6], True),
        ("seq", [4, 9, 12], True),
        ("frame_number", [0, 1, 2], True),
        ("seq", [0.5, 1.5, 2.5], False),
        ("sample", [7, 8, 9], True),
        ("sample", [512, 514, 515], False),
        ("counter", [3, 3, 3], False),
        ("x", [1, 2, 3], False),
    ],
)
def test_a_counter_must_count(name: str, values: list[float], is_seq: bool) -> None:
    readings = [Reading((b"y", name.encode()), [0.0, float(value)]) for value in values]
    layout = lay_out(readings, readings[0].names, {}, StreamOptions())
    assert (layout.seq == 1) is is_seq


def test_a_lone_value_is_a_channel_whatever_its_name() -> None:
    _, items, frames = read(b"sample:1\nsample:2\nsample:3\nsample:7\n")
    assert items[0].channel_names == ("sample",)
    assert len(frames) == 4


def test_columns_that_the_user_names() -> None:
    data = b"".join(b"%d,5,%d\n" % (254 + i & 255, 2000 * i) for i in range(5))
    reader, items, frames = read(data, time="2:us", seq="0:8")
    assert items[0].channel_names == ("ch0",)
    assert frames.seq.tolist() == [254, 255, 256, 257, 258]
    assert frames.t_us.tolist() == [0, 2000, 4000, 6000, 8000]
    assert reader.counters.n_lost_frames == 0
    _, _, frames = read(b"".join(line("json", {"k": i, "x": 1}) for i in range(4)), time="k:s")
    assert frames.t_us.tolist() == [0, 10**6, 2 * 10**6, 3 * 10**6]


def test_a_clock_needs_more_digits_than_a_float32() -> None:
    start = 4_000_000_001
    data = b"".join(b"%d,0.5\n" % (start + i) for i in range(4))
    _, _, frames = read(data, time="0:us")
    assert frames.t_us.tolist() == [start + i for i in range(4)]


def test_millis_and_micros_wrap_around() -> None:
    for name, unit_us in (("millis", 1000), ("micros", 1)):
        lines = [line("named", {name: (2**32 - 2 + i) % 2**32, "x": i}) for i in range(5)]
        _, items, frames = read(b"".join(lines))
        assert not [item for item in items if isinstance(item, Gap)]
        assert frames.t_us.tolist() == [(2**32 - 2 + i) * unit_us for i in range(5)]


def test_a_clock_of_32_bits_in_us_may_be_sent_in_ms() -> None:
    sent = [(2**32 - 20_000 + 10_000 * i) % 2**32 for i in range(5)]
    data = "".join(f">a:{us // 1000}.{us % 1000:03d}:1\n" for us in sent).encode()
    _, items, frames = read(data)
    assert not [item for item in items if isinstance(item, Gap)]
    assert frames.t_us.tolist() == [2**32 - 20_000 + 10_000 * i for i in range(5)]


def test_a_clock_that_fell_back_far_is_a_boot_and_one_that_trembles_is_held() -> None:
    times = [60_000_000, 60_010_000, 60_005_000, 60_030_000, 1000, 11_000]
    data = b"".join(line("named", {"t_us": t, "x": 1}) for t in times)
    _, items, _ = read(data)
    blocks = [item for item in items if isinstance(item, Frames | Gap)]
    assert [isinstance(block, Gap) for block in blocks] == [False, False, True, False]
    assert blocks[1].t_us.tolist() == [60_030_000]
    assert blocks[0].t_us.tolist() == [60_000_000, 60_010_000, 60_010_000]
    assert blocks[3].seq.tolist() == [0, 1]
    assert blocks[3].t_us.tolist() == [1000, 11_000]


@pytest.mark.parametrize("wrong", [9_000_104, 0])
def test_one_wrong_digit_in_a_counter_moves_nothing(wrong: int) -> None:
    counts = [*range(100, 105), wrong, *range(106, 110)]
    data = b"".join(line("named", {"seq": n, **values_of(n)}) for n in counts)
    reader, items, frames = read(data)
    assert frames.seq.tolist() == [n for n in counts if n != wrong]
    assert not [item for item in items if isinstance(item, Gap)]
    assert reader.counters.n_lost_frames == 1
    assert reader.counters.n_bad_content == 1


def test_a_long_silence_is_lost_frames_once_the_next_line_says_so_too() -> None:
    counts = [0, 1, 2, 50_002, 50_003]
    data = b"".join(line("named", {"seq": n, "x": 0}) for n in counts)
    reader, items, frames = read(data)
    assert frames.seq.tolist() == counts
    assert reader.counters.n_lost_frames == 49_999
    assert not [item for item in items if isinstance(item, Gap)]


def test_a_counter_without_a_clock_gives_times_by_the_rate() -> None:
    counts = [7, 8, 9, 12]
    reader, _, frames = read(
        b"".join(line("named", {"seq": n, "x": 0}) for n in counts), rate="100"
    )
    assert reader.is_counted
    assert frames.t_us.tolist() == [n * 10_000 for n in counts]


@pytest.mark.parametrize("bad", ["-1", "1.5", "1e300"])
def test_a_place_that_cannot_be_is_bad_content(bad: str) -> None:
    data = b"".join(line("named", {"seq": n, "x": 0}) for n in range(4))
    reader, _, frames = read(data + f"seq:{bad},x:0\n".encode() + b"seq:4,x:0\nseq:5,x:0\n")
    assert frames.seq.tolist() == [0, 1, 2, 3, 4, 5]
    assert reader.counters.n_bad_content == 1


def test_stamps_of_the_host_in_a_line_are_its_time() -> None:
    start_ms = 1_627_551_892_437
    data = b"".join(b">a:%d:1\n>b:%d:2\n" % ((start_ms + 10 * i,) * 2) for i in range(4))
    reader, _, frames = read(data)
    assert not reader.is_counted
    assert frames.t_us.tolist() == [(start_ms + 10 * i) * 1000 for i in range(4)]


def test_resync_keeps_place_and_column() -> None:
    reader, _, _ = read(b"".join(line("json", {"seq": n, "x": 0}) for n in range(5)) + b'{"se')
    reader.resync()
    items = reader.push(b"".join(line("json", {"seq": n, "x": 0}) for n in range(9, 12)))
    assert frames_of(items).seq.tolist() == [9, 10, 11]
    assert reader.counters.n_lost_frames == 4
