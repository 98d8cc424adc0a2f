"""Messages of an MQTT broker; the only place for paho-mqtt (extra ``mqtt``)."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.sources.address import host_and_port, joined_address, optional
from streamrnn.sources.base import option_flag, option_int, split_options
from streamrnn.sources.messages.link import MessageLink
from streamrnn.wire.options import KEYS

PORT, TLS_PORT = 1883, 8883
_EXAMPLE = "mqtt:localhost/glove"
#: How long connecting and subscribing may take, the first time and later; how soon it is tried
#: again.
_CONNECT_S, _CONNECT_AGAIN_S = 5.0, 2.0
_RETRY_S = 0.2
#: A broker that does not answer for this long is gone.
_KEEPALIVE_S = 5
#: Most messages that one read takes, and bytes of one that is believed.
_MAX_MESSAGES = 256
_MAX_BYTES = 1 << 16
#: Longer ones are not even taken in: the library would keep all of 256 MB.
_MOST_BYTES = 16 << 20
#: Commands for the board that sends on TOPIC go to TOPIC and this.
COMMANDS = "/cmd"


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """What to connect to.

    Attributes
    ----------
    host : str
    port : int
    topic : str
        May have wildcards, ``+`` and ``#``.
    user, password : str
        Empty: those of the environment, ``MQTT_USERNAME`` and ``MQTT_PASSWORD``. Never shown.
    tls : bool
        Encrypted, with a certificate that this computer trusts, or that `ca` has signed.
    ca : str
        File of certificates; empty: the system's.
    qos : {0, 1}
        At 1 a message may come twice, and the decoder drops it.
    """

    host: str
    port: int
    topic: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    qos: int = 0


class MqttCarrier:
    """A subscription. It has no thread: a read works the connection.

    Parameters
    ----------
    address : MqttAddress
    """

    def __init__(self, address: MqttAddress) -> None:
        default = TLS_PORT if address.tls else PORT
        host = joined_address(address.host, address.port)
        host = host.removesuffix(f":{default}") if address.port == default else host
        self.name = f"mqtt:{host}/{printable(address.topic)}"
        self.extra = {"n_retained_messages": 0, "n_oversize_messages": 0}
        self.hint = (
            f"is something published on {printable(address.topic)}? "
            f"`mosquitto_sub -h {address.host} -v -t '#'` shows what there is"
        )
        self._address = address
        self._client: Any = None
        self._messages: list[tuple[Hashable, bytes]] = []
        self._is_subscribed = False
        self._refusal = ""
        self._failed_s = -_RETRY_S
        self._limit_s = _CONNECT_S

    def open(self) -> None:
        """Connect and subscribe, or raise `SourceError`."""
        self.close()
        if time.monotonic() < self._failed_s + _RETRY_S:
            raise SourceError(f"{self.name}: not yet")
        try:
            self._connect()
        except BaseException as error:
            self._failed_s = time.monotonic()
            self.close()
            if isinstance(error, LinkLostError):
                raise SourceError(str(error)) from error
            raise
        self._limit_s = _CONNECT_AGAIN_S

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        """Return topics and messages; see `Carrier`."""
        code = self._work(timeout_s)
        n = -1
        while not code and n < len(self._messages) < _MAX_MESSAGES:
            n = len(self._messages)
            code = self._work(0.0)
        messages, self._messages = self._messages, []
        if code and not messages:
            raise LinkLostError(f"{self.name}: the broker is gone: {_words(code)}")
        return messages

    def send(self, to: Hashable, data: bytes) -> None:
        """Publish a command, or raise `LinkLostError`."""
        if self._client is None:
            raise LinkLostError(f"{self.name} is not connected")
        sent = self._client.publish(f"{to}{COMMANDS}", data, qos=self._address.qos)
        if sent.rc:
            raise LinkLostError(f"{self.name}: {_words(sent.rc)}")

    def close(self) -> None:
        """Disconnect; harmless when not connected."""
        client, self._client = self._client, None
        self._messages = []
        if client is not None:
            client.disconnect()

    def _connect(self) -> None:
        address = self._address
        self._client = client = self._make_client()
        self._is_subscribed, self._refusal = False, ""
        try:
            if address.tls:
                client.tls_set(ca_certs=address.ca or None)
            client.connect(address.host, address.port, keepalive=_KEEPALIVE_S)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SourceError(
                f"cannot connect to {self.name}: {why} (does the broker run, and is TLS right?)"
            ) from error
        until_s = time.monotonic() + self._limit_s
        while not self._is_subscribed:
            code = self._work(0.1)
            if self._refusal:
                raise SourceError(f"{self.name}: {self._refusal}")
            if code:
                raise SourceError(f"{self.name}: the broker hung up: {_words(code)}")
            if time.monotonic() > until_s:
                raise SourceError(f"{self.name}: the broker did not answer in {self._limit_s:g} s")

    def _make_client(self) -> Any:
        mqtt = optional("paho.mqtt.client", "mqtt", "paho-mqtt")
        if not hasattr(mqtt, "CallbackAPIVersion"):
            raise ConfigError("mqtt: needs paho-mqtt 2.1 or newer: pip install 'streamrnn[mqtt]'")
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect_timeout = self._limit_s
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        user = self._address.user or os.environ.get("MQTT_USERNAME", "")
        if user:
            password = self._address.password or os.environ.get("MQTT_PASSWORD", "")
            client.username_pw_set(user, password or None)
        return client

    def _work(self, timeout_s: float) -> int:
        """Let the client read and write; return its error code, 0 for none."""
        if self._client is None:
            raise LinkLostError(f"{self.name} is not connected")
        try:
            code = int(self._client.loop(timeout_s))
            # Not public, but nothing else tells before the message is there.
            n_bytes = self._client._in_packet["remaining_length"]
        except Exception as error:  # whatever nonsense makes of the library
            raise LinkLostError(
                f"{self.name}: what the broker sends makes no sense ({type(error).__name__})"
            ) from error
        if n_bytes > _MOST_BYTES:
            raise LinkLostError(
                f"{self.name}: a message of {n_bytes / 1e6:.0f} MB is no stream: is it the topic?"
            )
        return code

    def _on_connect(self, client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._refusal = (
                f"the broker refuses: {printable(str(code), 80)} "
                "(MQTT_USERNAME and MQTT_PASSWORD, or user= and password=, say who you are)"
            )
        else:
            client.subscribe(self._address.topic, qos=self._address.qos)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: Any, _more: Any) -> None:
        if any(code.is_failure for code in codes):
            self._refusal = f"the broker does not let you read {printable(self._address.topic)}"
        self._is_subscribed = True

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        try:
            topic: str = message.topic
        except UnicodeDecodeError:
            return  # no topic that MQTT allows
        if topic.endswith(COMMANDS) and topic != self._address.topic:
            return  # a wildcard shows our own commands too
        if message.retain:
            self.extra["n_retained_messages"] += 1  # of some other time
        elif len(message.payload) > _MAX_BYTES:
            self.extra["n_oversize_messages"] += 1
        else:
            self._messages.append((topic, bytes(message.payload)))


def open_link(rest: str) -> MessageLink:
    """Return the link of ``mqtt:HOST[:PORT]/TOPIC[?user=&password=&tls=no&ca=&qos=0]``.

    ``USER:PASSWORD@`` may stand before the host. Nothing is connected yet.
    """
    rest, options = split_options(rest, ("user", "password", "tls", "ca", "qos"), "mqtt:", KEYS)
    authority, _, topic = rest.partition("/")
    who, _, where = authority.rpartition("@")
    user, _, password = who.partition(":")
    ca = options.get("ca", "")
    tls = option_flag(options, "tls", bool(ca), "mqtt:")
    host, port = host_and_port(where, _EXAMPLE, port=TLS_PORT if tls else PORT)
    topic = unquote(topic)
    levels = topic.split("/")
    if not topic or len(topic.encode(errors="replace")) > 65_535 or "\0" in topic:
        raise ConfigError(f"mqtt: needs a topic, as in {_EXAMPLE}")
    if "#" in "".join(levels)[:-1] or any(len(x) > 1 and ("#" in x or "+" in x) for x in levels):
        raise ConfigError(
            f"mqtt: {printable(topic)} is no topic: + stands for a whole level, # for the last ones"
        )
    qos = option_int(options, "qos", 0, 0, "mqtt:")
    if qos > 1:
        raise ConfigError(f"mqtt: qos must be 0 or 1, got {qos}")
    user = options.get("user", unquote(user))
    password = options.get("password", unquote(password))
    return MessageLink(MqttCarrier(MqttAddress(host, port, topic, user, password, tls, ca, qos)))


def _words(code: Any) -> str:
    client = optional("paho.mqtt.client", "mqtt", "paho-mqtt")
    return str(client.error_string(code)).rstrip(".")
