"""Too many alarms for one person."""

from __future__ import annotations

from datetime import timedelta

from monitor.core.flood import CALM, Flood, admit, digest, flooded
from monitor.core.protocol import Priority
from tests.core.scene import NOON


def test_al_55_a_flood_never_holds_back_a_high_alarm() -> None:
    """AL-55: more than 10 alarms in 10 min: medium and low are collected, high is told each time."""
    flood, told = CALM, []
    course: list[Priority] = ["medium"] * 12 + ["high"] * 5 + ["low"]
    for number, priority in enumerate(course):
        flood, verdict = admit(flood, priority, NOON + timedelta(seconds=20 * number))
        told.append(verdict)
    assert told == ["tell"] * 10 + ["digest"] * 2 + ["tell"] * 5 + ["digest"]
    assert flooded(flood, NOON + timedelta(minutes=6))
    flood, words = digest(flood)
    assert words == "3 more alarms of medium or low priority; see the wall"
    assert digest(flood) == (flood, "")


def test_al_55_a_flood_ends_by_itself() -> None:
    """AL-55: ten minutes later the milder ones are told one by one again; nothing collected is forgotten."""
    flood = CALM
    for _ in range(15):
        flood, _ = admit(flood, "medium", NOON)
    later = NOON + timedelta(minutes=10)
    assert not flooded(flood, later)
    after, verdict = admit(flood, "low", later)
    assert (verdict, after.waiting, len(after.recent)) == ("tell", 5, 1)


def test_al_55_a_flood_begins_with_the_eleventh_alarm_of_ten_minutes() -> None:
    """AL-55, ISA-18.2: ten in ten minutes are none yet; the oldest counts until ten minutes have passed."""
    minutes = [NOON + timedelta(minutes=n * 0.5) for n in range(11)]
    assert not flooded(Flood(tuple(minutes[:10])), minutes[-1])
    assert flooded(Flood(tuple(minutes)), minutes[-1])
    assert flooded(Flood(tuple(minutes)), NOON + timedelta(minutes=9.9))
    assert not flooded(Flood(tuple(minutes)), NOON + timedelta(minutes=10))
