"""``--link``: which cable a board hangs on."""

from __future__ import annotations

from firmware_sim.board import Board
from firmware_sim.cables.address import host_and_port
from firmware_sim.cables.mqtt import MqttCable
from firmware_sim.cables.pty import PtyBoard
from firmware_sim.cables.server import BoardServer
from firmware_sim.cables.tcp import TcpCable
from firmware_sim.cables.udp import UdpCable
from firmware_sim.raw import RawBoard
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

KINDS = ("pty", "tcp", "udp", "mqtt", "stdout")
MQTT_PORT = 1883


def kind_of(link: str) -> str:
    """Return the kind of cable that `link` names.

    Raises
    ------
    ConfigError
        There is no such kind, or a kind without an address has one.
    """
    kind, _, rest = link.partition(":")
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"; known: {', '.join(KINDS)}"
        raise ConfigError(f"unknown link {printable(link, 60)!r}{hint}")
    if rest and kind in ("pty", "stdout"):
        raise ConfigError(f"--link {kind} has no address (--path names a terminal)")
    return kind


def make_server(
    board: Board | RawBoard, link: str, *, speed: float = 1.0, path: str | None = None, n: int = 0
) -> BoardServer:
    """Return what serves a board; it is not started yet.

    Parameters
    ----------
    board : Board or RawBoard
    link : str
        ``pty``, ``tcp``, ``tcp:PORT``, ``tcp:HOST:PORT``, ``udp:PORT``, ``udp:HOST:PORT`` or
        ``mqtt:HOST:PORT/TOPIC``. Without a host it is this machine's loopback.
    speed : float
        1 is real time, 0 as fast as it is read.
    path : str, optional
        Of the symbolic link to a pseudo-terminal.
    n : int
        The number of the board among several, from 0: it is added to the port.

    Raises
    ------
    ConfigError
        An address that is none, or a speed that the cable cannot have.
    """
    kind = kind_of(link)
    if kind == "stdout":
        raise ConfigError("stdout is no cable")
    if kind == "pty":
        return PtyBoard(board, speed=speed, path=path)
    if path is not None:
        raise ConfigError(f"--path names a pseudo-terminal; --link {kind} has none")
    if speed == 0 and kind in ("udp", "mqtt"):
        raise ConfigError(
            f"--link {kind} cannot wait for its reader: --speed has to be above 0 (1: real time)"
        )
    rest = link.partition(":")[2]
    if kind == "tcp":
        host, port = host_and_port(rest, kind, 0)
        return BoardServer(board, TcpCable(host, _nth(port, n)), speed=speed)
    if kind == "udp":
        host, port = host_and_port(rest, kind)
        if not port:
            raise ConfigError("udp: needs the port to send to, udp:HOST:PORT")
        return BoardServer(board, UdpCable(host, _nth(port, n)), speed=speed)
    address, _, topic = rest.partition("/")
    host, port = host_and_port(address, kind, MQTT_PORT)
    return BoardServer(board, MqttCable(host, port, topic), speed=speed)


def _nth(port: int, n: int) -> int:
    if port and port + n > 65_535:
        raise ConfigError(f"there is no port {port + n} for board {n + 1}")
    return port + n if port else 0
