"""A turn's own books: which alarm speaks for which, what is found, what a technical condition becomes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from monitor.core.alarms import Alarm
from monitor.core.outcomes import Outcome, as_json
from monitor.core.protocol import Priority
from monitor.core.turn import MANUAL, MANUAL_LASTS, MANUAL_SLOT, Bed, Pause, Turn
from tests.core.scene import NOON, Scene


def turn(bed: Bed | None = None) -> Turn:
    """Return a turn at noon on a bed."""
    return Turn(bed or Bed("bed-1"), NOON)


def low(one: Turn, key: str, priority: Priority, **more: Any) -> Alarm:
    """Raise an alarm of the low side of SpO2 and return it as it stands then."""
    fields = {"metric": "spo2", "side": "low", **more}
    kind = fields.pop("kind", "physiological")
    one.raise_alarm(one.make(key, kind, priority, NOON, f"{key} fell", **fields))
    return one.bed.alarms[key]


def told(one: Turn) -> list[tuple[str, str]]:
    """Return what a turn told, by outcome and rule."""
    return [(o.outcome, o.rule) for o in one.outcomes]


def test_a_turn_begins_clean_and_changes_only_its_copy() -> None:
    """DESIGN §1: nothing told, nothing due; the bed that was given stays as it was."""
    bed = Bed("bed-1")
    one = turn(bed)
    assert (one.outcomes, one.dirty, one.measured, one.drill_ended_by, one.dated) == (
        [],
        False,
        False,
        "",
        None,
    )
    assert (one.bed == bed, one.bed is bed, one.now) == (True, False, NOON)
    low(one, "a", "high")
    assert (bed, one.dirty) == (Bed("bed-1"), True)
    with pytest.raises(LookupError, match="bed-1"):
        _ = one.session
    assert one.timing.audio_pause_s == 120
    assert one.owner() == "bed-1"
    scene = Scene().start()
    assert (turn(scene.bed).owner(), turn(scene.bed).session) == ("s1", scene.bed.session)
    assert ("manual:", "@manual", timedelta(minutes=10)) == (MANUAL, MANUAL_SLOT, MANUAL_LASTS)


def test_an_outcome_is_of_its_alarm_or_of_what_is_said() -> None:
    """P-44: an alarm gives rule, kind, priority, metric, value and words, unless others are said."""
    one = turn()
    alarm = low(one, "a", "high", value=84.0)
    one.outcomes.clear()
    one.tell("AlarmEnded", alarm=alarm)
    one.tell("AlarmEnded", alarm=alarm, reason="over", value=97.0, rule="x", metric="y", by="nina")
    one.tell("Answered", rule="x", metric="y", alarm_id="z", at=NOON - timedelta(1), session_id="s9", more=1)
    of_alarm = (alarm.alarm_id, "a", "physiological", "high", "spo2")
    before, more = NOON - timedelta(1), {"more": 1}
    assert one.outcomes == [
        Outcome("AlarmEnded", NOON, "bed-1", "", *of_alarm, 84.0, "a fell"),
        Outcome("AlarmEnded", NOON, "bed-1", "", *of_alarm, 97.0, "over", "nina"),
        Outcome("Answered", before, "bed-1", "s9", "z", "x", "", "", "y", None, "", "", more),
    ]
    of = turn(Scene().start(mode="drill").bed)
    of.tell("Answered")
    of.tell("Answered", session_id="s1")
    of.tell("Answered", session_id="")
    assert [(o.session_id, o.mode) for o in of.outcomes] == [("s1", "drill"), ("s1", "drill"), ("", "")]


def test_al_05_the_worst_of_a_side_speaks_for_the_milder() -> None:
    """AL-05: of one metric and side, of the patient only, and only for what is milder."""
    one = turn()
    mild, worst = low(one, "low", "low"), low(one, "high", "high")
    assert one.bed.alarms["low"].covered_by == worst.alarm_id
    middle = low(one, "medium", "medium")
    assert middle.covered_by == worst.alarm_id
    assert not low(one, "high too", "high").covered_by
    assert not low(one, "other side", "low", side="high").covered_by
    assert not low(one, "other metric", "low", metric="pulse_rate").covered_by
    assert not low(one, "technical", "low", kind="technical").covered_by
    assert one.outcomes[0].detail["covered_by"] == ""
    assert one.outcomes[2].detail["covered_by"] == worst.alarm_id
    assert mild.alarm_id != worst.alarm_id
    one.outcomes.clear()
    one.end_alarm(one.bed.alarms["high too"], "over")
    one.end_alarm(one.bed.alarms["high"], "over")
    assert told(one)[:2] == [("AlarmEnded", "high too"), ("AlarmLatched", "high too")]
    assert told(one)[2:] == [("AlarmEnded", "high"), ("AlarmLatched", "high"), ("AlarmResumed", "medium")]
    assert one.bed.alarms["low"].covered_by == middle.alarm_id
    assert one.bed.alarms["medium"].covered_by == ""
    assert one.outcomes[-1].alarm_id == middle.alarm_id
    assert {o.detail.get("worst", "none") for o in one.outcomes if o.outcome == "AlarmEnded"} == {None}


@pytest.mark.parametrize(
    ("priority", "breaks", "signal"),
    [
        ("high", True, "on"),
        ("high", False, "on"),
        ("medium", True, "on"),
        ("medium", False, "audio_paused"),
        ("low", True, "audio_paused"),
    ],
)
def test_al_21_what_a_pause_of_sound_holds(priority: Priority, breaks: bool, signal: str) -> None:
    """AL-21: never a high one; a medium one as the site says; without a session it breaks through."""
    from dataclasses import replace

    from tests.core.scene import protocol

    plan = protocol(timing=replace(protocol().timing, medium_breaks_pause=breaks))
    one = turn(Scene().start(plan).bed)
    one.bed.audio_pause = Pause(NOON + timedelta(minutes=2), "nina", NOON)
    alarm = low(one, "a", priority)
    assert alarm.signal == signal
    assert alarm.paused_until == (NOON + timedelta(minutes=2) if signal == "audio_paused" else None)
    assert one.outcomes[-1].detail["signal"] == signal
    house = turn()
    house.bed.audio_pause = Pause(NOON, "nina", NOON)
    assert low(house, "a", "medium").signal == "on"


def test_al_02_a_technical_condition_comes_worsens_and_goes() -> None:
    """AL-02: milder never lowers it, other words are taken over silently, its end is told once."""
    one = turn()
    one.technical("disk", None, "was never there")
    assert told(one) == []
    since = NOON - timedelta(seconds=9)
    one.technical("disk", "medium", "fills", metric="spo2", onset_at=since, pausable=False, external=True)
    alarm = one.bed.alarms["disk"]
    assert (alarm.kind, alarm.metric, alarm.onset_at, alarm.present_at) == ("technical", "spo2", since, NOON)
    assert (alarm.pausable, alarm.external) == (False, True)
    one.technical("disk", "low", "fills more")
    assert (one.bed.alarms["disk"].priority, one.bed.alarms["disk"].text) == ("medium", "fills more")
    one.technical("disk", "high", "full")
    assert (one.bed.alarms["disk"].priority, one.bed.alarms["disk"].text) == ("high", "full")
    assert one.bed.alarms["disk"].alarm_id == alarm.alarm_id
    one.technical("disk", None, "room again")
    one.technical("disk", None, "room again")
    assert told(one) == [("AlarmRaised", "disk"), ("AlarmEscalated", "disk"), ("AlarmEnded", "disk")]
    assert [o.detail.get("was") for o in one.outcomes] == [None, "medium", None]
    one.dated = lambda: since
    one.technical("clock", "low", "stands")
    plain = one.bed.alarms["clock"]
    assert (plain.onset_at, plain.pausable, plain.external) == (since, True, False)
    one.dated = None
    one.technical("other", "low", "stands")
    assert one.bed.alarms["other"].onset_at == NOON


def test_al_16_a_changed_alarm_goes_back_to_where_it_is() -> None:
    """AL-16, AL-45: present ones by their rule and name, latched ones by their name; a former one leaves."""
    from dataclasses import replace

    one = turn()
    first = low(one, "a", "high")
    assert one.find(first.alarm_id) == first
    one.end_alarm(first, "over", NOON - timedelta(seconds=5))
    ended = one.find(first.alarm_id)
    assert ended is not None
    assert (ended.signal, ended.ended_at) == ("latched", NOON - timedelta(seconds=5))
    assert one.outcomes[1].at == NOON - timedelta(seconds=5)
    one.now = NOON + timedelta(seconds=5)
    one.raise_alarm(one.make("a", "physiological", "high", one.now, "again"))
    second = one.bed.alarms["a"]
    assert second.alarm_id != first.alarm_id
    one.alter(replace(second, text="x"))
    assert one.bed.alarms["a"].text == "x"
    one.alter(replace(ended, signal="off"))
    assert one.bed.latched == {}
    assert one.bed.alarms["a"].text == "x"
    assert one.find(first.alarm_id) is one.find("none") is None


def test_s_10_an_outcome_as_json_says_its_mode_where_it_has_one() -> None:
    """S-10: instants with their offset; what is of no session has no mode."""
    plain = as_json(Outcome("Answered", NOON, "bed-1", detail={"more": 1}))
    assert plain == {
        "outcome": "Answered",
        "at": "2026-11-23T12:00:00+00:00",
        "bed_id": "bed-1",
        "session_id": "",
        "alarm_id": "",
        "rule": "",
        "kind": "",
        "priority": "",
        "metric": "",
        "value": None,
        "reason": "",
        "by": "",
        "detail": {"more": 1},
    }
    assert as_json(Outcome("Answered", NOON, "bed-1", mode="drill"))["mode"] == "drill"
