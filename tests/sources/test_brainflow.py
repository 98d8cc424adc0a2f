"""BrainFlow's own synthetic and playback boards."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from brainflow.board_shim import BoardIds, BoardShim
from brainflow.data_filter import DataFilter

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.types import Channel, End, Frames, Item
from streamrnn.sources import open_source
from streamrnn.sources.base import Source
from streamrnn.sources.decoded.boards import board_id, cause, choose_channels

KNOWN = {key: int(value) for key, value in BoardIds.__members__.items()}


def read_for(source: Source, n: int, limit_s: float = 20.0) -> list[Item]:
    items: list[Item] = []
    end = time.monotonic() + limit_s
    while sum(len(item) for item in items if isinstance(item, Frames)) < n:
        assert time.monotonic() < end
        items += source.read(0.05)
        if items and isinstance(items[-1], End):
            break
    return items


def joined(items: list[Item]) -> Frames:
    blocks = [item for item in items if isinstance(item, Frames)]
    return Frames.join(blocks, blocks[0].x.shape[1])


def test_the_synthetic_board_gives_frames_without_a_gap() -> None:
    source = open_source("brainflow:synthetic?channels=eeg,accel")
    source.open()
    assert source.info.rate_hz == 250.0
    assert source.info.channels[0] == Channel("Fz", "uV")
    assert source.info.channel_names[-3:] == ("acc_x", "acc_y", "acc_z")
    frames = joined(read_for(source, 300))  # more than its counter of 8 bits can count
    source.close()
    source.close()
    assert frames.seq.tolist() == list(range(len(frames)))
    assert 3000 < np.median(np.diff(frames.t_us)) < 5000  # it pauses on a busy machine
    assert source.counters.n_lost_frames == 0
    again = open_source("brainflow:-1")  # it was let go
    again.open()
    again.close()


def test_a_recording_is_played_back_with_what_is_missing_in_it(tmp_path: Path) -> None:
    descr = BoardShim.get_board_descr(int(BoardIds.SYNTHETIC_BOARD))
    n = np.concatenate([np.arange(60), np.arange(63, 150)])
    data = np.zeros((descr["num_rows"], len(n)))
    data[descr["package_num_channel"]] = (n + 200) % 256
    data[descr["timestamp_channel"]] = 1.7e9 + n / 250
    data[descr["accel_channels"]] = n / 8
    file = tmp_path / "recording.csv"
    DataFilter.write_file(data, str(file), "w")
    source = open_source(f"brainflow:playback?file={file}&master=synthetic&channels=accel")
    source.open()
    items = read_for(source, len(n) + 1)
    source.close()
    frames = joined(items)
    assert isinstance(items[-1], End)
    assert frames.seq.tolist() == n.tolist()
    assert frames.x[:, 1].tolist() == (n / 8).tolist()
    assert (frames.t_us - frames.t_us[0]).tolist() == (n * 4000).tolist()
    assert source.counters.n_lost_frames == 3


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("brainflow:", ConfigError, "brainflow:synthetic"),
        ("brainflow:?port=x", ConfigError, "needs a board"),
        ("brainflow:cytn", ConfigError, "did you mean 'cyton'"),
        ("brainflow:999", ConfigError, "no board '999'"),
        ("brainflow:cyton", SourceError, "port=, mac="),
        ("brainflow:cyton?port=/dev/nope", SourceError, "cannot be opened.*error 2"),
        ("brainflow:cyton?channels=gyro", ConfigError, "channels= can be emg, eeg"),
        ("brainflow:cyton?channels=emg,eeg", ConfigError, "same channels"),
        ("brainflow:ganglion?preset=auxiliary", ConfigError, "preset= can be default"),
        ("brainflow:cyton?preset=aux", ConfigError, "preset must be one of default"),
        ("brainflow:cyton?counter=9", ConfigError, "counter must be 8"),
        ("brainflow:cyton?prt=x", ConfigError, "did you mean 'port'"),
        ("brainflow:playback", ConfigError, "file=emg.csv&master=cyton"),
        ("brainflow:playback?file=/nope&master=cyton", SourceError, "no such file: /nope"),
        ("brainflow:cyton?ip_port=x", ConfigError, "ip_port must be a number"),
    ],
)
def test_each_mistake_is_one_line(
    url: str, kind: type[Exception], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind, match=words) as caught:
        open_source(url).open()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # the library says nothing by itself


def test_boards_go_by_name_or_number() -> None:
    assert board_id("cyton", KNOWN) == board_id("CYTON_BOARD", KNOWN) == board_id("0", KNOWN) == 0
    assert board_id("cyton-daisy", KNOWN) == 2
    assert board_id("playback", KNOWN) == -3
    for number in KNOWN.values():
        if number != KNOWN["NO_BOARD"]:
            assert board_id(str(number), KNOWN) == number


@pytest.mark.parametrize("name", [name for name, number in KNOWN.items() if number >= -1])
def test_every_board_has_usual_channels(name: str) -> None:
    channels, rows = choose_channels(BoardShim.get_board_descr(KNOWN[name]), [], name)
    assert len(channels) == len(rows) == len(set(rows)) == len({c.name for c in channels})


def test_error_numbers_are_words() -> None:
    assert "plugged in" in cause(2)
    assert "BrainFlow's error 77" in cause(77)
