"""One alarm's life and its ownership, step by step, without a bed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core import alarms, escalation
from monitor.core.alarms import Acknowledgement, Alarm
from monitor.core.escalation import UNOWNED, Ladder, Level, Ownership
from tests.core.scene import NOON


def at(second: float) -> datetime:
    """Return an instant so many seconds after noon."""
    return NOON + timedelta(seconds=second)


def alarm(**more: Any) -> Alarm:
    """Return a high physiological alarm that signals."""
    fields = {"kind": "physiological", "priority": "high", **more}
    return Alarm("id", "spo2-low", onset_at=NOON, present_at=at(6), text="low", **fields)


KNOWN = Acknowledgement("nina", at(10), "high", at(610))


def test_al_18_an_alarm_begins_present_and_on() -> None:
    """AL-18: nothing is paused, covered, frozen or acknowledged before anybody did it."""
    new = alarm()
    assert (new.condition, new.signal, new.signalling, new.rank) == ("present", "on", True, 3)
    assert not any((new.frozen, new.latching, new.external, new.flaps, new.covered_by, new.limit, new.side))
    assert new.pausable
    assert (new.value, new.worst, new.ended_at, new.ownership) == (None, None, None, UNOWNED)
    assert [alarm(priority=p).rank for p in ("high", "medium", "low")] == [3, 2, 1]
    assert not alarm(covered_by="x").signalling
    assert not alarm(signal="audio_paused").signalling


def test_al_17_an_acknowledgement_is_of_a_person_a_priority_and_a_time() -> None:
    """AL-17, AL-19: until when it holds; a pause is over with it."""
    given = alarms.acknowledge(alarm(signal="audio_paused", paused_until=at(99)), "nina", at(10), 600)
    assert given.acknowledgement == KNOWN
    assert (given.signal, given.paused_until) == ("acknowledged", None)


def test_al_17_what_worsens_is_known_to_nobody() -> None:
    """AL-17: priority and words are new, pause and acknowledgement void."""
    old = alarm(
        priority="low", signal="acknowledged", acknowledgement=KNOWN, paused_until=at(9), remind_at=at(9)
    )
    worse = alarms.worsen(old, "medium", "worse")
    assert worse == replace(
        old,
        priority="medium",
        text="worse",
        signal="on",
        acknowledgement=None,
        paused_until=None,
        remind_at=None,
    )


def test_al_23_what_resumes_signals_and_has_no_rest_of_a_pause() -> None:
    """AL-19, AL-23: from a pause of sound or signal and from an acknowledgement; what is on stays so."""
    for signal in ("audio_paused", "alarm_paused", "acknowledged"):
        old = alarm(signal=signal, acknowledgement=KNOWN, paused_until=at(9), remind_at=at(9))
        assert alarms.resume(old) == alarm()
    for signal in ("on", "latched", "off"):
        old = alarm(signal=signal, acknowledgement=KNOWN, paused_until=at(9))
        assert alarms.resume(old) == old
    paused = alarms.pause(alarm(), "pause_audio", at(120))
    assert (paused.signal, paused.paused_until) == ("audio_paused", at(120))
    assert alarms.pause(alarm(), "pause_alarm", at(60)).signal == "alarm_paused"


@pytest.mark.parametrize(
    ("change", "signal"),
    [
        ({}, "latched"),
        ({"priority": "medium"}, "off"),
        ({"priority": "medium", "latching": True}, "latched"),
        ({"kind": "technical"}, "off"),
        ({"kind": "technical", "latching": True}, "latched"),
        ({"signal": "acknowledged"}, "off"),
        ({"signal": "audio_paused"}, "latched"),
        ({"signal": "alarm_paused"}, "latched"),
        ({"signal": "alarm_paused", "priority": "low"}, "off"),
    ],
)
def test_al_16_a_high_alarm_of_the_patient_must_be_seen(change: dict[str, Any], signal: str) -> None:
    """AL-15, AL-16: latched when it was high and of the patient, or latches by rule, and nobody knew."""
    ended = alarms.end(alarm(frozen=True, paused_until=at(9), **change), at(60))
    assert (ended.condition, ended.signal, ended.ended_at) == ("ended", signal, at(60))
    assert (ended.frozen, ended.paused_until) == (False, None)


def test_al_22_what_may_not_be_paused_says_why() -> None:
    """AL-22: a floor or an absence never; of the others what their signal allows."""
    assert alarms.allowed(alarm(), "pause_alarm") == ""
    assert "AL-22" in alarms.allowed(alarm(pausable=False), "pause_alarm")
    assert alarms.allowed(alarm(pausable=False), "pause_audio") == ""
    assert alarms.allowed(alarm(signal="audio_paused"), "pause_alarm") == ""
    refused = alarms.allowed(alarm(signal="alarm_paused"), "pause_alarm")
    assert refused == "an alarm that is alarm paused cannot take: pause alarm"


# --- ownership ---------------------------------------------------------------------------------------------

ANNA, BEN, NOBODY = Level(("anna",), 60), Level(("ben", "anna"), 90), Level((), 60)
LADDER = Ladder({"high": (NOBODY, ANNA, NOBODY, BEN), "medium": (NOBODY,)}, {"high": 30, "low": 20})


def test_al_40_a_ladder_skips_levels_with_nobody() -> None:
    """AL-40: the first level from there on that has anybody; everybody up to a level, each once."""
    assert [LADDER.next_level("high", n) for n in range(5)] == [1, 1, 3, 3, None]
    assert LADDER.next_level("medium", 0) is LADDER.next_level("low", 0) is None
    assert [LADDER.people("high", n) for n in range(4)] == [(), ("anna",), ("anna",), ("anna", "ben")]
    assert LADDER.people("low", 9) == ()
    assert Ladder({}, {}, ()) == escalation.EMPTY


def test_al_40_an_offer_waits_at_its_level_and_is_exhausted_after_the_last() -> None:
    """AL-40, P-48: to whom until when; told again by its own time; a new offer has no owner."""
    own = escalation.offer(replace(UNOWNED, owner="carla"), LADDER, "high", 0, NOON)
    assert own == Ownership("offered", "high", 1, NOON, at(60), at(30))
    second = escalation.offer(own, LADDER, "high", 2, at(60))
    assert second == Ownership("offered", "high", 3, at(60), at(150), at(30))
    last = escalation.offer(second, LADDER, "high", 4, at(150))
    assert last == Ownership("exhausted", "high", 3, at(150), None, at(30))
    assert escalation.offer(UNOWNED, LADDER, "low", 0, NOON) == Ownership(
        "none", "low", 0, NOON, None, at(20)
    )
    medium = escalation.offer(UNOWNED, LADDER, "medium", 0, NOON)
    assert medium == Ownership("exhausted", "medium", 0, NOON, None, None)


def test_al_42_an_owner_has_it_until_an_instant_and_nothing_is_told_again() -> None:
    """AL-42, P-48: accepted at its level; who gave it back before is of no matter any more."""
    own = Ownership("offered", "high", 1, NOON, at(60), at(30), 2, rejected_by=("ben",))
    taken = escalation.accept(own, "anna", "medium", at(600))
    assert taken == Ownership("accepted", "medium", 1, NOON, at(600), None, 0, "anna", ())
    assert (own.wanted, taken.wanted, UNOWNED.wanted) == (True, False, True)
    again = escalation.repeat(own, 30, at(30))
    assert again == replace(own, repeats=3, repeat_at=at(60))
    assert escalation.repeat(own, 0, at(30)).repeat_at is None
