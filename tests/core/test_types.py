"""Blocks of frames, records and the registry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrnn.core.errors import ConfigError, SourceError, StreamRNNError
from streamrnn.core.records import Event, GapRecord, Stats, to_json_line
from streamrnn.core.registry import Registry
from streamrnn.core.types import Channel, Frames, StreamInfo


def block(start: int, n: int) -> Frames:
    seq = np.arange(start, start + n)
    return Frames(np.full((n, 2), start, np.float32), seq, seq * 10_000)


def test_joined_blocks_hold_the_frames_in_order() -> None:
    joined = Frames.join([block(0, 2), block(5, 3)], 2)
    assert joined.seq.tolist() == [0, 1, 5, 6, 7]
    assert joined.x[:, 0].tolist() == [0, 0, 5, 5, 5]
    assert len(Frames.join([], 2)) == 0
    assert Frames.join([], 2).x.shape == (0, 2)
    one = block(3, 1)
    assert Frames.join([one], 2) is one
    assert joined[2:4].t_us.tolist() == [50_000, 60_000]


def test_stream_info_names_its_channels() -> None:
    info = StreamInfo((Channel("a", "g"), Channel("b")), 100.0)
    assert (info.n_channels, info.channel_names) == (2, ("a", "b"))


def test_records_are_stable_json_lines() -> None:
    event = Event("left", "discrete", 9, 90_000, 10_000, 80_000, 0.12345678)
    line = to_json_line(event, stream="board", model="sha256:0")
    assert line == (
        '{"v":1,"type":"event","gesture":"left","phase":"discrete","seq":9,"t_us":90000,'
        '"onset_us":10000,"end_us":80000,"score":0.123457,"stream":"board","model":"sha256:0"}'
    )
    assert Event.from_dict(json.loads(line)) == replace(event, score=0.123457)
    gap = json.loads(to_json_line(GapRecord("lost", 5, 50_000, 3, "filled")))
    assert gap == {
        "v": 1, "type": "gap", "reason": "lost", "seq": 5, "t_us": 50_000, "n_missing": 3,
        "action": "filled",
    }  # fmt: skip
    assert json.loads(to_json_line(Stats({"n_frames": 3})))["n_frames"] == 3


def test_a_record_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json_line(Stats({"rate": float("nan")}))


def test_every_error_is_caught_by_one_name() -> None:
    with pytest.raises(StreamRNNError):
        raise SourceError("gone")
    with pytest.raises(OSError, match="gone"):
        raise SourceError("gone")


def test_the_registry_knows_built_ins_and_plug_ins() -> None:
    registry = Registry[str]("link", "streamrnn.links", {"serial": lambda: "port"})
    assert registry.get("serial")() == "port"
    assert "sim" in registry.names()
    assert callable(registry.get("sim"))
    with pytest.raises(ConfigError, match=r"unknown link 'bluetooth'; known: .*serial"):
        registry.get("bluetooth")
    with pytest.raises(ConfigError, match=r"did you mean 'serial'\?.*known: file, serial, sim"):
        registry.get("seral", "file")


def test_a_plug_in_is_found_wherever_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "[console_scripts]\nowl = no:no\n[streamrnn.links]\nwren = absent:b\nowl = {}\n"
        "[x]\nowl = c:d\n"
    )
    for folder, where in (
        ("owl-1.dist-info", "plain_owl:make"),
        ("owl.egg-info", "plain_owl:make"),
    ):
        home = tmp_path / folder
        (home / folder).mkdir(parents=True)
        (home / folder / "entry_points.txt").write_text(text.format(where))
        (home / folder / "METADATA").write_text("Metadata-Version: 2.1\nName: owl\nVersion: 1\n")
        (home / folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: owl\nVersion: 1\n")
        (home / "plain_owl.py").write_text("def make():\n    return 'hoo'\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(home))
            registry = Registry[str]("link", "streamrnn.links", {})
            assert registry.get("owl")() == "hoo"
            with pytest.raises(ModuleNotFoundError):
                registry.get("wren")
            assert {"owl", "wren"} <= set(registry.names())
