# ruff: noqa: E501 - a line of a log is one line
"""Whole stories with every line that they tell: a golden log, written to be read as a nurse reads the record.

Nothing else may be told, nothing twice, and nothing in another order. An instant is seconds of the story's clock.
"""

from __future__ import annotations

import json
from datetime import timedelta

from monitor.core import inputs as given
from monitor.core.device import DeviceProfile
from monitor.core.escalation import Ladder, Level
from monitor.core.outcomes import Outcome
from tests.core.scene import NOON, Scene, protocol


def line(one: Outcome) -> str:
    """Return an outcome in one line: when, what, of which rule and priority, value, words, person, the rest."""
    detail = {name: value for name, value in one.detail.items() if value not in ("", None, [], 0)}
    for name, value in detail.items():
        if name.endswith("_at") or name == "until":
            detail[name] = value[11:19]
        elif name == "covered_by":
            detail[name] = "..."
    parts = [f"{one.at:%H:%M:%S}", one.outcome, one.rule, one.kind[:4], one.priority, one.metric]
    parts += [f"{one.value:g}" if one.value is not None else "", f"<{one.reason}>" if one.reason else ""]
    parts += [f"by {one.by}" if one.by else "", json.dumps(detail, ensure_ascii=False) if detail else ""]
    return " ".join(filter(None, parts))


def log(scene: Scene, since: int = 0) -> list[str]:
    """Return a story's log from its ``since``-th outcome."""
    return [line(one) for one in scene.told[since:]]


def lines(text: str) -> list[str]:
    """Return the lines of a log as it is written below."""
    return [row.strip() for row in text.strip().splitlines()]


def on_call() -> Ladder:
    """Return two levels for high alarms, one for the others, a minute each; high ones told every 30 s."""
    anna, ben = Level(("anna",), 60), Level(("ben",), 60)
    return Ladder({"high": (anna, ben), "medium": (anna,), "low": (anna,)}, {"high": 30.0}, ("anna", "ben"))


def test_al_40_the_log_of_an_alarm_that_nobody_answers() -> None:
    """AL-05, AL-17, AL-40, AL-41: offered, accepted, given back, timed out, exhausted, acknowledged, ended."""
    scene = Scene().start()
    scene.give(given.SetLadder(on_call(), "boss"))
    scene.stream(5, spo2=97)
    begun = len(scene.told) - 1
    scene.course([84] * 8)
    scene.give(given.Accept(scene.alarm("spo2-low-urgent").alarm_id, "anna"), after_s=1)
    scene.give(given.Accept(scene.alarm("spo2-low-urgent").alarm_id, "ben"))
    scene.give(given.Reject(scene.alarm("spo2-low-urgent").alarm_id, "ben"))
    scene.give(given.Reject(scene.alarm("spo2-low-urgent").alarm_id, "anna", "busy"), after_s=1)
    scene.course([84] * 65)
    scene.give(given.Acknowledge(scene.alarm("spo2-low-urgent").alarm_id, "ben"), after_s=1)
    scene.course([97] * 15)
    assert log(scene, begun) == lines("""
    12:00:00 LadderChanged by boss {"on_duty": ["anna", "ben"]}
    12:00:11 AlarmRaised spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> {"onset_at": "12:00:06", "limit": "below 90", "signal": "on"}
    12:00:11 AlarmOffered spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> {"people": ["anna"], "due_at": "12:01:11"}
    12:00:14 AlarmAccepted spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> by anna {"until": "12:10:14"}
    12:00:14 Refused <anna has accepted it already> by ben {"input": "Accept"}
    12:00:14 Refused <anna has accepted it already> by ben {"input": "Reject"}
    12:00:15 AlarmRejected spo2-low-urgent phys high spo2 84 <busy> by anna
    12:00:15 AlarmOffered spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> {"level": 1, "people": ["ben"], "due_at": "12:01:15"}
    12:00:36 AlarmRaised spo2-low phys medium spo2 84 <SpO2 84 %: 30 s below 93, longer than the ceiling> {"onset_at": "12:00:06", "limit": "below 93", "signal": "on", "covered_by": "..."}
    12:00:45 AlarmReminded spo2-low-urgent phys high spo2 84 <nobody has accepted it> {"level": 1}
    12:01:15 OwnershipTimedOut spo2-low-urgent phys high spo2 84 <nobody answered in time> {"level": 1}
    12:01:15 OwnershipExhausted spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> {"rejected_by": ["anna"]}
    12:01:15 AlarmRaised unanswered:spo2-low-urgent tech high <nobody has accepted: SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> {"onset_at": "12:01:15", "signal": "on"}
    12:01:15 AlarmReminded spo2-low-urgent phys high spo2 84 <nobody has accepted it> {"level": 1}
    12:01:21 AlarmAcknowledged spo2-low-urgent phys high spo2 84 <SpO2 84 %: 6 s below 90, 6 s at the floor (worst 84)> by ben {"until": "12:11:21"}
    12:01:21 AlarmAcknowledged spo2-low phys medium spo2 84 <SpO2 84 %: 30 s below 93, longer than the ceiling> by ben {"until": "12:21:21"}
    12:01:21 AlarmEnded unanswered:spo2-low-urgent tech high <it has been offered again, or somebody has it>
    12:01:30 AlarmEnded spo2-low-urgent phys high spo2 84 <back inside 90 %: now 97> {"worst": 84.0}
    """)


def test_al_29_the_log_of_a_cuff_and_a_silence() -> None:
    """AL-29, ALARMS §3.3: first reading and repeat, the silence that grows, the freeze and the thaw, a pause."""
    scene = Scene().start()
    scene.course([84] * 40)
    begun = len(scene.told)
    scene.cuff(165)
    scene.cuff(166, after_s=60)
    scene.cuff(120, after_s=30)
    scene.cuff(162, after_s=30)
    scene.give(given.PauseAudio("nina"))
    scene.wait(125)
    scene.cuff(120)
    scene.cuff(185)
    scene.report(spo2=84, pulse=70)
    scene.course([97] * 11)
    scene.give(given.PauseAudio("nina", 30))
    scene.give(given.ResumeAudio("nina"))
    scene.wait(16 * 60)
    assert log(scene, begun) == lines("""
    12:00:41 HoldPrompted nibp_systolic 165 <165 above 140 mm[Hg] before the dose; measure again after 5 min>
    12:00:41 ReadingUnconfirmed systolic-high nibp_systolic 165 <165 mm[Hg], above 160; repeat asked> {"due_at": "12:02:41"}
    12:00:50 AlarmRaised no-data:oximeter tech low spo2 <SpO2 and pulse rate: no valid value since 12:00:40 UTC (last 12:00:40)> {"onset_at": "12:00:40", "signal": "on"}
    12:00:50 AlarmFrozen spo2-low-urgent phys high spo2 84 <its measurement has stopped: it cannot end>
    12:00:50 AlarmFrozen spo2-low phys medium spo2 84 <its measurement has stopped: it cannot end>
    12:01:10 AlarmEscalated no-data:oximeter tech medium spo2 <SpO2 and pulse rate: no valid value since 12:00:40 UTC (last 12:00:40)> {"was": "low"}
    12:01:41 HoldPrompted nibp_systolic 166 <166 above 140 mm[Hg] before the dose; measure again after 5 min>
    12:01:41 AlarmRaised systolic-high phys medium nibp_systolic 166 <systolic 166 mm[Hg]: 165, repeat 166 mm[Hg], above 160 (confirmed)> {"onset_at": "12:00:41", "limit": "above 160", "signal": "on"}
    12:02:11 HoldCleared nibp_systolic 120 <120, at most 140>
    12:02:11 AlarmEnded systolic-high phys medium nibp_systolic 166 <cuff 120 mm[Hg], inside 160> {"worst": 166.0}
    12:02:40 AlarmEscalated no-data:oximeter tech high spo2 <SpO2 and pulse rate: no valid value since 12:00:40 UTC (last 12:00:40)> {"was": "medium"}
    12:02:41 HoldPrompted nibp_systolic 162 <162 above 140 mm[Hg] before the dose; measure again after 5 min>
    12:02:41 ReadingUnconfirmed systolic-high nibp_systolic 162 <162 mm[Hg], above 160; repeat asked> {"due_at": "12:04:41"}
    12:02:41 AudioPaused by nina {"until": "12:04:41", "seconds": 120.0}
    12:04:41 AudioResumed <the audio pause is over> by clock
    12:04:41 AlarmResumed spo2-low-urgent phys high spo2 84 <the audio pause is over>
    12:04:41 AlarmResumed spo2-low phys medium spo2 84 <the audio pause is over>
    12:04:41 AlarmResumed no-data:oximeter tech high spo2 <the audio pause is over>
    12:04:42 AlarmRaised repeat:cuff tech medium nibp_systolic <no repeat of systolic 162 at 12:02 UTC; it stands unrepeated> {"onset_at": "12:04:42", "signal": "on"}
    12:04:47 HoldCleared nibp_systolic 120 <120, at most 140>
    12:04:47 AlarmEnded repeat:cuff tech medium nibp_systolic <a cuff reading came>
    12:04:47 ReadingNotConfirmed systolic-high nibp_systolic 120 <first 162, repeat 120 mm[Hg]>
    12:04:48 HoldPrompted nibp_systolic 185 <185 above 140 mm[Hg] before the dose; measure again after 5 min>
    12:04:48 AlarmRaised systolic-high-urgent phys high nibp_systolic 185 <systolic 185 mm[Hg]: 180 or above, at once> {"onset_at": "12:04:48", "limit": "180 or above", "signal": "on"}
    12:04:48 ReadingUnconfirmed systolic-high nibp_systolic 185 <185 mm[Hg], above 160; repeat asked> {"due_at": "12:06:48"}
    12:04:48 AlarmThawed spo2-low-urgent phys high spo2 84 <its measurement is back>
    12:04:48 AlarmThawed spo2-low phys medium spo2 84 <its measurement is back>
    12:04:48 AlarmEnded no-data:oximeter tech high spo2 <oximeter measures again>
    12:04:58 AlarmEnded spo2-low-urgent phys high spo2 84 <back inside 90 %: now 97> {"worst": 84.0}
    12:04:58 AlarmLatched spo2-low-urgent phys high spo2 84 <ended before anyone acknowledged it>
    12:04:58 AlarmResumed spo2-low phys medium spo2 84 <the worse alarm that spoke for it has ended>
    12:04:59 AudioPaused by nina {"until": "12:05:29", "seconds": 30}
    12:04:59 AudioResumed <ended by a person> by nina
    12:04:59 AlarmResumed spo2-low phys medium spo2 84 <the audio pause is over>
    12:04:59 AlarmResumed systolic-high-urgent phys high nibp_systolic 185 <the audio pause is over>
    12:05:09 AlarmRaised no-data:oximeter tech low spo2 <SpO2 and pulse rate: no valid value since 12:04:59 UTC (last 12:04:59)> {"onset_at": "12:04:59", "signal": "on"}
    12:05:09 AlarmFrozen spo2-low phys medium spo2 84 <its measurement has stopped: it cannot end>
    12:05:29 AlarmEscalated no-data:oximeter tech medium spo2 <SpO2 and pulse rate: no valid value since 12:04:59 UTC (last 12:04:59)> {"was": "low"}
    12:06:49 AlarmRaised repeat:cuff tech medium nibp_systolic <no repeat of systolic 185 at 12:04 UTC; it stands unrepeated> {"onset_at": "12:06:49", "signal": "on"}
    12:06:59 AlarmEscalated no-data:oximeter tech high spo2 <SpO2 and pulse rate: no valid value since 12:04:59 UTC (last 12:04:59)> {"was": "medium"}
    12:16:48 AlarmRaised overdue:cuff tech medium nibp_systolic <blood pressure overdue: due 12:14 UTC, last at 12:04 UTC; is the cuff's AUTO mode on?> {"onset_at": "12:14:48", "signal": "on"}
    12:16:48 AlarmFrozen systolic-high-urgent phys high nibp_systolic 185 <its measurement has stopped: it cannot end>
    12:19:48 AlarmEscalated overdue:cuff tech high nibp_systolic <blood pressure overdue: due 12:14 UTC, last at 12:04 UTC; is the cuff's AUTO mode on?> {"was": "medium"}
    """)


def test_al_31_the_log_of_devices_that_speak_of_themselves() -> None:
    """AL-31, AL-32, AL-33, P-28: faults, a wrong clock, lost messages, nonsense, a second device, a backlog."""
    scene = Scene().start()
    for sequence in (1, 2, 5):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70, boot_id="b", sequence=sequence)
    scene.report(faults=("probe_off", "battery_low"))
    scene.report(faults=("motion", "cuff_leak"), spo2=97, pulse=70)
    scene.report("cuff-1", faults=("cuff_leak",))
    scene.report("cuff-1", faults=("cuff_inflating",))
    scene.report(faults=(), spo2=97, pulse=70)
    scene.give(given.RefuseReport("oximeter-1", "not JSON"))
    scene.give(given.Associate(DeviceProfile("oximeter-2", ("spo2", "pulse_rate"))))
    scene.report("oximeter-2", spo2=96, pulse=71)
    for _ in range(7):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70)
        scene.report("oximeter-2", spo2=96, pulse=71, measured_at=scene.now - timedelta(seconds=20))
    for late in (300, 290):
        scene.report(spo2=80, pulse=70, measured_at=scene.now - timedelta(seconds=late))
    for _ in range(40):
        scene.now += timedelta(seconds=1)
        scene.report(spo2=97, pulse=70)
        scene.report("oximeter-2", spo2=96, pulse=71)
    scene.give(given.Dissociate("oximeter-2", "nina"))
    scene.report(online=False)
    scene.wait(20)
    scene.give(given.LoseLink())
    scene.wait(100)
    scene.give(given.RestoreLink())
    scene.report(spo2=97, pulse=70)
    scene.wait(9)
    assert log(scene, 3) == lines("""
    12:00:03 AlarmRaised fault:oximeter-1:battery_low tech low <oximeter-1: device battery low> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 AlarmRaised no-data:oximeter tech low spo2 <SpO2 and pulse rate: SpO2 probe off; no valid value since 12:00:03 UTC (last 12:00:03)> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 AlarmEnded fault:oximeter-1:battery_low tech low <oximeter-1 no longer reports it>
    12:00:03 AlarmRaised fault:oximeter-1:motion tech low <oximeter-1: motion at the SpO2 probe> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 AlarmRaised fault:oximeter-1:cuff_leak tech medium <oximeter-1: cuff leak or loose cuff> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 AlarmRaised fault:cuff-1:cuff_leak tech medium <cuff-1: cuff leak or loose cuff> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 AlarmEnded fault:cuff-1:cuff_leak tech medium <cuff-1 no longer reports it>
    12:00:03 AlarmEnded fault:oximeter-1:motion tech low <oximeter-1 no longer reports it>
    12:00:03 AlarmEnded fault:oximeter-1:cuff_leak tech medium <oximeter-1 no longer reports it>
    12:00:03 AlarmRaised refused:oximeter-1 tech low <oximeter-1: message refused: not JSON> {"onset_at": "12:00:03", "signal": "on"}
    12:00:03 DeviceAssociated <oximeter-2> {"device_id": "oximeter-2"}
    12:00:03 AlarmRaised two-sources:oximeter tech low spo2 <SpO2 from oximeter-1 and oximeter-2: makes can differ> {"onset_at": "12:00:03", "signal": "on"}
    12:00:04 AlarmEnded no-data:oximeter tech low spo2 <oximeter measures again>
    12:00:08 AlarmRaised sequence:oximeter-1 tech low <oximeter-1: 2 messages missing> {"onset_at": "12:00:03", "signal": "on"}
    12:00:09 AlarmRaised clock:oximeter-2 tech low <oximeter-2: clock 20 s behind; readings are placed by their arrival> {"onset_at": "12:00:09", "signal": "on"}
    12:00:11 AlarmEnded clock:oximeter-2 tech low <oximeter-2: the clock agrees again>
    12:00:40 BacklogSummarised <14 readings of 11:55:10 to 11:59:48 UTC arrived late; 2 of them beyond a limit; they are on the chart and raised no alarm> {"count": 14, "beyond": 2, "first_at": "11:55:10", "last_at": "11:59:48"}
    12:00:50 DeviceDissociated <oximeter-2> by nina {"device_id": "oximeter-2"}
    12:00:50 AlarmEnded two-sources:oximeter tech low spo2 <oximeter-2 no longer serves this bed>
    12:00:50 AlarmRaised no-data:oximeter tech low spo2 <SpO2 and pulse rate: oximeter-1 is offline; no valid value since 12:00:50 UTC (last 12:00:50)> {"onset_at": "12:00:50", "signal": "on"}
    12:01:03 AlarmEnded refused:oximeter-1 tech low <oximeter-1: nothing refused for a minute>
    12:02:50 AlarmEnded no-data:oximeter tech low spo2 <oximeter measures again>
    """)


def test_s_11_the_log_of_a_drill_that_a_real_reading_ends() -> None:
    """S-10, S-11: a real reading has no place in a drill; a high one ends it, and says which."""
    scene = Scene().start(mode="drill")
    begun = len(scene.told)
    scene.report(spo2=97, pulse=70, mode="drill")
    scene.course([])
    scene.report(spo2=97, pulse=70)
    scene.report(spo2=84, pulse=70)
    assert log(scene, begun) == lines("""
    12:00:00 AlarmRaised refused:oximeter-1 tech medium <oximeter-1: real readings are refused, the session on this bed is drill> {"onset_at": "12:00:00", "signal": "on"}
    12:00:00 AlarmEnded refused:oximeter-1 tech medium <the session ended>
    12:00:00 SessionEnded <real reading during a drill: SpO2 84, below 90, from oximeter-1> by monitor {"phase": "baseline"}
    12:00:00 AlarmRaised drill-ended tech high <the drill ended: real reading SpO2 84, below 90, from oximeter-1> {"onset_at": "12:00:00", "signal": "on"}
    """)
    scene = Scene().start()
    begun = len(scene.told)
    scene.report(spo2=80, pulse=70, mode="drill")
    scene.wait(61)
    assert log(scene, begun)[:1] + log(scene, begun)[-2:] == lines("""
    12:00:00 AlarmRaised refused:oximeter-1 tech medium <oximeter-1: drill readings are refused, the session on this bed is real> {"onset_at": "12:00:00", "signal": "on"}
    12:00:30 AlarmEscalated no-data:oximeter tech medium spo2 <SpO2 and pulse rate: nothing received since the session began> {"was": "low"}
    12:01:00 AlarmEnded refused:oximeter-1 tech medium <oximeter-1: nothing refused for a minute>
    """)


def test_the_log_of_what_is_due() -> None:
    """CLINICAL §0, §1.2: windows open, are met and are missed; an overdue cuff grows worse; a low gate is told."""
    scene = Scene().start()
    scene.give(given.LoseLink())
    scene.give(given.RecordDose(35, "iv", "nina"))
    begun = len(scene.told)
    scene.wait(4 * 60)
    scene.cuff(120)
    scene.wait(46 * 60)
    scene.cuff(119)
    scene.wait(75 * 60)
    scene.give(given.WithdrawDose(NOON, "nina", "not given"))
    assert log(scene, begun) == lines("""
    12:03:00 CheckpointDue bp-5 nibp_systolic <blood pressure 5 min after the start: due 12:05 UTC, window to 12:08> {"due_at": "12:05:00"}
    12:04:01 CheckpointMet bp-5 nibp_systolic <blood pressure 5 min after the start: read 12:04 UTC>
    12:16:01 AlarmRaised overdue:cuff tech medium nibp_systolic <blood pressure overdue: due 12:14 UTC, last at 12:04 UTC; is the cuff's AUTO mode on?> {"onset_at": "12:14:01", "signal": "on"}
    12:19:01 AlarmEscalated overdue:cuff tech high nibp_systolic <blood pressure overdue: due 12:14 UTC, last at 12:04 UTC; is the cuff's AUTO mode on?> {"was": "medium"}
    12:35:00 CheckpointDue bp-end nibp_systolic <blood pressure at the end of the infusion: due 12:40 UTC, window to 12:45> {"due_at": "12:40:00"}
    12:40:00 PhaseChanged <the expected end of dosing has passed> by clock {"phase": "observation", "was": "dosing"}
    12:45:01 CheckpointMissed bp-end nibp_systolic <blood pressure at the end of the infusion: no reading in its window>
    12:45:01 AlarmRaised missed:bp-end tech medium nibp_systolic <blood pressure at the end of the infusion: no reading in its window> {"onset_at": "12:45:01", "signal": "on"}
    12:50:02 AlarmEnded missed:bp-end tech medium nibp_systolic <blood pressure at the end of the infusion: read late, 12:50 UTC>
    12:50:02 AlarmEnded overdue:cuff tech high nibp_systolic <a cuff reading came>
    13:07:02 AlarmRaised overdue:cuff tech medium nibp_systolic <blood pressure overdue: due 13:05 UTC, last at 12:50 UTC; is the cuff's AUTO mode on?> {"onset_at": "13:05:02", "signal": "on"}
    13:10:02 AlarmEscalated overdue:cuff tech high nibp_systolic <blood pressure overdue: due 13:05 UTC, last at 12:50 UTC; is the cuff's AUTO mode on?> {"was": "medium"}
    13:30:00 CheckpointDue bp-60 nibp_systolic <blood pressure 60 min after the end: due 13:40 UTC, window to 13:50> {"due_at": "13:40:00"}
    13:50:01 CheckpointMissed bp-60 nibp_systolic <blood pressure 60 min after the end: no reading in its window>
    13:50:01 AlarmRaised missed:bp-60 tech medium nibp_systolic <blood pressure 60 min after the end: no reading in its window> {"onset_at": "13:50:01", "signal": "on"}
    14:05:02 DoseWithdrawn 35 <not given> by nina {"given_at": "12:00:00"}
    14:05:02 AlarmEnded missed:bp-60 tech medium nibp_systolic <its time has changed>
    14:05:02 PhaseChanged <the only dose was withdrawn> by nina {"phase": "baseline", "was": "observation"}
    """)


def test_al_24_the_log_of_reminders_and_of_a_house_condition() -> None:
    """AL-24, AL-09: a limit that is off and a pause are told again; a condition of the house comes and goes."""
    scene = Scene().start(protocol(watch=(), cadence=()))
    begun = len(scene.told)
    scene.give(given.SetLimit("spo2-low", "dr", "clinician", "as agreed", on=False))
    scene.give(given.PauseAudio("nina", 600))
    scene.give(given.ReportCondition("disk", "low", "the disk fills"))
    scene.give(given.ReportCondition("disk", "high", "the disk is full"))
    scene.give(given.ReportCondition("spo2-low", "high", "not of the core"))
    scene.wait(301)
    scene.give(given.SetLimit("spo2-low", "dr", "clinician", "as agreed"))
    scene.wait(600)
    scene.give(given.Acknowledge(scene.alarm("disk").alarm_id, "nina"))
    scene.wait(601)
    scene.give(given.ClearCondition("disk"))
    scene.give(given.ClearCondition("disk"))
    assert log(scene, begun) == lines("""
    12:00:00 LimitChanged spo2-low spo2 <as agreed> by dr {"was": 93.0, "was_on": true}
    12:00:00 AudioPaused by nina {"until": "12:10:00", "seconds": 600}
    12:00:00 AlarmRaised disk tech low <the disk fills> {"onset_at": "12:00:00", "signal": "audio_paused"}
    12:00:00 AlarmEscalated disk tech high <the disk is full> {"was": "low"}
    12:00:00 Refused <the key 'spo2-low' belongs to the core> {"input": "ReportCondition"}
    12:05:00 AlarmReminded <limit spo2-low is off; sound paused until 12:10:00 UTC>
    12:05:01 LimitChanged spo2-low spo2 <as agreed> by dr {"on": true, "was": 93.0}
    12:10:00 AudioResumed <the audio pause is over> by clock
    12:15:01 AlarmAcknowledged disk tech high <the disk is full> by nina {"until": "12:25:01"}
    12:25:01 AlarmResumed disk tech high <acknowledged, and still present>
    12:25:01 OwnershipTimedOut disk tech high <nina accepted it, and it is still present>
    12:25:02 AlarmEnded disk tech high <the condition is over>
    """)
