"""Any text-speaking board is understood: each form, what it costs, and what is counted."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_make import BOOT, N_BOOT_LINES, NAMES, detector, info_of, line, read, values_of
from wire_make import flat, frames_of, push_cut

from streamrnn.core.types import Channel
from streamrnn.wire.detect import Detector

FORMS = ("numbers", "named", "teleplot", "json")
CUTS = st.lists(st.integers(1, 200), min_size=1, max_size=5)


def stream(form: str, n: int = 6, end: str = "\n") -> bytes:
    return b"".join(line(form, values_of(index), end) for index in range(n))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_form_is_found_behind_a_boot_banner_and_no_frame_is_lost(form: str, end: str) -> None:
    reader, items, frames = read(BOOT + stream(form, 6, end), rate="100")
    assert reader.format == form
    assert reader.is_text
    assert reader.is_counted
    assert not reader.has_seq
    names = ("ch0", "ch1", "ch2") if form == "numbers" else NAMES
    assert info_of(items).channel_names == names
    assert info_of(items).rate_hz == 100
    assert frames.x.tolist() == [[*values_of(index).values()] for index in range(6)]
    assert frames.seq.tolist() == list(range(6))
    assert frames.t_us.tolist() == [10_000 * index for index in range(6)]
    counters = reader.counters
    assert counters.n_bad_content + counters.extra["n_half_lines"] == N_BOOT_LINES
    assert counters.n_frames == 6
    assert counters.n_packets == (18 if form == "teleplot" else 6)


@given(st.integers(0, 2**32), CUTS, st.sampled_from(FORMS))
def test_chunks_do_not_matter_whatever_comes_between(seed: int, cuts: list[int], form: str) -> None:
    rng = random.Random(seed)
    pieces = [line(form, values_of(index), rng.choice(["\n", "\r\n"])) for index in range(12)]
    for _ in range(rng.randint(0, 4)):
        junk = rng.choice([BOOT, rng.randbytes(60), b"\n", b">:log\n", b"1,2\n", b"a:1\n", b"{}\n"])
        pieces.insert(rng.randrange(len(pieces)), junk)
    data = b"".join(pieces)[rng.choice([0, 0, 3]) :]
    whole, cut = detector(rate="50"), detector(rate="50")
    items = whole.push(data)
    assert flat(push_cut(cut, data, cuts)) == flat(items)
    assert cut.format == whole.format
    assert cut.counters == whole.counters


@pytest.mark.parametrize("form", FORMS)
def test_a_form_can_be_forced(form: str) -> None:
    others = b"".join(stream(other) for other in FORMS if other != form)
    reader, _, frames = read(others + stream(form), format=form)
    assert reader.format == form
    assert len(frames) == 6


def test_forced_wire_reads_no_lines() -> None:
    reader, items, _ = read(stream("numbers"), format="wire")
    assert reader.format == "wire"
    assert items == []


# -- plain numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b"acc_x,acc_y\n", ("acc_x", "acc_y")),
        (b"acc_x\tacc_y\r\n", ("acc_x", "acc_y")),
        (b"acc_x; acc_y;\n", ("acc_x", "acc_y")),
        (b"acc_x: acc_y:\n", ("acc_x", "acc_y")),
        (b"Gyro X (deg/s),Gyro Y [deg/s]\n", ("Gyro X", "Gyro Y")),
        (b"a\x1b[2Jb,acc_y\n", (r"a\x1b[2Jb", "acc_y")),
        (b"Init done\n", ("ch0", "ch1")),
        (b"clock:1 x, y\n", ("ch0", "ch1")),
        (b"x,y,z\n", ("ch0", "ch1")),
        (b"x,x\n", ("ch0", "ch1")),
        (b"1,y\n", ("ch0", "ch1")),
    ],
)
def test_a_header_line_names_the_columns(header: bytes, names: tuple[str, ...]) -> None:
    reader, items, frames = read(header + b"1,2\n3,4\n5,6\n")
    assert info_of(items).channel_names == names
    assert len(frames) == 3
    counters = reader.counters
    assert counters.n_bad_content + counters.extra["n_half_lines"] == (names[0] == "ch0")
    assert reader.last_words == "" or names[0] == "ch0"
    assert reader.n_text_lines == (reader.last_words != "")


def test_units_of_a_header() -> None:
    _, items, _ = read(b"Gyro X (deg/s),Gyro Y [dps]\n1,2\n3,4\n5,6\n")
    assert [channel.unit for channel in info_of(items).channels] == ["deg/s", "dps"]


def test_names_and_units_of_the_user() -> None:
    _, items, _ = read(b"1,2\n3,4\n5,6\n", names="a,b", units="g,dps")
    assert info_of(items).channels == (Channel("a", "g"), Channel("b", "dps"))


@pytest.mark.parametrize(
    ("query", "trouble"),
    [
        ({"names": "a,b,c"}, "names= lists 3, but lines hold 2"),
        ({"units": "g"}, "units= lists 1, but there are 2 channels"),
        ({"time": "5:us"}, "a line has no column '5': it has 2 values"),
        ({"time": "0:us", "seq": "1"}, "no channel is left"),
    ],
)
def test_options_that_do_not_fit_are_said(query: dict[str, str], trouble: str) -> None:
    reader, items, _ = read(b"1,2\n3,4\n5,6\n" * 3, **query)
    assert items == []
    assert reader.format is None
    assert trouble in reader.trouble


# -- named, JSON ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x:1,y:-2.5",
        "x:1\ty:-2.5",
        "x: 1 , y: -2.5 ,",
        "  x :1.0 y :-25e-1 ",
        "y:-2.5,x:1",
        '{"x":1,"y":-2.5}',
        '{"y":-2.5,"x":1}',
        '{"x":1,"mode":"run","ok":true,"y":-2.5}',
        '{"x":1,"y":-2.5}*21',
    ],
)
def test_spellings_of_a_named_line(text: str) -> None:
    form = "json" if "{" in text else "named"
    head = line(form, {"x": 0, "y": 0}) * 3
    reader, _, frames = read(head + text.encode() + b"\n")
    assert reader.counters.n_bad_crc == (text[-3:-2] == "*" and "*21" not in checked(text))
    if not reader.counters.n_bad_crc:
        assert frames.x[-1].tolist() == [1, -2.5]


def checked(text: str) -> str:
    body = text.partition("*")[0]
    parity = 0
    for c in body.encode():
        parity ^= c
    return f"{body}*{parity:02x}"


@pytest.mark.parametrize("form", ["numbers", "named", "json"])
def test_a_checksum_in_any_form(form: str) -> None:
    good = checked(line(form, values_of(1), "").decode())
    bad = good[:-1] + ("0" if good[-1] != "0" else "1")
    reader, _, frames = read((f"{good}\n" * 4 + f"{bad}\n").encode())
    assert len(frames) == 4
    assert reader.counters.n_bad_crc == 1


@pytest.mark.parametrize(
    "text",
    [
        "x=1,y=2",
        "x:1,y:nan",
        "x:1,y:1e999",
        "x:1,y:",
        "x:1 y",
        "1:1,2:2",
        "x:1,y:2,z:3",
        "x:1",
        "x:1,x:2",
        '{"x":1,"y":null}',
        '{"x":1,"y":"2"}',
        '{"x":1,"y":true}',
        '{"x":1,"x":2}',
        '{"x":1,"y":NaN}',
        '{"x":1,"y":1e999}',
        '{"x":1,"y":' + "9" * 400 + "}",
        '{"x":1,"y":2',
        '{"x":1,"y":{"a":{"b":2}}}',
        "[" * 2000,
        '{"x":' * 600,
        "[]",
        "[[1,2]]",
        "{}",
    ],
)
def test_lines_that_hold_no_frame_are_counted(text: str) -> None:
    form = "json" if text[0] in "{[" else "named"
    head = line(form, {"x": 0, "y": 0}) * 3
    reader, _, frames = read(head + text.encode() + b"\n" + head)
    assert len(frames) == 6
    assert reader.format == form
    assert reader.counters.n_bad_content + reader.counters.n_oversize == 1


def test_json_is_flattened_one_level() -> None:
    text = b'{"acc":[1,2],"gyr":{"x":3},"t":"now","q":4}\n'
    _, items, frames = read(text * 3)
    assert info_of(items).channel_names == ("acc_0", "acc_1", "gyr_x", "q")
    assert frames.x[0].tolist() == [1, 2, 3, 4]
    _, items, _ = read(b"[1,2,3]\n" * 3, names="a,b,c")
    assert info_of(items).channel_names == ("a", "b", "c")


def test_names_are_made_safe_and_stay_unique() -> None:
    _, items, _ = read(b'{"a\\u001b[2J":1,"\\u00e4":2}\n' * 3)
    assert info_of(items).channel_names == (r"a\x1b[2J", "ä")
    long = "a" * 80
    _, items, _ = read(f"{long}:1\n".encode() * 3)
    assert len(info_of(items).channel_names[0]) == 64
    reader, items, _ = read(f"{long}b:1,{long}c:2\n".encode() * 3)
    assert items == []
    assert "two columns" in reader.trouble or "two channels" in reader.trouble


def test_a_line_of_256_named_channels_is_read_and_one_more_is_refused() -> None:
    names = tuple(f"channel_{i:03d}" for i in range(256))
    _, items, frames = read(line("named", dict.fromkeys(names, 1)) * 3)
    assert info_of(items).channel_names == names
    assert frames.x.shape == (3, 256)
    reader, items, _ = read(line("named", dict.fromkeys((*names, "x"), 1)) * 3)
    assert items == []
    assert "more than 256" in reader.trouble


def test_the_users_names_choose_and_order_named_values() -> None:
    _, items, frames = read(b"a:1,b:2,c:3\n" * 3, names="c,a", units="g,dps")
    assert info_of(items).channels == (Channel("c", "g"), Channel("a", "dps"))
    assert frames.x[0].tolist() == [3, 1]


# -- one variable a line ----------------------------------------------------------------------


def test_teleplot_units_texts_logs_and_lists() -> None:
    text = ">b:{0}§m/s²|g\n>:a log\n>state:on|t\n>a:{0}\n>xy:1:2|xy\n3D|cube:S:cube\n"
    data = "".join(text.format(i) for i in range(4)).encode()
    reader, items, frames = read(data)
    assert info_of(items).channels == (Channel("a"), Channel("b", "m/s²"))
    assert reader.counters.extra["n_log_lines"] == 12
    assert reader.counters.extra["n_incomplete_frames"] == 1  # a round begins with a
    assert frames.x.tolist() == [[0, 1], [1, 2], [2, 3]]
    lists = b"".join(b">a:%d:1;%d:2\n>b:%d:3;%d:4\n" % ((i, i + 10) * 2) for i in (0, 20, 40))
    _, _, frames = read(lists)
    assert frames.x.tolist() == [[1, 3], [2, 4]] * 3
    assert frames.t_us.tolist() == [0, 10_000, 20_000, 30_000, 40_000, 50_000]


@pytest.mark.parametrize("text", [">a:1+2", ">a:1:2;3", ">a:", ">:x", ">a:1|xy", "b:2", "1,2"])
def test_lines_that_are_no_samples_are_passed_over(text: str) -> None:
    head = b">a:0\n>b:0\n" * 3
    reader, _, frames = read(head + text.encode() + b"\n" + head)
    assert len(frames) == 6
    assert reader.counters.n_bad_content + reader.counters.extra["n_log_lines"] == 1


def test_options_that_do_not_fit_rounds_are_said_and_others_may_come() -> None:
    reader, items, _ = read(b">a:1\n>b:2\n" * 9, seq="c")
    assert items == []
    assert reader.trouble == "a line has no column 'c': there are a, b"
    assert len(frames_of(reader.push(b"a:1,c:1\n" * 3))) == 1


def test_teleplot_in_datagrams_has_no_mark() -> None:
    reader, items, frames = read(b"".join(b"a:%d|g\nb:%d:%d\n" % (i, i, i) for i in range(3)))
    assert reader.format == "teleplot"
    assert info_of(items).channel_names == ("a", "b")
    assert len(frames) == 3


@given(st.integers(0, 2**32), st.integers(2, 6), st.booleans())
def test_a_round_with_a_missing_or_doubled_variable_is_counted_never_guessed(
    seed: int, n_names: int, has_stamps: bool
) -> None:
    rng = random.Random(seed)
    names = tuple("abcdef"[:n_names])
    data = b""
    whole: list[int] = []
    n_faults = 0
    for index in range(30):
        lines = [
            f">{name}:{index * 10}:{index}\n" if has_stamps else f">{name}:{index}\n"
            for name in names
        ]
        # Without stamps nobody can see that two damaged rounds make a whole one.
        is_safe = index < 4 or index == 29 or (not has_stamps and index - 1 not in whole)
        if not is_safe and rng.random() < 0.2:
            del lines[rng.randrange(n_names)]
            n_faults += 1
        else:
            whole.append(index)
        data += "".join(lines).encode()
    reader, _, frames = read(data)
    assert (frames.x == frames.x[:, :1]).all()  # no frame of two rounds
    assert reader.counters.extra["n_incomplete_frames"] == n_faults
    assert frames.x[:, 0].tolist() == whole
    doubled, _, frames = read(stream("teleplot", 4) + b">acc_x:9\n" * 2 + stream("teleplot", 4))
    assert doubled.counters.extra["n_incomplete_frames"] == 2
    assert len(frames) == 8


def test_the_order_does_not_depend_on_when_one_joins() -> None:
    lines = stream("teleplot", 8).splitlines(keepends=True)
    names = {info_of(read(b"".join(lines[start:]))[1]).channel_names for start in range(3)}
    assert names == {NAMES}
    first, _, _ = read(b"".join(lines), names="acc_y,acc_z,acc_x")
    items = detector(names="acc_y,acc_z,acc_x").push(b"".join(lines))
    assert first.counters.extra["n_incomplete_frames"] == 1
    assert info_of(items).channel_names == ("acc_y", "acc_z", "acc_x")


def test_a_variable_that_comes_now_and_then_is_passed_over() -> None:
    data = stream("teleplot", 4) + b">temp:20\n" + stream("teleplot", 4)
    reader, items, frames = read(data)
    assert info_of(items).channel_names == NAMES
    assert len(frames) == 8
    assert reader.counters.extra["n_other_variables"] == 1


def test_one_named_value_a_line() -> None:
    reader, items, frames = read(b"".join(b"a:%d\nb: %d\n" % (i, i) for i in range(4)))
    assert reader.format == "named"
    assert info_of(items).channel_names == ("a", "b")
    assert frames.x.tolist() == [[i, i] for i in range(4)]


def test_resync_forgets_what_is_unfinished() -> None:
    for form in FORMS:
        reader = detector()
        reader.push(stream(form) + stream(form)[:25])
        reader.resync()
        assert len(frames_of(reader.push(stream(form)))) == 6
        reader.reset()
        assert reader.format is None
        assert len(frames_of(reader.push(stream(form)))) == 6


# -- anything at all --------------------------------------------------------------------------

ALPHABET = b"0123456789.,;:-+eE \t\r\n{}[]\"'>|*$abtrue_xyz\xc2\xa7\x00\\"


@given(st.integers(0, 2**32), st.sampled_from(["auto", *FORMS]), st.booleans())
def test_arbitrary_bytes_raise_nothing_and_any_chunks_give_the_same(
    seed: int, form: str, is_texty: bool
) -> None:
    rng = random.Random(seed)
    noise = bytes(rng.choices(ALPHABET, k=400)) if is_texty else rng.randbytes(400)
    good = rng.choice([b"", *(stream(other, 4) for other in FORMS)])
    data = noise + good + noise[::-1] + good
    whole, cut = detector(format=form), detector(format=form)
    items = whole.push(data)
    assert flat(push_cut(cut, data, [rng.randint(1, 30)])) == flat(items)
    assert whole.counters == cut.counters
    for block in (item for item in items if hasattr(item, "x")):
        assert np.isfinite(block.x).all()


@pytest.mark.parametrize("form", FORMS)
def test_long_lines_are_bounded_and_cost_no_more_than_their_length(form: str) -> None:
    reader = detector(format=form)
    reader.push(stream(form))
    for filler in (
        b" ",
        b"1",
        b"a:",
        b"[",
        b"{",
        b'"',
        b"1,",
        b"a:1 ",
        b">a:1;",
        b"\xc2\xa7",
        b"*",
    ):
        reader.push(filler * (200_000 // len(filler)) + b"\n")
        for _ in range(20):
            reader.push(filler * (4000 // len(filler)) + b"\n")
    assert len(frames_of(reader.push(stream(form)))) >= 5
    assert reader.counters.n_oversize >= 11


# -- real recordings --------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "n_channels", "first", "has_clock"),
    [
        ("device_logs/gesturepod/taps.txt", 6, "ch0", False),
        ("device_logs/xio_fusion/sensor_data.csv", 9, "Gyroscope X", True),
        ("device_logs/xio_gait/short_walk.csv", 6, "Gyroscope X", True),
        ("magic_wand_spells/Revelio.csv", 6, "aX", False),
    ],
)
def test_real_dumps_are_understood_without_a_word(
    data_dir: Path, file: str, n_channels: int, first: str, has_clock: bool
) -> None:
    data = (data_dir / file).read_bytes()
    reader = Detector()
    items = reader.push(data)
    frames = frames_of(items)
    n_lines = len([part for part in re.split(rb"[\r\n]+", data) if part.strip()])
    has_header = first != "ch0"
    assert len(frames) == n_lines - has_header
    assert frames.x.shape[1] == n_channels
    assert info_of(items).channel_names[0] == first
    assert reader.is_counted is not has_clock
    assert reader.counters.n_bad_content == reader.counters.n_oversize == 0
