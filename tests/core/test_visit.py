"""The patient's visit: session, doses, what people record, readiness for discharge."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.core import inputs as given
from monitor.core import readiness
from monitor.core.inputs import Input
from tests.core.scene import NOON, Scene, protocol

MINUTE = 60


def refused(scene: Scene, one: Input, words: str) -> None:
    """Give an input and expect exactly one refusal that says ``words``."""
    told = scene.give(one)
    assert [o.outcome for o in told] == ["Refused"], told
    assert words in told[0].reason


def start(**changes: Any) -> given.StartSession:
    """Return a start of a session, with fields changed."""
    fields = {"session_id": "s1", "patient_code": "P", "protocol": protocol(), "by": "nurse", **changes}
    return given.StartSession(**fields)


def test_a_session_starts_on_a_free_bed_with_a_pseudonym() -> None:
    """AL-53, AL-10: one session at a time; nothing of the patient before counts."""
    scene = Scene()
    refused(scene, start(patient_code=" "), "pseudonym")
    scene.start()
    refused(scene, start(session_id="s2"), "end it first")
    scene.stream(3, spo2=97)
    scene.course([84] * 8)
    scene.give(given.EndSession("nurse", "left"))
    assert [a.key for a in scene.latched()] == ["spo2-low-urgent"]
    scene.start(session_id="s3")
    assert scene.bed.latest == {}
    assert list(scene.latched()) == []


def test_al_51_a_real_session_with_something_unproved_needs_a_reason() -> None:
    """AL-51: the core refuses it without one, and writes what was and was not proved into the record."""
    proof = given.StartUpTest("anna", NOON, ("no page with proved sound is open",))
    refused(Scene(), start(start_up=proof), "no page with proved sound is open")
    told = Scene().give(start(start_up=replace(proof, override="the wall is being mended")))[0]
    assert told.detail["start_up"] == {
        "by": "anna",
        "at": NOON.isoformat(),
        "missing": ["no page with proved sound is open"],
        "override": "the wall is being mended",
    }
    for allowed in ({"mode": "drill"}, {"start_up": replace(proof, missing=())}, {"start_up": None}):
        told = Scene().give(start(**{"start_up": proof, **allowed}))[0]
        assert told.outcome == "SessionStarted"
    assert "start_up" not in told.detail


def test_al_28_ending_a_session_ends_its_alarms_without_a_sound() -> None:
    """AL-28: at session end every alarm ends, the milder first, so that none is 'resumed' for an instant."""
    scene = Scene().start()
    scene.course([97] * 3 + [84] * 40)
    told = scene.give(given.EndSession("nurse", "transferred"))
    assert "AlarmResumed" not in [o.outcome for o in told]
    assert scene.rules() == set()
    assert {o.session_id for o in told} == {"s1"}


@pytest.mark.parametrize(
    "one",
    [
        given.RecordDose(35, "iv", "nurse"),
        given.EndDosing("nurse"),
        given.WithdrawDose(NOON, "nurse", "wrong"),
        given.RecordManual({"spo2": 97}, "nurse"),
        given.RecordScore("moaas", 5, "nurse"),
        given.RecordNote("note", "text", "nurse"),
        given.Answer("escort", True, "nurse"),
        given.ConfirmReady("nurse"),
        given.EndSession("nurse", "x"),
    ],
)
def test_without_a_session_nothing_is_recorded(one: Input) -> None:
    """DESIGN §1: every refusal says why; nothing is lost silently."""
    refused(Scene(), one, "no ")


def test_drill_4_the_hold_prompt_asks_for_a_reason() -> None:
    """CLINICAL §1.3, drill 4: 148/92 before the dose: hold and measure again; 138/86 clears it."""
    scene = Scene().start()
    scene.cuff(148, 92)
    assert len(scene.of("HoldPrompted")) == 2
    refused(scene, given.RecordDose(35, "iv", "nurse"), "hold prompt")
    scene.cuff(138, 86, after_s=600)
    assert len(scene.of("HoldCleared")) == 2
    assert scene.give(given.RecordDose(35, "iv", "nurse"))[0].outcome == "DoseRecorded"


def test_the_hold_prompt_is_no_ban() -> None:
    """CLINICAL §1.1: a benefit-risk decision: with a reason the dose is recorded."""
    scene = Scene().start()
    scene.cuff(148, 80)
    told = scene.give(given.RecordDose(35, "iv", "nurse", reason="usual for her, Dr A agrees"))
    assert told[0].reason == "usual for her, Dr A agrees"


def test_impossible_doses_are_refused() -> None:
    """CLINICAL §1.1: an amount and a time that can be."""
    scene = Scene().start()
    for amount in (0, -1, 1001, float("nan")):
        refused(scene, given.RecordDose(amount, "iv", "nurse"), "no dose")
    for minutes in (5, -25 * 60):
        at = scene.now + timedelta(minutes=minutes)
        refused(scene, given.RecordDose(35, "iv", "nurse", at), "correct it")


def test_dosing_ends_by_the_clock_or_by_a_person() -> None:
    """CLINICAL §1.3: 40 min after the start; or when the infusion is stopped."""
    scene = Scene().start()
    refused(scene, given.EndDosing("nurse"), "no dose")
    scene.give(given.RecordDose(35, "iv", "nurse"))
    scene.wait(40 * MINUTE)
    [_, ended] = scene.of("PhaseChanged")
    assert (ended.detail["phase"], ended.by) == ("observation", "clock")
    scene.give(given.EndDosing("nurse", scene.now - timedelta(minutes=5)))
    assert scene.bed.session is not None
    assert scene.bed.session.dosing_ends_at() == scene.now - timedelta(minutes=5)


def test_a_withdrawn_dose_stays_in_the_record() -> None:
    """AL-50: nothing is erased: it is struck through, with who and why."""
    scene = Scene().start()
    at = scene.now
    scene.give(given.RecordDose(35, "iv", "nurse"))
    refused(scene, given.WithdrawDose(at, "nurse", " "), "no reason")
    scene.give(given.RecordDose(10, "iv", "nurse"), after_s=60)
    scene.give(given.WithdrawDose(at, "nurse", "typed twice"))
    assert scene.bed.session is not None
    assert [dose.withdrawn for dose in scene.bed.session.doses] == ["typed twice (nurse)", ""]
    assert scene.bed.session.phase == "dosing"


@pytest.mark.parametrize(
    "values", [{}, {"charm": 3}, {"spo2": 0}, {"nibp_systolic": 80, "nibp_diastolic": 90}]
)
def test_manual_values_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    """CLINICAL §5: a typing error is no value; the person is told."""
    told = Scene().start().give(given.RecordManual(values, "nurse"))
    assert [o.outcome for o in told] == ["Refused"]


def test_manual_values_enter_the_same_core() -> None:
    """Issue 3 §8: what a person measures counts, marked: a counted respiration of 6 alarms, 14 ends it."""
    scene = Scene().start()
    scene.give(given.RecordManual({"respiration_rate": 6}, "nurse"))
    alarm = scene.alarm("respiration-low-urgent")
    assert alarm.value == 6
    assert scene.bed.latest["respiration_rate@manual"].device_id == "manual:nurse"
    scene.stream(120, spo2=97)
    assert "no-data:respiration" not in scene.rules(), "a counted value is not a device that must go on"
    scene.give(given.RecordManual({"respiration_rate": 14}, "nurse"))
    assert "respiration-low-urgent" not in scene.rules()


def test_manual_values_never_hide_that_the_device_is_silent() -> None:
    """AL-29: a hand-held check is charted beside the oximeter; the probe is still missing."""
    scene = Scene().start()
    scene.stream(3, spo2=97)
    scene.wait(11)
    scene.give(given.RecordManual({"spo2": 96}, "nurse"))
    assert "no-data:oximeter" in scene.rules()


def test_a_manual_pressure_is_a_cuff_reading() -> None:
    """Issue 3 §8: it meets what is due, and makes the baseline; another person is no second monitor."""
    scene = Scene().start()
    scene.give(given.RecordManual({"nibp_systolic": 120, "nibp_diastolic": 80}, "nurse"))
    scene.give(
        given.RecordManual({"nibp_systolic": 124, "nibp_diastolic": 80, "spo2": 97}, "doctor"), after_s=300
    )
    scene.give(given.RecordManual({"spo2": 97}, "doctor"), after_s=300)
    assert {o.metric: o.value for o in scene.of("BaselineEstablished")} == {
        "nibp_systolic": 122,
        "nibp_diastolic": 80,
        "spo2": 97,
    }
    assert not any(key.startswith("two-sources") for key in scene.rules())


def test_scores_and_notes_have_author_and_time() -> None:
    """Issue 3 §8: MOAA/S, dissociation, symptoms, interventions and notes."""
    scene = Scene().start()
    scene.give(given.RecordScore("moaas", 4, "nurse"), after_s=5)
    scene.give(given.RecordNote("symptom", " nausea ", "nurse", NOON - timedelta(minutes=1)))
    score, note = scene.told[-2:]
    assert (score.by, score.value, score.detail["scored_at"]) == ("nurse", 4, scene.now.isoformat())
    assert (note.reason, note.detail["note"]) == ("nausea", "symptom")
    refused(scene, given.RecordScore("moaas", 6, "nurse"), "0 to 5")
    refused(scene, given.RecordScore("charm", 1, "nurse"), "moaas")
    refused(scene, given.RecordNote("note", " ", "nurse"), "empty")
    refused(scene, given.Answer("observed", True, "nurse"), "no question")


def watched(scene: Scene, minutes: float, systolic: float = 120) -> None:
    """Let ``minutes`` pass with a good SpO2 and a cuff reading every ten minutes."""
    for second in range(round(minutes * 60)):
        scene.stream(1, spo2=97)
        if second % 600 == 599:
            scene.cuff(systolic, after_s=0)


def observed() -> Scene:
    """Return a scene 61 min after the end of an infusion, everything measured and answered."""
    scene = Scene().start()
    watched(scene, 20)
    scene.give(given.RecordDose(35, "iv", "nurse"))
    watched(scene, 40)
    watched(scene, 59)
    scene.give(given.RecordScore("moaas", 5, "nurse"))
    scene.give(given.RecordScore("dissociation", 0, "nurse"))
    scene.give(given.Answer("escort", True, "nurse"))
    return scene


def answers(scene: Scene) -> dict[str, str]:
    """Return the answer to every criterion now."""
    return {one.criterion.id: one.answer for one in readiness.judge(scene.bed, scene.now)}


def test_readiness_is_met_when_the_last_criterion_is() -> None:
    """Issue 3 §7: met, not met, not measured; said once when all are met, by time alone too."""
    scene = observed()
    assert answers(scene)["observed"] == "not met"
    assert scene.of("ReadyForDischarge") == []
    watched(scene, 1)
    assert set(answers(scene).values()) == {"met"}
    assert len(scene.of("ReadyForDischarge")) == 1
    scene.cuff(155)
    assert answers(scene)["systolic-settled"] == "not met"
    assert "systolic settled" in scene.of("ReadinessLost")[0].reason
    refused(scene, given.ConfirmReady("nurse"), "override")
    refused(scene, given.EndSession("nurse"), "readiness is not confirmed")
    scene.give(given.ConfirmReady("doctor", "white coat; 138 by hand"))
    assert scene.of("ReadinessConfirmed")[0].detail["overridden"]
    assert scene.give(given.EndSession("nurse"))[-1].outcome == "SessionEnded"


def test_drill_11_a_rising_pressure_is_not_settled() -> None:
    """Drill 11: two hours reached, last pressure 132 then 138: not rising is not met."""
    scene = observed()
    scene.cuff(132)
    scene.cuff(138, after_s=300)
    assert answers(scene)["systolic-not-rising"] == "not met"


def test_readiness_follows_the_oximeter() -> None:
    """Issue 3 §7: SpO2 back near its baseline makes ready, and its loss is said, without a cuff reading."""
    scene = observed()
    scene.stream(120, spo2=94)
    assert answers(scene)["spo2-near-baseline"] == "not met"
    scene.stream(1, spo2=96)
    assert len(scene.of("ReadyForDischarge")) == 1
    scene.stream(1, spo2=94)
    assert len(scene.of("ReadinessLost")) == 1


def test_what_is_too_old_is_not_measured() -> None:
    """Issue 3 §7: no value is carried forward: a stale SpO2 and an old pressure are not measured."""
    scene = observed()
    watched(scene, 1)
    scene.wait(31)
    assert answers(scene)["spo2-near-baseline"] == "not measured"
    assert len(scene.of("ReadinessLost")) == 1
    scene.give(given.RecordManual({"spo2": 97}, "nurse"))
    assert answers(scene)["spo2-near-baseline"] == "met"
    scene.wait(25 * 60)
    found = answers(scene)
    assert found["pressure-recent"] == "not measured"
    assert found["spo2-near-baseline"] == "not measured"


def test_readiness_without_anything_measured() -> None:
    """Issue 3 §7: nothing measured is never met; a no is a no; and without a session there is no answer."""
    scene = Scene().start()
    assert readiness.judge(Scene().bed, NOON) == ()
    assert not readiness.all_met(())
    assert set(answers(scene).values()) == {"not measured"}
    scene.give(given.Answer("escort", False, "nurse"))
    scene.stream(3, spo2=97)
    assert answers(scene)["escort"] == "not met"
    assert answers(scene)["spo2-near-baseline"] == "not measured"
    scene.cuff(120)
    assert answers(scene)["systolic-settled"] == "met"
    assert answers(scene)["systolic-not-rising"] == "not measured"
    refused(scene, given.ConfirmReady("nurse", "x"), "no dose")


def test_a_session_may_start_in_the_past_and_in_a_later_phase() -> None:
    """Issue 3: begun late: the true start is given; the future is not believed."""
    scene = Scene()
    early = scene.now - timedelta(minutes=20)
    scene.start(started_at=early, phase="dosing")
    assert scene.bed.session is not None
    assert (scene.bed.session.started_at, scene.bed.session.phase) == (early, "dosing")
    late = Scene().start(started_at=NOON + timedelta(hours=1))
    assert late.bed.session is not None
    assert late.bed.session.started_at == NOON
    scene.give(given.EndSession("nurse", "x"))
    scene.give(start(session_id="s2", protocol=replace(protocol(), cadence=())))
    scene.wait(3600)
    assert "overdue:cuff" not in scene.rules()
