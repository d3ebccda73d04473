"""Too many alarms for one person: the milder ones are told together, the high ones each and at once.

Law: a flood never holds back a high alarm, and holds nothing back without saying how much (AL-55). It is
about messages to people only: conditions, signals and the record know nothing of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitor.core.protocol import Priority

FLOOD_WINDOW = timedelta(minutes=10)
FLOOD_COUNT = 10  # more than so many alarms in the window are a flood (ISA-18.2, ALARMS §1.5)

Told = Literal["tell", "digest"]


class Flood(NamedTuple):
    """What one person was told of late: instants of alarms in the window; how many wait for the digest."""

    recent: tuple[datetime, ...] = ()
    waiting: int = 0


CALM = Flood()


def admit(flood: Flood, priority: Priority, now: datetime) -> tuple[Flood, Told]:
    """Count one new alarm for a person; return what is known then, and whether to tell or to collect it."""
    recent = (*(at for at in flood.recent if at > now - FLOOD_WINDOW), now)
    if priority == "high" or len(recent) <= FLOOD_COUNT:
        return Flood(recent, flood.waiting), "tell"
    return Flood(recent, flood.waiting + 1), "digest"


def flooded(flood: Flood, now: datetime) -> bool:
    """Say whether a person is in a flood now: what the figure of AL-55 counts."""
    return sum(at > now - FLOOD_WINDOW for at in flood.recent) > FLOOD_COUNT


def digest(flood: Flood) -> tuple[Flood, str]:
    """Return the words for what was collected, and the flood without it; empty words when nothing waits."""
    if not flood.waiting:
        return flood, ""
    words = f"{flood.waiting} more alarms of medium or low priority; see the wall"
    return flood._replace(waiting=0), words
