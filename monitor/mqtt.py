"""The link to the broker: MQTT 5, or 3.1.1 where the broker knows no better.

Law: a message is confirmed (PUBACK) only when ``confirm`` says so, in the order in which it came, and only
on the connection it came on; the broker keeps everything else and sends it again. What is published here is
what people rely on: retained topics are spoken anew on every connect, and the last will speaks when we die.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor import wire
from monitor.clock import Clock
from monitor.config import Broker
from monitor.wire import Envelope

__all__ = ["PLAIN", "RECEIVE_MAXIMUM", "Envelope", "Inbox", "Link", "Routes", "Will", "presence"]

KEEPALIVE_S = 20  # the broker speaks our last will after 1.5 of these
SESSION_KEPT_S = 7 * 86400  # how long the broker keeps what we have not heard
RECEIVE_MAXIMUM = 20_000  # unconfirmed messages at a time; the inbox has room for all of them
ANSWER_S = 3.0  # of the broker, to our first word
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 5.0
ASK_AGAIN_S = 0.1  # whether we may connect
V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
PLAIN = "AFTERWATCH_PLAIN_PAHO"  # set to 1: without ``wire``


class Inbox(Protocol):
    """Where messages and changes of the link go; ``put`` waits when it is full, and never drops."""

    def put(self, several: list[Envelope]) -> None:
        """Take messages."""
        ...

    def link_changed(self, connected: bool, reason: str) -> None:
        """Take note that the link is up or down."""
        ...


class Will(NamedTuple):
    """What the broker says of us when we are gone, and what we say when we come."""

    topic: str
    offline: bytes
    online: bytes


class Link:
    """One connection to the broker that comes back by itself."""

    def __init__(
        self, broker: Broker, subscriptions: Iterable[str], will: Will, inbox: Inbox, clock: Clock
    ) -> None:
        """Prepare the link; ``start`` opens it."""
        self._broker, self._will, self._inbox, self._clock = broker, will, inbox, clock
        self._subscriptions = sorted(set(subscriptions))
        self._retained: dict[str, bytes] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._greeted = False
        self._remembered = False  # whether the broker must know our session by now
        self._protocol = V5
        self._client = self._make()
        self.may_connect: Callable[[], bool] = lambda: True
        self.on_forgotten: Callable[[], None] = lambda: None  # the broker lost what it kept for us
        self.connection = 0
        self.connected = False
        self.reason = "not yet connected"

    def start(self) -> None:
        """Open the connection, and keep it open until ``stop``."""
        self._thread.start()

    def stop(self, farewell: bytes | None = None) -> None:
        """Close the connection; ``farewell`` replaces the retained presence (a planned stop, AL-52)."""
        if farewell is not None and self.connected:
            with suppress(ValueError, RuntimeError):  # the connection ended meanwhile: the will speaks
                self._client.publish(self._will.topic, farewell, qos=1, retain=True).wait_for_publish(2.0)
        self._stopping.set()
        self._client.disconnect()
        self._thread.join(5.0)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1; while the broker is away retained topics wait, the others are of the moment."""
        payload = bytes(memoryview(payload))  # it is kept for a while, and orjson's own bytes hold 4 KiB each
        if retain:
            self._retained[topic] = payload
        if self.connected:
            self._client.publish(topic, payload, qos=1, retain=retain)

    def confirm(self, envelopes: Iterable[Envelope]) -> None:
        """Send the PUBACKs of messages that are durable, in order; old connections' ones are not owed."""
        client, connection = self._client, self.connection
        mids = [one.mid for one in envelopes if one.mid and one.connection == connection]
        if isinstance(client, wire.Client):
            client.confirm(mids)
            return
        for mid in mids:
            client.ack(mid, 1)

    # --- the connection -----------------------------------------------------------------------------

    def _make(self) -> paho.Client:
        broker = self._broker
        fast = partial(wire.Client, take=self._inbox.put, stamp=self._stamp)
        kind = paho.Client if os.environ.get(PLAIN) == "1" else fast
        client = kind(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            clean_session=None if self._protocol == V5 else False,
            protocol=self._protocol,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password())
        if broker.tls_ca:
            client.tls_set_context(ssl.create_default_context(cafile=broker.tls_ca))
        client.max_inflight_messages_set(1000)
        client.max_queued_messages_set(10_000)
        client.will_set(self._will.topic, self._will.offline, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        if kind is paho.Client:
            # Else paho writes in whichever thread speaks; a TLS connection that is read and written at once
            # crashes the process. With somebody to tell that it would write, only its own thread does.
            client.on_socket_register_write = lambda *_: None
        return client

    def _run(self) -> None:
        wait_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            if not self.may_connect():
                self._stopping.wait(ASK_AGAIN_S)
                continue
            self._greeted = False
            self.connection += 1
            if self._connect() and self._await_answer():
                self._client.loop_forever(retry_first_connection=False)
            if self._greeted:
                wait_s = FIRST_RETRY_S
            self._down(self.reason)
            if self._stopping.wait(wait_s):
                return
            wait_s = min(wait_s * 2, LAST_RETRY_S)

    def _await_answer(self) -> bool:
        """Wait for the broker's answer to our first word; an older one may never understand it."""
        client, deadline = self._client, time.monotonic() + ANSWER_S
        while not self._greeted and time.monotonic() < deadline:
            if client.loop(0.1) != paho.MQTT_ERR_SUCCESS:
                return False
        if not self._greeted:
            client.disconnect()
            client.loop(0.1)
        return self._greeted

    def _connect(self) -> bool:
        broker = self._broker
        try:
            if self._protocol == V5:
                wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                wishes.SessionExpiryInterval = SESSION_KEPT_S
                wishes.ReceiveMaximum = RECEIVE_MAXIMUM
                self._client.connect(
                    broker.host, broker.port, KEEPALIVE_S, clean_start=False, properties=wishes
                )
            else:
                self._client.connect(broker.host, broker.port, KEEPALIVE_S)
        except (OSError, ValueError) as fault:
            self.reason = f"no broker at {broker.host}:{broker.port}: {fault}"
            return False
        return True

    def _on_connect(self, client: paho.Client, _userdata: Any, flags: Any, reason: Any, _more: Any) -> None:
        self._greeted = True
        if reason.is_failure:
            self.reason = f"the broker refuses us: {reason}"
            if str(reason) == "Unsupported protocol version":
                self._greeted = False
            client.disconnect()
            return
        if self._remembered and not flags.session_present:
            self.on_forgotten()
        self._remembered = True
        client.subscribe([(topic, 1) for topic in self._subscriptions])
        client.publish(self._will.topic, self._will.online, qos=1, retain=True)
        for topic, payload in list(self._retained.items()):
            client.publish(topic, payload, qos=1, retain=True)
        self.connected, self.reason = True, ""
        self._inbox.link_changed(True, f"MQTT {'5' if self._protocol == V5 else '3.1.1'}")

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _more: Any
    ) -> None:
        if not self._greeted:  # it closed on our first word: perhaps it speaks the older version only
            self._protocol = V311 if self._protocol == V5 else V5
            self._client = self._make()
        if not self.reason:
            self.reason = f"the connection was lost: {reason}"

    def _down(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self._inbox.link_changed(False, reason)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(a topic that is not UTF-8)"
        mid = message.mid if message.qos else 0
        now, connection = self._stamp()
        self._inbox.put([Envelope(topic, bytes(message.payload), now, message.retain, mid, connection)])

    def _stamp(self) -> tuple[datetime, int]:
        return self._clock.now(), self.connection


def presence(state: str, boot_id: str, **more: Any) -> bytes:
    """Return the payload of a presence message of the monitor."""
    return orjson.dumps({"state": state, "boot_id": boot_id, **more})


class Routes:
    """Which device a topic belongs to: exact topics by a dictionary, filters one by one."""

    def __init__(self, filters: Mapping[str, str]) -> None:
        """Take device ids by topic filter."""
        self._exact = {topic: name for topic, name in filters.items() if not set("+#") & set(topic)}
        self._wild = [(topic, name) for topic, name in filters.items() if topic not in self._exact]

    def device_of(self, topic: str) -> str | None:
        """Return the device that reports on a topic, or ``None``."""
        found = self._exact.get(topic)
        if found is not None:
            return found
        return next((name for wild, name in self._wild if paho.topic_matches_sub(wild, topic)), None)
