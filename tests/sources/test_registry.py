from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamrnn.core.errors import ConfigError
from streamrnn.core.link import Link
from streamrnn.sources import open_source
from streamrnn.sources.file import FileSource
from streamrnn.sources.registry import EXAMPLES, LINKS, SOURCES, _split
from streamrnn.sources.stream import StreamSource
from streamrnn.sources.tap import TapLink
from streamrnn.wire.options import KEYS, StreamOptions


@pytest.mark.parametrize("url", ["serial:/dev/ttyACM0?baud=9600", "tcp:localhost:80"])
def test_links_become_live_sources(url: str) -> None:
    source = open_source(url, rate_hz=50.0)
    assert isinstance(source, StreamSource)
    assert source.live


def test_a_file_is_not_live(tmp_path: Path) -> None:
    source = open_source(f"file:{tmp_path}/a.mcap")
    assert isinstance(source, FileSource)
    assert not source.live


def test_plugins_are_known_by_name() -> None:
    with pytest.raises(ConfigError, match=r"known: .*file, .*lsl, .*serial, sim, .*tcp"):
        open_source("bluetooth:x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/dev/ttyACM0", "did you mean 'serial:/dev/ttyACM0'"),
        ("a.mcap", "did you mean 'file:a.mcap'"),
        ("seral:/dev/ttyACM0", "did you mean 'serial'"),
        ("brainflw:x", "did you mean 'brainflow'"),
        ("serial:/dev/x?bad=9600", "did you mean 'baud'"),
        ("tcp:h:1?format=nmed", "did you mean 'named'"),
        ("tcp:h:1?rate=fast", "rate=fast"),
        *((f"{scheme}:", f"{scheme}: needs an address: {scheme}:") for scheme in EXAMPLES),
        *((f"{scheme}://", "needs an address") for scheme in EXAMPLES),
    ],
)
def test_wrong_addresses_name_the_right_ones(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert words in str(caught.value)


def test_every_kind_but_stdin_has_an_example_that_is_right() -> None:
    assert EXAMPLES.keys() | {"stdin"} == LINKS.builtins.keys() | SOURCES.builtins.keys()
    for text in EXAMPLES.values():
        for url in text.split(" or "):
            assert open_source(url).name


def test_every_kind_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    for scheme in {*LINKS.builtins, *SOURCES.builtins, "sim"}:
        assert f"## {scheme}\n" in text
        assert f"| [{scheme}](#{scheme}) | `{scheme}:" in text
    for key in KEYS:
        assert f"| `{key}=" in text


@pytest.mark.parametrize(
    ("rest", "is_plugin", "options", "kept"),
    [
        ("/dev/x", False, StreamOptions(), "/dev/x"),
        ("/dev/x?baud=9600", False, StreamOptions(), "/dev/x?baud=9600"),
        ("h:1?rate=50&format=json", False, StreamOptions("json", 50.0), "h:1"),
        ("h:1?a=%20b&rate=50&c", False, StreamOptions(rate_hz=50.0), "h:1?a=%20b&c"),
        ("?rate=50&names=a%2Cb&person=3", True, StreamOptions(rate_hz=50.0, names=("a", "b")),
         "?rate=50&person=3"),
    ],
)  # fmt: skip
def test_options_of_the_stream_are_taken_out(
    rest: str, is_plugin: bool, options: StreamOptions, kept: str
) -> None:
    assert _split(rest, is_plugin=is_plugin) == (options, kept)


def test_the_command_line_wins_over_the_url_and_that_over_the_model() -> None:
    def rate(url: str, rate_hz: float) -> float:
        source = open_source(url, rate_hz=rate_hz, fallback_hz=25.0)
        assert isinstance(source, StreamSource)
        return source._detector._rate_hz

    assert rate("tcp:h:1?rate=50", 100.0) == 100.0
    assert rate("tcp:h:1?rate=50", 0.0) == 50.0
    assert rate("tcp:h:1", 0.0) == 25.0


def test_other_programs_addresses_work() -> None:
    assert open_source("tcp://localhost:80").name == "tcp:localhost:80"
    assert open_source("mqtt://localhost/a").name == "mqtt:localhost/a"


def test_bytes_can_be_tapped_but_frames_cannot() -> None:
    source = open_source("tcp:h:1", tap=lambda data, host_ns: None)
    assert isinstance(source, StreamSource)
    assert isinstance(source.link, TapLink)
    with pytest.raises(ConfigError, match="no undecoded bytes"):
        open_source("file:a.mcap", tap=lambda data, host_ns: None)


@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [
        ("lsl", "pylsl", "pylsl"),
        ("brainflow", "brainflow", "brainflow"),
        ("mqtt", "paho.mqtt.client", "paho-mqtt"),
    ],
)
def test_a_missing_library_names_its_extra(
    scheme: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        open_source(EXAMPLES[scheme].split()[0]).open()
    assert str(caught.value) == f"{scheme}: needs {package}: pip install 'streamrnn[{scheme}]'"


def test_plugins_add_links_and_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "radio.py").write_text(
        "from streamrnn.sources.file import FileSource\n"
        "from streamrnn.sources.tcp import TcpLink\n"
        "def link(rest): return TcpLink('radio-' + rest, 1)\n"
        "def source(rest): return FileSource('radio-' + rest)\n"
    )
    info = tmp_path / "radio-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: radio\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[streamrnn.links]\nradio = radio:link\ntcp = radio:link\n"
        "[streamrnn.sources]\ntape = radio:source\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    radio = open_source("radio:x")
    assert isinstance(radio, StreamSource)
    assert isinstance(radio.link, Link)
    assert radio.name == "tcp:radio-x:1"
    assert open_source("tape:x").name == "file:radio-x"
    assert open_source("tcp:h:1").name == "tcp:h:1"  # they only add
    with pytest.raises(ConfigError, match=r"known: .*radio, .*tape"):
        open_source("nothing:x")


def test_a_link_that_waits_is_not_live() -> None:
    assert open_source("sim:").live
    assert not open_source("sim:?speed=0").live
