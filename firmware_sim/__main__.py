"""``python -m firmware_sim``: a simulated board for any program that reads a serial port."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from firmware_sim.board import Board
from firmware_sim.faults import OUTAGES
from firmware_sim.link import parse_people
from firmware_sim.memory import MemoryLink
from firmware_sim.options import BoardOptions, make_board
from firmware_sim.pty import PtyBoard
from firmware_sim.raw import RawBoard, raw_board
from firmware_sim.signals import DEFAULT_PERSON, DEFAULT_SEED
from streamrnn.core.errors import ConfigError, StreamRNNError
from streamrnn.core.text import printable
from streamrnn.wire.encode import Encoder

_WATCH_S = 0.2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"firmware-sim: {printable(message, 300)} (see --help)\n")


def _people(text: str) -> tuple[int, ...]:
    try:
        return parse_people(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"write numbers as 1,2,3, not {text!r}") from None


def _parser() -> _Parser:
    parser = _Parser(
        prog="firmware-sim",
        description="A simulated board. It prints the path of its serial port first, waits for "
        "START, streams, and ends when its frames are over and read.",
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--signals", action="store_true", help="a hand with an IMU (the default)")
    origin.add_argument(
        "--playback", metavar="FILE", nargs="+", help="recorded sessions in turn, frame for frame"
    )
    origin.add_argument(
        "--raw",
        metavar="FILE",
        help="the bytes of a session with raw bytes, or the lines of any other file at --rate a "
        "second, unchanged, from the moment someone reads",
    )
    parser.add_argument(
        "--link",
        choices=("pty", "stdout"),
        default="pty",
        help="a pseudo-terminal, or the bytes on stdout without waiting for START",
    )
    parser.add_argument("--path", help="make this symbolic link to the pseudo-terminal")
    parser.add_argument("--person", type=int, default=DEFAULT_PERSON, help="who moves (a number)")
    parser.add_argument("--people", type=_people, default=(), help="several in turn: 1,2,3")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="what happens when")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="frames a second of signals, lines of a file"
    )
    parser.add_argument("--seconds", type=float, help="length of signals; endless by default")
    parser.add_argument("--lead", type=float, default=0.15, help="seconds to the first gesture")
    parser.add_argument("--plan", default="all", help="all, null or the name of a gesture")
    parser.add_argument("--packet", type=int, metavar="N", help="most frames in one packet")
    parser.add_argument("--drift", type=float, default=0.0, metavar="PPM", help="of its clock")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="1: real time; 0: as fast as it is read"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="drop:0.01 dup:0.01 flip:1e-5 lose:1e-5 insert:1e-5 unplug@5s:2s reboot@5s:2s",
    )
    parser.add_argument(
        "--truth", metavar="FILE", help="JSON lines: labels as sent, and counts of faults"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit status.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.
    """
    arguments = _parser().parse_args(argv)
    stop = threading.Event()
    before = {
        number: signal.signal(number, _stopper(stop)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return _run(arguments, stop)
    except ConfigError as error:
        return _complain(error, 2)
    except BrokenPipeError:
        # Whoever read stdout has gone; keep the interpreter from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (StreamRNNError, OSError) as error:
        return _complain(error, 1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopper(stop: threading.Event) -> Any:
    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return handler


def _complain(error: Exception, status: int) -> int:
    print(f"firmware-sim: {printable(str(error), 300)}", file=sys.stderr)  # noqa: T201
    return status


def _make(arguments: argparse.Namespace) -> Board | RawBoard:
    if arguments.raw:
        if arguments.fault:
            raise ConfigError(
                "--raw sends a file as it is; damage it on its way: firmware-sim proxy"
            )
        return raw_board(arguments.raw, arguments.rate)
    return make_board(
        BoardOptions(
            origin="playback" if arguments.playback else "signals",
            files=tuple(arguments.playback or ()),
            person=arguments.person,
            people=arguments.people,
            seed=arguments.seed,
            rate_hz=arguments.rate,
            seconds=arguments.seconds,
            lead_s=arguments.lead,
            plan=arguments.plan,
            frames_per_packet=arguments.packet,
            drift_ppm=arguments.drift,
            faults=",".join(arguments.fault),
        )
    )


def _run(arguments: argparse.Namespace, stop: threading.Event) -> int:
    board = _make(arguments)
    if arguments.link == "stdout" and any(
        what in spec for spec in arguments.fault for what in OUTAGES
    ):
        raise ConfigError("stdout cannot be unplugged; use --link pty")
    truth = _TruthFile(arguments.truth, board)
    try:
        if arguments.link == "stdout":
            _serve_stdout(board, arguments.speed, stop, truth)
        else:
            _serve_pty(board, arguments, stop, truth)
    finally:
        truth.close()
    return 0


def _serve_pty(
    board: Board | RawBoard, arguments: argparse.Namespace, stop: threading.Event, truth: _TruthFile
) -> None:
    server = PtyBoard(board, speed=arguments.speed, path=arguments.path)
    with server:
        print(server.path, flush=True)  # noqa: T201
        while not stop.wait(_WATCH_S):
            truth.update()
            if server.finished.is_set():
                break
    if server.error is not None:
        raise server.error


def _serve_stdout(
    board: Board | RawBoard, speed: float, stop: threading.Event, truth: _TruthFile
) -> None:
    link = MemoryLink(board, speed)
    link.open()
    link.write(Encoder().command(0, "START"))
    out = sys.stdout.buffer
    while not stop.is_set():
        try:
            out.write(link.read(_WATCH_S))
        except EOFError:
            break
        out.flush()
        truth.update()


class _TruthFile:
    """Labels as they are sent and, at the end, the counts, as JSON lines."""

    def __init__(self, name: str | None, board: Board | RawBoard) -> None:
        self._board = board
        self._n = 0
        self._file: TextIO | None = Path(name).open("w", encoding="utf-8") if name else None

    def update(self) -> None:
        """Write the label boundaries that are new."""
        markers = [] if isinstance(self._board, RawBoard) else self._board.device.truth
        while self._n < len(markers):
            marker = markers[self._n]
            self._n += 1
            self._write(
                {
                    "type": "label",
                    "label": marker.label,
                    "phase": marker.phase,
                    "t_us": marker.t_us,
                }
            )

    def _write(self, document: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(document, separators=(",", ":")) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Write what is left, and the counts."""
        self.update()
        self._write({"type": "faults", **self._board.truth()})
        if self._file is not None:
            self._file.close()


if __name__ == "__main__":
    sys.exit(main())
