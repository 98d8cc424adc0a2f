from __future__ import annotations

from pathlib import Path

import pytest

from streamrnn.core.errors import ConfigError
from streamrnn.sources import open_source
from streamrnn.sources.file import FileSource
from streamrnn.sources.stream import StreamSource


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
    with pytest.raises(ConfigError, match=r"known: .*file, .*serial, .*tcp"):
        open_source("bluetooth:x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/dev/ttyACM0", "did you mean 'serial:/dev/ttyACM0'"),
        ("a.mcap", "did you mean 'file:a.mcap'"),
        ("seral:/dev/ttyACM0", "did you mean 'serial'"),
        ("serial:", "needs an address"),
        ("tcp:", "needs an address"),
        ("file:", "needs an address"),
    ],
)
def test_wrong_addresses_name_the_right_ones(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_source(url)


def test_a_link_that_waits_is_not_live() -> None:
    assert open_source("sim:").live
    assert not open_source("sim:?speed=0").live
