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
ENOUGH = 500  # a turn's worth: whoever brings more rests a moment and leaves the processor to the loop

Ask = Callable[[], object]


class Inbox:
    """Many hands put in, the loop alone takes out."""

    def __init__(self, link_changed: Callable[[bool, str], None]) -> None:
        """Begin empty; ``link_changed`` is run by the loop when the link to the broker changes."""
        self._heaps: queue.SimpleQueue[list[Envelope]] = queue.SimpleQueue()
        self._heap: list[Envelope] = []  # what is being taken, and from where on
        self._at = 0
        self._put = self._taken = 0  # how many messages; each is counted by one thread
        self._asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._link_changed = link_changed

    def put(self, several: list[Envelope]) -> None:
        """Take messages, of the link's thread; waits while the inbox is full."""
        while self.waiting() >= CAPACITY:
            time.sleep(WAIT_S)
        self._put += len(several)
        self._heaps.put(several)
        if self.waiting() > ENOUGH:
            time.sleep(WAIT_S)

    def ask(self, ask: Ask) -> None:
        """Take something for the loop to do next; never waits."""
        self._asks.put(ask)
        self._heaps.put([])  # wakes the loop

    def link_changed(self, connected: bool, reason: str) -> None:
        """Take note that the link is up or down."""
        self.ask(lambda: self._link_changed(connected, reason))

    def waiting(self) -> int:
        """Return about how many messages wait."""
        return self._put - self._taken

    def take(self, most: int, timeout_s: float) -> list[Envelope]:
        """Return up to ``most`` messages, waiting at most ``timeout_s`` seconds for the first."""
        found: list[Envelope] = []
        try:
            if self._at >= len(self._heap):
                self._heap, self._at = self._heaps.get(timeout=max(timeout_s, 0.0)), 0
            while True:
                some = self._heap[self._at : self._at + most - len(found)]
                found += some
                self._at += len(some)
                if len(found) >= most:
                    break
                self._heap, self._at = self._heaps.get_nowait(), 0
        except queue.Empty:
            pass
        self._taken += len(found)
        return found

    def asks(self) -> list[Ask]:
        """Return what the loop is to do now, oldest first."""
        found: list[Ask] = []
        try:
            while True:
                found.append(self._asks.get_nowait())
        except queue.Empty:
            return found
