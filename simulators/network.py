"""What the network does to messages between a device and the broker.

Law: the network never makes a message up and never changes its bytes. It may hold, lose, double and reorder,
by a probability or by a script, and the seed decides which.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from simulators.chance import Chance
from simulators.device import KEEPALIVE_S, Message
from simulators.speech import ROOT, presence

CutKind = Literal["partition", "half_open", "takeover"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A scripted disturbance of a link.

    ``partition``: nothing passes; both sides know; the device's messages pass when it ends.
    ``half_open``: the device believes that it is connected; what it sends is lost; the broker says offline.
    ``takeover``: another client with the same id throws it out again and again: presence flaps every
    ``every_s``, and messages pass late.
    ``device_id`` empty cuts every link.
    """

    kind: CutKind
    at_s: float
    lasts_s: float
    device_id: str = ""
    every_s: float = 4.0

    def holds(self, message: Message) -> bool:
        """Say whether this message is in the cut."""
        mine = not self.device_id or message.device_id == self.device_id
        return mine and self.at_s <= message.at_s < self.at_s + self.lasts_s


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad a link is. Times in seconds, others are probabilities of one message."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reorder_by_s: float = 3.0
    cuts: Sequence[Cut] = ()


PERFECT = Conditions()


@dataclass(slots=True)
class Network:
    """All links of one ward; messages go in as they leave a device and come out as the broker gets them.

    Args:
        conditions: how bad it is.
        chance: its own stream.
        site: the site's name in topics.
        start_at: the wall-clock instant of second 0.
    """

    conditions: Conditions
    chance: Chance
    site: str = "clinic"
    start_at: datetime | None = None
    lost: int = 0
    _under_way: list[tuple[float, int, Message]] = field(default_factory=list)
    _count: int = 0
    _last_s: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Put the presence messages that the scripted cuts cause on their way."""
        for cut in self.conditions.cuts:
            if cut.device_id and self.start_at is not None:
                for at_s, state in _presence_of(cut):
                    at = self.start_at + timedelta(seconds=at_s)
                    topic = f"{ROOT}/{self.site}/devices/{cut.device_id}/status"
                    self._push(at_s, Message(at_s, topic, presence(state, at), True, cut.device_id))

    def send(self, messages: Iterable[Message]) -> None:
        """Take messages as they leave their devices."""
        for message in messages:
            if self.conditions is PERFECT:
                self._push(message.at_s, message)
            else:
                self._carry(message)

    def _carry(self, message: Message) -> None:
        conditions = self.conditions
        cut = next((each for each in conditions.cuts if each.holds(message)), None)
        lost = self.chance.happens(conditions.loss) and not message.retained
        if lost or (cut is not None and cut.kind == "half_open"):
            self.lost += 1
            return
        arrives = message.at_s + conditions.delay_s
        if conditions.jitter_s:
            arrives += self.chance.wait(conditions.jitter_s)
        if cut is not None:
            arrives = max(
                arrives, cut.at_s + cut.lasts_s if cut.kind == "partition" else arrives + cut.every_s
            )
        # One TCP connection keeps the order; only a reordering network breaks it, on purpose.
        if conditions.reordering and self.chance.happens(conditions.reordering):
            arrives += conditions.reorder_by_s
        else:
            arrives = max(arrives, self._last_s.get(message.device_id, 0.0))
            self._last_s[message.device_id] = arrives
        self._push(arrives, message)
        if conditions.duplication and self.chance.happens(conditions.duplication):
            self._push(arrives + self.chance.uniform(0.05, 5.0), message)

    def _push(self, at_s: float, message: Message) -> None:
        self._count += 1
        heapq.heappush(self._under_way, (round(at_s, 6), self._count, message._replace(at_s=round(at_s, 6))))

    def next_s(self) -> float:
        """Return when the next message arrives; infinity when none is under way."""
        return self._under_way[0][0] if self._under_way else float("inf")

    def arrived(self, now_s: float) -> list[Message]:
        """Return what has arrived by ``now_s``, in order of arrival."""
        messages = []
        while self._under_way and self._under_way[0][0] <= now_s:
            messages.append(heapq.heappop(self._under_way)[2])
        return messages


def _presence_of(cut: Cut) -> list[tuple[float, str]]:
    """Return what the broker says about a device in a cut: time and state."""
    end = cut.at_s + cut.lasts_s
    if cut.kind == "takeover":
        flaps = []
        at = cut.at_s
        while at < end:
            flaps += [(at, "offline"), (at + 0.2, "online")]
            at += cut.every_s
        return flaps
    if cut.lasts_s <= KEEPALIVE_S:
        return []
    return [(cut.at_s + KEEPALIVE_S, "offline"), (end, "online")]
