from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from message_make import text_messages, wire_messages

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.types import End, Frames, Item
from streamrnn.sources import open_source
from streamrnn.sources.stdin import StdinLink, open_link
from streamrnn.sources.stream import StreamSource


def all_items(data: bytes) -> tuple[StreamSource, list[Item]]:
    """Pipe bytes through a file descriptor; return what comes out."""
    read_fd, write_fd = os.pipe()
    os.write(write_fd, data)
    os.close(write_fd)
    source = StreamSource(StdinLink(read_fd), 100.0)
    source.open()
    items: list[Item] = []
    while not (items and isinstance(items[-1], End)):
        items += source.read(0.05)
    source.close()
    os.close(read_fd)
    return source, items


@pytest.mark.parametrize("messages", [wire_messages(300)[:-1], text_messages(300)])
def test_a_dump_comes_through_whole(messages: list[bytes]) -> None:
    source, items = all_items(b"".join(messages))
    assert sum(len(item) for item in items if isinstance(item, Frames)) == 300
    assert not source.live  # whoever writes waits


def test_a_dump_of_packets_that_is_slow_is_not_asked() -> None:
    read_fd, write_fd = os.pipe()
    head, *frames = wire_messages(3)
    source = StreamSource(StdinLink(read_fd))
    os.write(write_fd, head)
    source.open()
    for _ in range(60):  # longer than a board has to answer START
        assert not any(isinstance(item, Frames) for item in source.read(0.02))
    os.write(write_fd, b"".join(frames))
    items: list[Item] = []
    while not (items and isinstance(items[-1], End)):
        items += source.read(0.05)
    assert sum(len(item) for item in items if isinstance(item, Frames)) == 3
    source.close()
    os.close(read_fd)
    os.close(write_fd)


def test_a_terminal_is_no_dump() -> None:
    master, slave = pty.openpty()
    with pytest.raises(SourceError, match="pipe something into it"):
        StdinLink(slave).open()
    os.close(master)
    os.close(slave)


def test_an_empty_or_closed_pipe_is_named(tmp_path: Path) -> None:
    with open(os.devnull, "rb") as nothing, pytest.raises(SourceError, match="ended after 0 bytes"):
        StreamSource(StdinLink(nothing.fileno())).open()
    with pytest.raises(SourceError, match="closed"):
        StdinLink(9999).open()


def test_the_address_is_empty() -> None:
    assert open_link("").name == open_link("-").name == "stdin"
    with pytest.raises(ConfigError, match="takes no address, got 'x'"):
        open_source("stdin:x")


def test_a_dump_can_be_recorded_from_the_shell(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(b"".join(text_messages(500)))
    out = tmp_path / "a.mcap"
    with dump.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "streamrnn", "record", "stdin:?rate=100", "-o", str(out)],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "500 frames" in done.stderr
