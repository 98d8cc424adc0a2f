"""LSL streams of a real outlet, in another process, over this computer's own network."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.types import Frames, Gap, Item
from streamrnn.sources import open_source
from streamrnn.sources.base import Source

CONFIG = """
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
AddressesOverride = {127.0.0.1, 224.0.0.183}
[lab]
KnownPeers = {127.0.0.1}
[log]
level = -3
"""

OUTLET = """
import sys, time, pylsl
name, kind, rate, first, n = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
if kind == "text":
    info = pylsl.StreamInfo(name, "Markers", 1, 0, "string", name)
else:
    info = pylsl.StreamInfo(name, "EMG", 2, rate, kind, name)
    info.set_channel_labels(["left", "right"])
    info.set_channel_units(["uV", "uV"])
outlet = pylsl.StreamOutlet(info)
outlet.wait_for_consumers(10)
begin = pylsl.local_clock()
for k in range(int(n)):
    sample = ["x"] if kind == "text" else [int(first) + k, -k]
    outlet.push_sample(sample, begin + k / (rate or 100))
    time.sleep(max(0, begin + (k + 1) / (rate or 100) - pylsl.local_clock()))
time.sleep(60 if n == 0 else 0.5)  # what was sent is still on its way
"""


@pytest.fixture(scope="module", autouse=True)
def _own_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    config: Path = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    config.write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSLAPICFG", str(config))
        # A process takes its time to start on a busy machine.
        patch.setattr("streamrnn.sources.decoded.feed.OPEN_S", 30.0)
        yield


Outlet = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    running = []

    def start(
        name: str, *, kind: str = "float32", rate: float = 200, first: int = 0, n: int = 100
    ) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", OUTLET, name, kind, str(rate), str(first), str(n)]
        running.append(subprocess.Popen(words))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def new_name() -> str:
    """A name that no other test on this computer has."""
    return f"streamrnn-{uuid.uuid4().hex[:12]}"


def read_until(
    source: Source, is_enough: Callable[[list[Item]], bool], limit_s: float = 20.0
) -> list[Item]:
    items: list[Item] = []
    end = time.monotonic() + limit_s
    while not is_enough(items):
        assert time.monotonic() < end, items
        items += source.read(0.05)
    return items


def values(items: list[Item]) -> list[float]:
    return [float(v) for item in items if isinstance(item, Frames) for v in item.x[:, 0]]


@pytest.mark.parametrize("kind", ["float32", "int16"])
def test_frames_come_with_names_units_and_the_senders_time(outlet: Outlet, kind: str) -> None:
    name = new_name()
    outlet(name, kind=kind)
    source = open_source(f"lsl:{name}")
    source.open()
    assert [(c.name, c.unit) for c in source.info.channels] == [("left", "uV"), ("right", "uV")]
    assert source.info.rate_hz == 200.0
    items = read_until(source, lambda items: len(values(items)) == 100)
    source.close()
    assert values(items) == list(range(100))
    blocks = [item for item in items if isinstance(item, Frames)]
    frames = Frames.join(blocks, 2)
    assert frames.seq.tolist() == list(range(100))
    assert np.abs(np.diff(frames.t_us) - 5000).max() <= 1
    assert source.metadata["lsl_type"] == "EMG"
    assert source.counters.n_lost_frames == 0


def test_a_program_that_ends_and_starts_again_is_an_unplug(outlet: Outlet) -> None:
    name = new_name()
    first = outlet(name, n=20)
    source = open_source(f"lsl:?source_id={name}")
    source.open()
    items = read_until(source, lambda items: Gap("unplug") in items)
    assert first.wait(10) == 0
    outlet(name, first=100, n=30)
    items += read_until(source, lambda items: len(values(items)) == 30)
    source.close()
    assert values(items) == [*range(20), *range(100, 130)]
    frames = Frames.join([item for item in items if isinstance(item, Frames)], 2)
    missing_us = int(frames.t_us[20] - frames.t_us[19]) - 5000
    assert frames.seq[20] - frames.seq[19] - 1 == round(missing_us / 5000)
    assert source.counters.n_unplugs == 1
    assert source.counters.n_lost_frames == round(missing_us / 5000)


def test_text_without_a_rate_is_refused(outlet: Outlet) -> None:
    text, irregular = new_name(), new_name()
    outlet(text, kind="text", n=0)
    outlet(irregular, rate=0, n=0)
    with pytest.raises(SourceError, match="sends text"):
        open_source(f"lsl:{text}").open()
    with pytest.raises(SourceError, match="irregular rate"):
        open_source(f"lsl:{irregular}").open()
    with pytest.raises(SourceError, match="streams fit; say which") as caught:
        open_source("lsl:?host=" + hostname()).open()
    assert text in str(caught.value)


def hostname() -> str:
    import socket

    return socket.gethostname()


def test_a_stream_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrnn.sources.decoded.feed.OPEN_S", 0.3)
    with pytest.raises(SourceError, match="no stream lsl:nobody-has-this-name"):
        open_source("lsl:nobody-has-this-name").open()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("lsl:", "lsl:Myo or lsl:?type=EMG"),
        ("lsl:?", "needs a name or a type"),
        ("lsl:a?name=b", "twice"),
        ("lsl:?typ=EMG", "did you mean 'type'"),
    ],
)
def test_senseless_addresses_are_named(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert words in str(caught.value)
