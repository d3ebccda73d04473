"""What people do to alarm signals, and what the clock undoes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core import inputs as given
from monitor.core.alarms import SIGNALS, Alarm, allowed, derive_alarm_id, resume, step
from tests.core.scene import NOON, Scene, protocol

URGENT, MILD = "spo2-low-urgent", "spo2-low"


def desaturated(spo2: float = 84, seconds: int = 8) -> Scene:
    """Return a scene in which the urgent SpO2 alarm has just been raised."""
    scene = Scene().start()
    scene.course([97] * 5 + [spo2] * seconds)
    assert URGENT in scene.rules()
    return scene


def test_al_17_acknowledging_is_for_one_alarm_at_one_priority() -> None:
    """AL-17: an acknowledgement is of one instance; another alarm still sounds."""
    scene = desaturated()
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse", "high"))
    scene.stream(12, spo2=84, pulse=140)
    assert not scene.alarm(URGENT).signalling
    assert scene.alarm("pulse-rate-high-urgent").signalling


def test_al_17_a_worse_priority_sounds_again_at_once() -> None:
    """AL-17: an acknowledgement does not cover a worse priority of the same alarm."""
    scene = Scene().start()
    scene.wait(11)
    scene.give(given.Acknowledge(scene.alarm("no-data:oximeter").alarm_id, "nurse", "low"))
    assert not scene.alarm("no-data:oximeter").signalling
    scene.wait(20)
    worse = scene.alarm("no-data:oximeter")
    assert (worse.priority, worse.signalling, worse.acknowledgement) == ("medium", True, None)


def test_al_17_an_acknowledgement_of_what_was_milder_is_refused() -> None:
    """AL-17: who saw it as low and presses when it is medium has not seen the medium."""
    scene = Scene().start()
    scene.wait(31)
    alarm = scene.alarm("no-data:oximeter")
    scene.give(given.Acknowledge(alarm.alarm_id, "nurse", "low"))
    assert scene.told[-1].outcome == "Refused"
    assert scene.alarm("no-data:oximeter").signalling


def test_al_17_a_milder_acknowledged_alarm_never_covers_a_worse_one() -> None:
    """AL-17: SpO2 92 is acknowledged; SpO2 84 is another alarm and sounds."""
    scene = Scene().start()
    scene.course([97] * 5 + [92] * 31)
    scene.give(given.Acknowledge(scene.alarm(MILD).alarm_id, "nurse", "medium"))
    scene.course([84] * 8)
    assert scene.alarm(URGENT).signalling


def test_al_18_an_acknowledgement_ends_nothing() -> None:
    """AL-18: the condition stays present, its worst value is still followed."""
    scene = desaturated()
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse"))
    scene.course([79] * 30)
    assert (scene.alarm(URGENT).condition, scene.alarm(URGENT).worst) == ("present", 79)
    assert not scene.of("AlarmEnded", URGENT)


@pytest.mark.parametrize(("spo2", "rule", "seconds"), [(84, URGENT, 600), (92, MILD, 1200)])
def test_al_19_an_acknowledgement_runs_out(spo2: float, rule: str, seconds: int) -> None:
    """AL-19: still present 10 min (high) or 20 min (medium) after: it signals again."""
    scene = Scene().start()
    scene.course([97] * 5 + [spo2] * 31)
    scene.give(given.Acknowledge(scene.alarm(rule).alarm_id, "nurse"))
    scene.stream(seconds - 1, spo2=spo2)
    assert not scene.alarm(rule).signalling
    scene.stream(1, spo2=spo2)
    assert scene.alarm(rule).signalling
    assert scene.of("AlarmResumed", rule)[-1].reason == "acknowledged, and still present"


def test_al_19_an_acknowledgement_ends_with_its_occurrence() -> None:
    """AL-19, P-06: the next occurrence is a new alarm and nobody has acknowledged it."""
    scene = desaturated()
    first = scene.alarm(URGENT)
    scene.give(given.Acknowledge(first.alarm_id, "nurse"))
    scene.course([97] * 12 + [84] * 8)
    assert scene.alarm(URGENT).alarm_id != first.alarm_id
    assert scene.alarm(URGENT).signalling


def three_milder() -> tuple[Scene, list[tuple[str, str]]]:
    """Return a scene with a high, two medium and a low alarm, and the milder ones as a person sees them."""
    scene = desaturated()
    scene.give(given.ReportCondition("disk", "low", "nearly full"))
    scene.give(given.ReportCondition("broker", "medium", "away"))
    scene.stream(12, spo2=84, pulse=115)
    milder = [one for one in scene.bed.alarms.values() if one.priority != "high" and not one.covered_by]
    assert {one.key for one in milder} == {"disk", "broker", "pulse-rate-high"}
    return scene, [(one.alarm_id, one.priority) for one in milder]


def test_p_37_one_act_acknowledges_the_low_and_medium_alarms_and_each_runs_out_by_itself() -> None:
    """P-37, AL-19: each for its own priority, 20 min medium and 60 min low; the high one still sounds."""
    scene, seen = three_milder()
    told = scene.give(given.AcknowledgeMilder(tuple(seen), "nurse"))
    assert [(o.outcome, o.by) for o in told] == [("AlarmAcknowledged", "nurse")] * 3
    assert scene.alarm(URGENT).signalling
    for key, minutes in (("broker", 20), ("pulse-rate-high", 20), ("disk", 60)):
        known = scene.alarm(key).acknowledgement
        assert known is not None
        assert known.until - scene.now == timedelta(minutes=minutes)
    scene.stream(20 * 60 - 1, spo2=84, pulse=115)
    assert not scene.alarm("broker").signalling
    scene.stream(1, spo2=84, pulse=115)
    assert (scene.alarm("broker").signalling, scene.alarm("disk").signalling) == (True, False)


def test_p_37_an_alarm_that_is_named_twice_is_acknowledged_once() -> None:
    """P-37: as one that another of the same act has spoken for."""
    scene, seen = three_milder()
    told = scene.give(given.AcknowledgeMilder((*seen, *seen), "nurse"))
    assert [one.outcome for one in told] == ["AlarmAcknowledged"] * 3


def test_p_37_never_a_high_alarm_nor_one_that_is_worse_than_it_was_seen() -> None:
    """P-37, AL-17: then nothing is acknowledged and the person looks again; what has ended is passed over."""
    scene, seen = three_milder()
    high = (scene.alarm(URGENT).alarm_id, "high")
    milder_than_it_is = (scene.alarm("broker").alarm_id, "low")
    for wrong in (high, milder_than_it_is):
        [told] = scene.give(given.AcknowledgeMilder((*seen, wrong), "nurse"))  # type: ignore[arg-type]
        assert told.outcome == "Refused"
        assert all(scene.alarm(key).signalling for key in (URGENT, "disk", "broker", "pulse-rate-high"))
    scene.give(given.ClearCondition("disk"))
    assert len(scene.give(given.AcknowledgeMilder(tuple(seen), "nurse"))) == 2
    scene.give(given.ClearCondition("broker"))
    gone = tuple(one for one in seen if one[0] not in {a.alarm_id for a in scene.bed.alarms.values()})
    assert scene.give(given.AcknowledgeMilder(gone, "nurse"))[0].outcome == "Refused"


def test_al_20_an_audio_pause_is_short_and_ends_by_itself() -> None:
    """AL-20: 120 s by default, 10 min at most, and it says until when."""
    scene = Scene().start()
    scene.course([97] * 5 + [92] * 31)
    told = scene.give(given.PauseAudio("nurse"))
    assert told[0].detail["seconds"] == 120
    assert scene.alarm(MILD).signal == "audio_paused"
    scene.stream(119, spo2=92)
    assert scene.alarm(MILD).signal == "audio_paused"
    scene.stream(1, spo2=92)
    assert scene.alarm(MILD).signalling
    for seconds in (0, -5, 601):
        assert scene.give(given.PauseAudio("nurse", seconds))[0].outcome == "Refused"


def test_al_20_a_new_pause_replaces_the_old_one() -> None:
    """AL-20: pausing again counts from now; it does not add up."""
    scene = Scene().start()
    scene.give(given.PauseAudio("nurse", 100))
    scene.stream(50, spo2=97)
    scene.give(given.PauseAudio("nurse", 100))
    scene.stream(99, spo2=97)
    assert scene.bed.audio_pause is not None
    scene.stream(1, spo2=97)
    assert scene.bed.audio_pause is None


def test_al_21_a_new_high_breaks_the_pause() -> None:
    """AL-21: a new high sounds through an audio pause; so does a new medium (site option); low waits."""
    scene = Scene().start()
    scene.stream(5, spo2=97)
    scene.give(given.PauseAudio("nurse"))
    scene.give(given.ReportCondition("disk", "low", "nearly full"))
    scene.course([84] * 8)
    assert scene.alarm(URGENT).signalling
    assert scene.alarm("disk").signal == "audio_paused"
    scene.give(given.ReportCondition("broker", "medium", "away"))
    assert scene.alarm("broker").signalling


def test_al_21_a_site_may_let_medium_wait() -> None:
    """ALARMS §1.3: that a new medium breaks the pause is a site option."""
    timing = replace(protocol().timing, medium_breaks_pause=False)
    scene = Scene().start(protocol(timing=timing))
    scene.give(given.PauseAudio("nurse"))
    scene.give(given.ReportCondition("broker", "medium", "away"))
    assert scene.alarm("broker").signal == "audio_paused"


@pytest.mark.parametrize("rule", [URGENT, "no-data:oximeter"])
def test_al_22_what_guards_the_floor_or_absence_cannot_be_paused(rule: str) -> None:
    """AL-22: no alarm pause for deep-floor rules nor for 'no data'."""
    scene = desaturated() if rule == URGENT else Scene().start()
    scene.wait(11)
    told = scene.give(given.PauseAlarm(scene.alarm(rule).alarm_id, "nurse", 60, "moving the probe"))
    assert told[0].outcome == "Refused"
    assert "AL-22" in told[0].reason
    assert scene.alarm(rule).signalling


def paused_pulse() -> Scene:
    """Return a scene with a paused pulse-rate alarm (60 s)."""
    scene = Scene().start()
    scene.stream(12, spo2=97, pulse=140)
    alarm_id = scene.alarm("pulse-rate-high-urgent").alarm_id
    scene.give(given.PauseAlarm(alarm_id, "nurse", 60, "moving the probe"))
    assert scene.alarm("pulse-rate-high-urgent").signal == "alarm_paused"
    return scene


def test_al_23_a_pause_that_ends_signals_what_is_still_present() -> None:
    """AL-23, P-51: at the end of a pause everything present signals again."""
    scene = paused_pulse()
    scene.stream(60, spo2=97, pulse=140)
    assert scene.alarm("pulse-rate-high-urgent").signalling
    assert scene.told[-1].outcome == "AlarmResumed"


def test_al_23_a_person_may_end_a_pause_early() -> None:
    """AL-23: cancelling a pause re-generates signals too."""
    scene = paused_pulse()
    scene.give(given.ResumeAlarm(scene.alarm("pulse-rate-high-urgent").alarm_id, "nurse"))
    assert scene.alarm("pulse-rate-high-urgent").signalling
    scene.give(given.PauseAudio("nurse"))
    scene.give(given.ResumeAudio("nurse"))
    assert scene.alarm("pulse-rate-high-urgent").signalling
    assert scene.give(given.ResumeAudio("nurse"))[0].outcome == "Refused"
    alarm_id = scene.alarm("pulse-rate-high-urgent").alarm_id
    assert scene.give(given.ResumeAlarm(alarm_id, "nurse"))[0].outcome == "Refused"


@pytest.mark.parametrize(("seconds", "reason"), [(121, "moving"), (0, "moving"), (60, "  ")])
def test_al_22_an_alarm_pause_is_capped_and_needs_a_reason(seconds: float, reason: str) -> None:
    """ALARMS §1.3: an alarm pause is capped (120 s) and says why."""
    scene = Scene().start()
    scene.stream(12, spo2=97, pulse=140)
    alarm_id = scene.alarm("pulse-rate-high-urgent").alarm_id
    assert scene.give(given.PauseAlarm(alarm_id, "nurse", seconds, reason))[0].outcome == "Refused"
    assert scene.give(given.PauseAlarm("nobody", "nurse", 60, "moving"))[0].outcome == "Refused"


def test_al_24_what_is_off_or_paused_is_remembered_aloud() -> None:
    """AL-24: a reminder at most every 5 min while a limit is off or the sound is paused."""
    scene = Scene().start()
    scene.give(given.SetLimit("pulse-rate-low", "dr", "clinician", "athlete", on=False))
    scene.stream(299, spo2=97)
    assert not scene.of("AlarmReminded")
    scene.stream(302, spo2=97)
    assert [o.reason for o in scene.of("AlarmReminded")] == ["limit pulse-rate-low is off"] * 2
    scene.give(given.PauseAudio("nurse", 600))
    scene.stream(300, spo2=97)
    assert "sound paused until" in scene.of("AlarmReminded")[-1].reason
    scene.give(given.SetLimit("pulse-rate-low", "dr", "clinician", "rested", on=True))
    scene.stream(900, spo2=97)
    count = len(scene.of("AlarmReminded"))
    scene.stream(600, spo2=97)
    assert len(scene.of("AlarmReminded")) == count


def test_al_24_a_long_pause_alone_is_reminded_of_too() -> None:
    """AL-24: an audio pause longer than the reminder's time is spoken of."""
    scene = Scene().start()
    scene.give(given.PauseAudio("nurse", 600))
    scene.stream(301, spo2=97)
    assert len(scene.of("AlarmReminded")) == 1


def test_al_16_a_high_alarm_that_ended_unseen_stays_listed() -> None:
    """AL-16: it is latched until a person resets it."""
    scene = desaturated()
    alarm_id = scene.alarm(URGENT).alarm_id
    scene.course([97] * 12)
    assert [alarm.alarm_id for alarm in scene.latched()] == [alarm_id]
    scene.stream(3600, spo2=97)
    assert [alarm.signal for alarm in scene.latched()] == ["latched"]
    assert scene.give(given.ResetAlarm(alarm_id, "nurse"))[0].outcome == "AlarmReset"
    assert not list(scene.latched())
    assert scene.give(given.ResetAlarm(alarm_id, "nurse"))[0].outcome == "Refused"


def test_al_16_what_was_acknowledged_or_is_milder_just_ends() -> None:
    """AL-16: latching is for what nobody saw."""
    scene = desaturated()
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse"))
    scene.course([97] * 60)
    scene.course([92] * 31 + [97] * 61)
    assert not list(scene.latched())


def test_al_16_acknowledging_a_latched_alarm_resets_it() -> None:
    """AL-16: a person has seen it; a new occurrence seen takes the old one of its rule along."""
    scene = desaturated()
    scene.course([97] * 12)
    [alarm] = scene.latched()
    scene.give(given.Acknowledge(alarm.alarm_id, "nurse"))
    assert not list(scene.latched())
    scene.course([84] * 8 + [97] * 12 + [84] * 8)
    assert len(list(scene.latched())) == 1
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse"))
    assert not list(scene.latched())
    assert scene.give(given.Acknowledge("nobody", "nurse"))[0].outcome == "Refused"


def test_al_15_latching_belongs_to_the_rule() -> None:
    """AL-15: latching is the protocol's; no input of the bedside can change it."""
    limits = tuple(replace(x, latching=x.id == MILD) for x in protocol().limits)
    scene = Scene().start(protocol(limits=limits))
    scene.course([97] * 5 + [92] * 31 + [97] * 61)
    assert [alarm.key for alarm in scene.latched()] == [MILD]
    fields = {name for one in vars(given).values() for name in getattr(one, "__dataclass_fields__", ())}
    assert "latching" not in fields


def test_al_05_a_worse_alarm_speaks_for_the_milder_and_both_are_listed() -> None:
    """AL-05: of one metric and side the high sounds; the medium is listed and returns when the high ends."""
    scene = Scene().start()
    scene.course([97] * 5 + [92] * 31 + [84] * 8)
    high, medium = scene.alarm(URGENT), scene.alarm(MILD)
    assert (high.signalling, medium.signalling, medium.covered_by) == (True, False, high.alarm_id)
    scene.course([92] * 12)
    assert URGENT not in scene.rules()
    assert scene.alarm(MILD).signalling
    assert scene.told[-1].outcome == "AlarmResumed"


def test_al_05_acknowledging_the_worse_alarm_covers_the_milder_it_speaks_for() -> None:
    """AL-05: one excursion, one press; the milder does not start to sound when the high ends."""
    scene = Scene().start()
    scene.course([97] * 5 + [84] * 40)
    assert scene.alarm(MILD).covered_by == scene.alarm(URGENT).alarm_id
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse"))
    scene.course([92] * 12)
    assert not scene.alarm(MILD).signalling
    scene.course([92] * 1200)
    assert scene.alarm(MILD).signalling


def test_al_05_a_covered_acknowledgement_runs_out_quietly() -> None:
    """AL-05, AL-19: while the worse alarm speaks, the milder one's expiry makes no second sound."""
    timing = replace(protocol().timing, acknowledge_medium_s=60, acknowledge_high_s=600)
    scene = Scene().start(protocol(timing=timing))
    scene.course([97] * 5 + [84] * 40)
    scene.give(given.Acknowledge(scene.alarm(URGENT).alarm_id, "nurse"))
    scene.course([84] * 61)
    assert not scene.of("AlarmResumed")
    assert (scene.alarm(MILD).signal, scene.alarm(MILD).signalling) == ("on", False)


def test_al_45_an_alarm_has_one_name_everywhere() -> None:
    """AL-45: the id comes from session, rule and onset: sortable, the same again, another for another."""
    first = derive_alarm_id("s1", URGENT, NOON)
    assert first == derive_alarm_id("s1", URGENT, NOON)
    assert len({first, derive_alarm_id("s2", URGENT, NOON), derive_alarm_id("s1", MILD, NOON)}) == 3
    assert first[14] == "8"
    assert first[19] in "89ab"
    scene = desaturated()
    assert {o.alarm_id for o in scene.told if o.rule == URGENT} == {scene.alarm(URGENT).alarm_id}


@pytest.mark.parametrize("signal", ["on", "acknowledged", "audio_paused", "alarm_paused", "latched", "off"])
@pytest.mark.parametrize(
    "change",
    [
        "worsens",
        "acknowledge",
        "acknowledgement_expires",
        "pause_audio",
        "audio_resumes",
        "pause_alarm",
        "alarm_resumes",
        "ends",
        "ends_unseen",
        "reset",
    ],
)
def test_al_18_a_signal_changes_as_its_table_says_and_no_other_way(signal: str, change: str) -> None:
    """ALARMS §1.3, §1.9: what the table does not name alters nothing; no change leads from off."""
    after = step(signal, change)  # type: ignore[arg-type]
    assert after == SIGNALS.get((signal, change), signal)  # type: ignore[call-overload]
    assert signal != "off" or after == "off"
    assert (change not in ("ends", "ends_unseen")) or after in ("off", "latched")


def test_a_signal_that_cannot_take_a_change_says_so() -> None:
    """ALARMS §1.3: a refusal names the state."""
    scene = desaturated(seconds=8)
    alarm: Alarm = replace(scene.alarm(URGENT), signal="latched", pausable=True)
    assert "latched" in allowed(alarm, "pause_alarm")
    assert resume(scene.alarm(URGENT)) is scene.alarm(URGENT)


def test_al_24_a_second_limit_that_is_off_does_not_put_the_reminder_off() -> None:
    """AL-24: reminded 5 min after the first one; a limit that is set and on asks for no reminder."""
    scene = Scene().start()
    assert scene.bed.remind_at is None
    scene.give(given.SetLimit("spo2-low", "dr", "clinician", "why", 92.0))
    assert scene.bed.remind_at is None
    scene.give(given.SetLimit("spo2-low", "dr", "clinician", "why", on=False))
    due = scene.bed.remind_at
    assert due is not None
    assert (due - scene.now).total_seconds() == 300
    scene.give(given.SetLimit("systolic-high", "dr", "clinician", "why", on=False), after_s=60)
    assert scene.bed.remind_at == due


def test_al_16_acknowledging_what_has_ended_is_told_as_its_reset() -> None:
    """AL-16, P-44: nobody is said to have known of it while it lasted."""
    scene = desaturated()
    scene.course([97] * 15)
    [latched] = scene.latched()
    told = scene.give(given.Acknowledge(latched.alarm_id, "nina"))
    assert [(one.outcome, one.rule, one.by) for one in told] == [("AlarmReset", URGENT, "nina")]
    assert list(scene.latched()) == []


def test_s_10_nothing_of_a_drill_stays_listed_after_it() -> None:
    """S-10, AL-16: a latched alarm of a drill would look like a patient's; a real one stays to be seen."""
    for mode, left in (("drill", []), ("real", [URGENT])):
        scene = Scene().start(mode=mode)
        for spo2 in [97] * 5 + [84] * 8 + [97] * 15:
            scene.now += timedelta(seconds=1)
            scene.report(spo2=spo2, pulse=70, mode=mode)
        assert [one.key for one in scene.latched()] == [URGENT]
        scene.give(given.EndSession("nina", "over"))
        assert [one.key for one in scene.latched()] == left
        assert [one.by for one in scene.of("AlarmReset")] == (["monitor"] if mode == "drill" else [])
