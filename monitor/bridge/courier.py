"""From the spool to the broker at QoS 1, in order, for as long as it takes.

Law: a message leaves the spool when the broker has confirmed it. Whoever waits for one hears what became of
it.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor.bridge.spool import Spool
from monitor.config import Broker

log = logging.getLogger("afterwatch.bridge")

CONFIRMED_WITHIN_S = 10.0  # how long a sender waits for the broker
IN_FLIGHT = 200  # messages that the broker has not yet confirmed
WAKE_S = 0.5
PACE_S = 0.005  # after an outage: what others report live must not wait behind what was kept here


class Courier:
    """Carries the spool to the broker at QoS 1, in order, for as long as it takes."""

    def __init__(self, broker: Broker, topic: str, spool: Spool, presence_topic: str = "") -> None:
        """Prepare; ``start`` begins. On ``presence_topic`` the broker speaks our last will (P-17)."""
        self._broker, self._topic, self._spool = broker, topic, spool
        self._presence_topic, self._online = presence_topic, False
        self._lock = threading.Condition()
        self._flying: dict[int, int] = {}  # mid -> number in the spool
        self._carried = 0  # the newest number that was handed to the client
        self._early: dict[int, str] = {}  # confirmed before ``publish`` had returned their mid
        self._outcomes: dict[int, str] = {}  # number -> what became of it; only of those that are waited for
        self._awaited: set[int] = set()
        self._stopping = False
        self._client = self._make()
        self._thread = threading.Thread(target=self._carry, name="courier", daemon=True)

    def start(self) -> None:
        """Connect, now or as soon as the broker is there."""
        broker = self._broker
        self._client.connect_async(broker.host, broker.port, keepalive=20)
        self._client.loop_start()
        self._thread.start()

    def say(self, online: bool) -> None:
        """Say whether the device behind the bridge can be heard; said again on every connect (P-19)."""
        self._online = online
        if self._presence_topic and self._client.is_connected():
            self._client.publish(self._presence_topic, _presence(online), qos=1, retain=True)

    def stop(self) -> None:
        """Stop; what the broker has not confirmed stays in the spool."""
        self.say(False)
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        self._thread.join(5.0)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Say whether the broker is there."""
        return self._client.is_connected()

    def hand_over(self, payload: bytes) -> None:
        """Keep a message durably and let it be carried; return when it is on disk."""
        self._spool.append(payload)
        with self._lock:
            self._lock.notify_all()

    def deliver(self, payload: bytes, within_s: float = CONFIRMED_WITHIN_S) -> str:
        """Keep a message, and wait for the broker.

        Returns:
            An empty text when the broker has confirmed it, else why not; it is carried on all the same.
        """
        with self._lock:
            number = self._spool.append(payload)
            self._awaited.add(number)
            self._lock.notify_all()
            self._lock.wait_for(lambda: number in self._outcomes or self._stopping, within_s)
            self._awaited.discard(number)
            outcome = self._outcomes.pop(number, None)
        return (
            f"kept here; the broker has not confirmed it within {within_s:g} s"
            if outcome is None
            else outcome
        )

    def _make(self) -> paho.Client:
        broker = self._broker
        name = re.sub(r"[^A-Za-z0-9]+", "-", self._topic).strip("-")
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"afterwatch-bridge-{name}"[:64],
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password())
        if broker.tls_ca:
            client.tls_set_context(ssl.create_default_context(cafile=broker.tls_ca))
        if self._presence_topic:
            client.will_set(self._presence_topic, _presence(False), qos=1, retain=True)
        client.reconnect_delay_set(1, 5)
        client.max_inflight_messages_set(IN_FLIGHT)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

    def _on_connect(self, _client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            log.error("the broker refuses the bridge: %s (check broker.username and its access list)", reason)
        elif self._presence_topic:
            self._client.publish(self._presence_topic, _presence(self._online), qos=1, retain=True)
        with self._lock:
            self._lock.notify_all()

    def _on_publish(self, _client: paho.Client, _userdata: Any, mid: int, reason: Any, _more: Any) -> None:
        refusal = f"the broker refuses it: {reason}" if reason.is_failure else ""
        if refusal:
            log.error("%s on %s; it is not sent again", refusal, self._topic)
        with self._lock:
            number = self._flying.pop(mid, None)
            if number is None:
                self._early[mid] = refusal
            else:
                self._settle(number, refusal)

    def _settle(self, number: int, refusal: str) -> None:
        self._spool.done(number)
        if number in self._awaited:
            self._outcomes[number] = refusal
        self._lock.notify_all()

    def _carry(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(self._has_room, WAKE_S)
                if self._stopping:
                    return
                room = IN_FLIGHT - len(self._flying) if self._has_room() else 0
            for waiting in self._spool.after(self._carried, room) if room else ():
                # Not under our lock: the client holds its own while it tells us of a confirmation.
                sent = self._client.publish(self._topic, waiting.payload, qos=1)
                with self._lock:
                    self._carried = waiting.id
                    if sent.mid in self._early:
                        self._settle(waiting.id, self._early.pop(sent.mid))
                    else:
                        self._flying[sent.mid] = waiting.id
                time.sleep(PACE_S)

    def _has_room(self) -> bool:
        if self._stopping:
            return True
        behind = self._spool.count > len(self._flying)
        return behind and self._client.is_connected() and len(self._flying) < IN_FLIGHT


def _presence(online: bool) -> bytes:
    return b'{"state":"online"}' if online else b'{"state":"offline"}'
