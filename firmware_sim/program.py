"""What ``firmware-sim`` does: its arguments, its errors and its end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from firmware_sim.board import Board
from firmware_sim.cables.choose import kind_of, make_server
from firmware_sim.options import make_board
from firmware_sim.raw import RawBoard, raw_board
from firmware_sim.scenario import make_options
from firmware_sim.serving import Station, serve, serve_stdout
from firmware_sim.several import MAX_BOARDS, nth_name, nth_options
from firmware_sim.words import WORDS, Word
from streamrnn.core.errors import ConfigError, StreamRNNError
from streamrnn.core.text import printable


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"firmware-sim: {printable(message, 300)} (see --help)\n")


def _n_boards(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_BOARDS:
        raise argparse.ArgumentTypeError(f"write a number from 1 to {MAX_BOARDS}, not {text!r}")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(
        prog="firmware-sim",
        description="A simulated board. It prints where it is to be found first, waits for START, "
        "streams, and ends when its frames are over and read. `firmware-sim proxy --help`: a TCP "
        "connection that damages what passes.",
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
        default="pty",
        metavar="CABLE",
        help="pty (the default), tcp[:HOST]:PORT (it listens; port 0: any), udp[:HOST]:PORT (it "
        "sends there), mqtt:HOST[:PORT]/TOPIC (commands at TOPIC/cmd), or stdout (without waiting "
        "for START); without a HOST on this machine only",
    )
    parser.add_argument(
        "--path", help="make this symbolic link to the pseudo-terminal; {n}: the board's number"
    )
    parser.add_argument(
        "--boards",
        type=_n_boards,
        default=1,
        metavar="N",
        help="so many at once, each with a seed, a person and a name of its own; TCP and UDP "
        "count their ports up, other names need {n} in them",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="1: real time; 0: as fast as it is read",
    )
    parser.add_argument(
        "--scenario", metavar="FILE", help="TOML: the board and its faults; options win over it"
    )
    for word in WORDS:
        parser.add_argument(
            f"--{word.name}",
            dest=word.field,
            type=_reader(word),
            metavar=word.metavar,
            help=word.help,
        )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="drop:0.01 dup:0.01 reorder:0.01 flip:1e-5 lose:1e-5 insert:1e-5 burst:1e-6 nul:1e-6 "
        "unplug@5s:2s reboot@5s:2s stall@5s:1s brownout@5s:1s panic@5s slow_reader@5s:1s",
    )
    parser.add_argument(
        "--truth",
        metavar="FILE",
        help="JSON lines: labels and faults as they happen, then the counts",
    )
    return parser


def _reader(word: Word) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return word.read(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _proxy_parser() -> _Parser:
    from firmware_sim.proxy.program import add_arguments

    parser = _Parser(
        prog="firmware-sim proxy",
        description="Stands between any client and any server of TCP, and damages what the server "
        "says. It prints where it listens first.",
    )
    add_arguments(parser)
    return parser


def run(words: list[str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    is_proxy = words[:1] == ["proxy"]
    arguments = _proxy_parser().parse_args(words[1:]) if is_proxy else _parser().parse_args(words)
    stop = threading.Event()
    before = {
        number: signal.signal(number, _stopper(stop)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        if is_proxy:
            from firmware_sim.proxy.program import run_proxy

            return run_proxy(arguments, stop)
        return _serve_boards(arguments, stop)
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


def _serve_boards(arguments: argparse.Namespace, stop: threading.Event) -> int:
    if kind_of(arguments.link) == "stdout":
        if arguments.boards > 1:
            raise ConfigError("stdout is one cable: --boards needs another link")
        serve_stdout(_make(arguments, 0), arguments.speed, stop, arguments.truth)
    else:
        serve([_station(arguments, n) for n in range(arguments.boards)], stop)
    return 0


def _station(arguments: argparse.Namespace, n: int) -> Station:
    n_boards = arguments.boards
    link: str = arguments.link
    if kind_of(link) == "mqtt":
        link = nth_name(link, n, n_boards, "--link") or link
    path = nth_name(arguments.path, n, n_boards, "--path")
    board = _make(arguments, n)
    server = make_server(board, link, speed=arguments.speed, path=path, n=n)
    return Station(board, server, nth_name(arguments.truth, n, n_boards, "--truth"))


def _make(arguments: argparse.Namespace, n: int) -> Board | RawBoard:
    """Return board `n` of those that are asked for, from 0."""
    if arguments.raw:
        return _raw(arguments)
    values = {word.field: getattr(arguments, word.field) for word in WORDS}
    values = {key: value for key, value in values.items() if value is not None}
    if arguments.playback:
        values |= {"origin": "playback", "files": tuple(arguments.playback)}
    if arguments.fault:
        values["faults"] = ",".join(arguments.fault)
    options = make_options(values, arguments.scenario)
    if options.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {options.seed}")
    return make_board(nth_options(options, n) if arguments.boards > 1 else options)


def _raw(arguments: argparse.Namespace) -> RawBoard:
    given = {word.field for word in WORDS if getattr(arguments, word.field) is not None}
    if arguments.fault or arguments.scenario or given - {"rate_hz"}:
        raise ConfigError(
            "--raw sends a file as it is, at --rate and --speed; damage it on its way: "
            "firmware-sim proxy"
        )
    rate_hz = arguments.rate_hz
    return raw_board(arguments.raw, 100.0 if rate_hz is None else rate_hz)
