"""A board that publishes its packets or lines through an MQTT broker, one a message."""

from __future__ import annotations

import select
import time
from collections import deque
from typing import Any

from firmware_sim.cables.address import shown
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.text import printable

#: Commands arrive here, below the topic of the data.
COMMANDS = "/cmd"
_CONNECT_S = 2.0
_RECONNECT_S = 0.5
_KEEPALIVE_S = 30
_MAX_COMMANDS = 64
_MAX_COMMAND_BYTES = 4200
_MAX_PACKET_BYTES = 8192
_MAX_TOPIC_BYTES = 1000


class MqttCable:
    """A client of a broker; see `firmware_sim.cables.server.Cable`.

    It speaks MQTT 5, publishes to a topic (quality of service 0, not retained), and listens to the
    same with ``/cmd`` behind it. A broker that goes away is looked for until it is back. Whether
    anyone subscribes nobody knows.

    Parameters
    ----------
    host : str
    port : int
    topic : str

    Raises
    ------
    ConfigError
        The topic cannot be one, or paho-mqtt is not installed.
    """

    def __init__(self, host: str, port: int, topic: str) -> None:
        size = len(topic.encode())
        if not 0 < size <= _MAX_TOPIC_BYTES or not topic.isprintable() or set(topic) & set("+#"):
            wrong = printable(topic, 60)
            raise ConfigError(f"mqtt: write HOST:PORT/TOPIC, no + and # in it, got {wrong!r}")
        try:
            from paho.mqtt import client, enums, packettypes, properties
        except ImportError:
            raise ConfigError(
                "--link mqtt needs paho-mqtt: install streamrnn with its extra, streamrnn[mqtt]"
            ) from None
        self._host, self._port, self._topic = host, port, topic
        self._mqtt = client
        self._api = enums.CallbackAPIVersion.VERSION2
        # A broker of MQTT 5 keeps to itself what is longer than this.
        self._terms: Any = properties.Properties(packettypes.PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._terms.MaximumPacketSize = _MAX_PACKET_BYTES
        self._client: Any = None
        self._commands: deque[bytes] = deque(maxlen=_MAX_COMMANDS)
        self._is_ready = False
        self._retry_s = 0.0

    @property
    def address(self) -> str:
        """``mqtt:HOST:PORT/TOPIC``, as a source is named."""
        return f"mqtt:{shown(self._host, self._port)}/{self._topic}"

    def plug(self) -> None:
        """Connect to the broker, or raise `SourceError`."""
        client = self._mqtt.Client(self._api, protocol=self._mqtt.MQTTv5)
        client.connect_timeout = _CONNECT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        try:
            client.connect(self._host, self._port, _KEEPALIVE_S, properties=self._terms)
        except OSError as error:
            where = shown(self._host, self._port)
            why = error.strerror or error
            raise SourceError(f"no MQTT broker at {where}: {why} (is one running?)") from error
        self._client = client

    def unplug(self) -> None:
        """Say good-bye to the broker."""
        client, self._client = self._client, None
        self._is_ready = False
        self._commands.clear()
        if client is not None:
            client.disconnect()

    def incoming(self) -> list[int]:
        """Return the connection; look after it, too."""
        if self._client is None:
            return []
        self._client.loop_misc()
        if self._client.want_write():  # what callbacks ask for is not written at once
            self._client.loop_write()
        connection = self._client.socket()
        if connection is None:
            self._reconnect()
            return []
        return [connection.fileno()]

    def outgoing(self) -> list[int]:
        """Return the connection, while something is left to be written."""
        connection = self._client.socket() if self._client is not None else None
        return [connection.fileno()] if connection is not None and self._is_ready else []

    def receive(self) -> bytes:
        """Return commands that were published for the board."""
        if self._client is not None:
            self._client.loop_read()
        data = b"".join(self._commands)
        self._commands.clear()
        return data

    def send(self, data: bytes, begin: int) -> int:
        """Publish a message; -1 without a broker, 0 while the last is on its way."""
        if not self._is_ready:
            return -1
        if self._client.want_write():
            self._client.loop_write()
            if self._client.want_write():
                return 0
        sent = self._client.publish(self._topic, data)
        return len(data) if sent.rc == self._mqtt.MQTT_ERR_SUCCESS else -1

    def has_reader(self) -> bool:
        """Return whether the broker has let it in: commands can come."""
        return self._is_ready

    def n_unread(self) -> int:
        """Return 1 while something is left to be written."""
        return int(self._is_ready and self._client.want_write())

    def hang_up(self, timeout_s: float, wake: int) -> None:
        """Give the broker the rest."""
        deadline_s = time.monotonic() + timeout_s
        while self.n_unread() and (left_s := deadline_s - time.monotonic()) > 0.0:
            readable, _, _ = select.select([wake], self.outgoing(), [], left_s)
            if readable:
                return
            self._client.loop_write()

    # ---- what the broker says

    def _reconnect(self) -> None:
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return
        self._retry_s = now_s + _RECONNECT_S
        try:
            self._client.reconnect()
        except OSError:  # not yet back
            return

    def _on_connect(self, client: Any, _user: Any, _flags: Any, code: Any, _more: Any) -> None:
        if not code.is_failure:
            client.subscribe(self._topic + COMMANDS)

    def _on_subscribe(self, _client: Any, _user: Any, _id: Any, _codes: Any, _more: Any) -> None:
        self._is_ready = True

    def _on_message(self, _client: Any, _user: Any, message: Any) -> None:
        if len(message.payload) <= _MAX_COMMAND_BYTES:
            self._commands.append(bytes(message.payload))

    def _on_disconnect(self, *_: Any) -> None:
        self._is_ready = False
