"""The one door to the broker: MQTT 5, QoS 1, presence by birth and last will.

Law: what was handed over is published once per connection session and counted when the broker confirms it.
The publisher sleeps until the next message is due and never sends early. It has no threads: one loop serves
every connection, so that five hundred devices cost one process half a core at most (bench/ward).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import ssl
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.device import KEEPALIVE_S, Message
from simulators.speech import ROOT, presence

PORTS = {"mqtt": 1883, "mqtts": 8883}
IN_FLIGHT = 2000  # unconfirmed messages on one connection; the rest waits (the broker's limit may be lower)
RETRY_S = 1.0
ANSWER_S = 3.0  # a broker that has not answered our first word by then may speak only the older version
KEPT_S = 3600  # the broker keeps the session of a lost connection for an hour


class BrokerRefused(RuntimeError):
    """The broker cannot be reached or does not let us in; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how to sign in.

    ``url`` is ``mqtt://host:port`` or ``mqtts://host:port``.
    """

    url: str
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None

    @property
    def host(self) -> str:
        """Return the host's name."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """Return the TCP port."""
        parts = urlsplit(self.url)
        return parts.port or PORTS[parts.scheme]

    def __post_init__(self) -> None:
        """Refuse an address that names no known scheme."""
        if urlsplit(self.url).scheme not in PORTS:
            raise BrokerRefused(f"--broker {self.url!r}: write it as mqtt://host:1883 or mqtts://host:8883")


@dataclass(slots=True)
class Tally:
    """What became of the messages."""

    sent: int = 0
    confirmed: int = 0
    refused: int = 0
    reconnects: int = 0
    late_ms: deque[float] = field(default_factory=lambda: deque(maxlen=200_000))  # the newest

    def late_at(self, share: float) -> float:
        """Return the lateness, ms, that ``share`` (0 to 1) of the messages stayed under."""
        ordered = sorted(self.late_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


Received = Callable[[str, bytes, bool], None]


class Connection:
    """One MQTT connection, driven from outside (no thread)."""

    def __init__(self, broker: Broker, client_id: str, tally: Tally, will: Message | None = None) -> None:
        """Prepare; ``connect`` opens it. ``will`` is what the broker says when we are lost."""
        self._broker, self._tally = broker, tally
        self.client_id = client_id
        self.ready = False
        self._been_ready = False
        self.subscriptions: list[str] = []
        self.on_received: Received | None = None
        self.births: dict[str, Message] = {}
        self._retry_at = 0.0
        self._refusal = ""
        self.openings = 0  # of the socket
        self._opened_at = 0.0
        self._will = will
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._client = self._make()

    def _make(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.client_id, protocol=self._protocol)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._confirmed
        client.on_message = self._received
        broker, will = self._broker, self._will
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.url.startswith("mqtts"):
            client.tls_set_context(ssl.create_default_context(cafile=broker.ca_file))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        return client

    def connect(self) -> None:
        """Open the connection.

        Raises:
            BrokerRefused: nobody listens there.
        """
        broker, keepalive_s = self._broker, int(KEEPALIVE_S / 1.5)
        self._opened_at = time.monotonic()
        try:
            if self._protocol == MQTTProtocolVersion.MQTTv5:
                keep = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it bare
                keep.SessionExpiryInterval = KEPT_S
                self._client.connect(broker.host, broker.port, keepalive_s, clean_start=True, properties=keep)
            else:
                self._client.connect(broker.host, broker.port, keepalive_s)
        except OSError as fault:
            raise BrokerRefused(
                f"no broker at {broker.url} ({fault}); start one, or name another with --broker"
            ) from fault

    def publish(self, message: Message) -> None:
        """Hand one message to the broker; while it is away, it is kept."""
        if message.retained:
            self.births[message.topic] = message
        self._tally.sent += 1
        self._client.publish(message.topic, message.payload, qos=1, retain=message.retained)

    def subscribe(self, topic: str) -> None:
        """Hear a topic, now and after every reconnect."""
        self.subscriptions.append(topic)
        if self.ready:
            self._client.subscribe(topic, qos=1)

    def close(self) -> None:
        """Say good-bye; the last will is not spoken."""
        self._client.disconnect()
        self.turn(readable=False)

    def fileno(self) -> int:
        """Return the socket's number, -1 when there is none."""
        connected = self._client.socket()
        return connected.fileno() if connected is not None else -1

    def turn(self, *, readable: bool) -> None:
        """Do what is waiting: read, write, keep alive, reconnect.

        Raises:
            BrokerRefused: the broker does not let us in.
        """
        if self._refusal:
            raise BrokerRefused(self._refusal)
        if readable and self.fileno() >= 0:
            self._client.loop_read()
        while self.fileno() >= 0 and self._client.want_write():
            if self._client.loop_write() != mqtt.MQTT_ERR_SUCCESS:
                break
        self._client.loop_misc()
        if not self._been_ready and self.fileno() >= 0 and time.monotonic() - self._opened_at > ANSWER_S:
            self._client.disconnect()  # an older broker may wait for the rest of what it cannot read
            self._client.loop_write()
        if self.fileno() < 0 and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            self.openings += 1
            try:
                if self._been_ready:
                    self._client.reconnect()
                else:  # it closed on our first word: perhaps it speaks only the older version
                    self._protocol = MQTTProtocolVersion.MQTTv311
                    self._client = self._make()
                    self.connect()
            except (OSError, BrokerRefused):
                return

    def _connected(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        code: ReasonCode,
        _properties: object,
    ) -> None:
        if code.is_failure:
            self._refusal = (
                f"the broker at {self._broker.url} refused {self.client_id}: {code}; see --username"
            )
            return
        again = self._been_ready
        self.ready = self._been_ready = True
        self._tally.reconnects += again
        for message in self.births.values() if again else ():
            self.publish(message)  # the last will has spoken meanwhile: presence is said again
        for topic in self.subscriptions:
            client.subscribe(topic, qos=1)

    def _disconnected(self, *_arguments: object) -> None:
        self.ready = False
        self._retry_at = time.monotonic() + RETRY_S

    def _confirmed(
        self, _client: mqtt.Client, _userdata: object, _mid: int, code: ReasonCode, _p: object
    ) -> None:
        if code.is_failure:
            self._tally.refused += 1
        else:
            self._tally.confirmed += 1

    def _received(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        if self.on_received is not None:
            self.on_received(message.topic, bytes(message.payload), message.retain)


class Publisher:
    """All connections of one process, and the clock by which messages leave.

    Args:
        broker: where to.
        name: begins the client ids.
        site: the site's name in topics.
        devices: device ids; each gets a connection of its own with a last will, when ``each_its_own``.
        each_its_own: one connection for each device (real presence) or one for all.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        site: str = "clinic",
        devices: Iterable[str] = (),
        *,
        each_its_own: bool = False,
    ) -> None:
        """Prepare the connections."""
        self.tally = Tally()
        self.site = site
        self.devices = list(devices)
        self._main = Connection(broker, name, self.tally)
        self._own: dict[str, Connection] = {}
        if each_its_own:
            self._own = {
                each: Connection(broker, each, self.tally, self._gone(each)) for each in self.devices
            }
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Connection, tuple[int, int]] = {}  # number and opening of its socket
        self._typed: tuple[TextIO, Callable[[str], None]]

    def _gone(self, device_id: str) -> Message:
        return self._presence(device_id, "offline")

    def _presence(self, device_id: str, state: str) -> Message:
        topic = f"{ROOT}/{self.site}/devices/{device_id}/status"
        return Message(0.0, topic, presence(state, datetime.now(UTC)), True, device_id)

    @property
    def _connections(self) -> Iterator[Connection]:
        yield self._main
        yield from self._own.values()

    def connect(self, within_s: float = 10.0) -> None:
        """Open every connection and wait until the broker has let all of them in.

        Raises:
            BrokerRefused: it did not, in time.
        """
        for connection in self._connections:
            connection.connect()
        deadline = time.monotonic() + within_s
        while not all(connection.ready for connection in self._connections):
            if time.monotonic() > deadline:
                raise BrokerRefused(
                    f"the broker took the connection but did not answer within {within_s:g} s"
                )
            self.wait(0.05)

    def hear(self, topic: str, received: Received) -> None:
        """Subscribe to a topic; ``received(topic, payload, retained)`` is called in ``wait``."""
        self._main.on_received = received
        self._main.subscribe(topic)

    def watch_lines(self, typed: TextIO, each: Callable[[str], None]) -> None:
        """Call ``each`` in ``wait`` with every line that is typed."""
        self._typed = (typed, each)
        self._selector.register(typed, selectors.EVENT_READ, None)

    def _read_line(self) -> None:
        typed, each = self._typed
        text = os.read(typed.fileno(), 4096).decode(errors="replace")
        for line in text.splitlines():
            each(line)
        if not text:
            self._selector.unregister(typed)  # the keyboard is gone

    def publish(self, message: Message) -> None:
        """Send one message now."""
        self._own.get(message.device_id, self._main).publish(message)

    def wait(self, seconds: float) -> None:
        """Serve the connections for ``seconds``, and at least once."""
        deadline = time.monotonic() + seconds
        while True:
            self._watch()
            left = deadline - time.monotonic()
            ready = self._selector.select(max(left, 0.0)) if self._watched else []
            if not self._watched and left > 0.0:
                time.sleep(min(left, 0.05))
            if any(key.data is None for key, _ in ready):
                self._read_line()
            readable = {key.data for key, _ in ready if key.data is not None}
            # Only a second turn in a while is owed to connections that have nothing to read.
            for connection in readable or self._connections:
                connection.turn(readable=connection in readable)
            if time.monotonic() >= deadline:
                return

    def _watch(self) -> None:
        """Let the selector follow sockets that were opened or closed."""
        for connection in self._connections:
            number = connection.fileno()
            before = self._watched.get(connection)
            if before == (number, connection.openings) or (before is None and number < 0):
                continue
            if before is not None:
                del self._watched[connection]
                with contextlib.suppress(KeyError, ValueError, OSError):  # the kernel forgot it already
                    self._selector.unregister(before[0])
            if number >= 0:  # a new socket may carry the number of the old one
                self._selector.register(number, selectors.EVENT_READ, connection)
                self._watched[connection] = (number, connection.openings)

    def drain(self, within_s: float = 30.0) -> bool:
        """Wait until the broker has confirmed everything; return whether it did in time."""
        deadline = time.monotonic() + within_s
        while self.tally.confirmed + self.tally.refused < self.tally.sent:
            if time.monotonic() > deadline:
                return False
            self.wait(0.01)
        return True

    def say_online(self) -> None:
        """Publish that every device is online: the birth message."""
        for device_id in self.devices:
            self.publish(self._presence(device_id, "online"))

    def say_offline(self, but: Collection[str] = ()) -> None:
        """Publish that every device is offline, as a tidy end does; ``but`` names those that stay quiet."""
        for device_id in self.devices:
            if device_id not in but:
                self.publish(self._gone(device_id))

    def close(self) -> None:
        """Close every connection tidily."""
        for connection in self._connections:
            connection.close()
        self._selector.close()
