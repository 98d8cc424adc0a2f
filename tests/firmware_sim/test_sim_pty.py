"""A board on a real pseudo-terminal."""

from __future__ import annotations

import os
import select
import termios
import time
from pathlib import Path

import pytest
from sim_host import ENCODER, frames_of, start

from firmware_sim.board import Board
from firmware_sim.cables.pty import PtyBoard
from firmware_sim.device import Device
from firmware_sim.faults import parse_faults
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.types import End
from streamrnn.wire.reference import ReferenceDecoder


def _device(seconds: float | None = None, rate_hz: float = 100.0) -> Device:
    return Device(SignalOrigin(1, 3, rate_hz, seconds=seconds))


class Port:
    """A plain program at the other end."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.decoder = ReferenceDecoder()
        self.items: list = []

    def read(self, timeout_s: float) -> bytes:
        if not select.select([self.fd], [], [], timeout_s)[0]:
            return b""
        data = os.read(self.fd, 65536)
        self.items += self.decoder.push(data)
        return data

    def read_until(self, is_done: object, limit_s: float = 10.0) -> None:
        deadline = time.monotonic() + limit_s
        while not is_done():  # type: ignore[operator]
            assert time.monotonic() < deadline, "nothing more came"
            self.read(0.05)

    def read_to_end(self) -> None:
        self.read_until(lambda: any(isinstance(item, End) for item in self.items))

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def close(self) -> None:
        os.close(self.fd)


def test_the_terminal_is_raw_before_anyone_opens_it() -> None:
    with PtyBoard(_device()) as board:
        port = Port(board.path)
        iflag, oflag, _, lflag, *_ = termios.tcgetattr(port.fd)
        assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert not iflag & (termios.ICRNL | termios.IXON | termios.ISTRIP)
        assert not oflag & termios.OPOST
        port.close()


def test_as_fast_as_it_is_read_and_nothing_is_lost() -> None:
    with PtyBoard(_device(seconds=30.0), speed=0) as board:
        port = Port(board.path)
        port.read(1.0)
        port.write(start())
        for _ in range(5):  # a reader that dawdles
            port.read(0.1)
            time.sleep(0.02)
        port.read_to_end()
        port.close()
        assert board.finished.wait(5.0)
    frames = frames_of(port.items)
    assert frames.x.tobytes() == simulate(3, 1, 30.0)[0].x.tobytes()
    assert port.decoder.counters.n_lost_frames == 0
    assert board.error is None


def test_frames_come_at_their_time() -> None:
    with PtyBoard(_device(rate_hz=100.0)) as board:
        port = Port(board.path)
        port.read(1.0)
        port.write(start())
        port.read_until(lambda: len(frames_of(port.items)) > 0)
        arrivals: list[float] = []
        for _ in range(40):
            port.read(1.0)
            arrivals.append(time.monotonic())
        port.close()
    frames = frames_of(port.items)
    # From the first of them on, no frame is late by more than a shared machine explains.
    lateness = sorted(t - arrivals[0] - 0.01 * i for i, t in enumerate(arrivals))
    assert len(frames) >= 40
    assert lateness[len(lateness) // 2] < 0.05
    assert lateness[0] > -0.05


def test_a_board_at_100_hz_costs_next_to_nothing() -> None:
    with PtyBoard(_device()) as board:
        port = Port(board.path)
        port.read(1.0)
        port.write(start())
        port.read_until(lambda: len(frames_of(port.items)) > 5)
        assert board._thread is not None
        assert board._thread.ident is not None
        clock = time.pthread_getcpuclockid(board._thread.ident)
        begin_s, cpu_s = time.monotonic(), time.clock_gettime(clock)
        while time.monotonic() < begin_s + 0.5:
            port.read(0.1)
        share = (time.clock_gettime(clock) - cpu_s) / (time.monotonic() - begin_s)
        port.close()
    # 1 % on an idle machine; a busy loop would be near 100 %.
    assert share < 0.1


def test_without_a_reader_the_oldest_frames_are_dropped_and_counted() -> None:
    device = _device(seconds=20.0)
    with PtyBoard(device, speed=40.0) as board:
        port = Port(board.path)
        port.read(1.0)
        port.write(start())
        deadline = time.monotonic() + 10.0
        while device.n_frames_sent < 2000 and time.monotonic() < deadline:
            time.sleep(0.02)
        port.read_to_end()
        port.close()
        board.finished.wait(5.0)
    n_overrun = board.board.truth()["n_overrun_frames"]
    frames = frames_of(port.items)
    assert n_overrun > 500
    assert len(frames) == 2000 - n_overrun
    assert port.decoder.counters.n_lost_frames == n_overrun
    # Frames are dropped whole: nothing arrives damaged.
    assert port.decoder.counters.n_bad_crc == port.decoder.counters.n_bad_framing == 0
    assert frames.seq[-1] == 1999


def test_readers_come_and_go() -> None:
    with PtyBoard(_device(seconds=90.0), speed=0) as board:
        first = Port(board.path)
        first.read(1.0)
        first.write(start())
        first.read_until(lambda: len(frames_of(first.items)) > 20)
        first.write(ENCODER.command(2, "STOP"))
        first.read_until(lambda: first.read(0.1) == b"")
        first.close()
        time.sleep(0.05)
        second = Port(board.path)
        second.write(b"\0" + ENCODER.command(1, "DESCRIBE") + start(2))
        second.read_to_end()
        second.close()
    n_first = len(frames_of(first.items))
    expected = simulate(3, 1, 90.0)[0]
    assert n_first + len(frames_of(second.items)) == 9000
    assert frames_of(second.items).x.tobytes() == expected.x[n_first:].tobytes()


def test_stop_while_it_waits_for_a_reader() -> None:
    board = PtyBoard(_device(seconds=600.0), speed=0)
    with board:
        port = Port(board.path)
        port.write(start())
        time.sleep(0.2)  # it has filled the kernel's buffer by now, and waits
        begin_s = time.monotonic()
        board.stop()
        assert time.monotonic() - begin_s < 1.0
        port.close()
    assert board.finished.is_set()


def _read_until_it_hangs_up(port: Port) -> None:
    deadline = time.monotonic() + 10.0
    try:
        while port.read(1.0):
            assert time.monotonic() < deadline
    except OSError:  # EIO; where the terminal gives an empty read instead, the loop ends
        return


@pytest.mark.parametrize("speed", [0.0, 10.0])
def test_an_unplug_takes_the_name_away_and_a_replug_brings_it_back(
    tmp_path: Path, speed: float
) -> None:
    path = tmp_path / "board"
    device = _device(seconds=6.0)
    with PtyBoard(Board(device, parse_faults("unplug@2s:2s")), speed=speed, path=path) as board:
        assert board.path == str(path)
        first_name = os.readlink(path)
        port = Port(board.path)
        port.read(1.0)
        port.write(start())
        _read_until_it_hangs_up(port)
        port.close()
        deadline = time.monotonic() + 5.0
        n_away = 0
        while not path.exists():
            n_away += 1
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert n_away > 0 or speed == 0.0
        again = Port(board.path)
        again.decoder, again.items = port.decoder, port.items
        again.read_to_end()
        again.close()
        assert board.finished.wait(5.0)
    assert len(frames_of(port.items)) == 400
    assert port.decoder.counters.n_lost_frames == 200
    assert first_name.startswith("/dev/")
    assert not path.is_symlink()


def test_a_board_that_will_be_unplugged_gets_a_name_that_stays() -> None:
    board = PtyBoard(Board(_device(), parse_faults("unplug@2s:2s")))
    with board:
        folder = Path(board.path).parent
        assert Path(board.path).is_symlink()
    assert not folder.exists()


def test_after_the_end_it_waits_for_the_reader_to_go() -> None:
    with PtyBoard(_device(seconds=0.5), speed=0) as board:
        port = Port(board.path)
        port.write(start())
        port.read_to_end()
        assert not board.finished.wait(0.2)
        port.close()
        assert board.finished.wait(1.0)
    assert len(frames_of(port.items)) == 50


def test_a_reader_that_went_away_does_not_keep_it() -> None:
    with PtyBoard(_device(seconds=0.5), speed=0) as board:
        port = Port(board.path)
        port.write(start())
        time.sleep(0.1)
        port.close()
        assert board.finished.wait(5.0)


def test_an_old_link_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "board"
    path.symlink_to("/dev/pts/none")
    with PtyBoard(_device(), path=path):
        assert path.exists()
    path.write_text("mine")
    with pytest.raises(SourceError, match="is not a symbolic link"):
        PtyBoard(_device(), path=path).start()
    assert path.read_text() == "mine"
    with pytest.raises(SourceError, match="cannot make"):
        PtyBoard(_device(), path=tmp_path / "none" / "board").start()


def test_the_name_of_another_board_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "board"
    with PtyBoard(_device(), path=path):
        path.unlink()
        path.symlink_to(os.devnull)
    assert path.exists()


def test_an_origin_that_fails_ends_the_board() -> None:
    class Broken(SignalOrigin):
        def next(self, n_max: int):  # type: ignore[no-untyped-def]
            if self._seq > 1000:
                raise SourceError("the tape is torn")
            return super().next(n_max)

    with PtyBoard(Device(Broken(1, 1)), speed=0) as board:
        port = Port(board.path)
        port.write(start())
        deadline = time.monotonic() + 5.0
        while not board.finished.is_set() and time.monotonic() < deadline:
            try:
                port.read(0.05)
            except OSError:
                break
        assert board.finished.wait(2.0)
        port.close()
    assert "the tape is torn" in str(board.error)


def test_a_negative_speed() -> None:
    with pytest.raises(ConfigError, match="speed must be 0"):
        PtyBoard(_device(), speed=-1.0)


def test_two_boards_do_not_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "board"
    with PtyBoard(_device(), path=path) as board:
        with pytest.raises(SourceError, match="where another board is; name another path"):
            PtyBoard(_device(), path=path).start()
        Port(board.path).close()
    assert not path.is_symlink()
