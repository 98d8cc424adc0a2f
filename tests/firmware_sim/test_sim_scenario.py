"""A scenario says what it means, and what does not make sense is named."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_host import frames_of, start

from firmware_sim.faults import KINDS, Fault, FaultPlan
from firmware_sim.options import BoardOptions, make_board
from firmware_sim.origins.noise import White
from firmware_sim.scenario import read_scenario, scenario_from
from streamrnn.core.errors import ConfigError
from streamrnn.wire.decoder import WireDecoder

TEXT = """
seed = 7
[board]
person = 4
rate_hz = 200
seconds = 4
drift_ppm = 40
jitter_us = 150.5
baud = 115_200
boot_ms = 20
banner = "esp32"
faults = "dup:0.02"
[[noise]]
kind = "white"
density = 4e-4
channels = ["acc_x", "acc_y"]
[[fault]]
kind = "flip"
share = 1e-4
[[fault]]
kind = "unplug"
at_s = [2, 1]
for_s = 0.25
[[fault]]
kind = "reorder"
share = 0.01
packets = 4
from_s = 0.5
to_s = 3
[[fault]]
kind = "slow_reader"
every_s = 1.5
for_s = 1
buffer_bytes = 512
bytes_per_s = 1000
"""


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(text)
    return path


def test_a_scenario_is_read_whole(tmp_path: Path) -> None:
    options = read_scenario(_write(tmp_path, TEXT))
    assert options == BoardOptions(
        person=4,
        seed=7,
        rate_hz=200.0,
        seconds=4.0,
        drift_ppm=40.0,
        jitter_us=150.5,
        baud=115_200,
        boot_ms=20.0,
        banner="esp32",
        noise=(White(density=4e-4, channels=("acc_x", "acc_y")),),
        faults=FaultPlan(
            (
                Fault("dup", share=0.02),
                Fault("flip", share=1e-4),
                Fault("unplug", at_us=(1_000_000, 2_000_000), for_us=250_000),
                Fault("reorder", share=0.01, n_packets=4, from_us=500_000, to_us=3_000_000),
                Fault(
                    "slow_reader",
                    every_us=1_500_000,
                    for_us=1_000_000,
                    buffer_bytes=512,
                    bytes_per_s=1000.0,
                ),
            )
        ),
    )


def test_the_same_scenario_gives_the_same_bytes_and_the_same_log(tmp_path: Path) -> None:
    def run() -> tuple[bytes, list, dict]:
        board = make_board(read_scenario(_write(tmp_path, TEXT)))
        out = [data for data, _ in board.poll(30_000)]
        board.handle(b"\0" + start())
        while not board.is_finished:
            out += [data for data, _ in board.poll(board.next_due_us())]
        return b"".join(out), board.take_log(), board.truth()

    data, log, truth = run()
    assert (data, log, truth) == run()
    assert truth["n_outages"] == 2
    kinds = {line["kind"] for line in log}
    assert {"dup", "flip", "unplug", "slow_reader"} <= kinds
    assert [line["at_s"] for line in log if line["kind"] == "unplug"] == [1.0, 2.0]
    frames = frames_of(WireDecoder().push(data))
    assert 0 < len(frames) < 800


def test_an_empty_scenario_is_the_board_that_one_gets_anyway(tmp_path: Path) -> None:
    assert read_scenario(_write(tmp_path, "")) == BoardOptions(faults=FaultPlan())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bord]", r"unknown 'bord' \(did you mean 'board'\?\)"),
        ("rate_hz = 100", r"unknown 'rate_hz'; it belongs into \[board\]"),
        ("board = 3", r"board must be a table: \[board\]"),
        ("[board]\nseed = 3", r"seed stands at the top, not in \[board\]"),
        ("seed = -1", "seed must be 0 or more, got -1"),
        ("seed = 'x'", "seed must be int, got 'x'"),
        ("[board]\nrate = 3", r"\[board\]: unknown option 'rate' \(did you mean 'rate_hz'\?\)"),
        ("[board]\nbaud = 'fast'", "baud must be int, got 'fast'"),
        ("[board]\nnoise = 3", r"write each noise as a table of its own: \[\[noise\]\]"),
        ("[board]\nfaults = 'dorp:1'", r"unknown fault 'dorp:1' \(did you mean 'drop'\?\)"),
        ("[fault]\nkind = 'drop'", r"write each fault as a table of its own: \[\[fault\]\]"),
        ("[[fault]]", "fault 1: needs a kind; known: drop, dup"),
        ("[[fault]]\nkind = 'dorp'", r"fault 1: unknown kind 'dorp' \(did you mean 'drop'\?\)"),
        ("[[fault]]\nkind = 'drop'", "say when by exactly one of share, at_s or every_s"),
        ("[[fault]]\nkind = 'drop'\nshare = 0.1\nat_s = 1", "exactly one of share, at_s or every"),
        ("[[fault]]\nkind = 'panic'\nshare = 1", r"unknown key 'share'; known: kind, at_s"),
        ("[[fault]]\nkind = 'drop'\nshar = 1", r"unknown key 'shar' \(did you mean 'share'\?\)"),
        ("[[fault]]\nkind = 'drop'\nshare = true", r"share must be a number in 0..1, got True"),
        ("[[fault]]\nkind = 'drop'\nshare = nan", r"share must be a number in 0..1, got nan"),
        ("[[fault]]\nkind = 'unplug'\nat_s = 1", "for_s says how long; it must be more than 0"),
        ("[[fault]]\nkind = 'stall'\nat_s = 1\nfor_s = 601", "for_s must be a number in 0..600"),
        ("[[fault]]\nkind = 'drop'\nat_s = 1\nfrom_s = 2\nto_s = 2", "to_s must lie behind from_s"),
        ("[[fault]]\nkind = 'drop'\nevery_s = 0", "every_s must be 0.001 or more"),
        ("[[fault]]\nkind = 'burst'\nshare = 1\nbits = 40", "40 bits do not fit within 32"),
        ("[[fault]]\nkind = 'lose'\nshare = 1\nbytes = 1.5", "bytes must be a whole number in 1.."),
        (
            "[[fault]]\nkind = 'unplug'\nevery_s = 1\nfor_s = 1",
            "unplug lasts 1 s, but comes every 1 s",
        ),
        (
            "[[fault]]\nkind = 'unplug'\nat_s = [1, 2]\nfor_s = 1.5",
            "the outage at 2 s overlaps another",
        ),
        ("[[noise]]\nkind = 'hmu'", r"noise 1: unknown kind 'hmu' \(did you mean 'hum'\?\)"),
        ("seed = ", "Invalid value"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_scenario(_write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "board.toml"))
    assert "\n" not in str(caught.value)


_KEYS = st.sampled_from(
    "seed board fault noise kind share at_s every_s for_s to_s bytes channels density size "
    "rate_hz faults columns baud people files".split()
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)
_KIND = st.sampled_from([*KINDS, "white", "hum", "dropout"])


@settings(max_examples=100)
@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "seed": _VALUES,
            "board": st.dictionaries(_KEYS, _VALUES, max_size=3) | _VALUES,
            "fault": st.lists(st.dictionaries(_KEYS, _VALUES, max_size=5) | _VALUES, max_size=3),
            "noise": st.lists(st.dictionaries(_KEYS, _VALUES, max_size=5), max_size=3),
        },
    ),
    kinds=st.lists(_KIND, max_size=3),
)
def test_whatever_a_scenario_says_it_is_read_or_refused(document: dict, kinds: list[str]) -> None:
    for name in ("fault", "noise"):
        for table, kind in zip(document.get(name, []), kinds, strict=False):
            if isinstance(table, dict):
                table["kind"] = kind
    with contextlib.suppress(ConfigError):
        assert isinstance(scenario_from(document), BoardOptions)


def test_files_that_are_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_scenario(tmp_path / "none.toml")
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="decode"):
        read_scenario(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="longer than a scenario can be"):
        read_scenario(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BoardOptions(origin="signal"), r"unknown origin 'signal' \(did you mean 'signals'"),
        (BoardOptions(origin="playback"), "playback needs the name of a session file"),
        (BoardOptions(transit_us=-1.0), "transit_us must lie in"),
        (BoardOptions(boot_ms=float("nan")), "boot_ms must lie in"),
        (BoardOptions(banner="\u00e9"), "banner must be at most 4096 characters of ASCII"),
        (BoardOptions(baud=3), "baud must lie in 300"),
    ],
)
def test_boards_that_cannot_be(options: BoardOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_board(options)
