"""What waits for the loop: messages from devices, and what people, the clock and the house ask for.

Law: bounded for devices (whoever brings a message waits, nothing is dropped), never closed for people: a
flood of messages does not keep an acknowledgement waiting longer than one batch.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from monitor.mqtt import RECEIVE_MAXIMUM, Envelope

CAPACITY = RECEIVE_MAXIMUM + 5_000  # all that a broker may send unconfirmed, and some at QoS 0
WAIT_S = 0.005

Ask = Callable[[], object]


class Inbox:
    """Many hands put in, the loop alone takes out."""

    def __init__(self, link_changed: Callable[[bool, str], None]) -> None:
        """Begin empty; ``link_changed`` is run by the loop when the link to the broker changes."""
        self._messages: queue.SimpleQueue[Envelope | None] = queue.SimpleQueue()
        self._asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._link_changed = link_changed

    def put(self, several: list[Envelope]) -> None:
        """Take messages; waits while the inbox is full."""
        for one in several:
            while self._messages.qsize() >= CAPACITY:
                time.sleep(WAIT_S)
            self._messages.put(one)

    def ask(self, ask: Ask) -> None:
        """Take something for the loop to do next; never waits."""
        self._asks.put(ask)
        self._messages.put(None)  # wakes the loop

    def link_changed(self, connected: bool, reason: str) -> None:
        """Take note that the link to the broker is up or down."""
        self.ask(lambda: self._link_changed(connected, reason))

    def waiting(self) -> int:
        """Return about how many messages wait."""
        return self._messages.qsize()

    def take(self, most: int, timeout_s: float) -> list[Envelope]:
        """Return up to ``most`` messages, waiting at most ``timeout_s`` seconds for the first."""
        found: list[Envelope] = []
        try:
            one = self._messages.get(timeout=max(timeout_s, 0.0))
            while True:
                if one is not None:
                    found.append(one)
                    if len(found) >= most:
                        break
                one = self._messages.get_nowait()
        except queue.Empty:
            pass
        return found

    def asks(self) -> list[Ask]:
        """Return what the loop is to do now, oldest first."""
        found: list[Ask] = []
        try:
            while True:
                found.append(self._asks.get_nowait())
        except queue.Empty:
            return found
