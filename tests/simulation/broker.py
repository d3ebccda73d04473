"""A broker that keeps what was not confirmed, and the monitor's link to it.

Law: QoS 1 as MQTT tells it: a message stays until its PUBACK has come on the connection on which it went;
after a reconnect all of them go again, in their order, before what is new. The network between may be cut,
be half open, and lose PUBACKs on their way; the broker itself forgets nothing but when it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from monitor.mqtt import Envelope, Will
from tests.simulation.tasks import Scheduler

NOTICED_S = 30.0  # 1.5 × keepalive: when a half-open connection is noticed


@dataclass(slots=True, eq=False)
class Stored:
    """One message for the monitor; ``what`` is what its sender knows of it."""

    topic: str
    payload: bytes
    what: Any = None
    retained: bool = False
    sent: int = 0


class Broker:
    """One broker with one persistent session: the monitor's."""

    def __init__(self, scheduler: Scheduler, root: str) -> None:
        """Begin with nothing retained and nobody connected."""
        self.scheduler, self.root = scheduler, root
        self.retained: dict[str, bytes] = {}
        self.waiting: dict[Stored, None] = {}  # not confirmed, in order
        self.reachable = True
        self.link: SimulatedLink | None = None
        self.delay_s: Callable[[], float] = lambda: 0.002
        self.on_delivered: Callable[[Stored], None] = lambda _: None
        self.on_confirmed: Callable[[Stored], None] = lambda _: None
        self._free_at = 0.0

    def publish(self, topic: str, payload: bytes, what: Any = None, *, retain: bool = False) -> None:
        """Take a message from anybody."""
        if retain:
            self.retained[topic] = payload
        if (
            topic.startswith(f"{self.root}/devices/") and not topic.endswith("/committed")
        ) or topic == f"{self.root}/monitor/self-check":
            self._keep(Stored(topic, payload, what))

    def _keep(self, one: Stored) -> None:
        self.waiting[one] = None
        if self.link is not None and self.link.carries:
            self._send(one, self.link)

    def _send(self, one: Stored, link: SimulatedLink) -> None:
        """Put a message on the wire: after those before it."""
        at = max(self.scheduler.now_s + self.delay_s(), self._free_at)
        self._free_at = at
        connection = link.connection
        one.sent += 1
        self.scheduler.after(at - self.scheduler.now_s, lambda: self._arrive(one, link, connection))

    def _arrive(self, one: Stored, link: SimulatedLink, connection: int) -> None:
        if link is self.link and link.carries and link.connection == connection:
            self.on_delivered(one)
            link.take(one)

    def opened(self, link: SimulatedLink, whats: dict[bytes, Any]) -> None:
        """Take a connection: what was not confirmed goes again, then what is retained."""
        self.link = link
        self._free_at = 0.0
        for one in list(self.waiting):
            self._send(one, link)
        head = f"{self.root}/devices/"
        for topic, payload in self.retained.items():
            if topic.startswith(head) and not topic.endswith("/committed"):
                one = Stored(topic, payload, whats.get(payload), retained=True)
                self.waiting[one] = None
                self._send(one, link)

    def confirmed(self, one: Stored) -> None:
        """Take a PUBACK: the message is the monitor's now."""
        if one in self.waiting:
            del self.waiting[one]
            self.on_confirmed(one)


class SimulatedLink:
    """What ``monitor.mqtt.Link`` is to the monitor, on a simulated network."""

    def __init__(self, broker: Broker, will: Will, inbox: Any, whats: dict[bytes, Any]) -> None:
        """Prepare; ``start`` opens it."""
        self._broker, self._will, self._inbox, self._whats = broker, will, inbox, whats
        self._retained: dict[str, bytes] = {}
        self._sent: dict[int, Stored] = {}
        self._mid = 0
        self.connection = 0
        self.connected = False
        self.half_open = False
        self.reason = "not yet connected"
        self.dead = False

    @property
    def carries(self) -> bool:
        """Say whether anything passes now."""
        return self.connected and not self.half_open and not self.dead

    def start(self) -> None:
        """Open the connection as soon as the broker can be reached."""
        self._broker.scheduler.after(0.01, self._open)

    def stop(self, farewell: bytes | None = None) -> None:
        """Close it; the farewell stays as the presence."""
        if farewell is not None and self.carries:
            self._broker.publish(self._will.topic, farewell, retain=True)
        self.dead = True

    def die(self) -> None:
        """End with the process: the broker speaks the last will."""
        self.dead = True
        self._broker.retained[self._will.topic] = self._will.offline

    def _open(self) -> None:
        if self.dead or self.connected:
            return
        if not self._broker.reachable:
            self.reason = "no broker"
            self._broker.scheduler.after(1.0, self._open)
            return
        self.connection += 1
        self.connected, self.half_open, self.reason = True, False, ""
        self._broker.publish(self._will.topic, self._will.online, retain=True)
        for topic, payload in list(self._retained.items()):
            self._broker.publish(topic, payload, retain=True)
        self._inbox.link_changed(True, "simulated")
        self._broker.opened(self, self._whats)

    def cut(self, reason: str = "the connection was lost") -> None:
        """Lose the connection; it comes back by itself."""
        if self.connected and not self.dead:
            self.connected, self.half_open, self.reason = False, False, reason
            self._sent.clear()
            self._inbox.link_changed(False, reason)
            self._broker.scheduler.after(0.5, self._open)

    def open_halfway(self) -> None:
        """Let nothing pass any more, which is noticed only when the keepalive runs out."""
        if self.carries:
            self.half_open = True
            connection = self.connection

            def notice() -> None:
                if self.half_open and self.connection == connection:
                    self.cut("keepalive ran out")

            self._broker.scheduler.after(NOTICED_S, notice)

    def take(self, one: Stored) -> None:
        """Give a message to the monitor."""
        self._mid += 1
        self._sent[self._mid] = one
        now = self._broker.scheduler.clock.now()
        self._inbox.put([Envelope(one.topic, one.payload, now, one.retained, self._mid, self.connection)])

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1; while the broker is away retained topics wait, the others are of the moment."""
        if self.dead:
            return
        if retain:
            self._retained[topic] = payload
        if self.carries:
            self._broker.publish(topic, payload, retain=retain)

    def confirm(self, envelopes: Iterable[Envelope]) -> None:
        """Send PUBACKs; they may be lost with the connection."""
        connection = self.connection
        mids = [one.mid for one in envelopes if one.mid and one.connection == connection]
        if mids and self.carries:
            self._broker.scheduler.after(0.001, lambda: self._acknowledge(mids, connection))

    def _acknowledge(self, mids: list[int], connection: int) -> None:
        for mid in mids:
            one = self._sent.pop(mid, None)
            # A PUBACK that was on its way when the process died has still left it.
            if one is not None and connection == self.connection and (self.connected and not self.half_open):
                self._broker.confirmed(one)
