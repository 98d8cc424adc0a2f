"""``streamrnn probe``: what it says of good and bad sources, and what to type next."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import signal
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_make import main, start

from firmware_sim.cables.pty import PtyBoard
from firmware_sim.options import BoardOptions, make_board
from streamrnn.cli.probe_advice import advice, next_command
from streamrnn.cli.probe_report import report, report_lines
from streamrnn.core.errors import SourceError
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.sources.ports import bauds, listing
from streamrnn.sources.ports.lines import true_baud
from streamrnn.sources.ports.listing import Port
from streamrnn.sources.probing.listening import Listener
from streamrnn.sources.probing.opening import Opened
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.stream import StreamSource


@pytest.fixture
def board(tmp_path: Path) -> Iterator[str]:
    """A simulated board on a pseudo-terminal; give its path."""
    path = tmp_path / "ttyACM0"
    with PtyBoard(make_board(BoardOptions(rate_hz=200.0)), path=path):
        yield str(path)


def test_a_board_is_described_and_the_next_command_named(
    capsys: pytest.CaptureFixture[str], board: str
) -> None:
    code, out, err = main(capsys, "probe", f"serial:{board}", "--duration", "1")
    assert (code, err) == (0, f"serial:{board}: listening for 1 s ...\n")
    lines = out.splitlines()
    assert lines[0] == f"serial:{board}"
    heads = [line[2:11].strip() for line in lines[1:]]
    assert heads[:5] == ["format", "device", "port", "rate", "jitter"]
    assert lines[1] == "  format    wire: packets with checksum, counter and clock"
    assert lines[2].startswith("  device    simulated IMU, firmware sim-1, boot ")
    assert lines[3] == f"  port      {board}, 115200 baud"
    assert lines[4].startswith("  rate      200 Hz stated, about 200.0 Hz measured")
    rows = [line.split() for line in lines if line.startswith("            ")][:6]
    assert [row[:2] for row in rows] == [
        [f"{kind}_{axis}", unit] for kind, unit in (("acc", "g"), ("gyro", "dps")) for axis in "xyz"
    ]
    assert all(len(row[5]) == 40 for row in rows)
    guided = "-o first.mcap --subject me --gestures left,right"
    assert lines[-1] == f"  next      streamrnn record serial:{board} {guided}"
    main(capsys, *shlex.split(lines[-1].split("streamrnn ")[1])[:2], "--help")


def test_the_same_as_json(capsys: pytest.CaptureFixture[str], board: str) -> None:
    code, out, err = main(capsys, "probe", f"serial:{board}", "--duration", "0.5", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["format"], found["nominal_hz"], found["ended"]) == ("wire", 200.0, "done")
    assert found["port"] == {
        "path": board, "baud": 115_200, "product": "", "serial_number": "",
        "latency_timer_ms": None,
    }  # fmt: skip
    assert found["n_frames"] == found["counters"]["n_frames"] >= 50
    assert found["channels"][0]["name"] == "acc_x"
    assert (
        found["channels"][0]["min"] <= found["channels"][0]["mean"] <= found["channels"][0]["max"]
    )
    assert found["timing"]["n_missing"] == 0
    assert found["next"].startswith("streamrnn record serial:")


def test_losses_are_said_as_the_board_made_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = main(capsys, "probe", "sim:?faults=drop:0.1", "--duration", "1.5")
    assert code == 0
    assert "% of the frames are missing, in " in out
    code, out, _ = main(capsys, "probe", "sim:?faults=drop:0.1", "--duration", "1.5", "--json")
    found = json.loads(out)
    assert found["counters"]["n_lost_frames"] > 0
    assert any(line.startswith("lossy: ") for line in found["advice"])


def test_a_session_file_is_probed_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    n = 1000
    x = np.stack([np.sin(np.arange(n) / 9), np.full(n, 3.0)], axis=1).astype(np.float32)
    seq = np.arange(n)
    info = StreamInfo((Channel("a\x1b[2J", "g"), Channel("dead")), 100.0, "old \x1b board")
    path = tmp_path / "it's.mcap"
    write_session(path, Session(info, Frames(x, seq, seq * 10_000), np.arange(n) * 10_000_000))
    code, out, err = main(capsys, "probe", f"file:{path}", "--duration", "4")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert r"old \x1b board" in out
    assert "stuck: dead never changed: is the sensor wired up" in out
    assert out.splitlines()[-1] == f"  next      streamrnn inspect {shlex.quote(str(path))}"
    assert shlex.split(out.splitlines()[-1])[-1] == str(path)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("serial:/dev/ttyNONE", 1, "no such port: /dev/ttyNONE"),
        ("/dev/ttyNONE", 2, "did you mean 'serial:/dev/ttyNONE'?"),
        ("serial:/dev/ttyNONE?bude=9600", 2, "has no option 'bude' (did you mean 'baud'?)"),
        ("tcp:127.0.0.1:1", 1, "cannot connect to tcp:127.0.0.1:1: Connection refused"),
        ("file:/none.mcap", 1, "no such file: /none.mcap"),
    ],
)
def test_trouble_is_one_line(
    capsys: pytest.CaptureFixture[str], url: str, code: int, words: str
) -> None:
    got, out, err = main(capsys, "probe", url)
    assert (got, out) == (code, "")
    assert err.startswith("streamrnn: ")
    assert words in err
    assert err.count("\n") == 1


def test_what_is_known_is_said_before_the_trouble(
    capsys: pytest.CaptureFixture[str], board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = StreamSource.read
    n_reads = 0

    def fail(source: StreamSource, timeout_s: float) -> list[Any]:
        nonlocal n_reads
        n_reads += 1
        if n_reads > 20:
            raise SourceError("it broke: mend it")
        return list(real(source, timeout_s))

    monkeypatch.setattr(StreamSource, "read", fail)
    code, out, err = main(capsys, "probe", f"serial:{board}")
    assert code == 1
    assert "  device    simulated IMU" in out
    assert err.endswith("\nstreamrnn: it broke: mend it\n")


def test_ctrl_c_shows_what_is_known_so_far() -> None:
    with start("probe", "sim:", "--duration", "60") as process:
        try:
            assert process.stderr is not None
            heard = iter(process.stderr.readline, b"")
            assert any(line == b"sim:: listening for 60 s ...\n" for line in heard)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"  device    simulated IMU" in out


class GarblingBoard:
    """Lines on a pseudo-terminal, garbage for a reader at another baud rate than 9600."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> GarblingBoard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)

    def _send(self) -> None:
        while not self._stop.wait(0.01):
            is_right = true_baud(self.master) == 9_600
            if select.select((), (self.master,), (), 0.0)[1]:  # somebody reads
                os.write(self.master, b"1.5,-2.25\r\n" if is_right else os.urandom(11))


def test_a_wrong_baud_rate_is_set_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bauds, "USUAL", (115_200, 57_600, 9_600))
    with GarblingBoard() as board:
        url = f"serial:{board.path}"
        code, out, err = main(capsys, "probe", url, "--duration", "0.5")
    assert code == 0
    assert err.splitlines() == [
        f"{url} makes no sense at 115200 baud; trying 2 other rates ...",
        f"{url}: listening for 0.5 s ...",
    ]
    lines = out.splitlines()
    assert lines[0] == f"{url}?baud=9600"
    assert "  mind      wrong baud rate: it speaks at 9600, not 115200: add baud=9600 to" in out
    assert lines[-1].startswith(f"  next      streamrnn record '{url}?baud=9600' -o first.mcap")


# ---- advice


def found(
    info: StreamInfo | None = None,
    x: np.ndarray[Any, np.dtype[np.float32]] | None = None,
    *,
    link: SerialLink | None = None,
    **changes: Any,
) -> list[str]:
    """Return the advice on a stream like this."""
    info = info or StreamInfo((Channel("a", "g"), Channel("b", "g")), 100.0)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, info.n_channels)).astype(np.float32) if x is None else x
    listener = Listener(info)
    seq = np.arange(len(x))
    listener.take(Frames(np.ascontiguousarray(x), seq, seq * 10_000))
    source = StreamSource(link or SerialLink("/dev/ttyUSB0"))
    source._info = info
    opened = Opened(source, source.link, f"{source.name}")
    document = report(opened, listener, "done") | {
        "format": "wire", "heard_s": 5.0, "span_s": 5.0, "measured_hz": 100.0,
        "timing": {"is_settled": True, "n_gaps": 3}, "is_numbered": True,
    }  # fmt: skip
    for key, value in changes.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    assert list(report_lines({**document, "advice": [], "next": ""}, listener))
    return advice(document, opened, listener)


def test_a_good_stream_gets_no_advice() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counters": {"n_bytes": 57_000}}, "the line is 99 % full at 115200 baud: raise"),
        ({"counters": {"n_lost_frames": 50}}, "lossy: 9.1 % of the frames are missing, in 3 pl"),
        ({"counters": {"n_bad_crc": 2, "n_packets": 98}}, "damaged: 2 of 100 packets made no"),
        ({"counters": {"n_duplicate_frames": 4}}, "4 frames came twice"),
        ({"counters": {"n_unplugs": 2}}, "the device went away 2 times: a loose plug"),
        ({"n_reboots": 1}, "the device started anew once: too little power"),
        ({"port": {"latency_timer_ms": 16}}, "`echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyU"),
        ({"measured_hz": 98.0}, "rate: it sends 98.00 frames a second, not 100 as stated: correct"),
        ({"timing": {"drift_ppm": -2000.0}}, "the device's clock is off by 0.2 %"),
        ({"timing": {"largest_gap_s": 0.9}}, "nothing came for 0.90 s once"),
        ({"timing": {"arrival_jitter": {"p95_us": 40_000.0, "p50_us": 1.0, "max_us": 5e4}}},
         "5 % of the frames arrive more than 40 ms late"),
        ({"heard_s": 2.0}, "its clock does not run in real time: 5.0 s of it took 2.0 s"),
        ({"format": "numbers"}, "text has no checksum: an altered digit becomes a sample (docs"),
        ({"format": "numbers", "is_numbered": False}, "and a lost line leaves no trace (docs/"),
        ({"n_text_refused": 1, "counters": {"n_bad_crc": 3, "n_packets": 98}},
         "damaged: 2 of 100 packets made no"),
        ({"last_words": "E: wifi\x1b", "n_text_lines": 3},
         r"between its data the device prints 3 lines of text; the most telling: 'E: wifi\\x1b'"),
        ({"clock": "counted", "measured_hz": 98.0}, "not 100 as stated: give rate=98"),
        ({"format": "numbers", "nominal_hz": None, "measured_hz": None}, "its rate is not known"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes: dict[str, Any], words: str) -> None:
    assert any(line.startswith(words) or words in line for line in found(**changes))


def test_what_is_wrong_with_the_samples_is_named() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 2)).astype(np.float32)
    bare = StreamInfo((Channel("a"), Channel("b")), 100.0)
    counts = found(bare, np.rint(x * 100).astype(np.float32))
    assert counts == ["whole numbers without a unit: a, b: raw counts? Training can do with them"]
    flat = x.copy()
    flat[:, 1] = 0
    assert "stuck: b never changed" in found(None, flat)[0]
    wave = x / 20
    wave[:, 0] += 2 * np.sin(np.arange(500, dtype=np.float32) / 7)
    assert found(None, np.minimum(wave, 1.75)) == [
        "clipped: a at 1.75: set a wider range, or a lower gain"
    ]
    hung = x.copy()
    hung[200:] = hung[200]
    assert any("all channels stood still for 3.0 s" in line for line in found(None, hung))
    part = x.copy()
    part[200:, 1] = part[200, 1]
    assert any("stuck: b held one value" in line for line in found(None, part))
    assert any("50 % of the frames repeat" in t for t in found(None, np.repeat(x, 2, axis=0)))
    broken = x.copy()
    broken[7, 0] = np.nan
    assert any("not a number: some samples of a" in line for line in found(None, broken))


def test_the_next_command_names_the_board_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port("/dev/ttyACM0", "Uno", "", "Uno", 1, 2, "A1")
    monkeypatch.setattr(listing, "serial_ports", lambda: [port])
    link = SerialLink("/dev/ttyACM0", lister=lambda: [port])
    link._finder.port = port
    opened = Opened(StreamSource(link), link, "serial:/dev/ttyACM0?baud=9600&names=a,b")
    document = {"source": opened.url, "n_frames": 9, "nominal_hz": None, "measured_hz": 98.5}
    command = next_command(document, opened)
    assert command == (
        "streamrnn record 'serial:usb=A1?baud=9600&names=a,b' -o first.mcap --rate 98.5"
        " --subject me --gestures left,right"
    )
    assert next_command({**document, "n_frames": 0}, opened) == ""
