"""How many messages come, and from whom.

Law: a broker hands on what it holds for one client in one order, so one device's flood delays what all others
report, and no setting of Mosquitto prevents it (S-05). What cannot be prevented is told at once (R-14).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from operator import itemgetter

from monitor.app.inbox import CAPACITY
from monitor.app.station import Judgement
from monitor.mqtt import Envelope

SPAN_S = 5.0
# Five times what a device may send that empties its memory (docs/wire.md), and a fortieth of what the monitor
# takes: nobody waits yet when it is told.
FLOOD_A_SECOND = 250
FLOOD = "flood:"
BEHIND_FROM, BEHIND_UNTIL = CAPACITY // 2, CAPACITY // 10

_topic = itemgetter(0)


class Traffic:
    """Counts for spans of five seconds; used by the loop's thread alone."""

    def __init__(self, device_of: Callable[[str], str], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at none; ``device_of`` says whose a topic is."""
        self._device_of, self._clock = device_of, clock
        self._counts: Counter[str] = Counter()
        self._since = clock()
        self._floods: frozenset[str] = frozenset()
        self._behind = False

    def take(self, envelopes: Iterable[Envelope]) -> None:
        """Count messages."""
        self._counts.update(map(_topic, envelopes))

    def judge(self, waiting: int) -> list[Judgement]:
        """Return what has changed: devices that flood or no longer do, and whether messages pile up.

        ``waiting``: how many messages wait for the loop now.
        """
        return [*self._judge_devices(), *self._judge_waiting(waiting)]

    def _judge_devices(self) -> list[Judgement]:
        now = self._clock()
        if now - self._since < SPAN_S:
            return []
        sent: Counter[str] = Counter()
        for topic, count in self._counts.items():
            sent[self._device_of(topic)] += count
        most = FLOOD_A_SECOND * (now - self._since)
        floods = frozenset(name for name, count in sent.items() if count > most)
        ended, self._floods, self._since = self._floods - floods, floods, now
        self._counts.clear()
        text = f"sends more than {FLOOD_A_SECOND} messages a second: what others report may wait behind them"
        found = [Judgement(FLOOD + name, None, "") for name in sorted(ended)]
        return found + [Judgement(FLOOD + name, "low", f"{name} {text}") for name in sorted(floods)]

    def _judge_waiting(self, waiting: int) -> list[Judgement]:
        if self._behind != (waiting > (BEHIND_UNTIL if self._behind else BEHIND_FROM)):
            self._behind = not self._behind
            text = "more messages of devices wait than can be taken at once: alarms may be late"
            return [Judgement("behind", "medium" if self._behind else None, text)]
        return []
