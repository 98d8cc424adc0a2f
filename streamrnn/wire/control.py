"""Everything but DATA: what HELLO, EVENT, CMD, ACK, PING and PONG packets mean in a stream.

Both decoders use it: the compiled one for the packets that its kernel hands up, the oracle for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamrnn.core.errors import WireError
from streamrnn.core.text import printable
from streamrnn.core.types import End, Gap, Marker, StreamInfo
from streamrnn.wire.packet import (
    COMMANDS,
    HEADER,
    MAX_T_US,
    TOKEN,
    Ack,
    Command,
    PacketType,
    Ping,
    Pong,
    WireItem,
)
from streamrnn.wire.schema import MAX_TEXT, Hello, parse_object, text_of

#: Most arguments of a command.
MAX_ARGS = 16
_HALF = 1 << 31


def unwrap(seq: int, near: int) -> int:
    """Return the index that `seq`, sent modulo 2**32, stands for: less than 2**31 from `near`."""
    ahead = (seq - near) % (1 << 32)
    return near + ahead if ahead < _HALF else near + ahead - (1 << 32)


@dataclass(slots=True)
class Outcome:
    """What a packet does to the stream.

    Attributes
    ----------
    items : list
        What it gives.
    next_seq : int or None
        The index that the next frame has from now on; None: as before.
    n_lost : int
        Frames that are now known to be lost.
    is_new_schema : bool
        DATA packets follow another `Control.hello` from now on.
    is_restart : bool
        The device's clock starts anew.
    """

    items: list[WireItem] = field(default_factory=list)
    next_seq: int | None = None
    n_lost: int = 0
    is_new_schema: bool = False
    is_restart: bool = False


class Control:
    """What a stream has said of itself so far.

    Attributes
    ----------
    hello : Hello or None
        The schema in force; None before the first HELLO.
    """

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self._info: StreamInfo | None = None
        self._hello_stamp = (0, 0)
        self._last_event = b""
        self._ended_at: int | None = None

    def take(self, packet: bytes, expected: int) -> Outcome:
        """Return what a packet does.

        Parameters
        ----------
        packet : bytes
            Header and payload of a version-1 packet whose checksum was right; not DATA.
        expected : int
            Index of the next frame.

        Raises
        ------
        WireError
            Senseless content; nothing has changed.
        """
        _, kind, _, schema_id, seq, t_us = HEADER.unpack_from(packet)
        payload = packet[HEADER.size :]
        if t_us > MAX_T_US:
            raise WireError(f"t_us {t_us} is beyond {MAX_T_US}")
        if kind == PacketType.HELLO:
            return self._take_hello(Hello.from_json(payload, schema_id), seq, t_us, expected)
        if kind == PacketType.EVENT:
            return self._take_event(packet, payload, seq, t_us, expected)
        if kind == PacketType.CMD:
            return Outcome([_command(parse_object(payload, "CMD"))])
        if kind == PacketType.ACK:
            return Outcome([_ack(parse_object(payload, "ACK"))])
        if kind in (PacketType.PING, PacketType.PONG):
            if len(payload) != TOKEN.size:
                raise WireError(f"PING and PONG carry {TOKEN.size} bytes, got {len(payload)}")
            (token,) = TOKEN.unpack(payload)
            return Outcome([Ping(token, t_us) if kind == PacketType.PING else Pong(token, t_us)])
        raise WireError(f"unknown packet type {kind}")

    def _take_hello(self, hello: Hello, seq: int, t_us: int, expected: int) -> Outcome:
        old, old_info, old_stamp = self.hello, self._info, self._hello_stamp
        self.hello, self._info, self._hello_stamp = hello, hello.stream_info(), (seq, t_us)
        outcome = Outcome(is_new_schema=hello != old)
        if old is None:
            outcome.next_seq = seq
        elif hello.boot_id != old.boot_id or (
            # A device that cannot tell its boots apart; the very same HELLO again is an echo.
            not hello.boot_id and unwrap(seq, expected) < expected and (seq, t_us) != old_stamp
        ):
            outcome.next_seq = seq
            outcome.is_restart = True
            outcome.items.append(Gap("reboot", restart=True))
            self._ended_at = None
            self._last_event = b""
        if self._info != old_info:
            outcome.items.append(self._info)
        return outcome

    def _take_event(
        self, packet: bytes, payload: bytes, seq: int, t_us: int, expected: int
    ) -> Outcome:
        document = parse_object(payload, "EVENT")
        if self.hello is None:
            raise WireError("EVENT before any HELLO")
        kind = document.get("kind")
        if kind == "label":
            marker = _marker(document, t_us)
            is_echo = packet == self._last_event
            self._last_event = packet
            return Outcome([] if is_echo else [marker])
        if kind != "end":
            raise WireError(f"EVENT of unknown kind {printable(repr(kind), 40)}")
        next_seq = max(unwrap(seq, expected), expected)
        if next_seq == self._ended_at:  # said several times, so that one arrives
            return Outcome()
        self._ended_at = next_seq
        return Outcome([End(next_seq)], next_seq=next_seq, n_lost=next_seq - expected)


def _marker(document: dict[str, Any], t_us: int) -> Marker:
    label = text_of(document, "label", "EVENT")
    phase = document.get("phase")
    if not label or phase not in ("start", "end"):
        raise WireError("EVENT: a label needs a name and the phase start or end")
    return Marker(label, phase, t_us)


def _request_id(document: dict[str, Any], what: str) -> int:
    value = document.get("id")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise WireError(f"{what}: id must be 0..{(1 << 32) - 1}")
    return value


def _command(document: dict[str, Any]) -> Command:
    request_id = _request_id(document, "CMD")
    name = document.get("cmd")
    if name not in COMMANDS:
        raise WireError(f"CMD: unknown command {printable(repr(name), 40)}")
    args = document.get("args", {})
    if not isinstance(args, dict) or len(args) > MAX_ARGS:
        raise WireError(f"CMD: args must be an object of at most {MAX_ARGS} values")
    checked: dict[str, Any] = {}
    for key, value in args.items():
        if not isinstance(value, bool | int | float | str):
            raise WireError("CMD: an argument must be a number, a string or a boolean")
        checked[printable(key, MAX_TEXT)] = (
            printable(value, MAX_TEXT) if isinstance(value, str) else value
        )
    return Command(request_id, name, checked)


def _ack(document: dict[str, Any]) -> Ack:
    ok = document.get("ok")
    if not isinstance(ok, bool):
        raise WireError("ACK: ok must be true or false")
    return Ack(_request_id(document, "ACK"), ok, text_of(document, "message", "ACK"))
