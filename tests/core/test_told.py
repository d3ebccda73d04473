"""What is told of an act is whole: by whom, of what, with which value, and why.

The record and every message are made of outcomes alone; a field that is missing there is missing for good.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed
from tests.core.scene import NOON, OXIMETER, Scene, protocol, protocols


def of_session(outcome: str, **more: Any) -> dict[str, Any]:
    """Return what an outcome of the running session says, but for its instant and its bed."""
    return {"outcome": outcome, "session_id": "s1", "mode": "real", "by": "nina", **more}


def said(outcomes: tuple[Outcome, ...] | list[Outcome]) -> list[dict[str, Any]]:
    """Return outcomes without their instant and bed, and without what is empty in them."""
    kept = [(one._asdict(), {"at", "bed_id"}) for one in outcomes]
    return [
        {k: v for k, v in all_.items() if k not in left and v not in ("", None, {})} for all_, left in kept
    ]


def clock(hour: int, minute: int, second: int = 0) -> str:
    """Return an instant of the day as it is told."""
    return datetime(2026, 11, 23, hour, minute, second, tzinfo=NOON.tzinfo).isoformat()


@pytest.fixture
def session() -> Scene:
    """Give a session of Nina's at noon, ten minutes old, in its baseline, with the link lost: no silences."""
    scene = Scene().start(by="nina", reason="second visit")
    scene.give(given.LoseLink())
    scene.now = NOON + timedelta(minutes=10)
    return scene


@pytest.fixture
def observed(session: Scene) -> Scene:
    """Give the same session after one dose and the end of dosing."""
    session.give(given.RecordDose(28, "iv", "nina"))
    session.give(given.EndDosing("nina"))
    return session


def test_p_44_the_start_of_a_session_is_told_whole() -> None:
    """P-44, AL-10: who, whom (a pseudonym), by which protocol, since when, without what and why."""
    scene = Scene()
    test = given.StartUpTest("nina", NOON, ("no sound",), " heard it before ")
    plan = protocols()["iv-ketamine"]
    found = scene.give(
        given.StartSession(
            *("s1", " P-7 ", plan, "nina"), without=("nibp_systolic",), reason="no cuff fits", start_up=test
        )
    )
    assert said(found) == [
        of_session(
            "SessionStarted",
            reason="no cuff fits",
            detail={
                "patient_code": "P-7",
                "protocol": "iv-ketamine",
                "protocol_version": plan.version,
                "protocol_digest": plan.digest,
                "mode": "real",
                "started_at": clock(12, 0),
                "without": ["nibp_systolic"],
                "start_up": {
                    "by": "nina",
                    "at": clock(12, 0),
                    "missing": ["no sound"],
                    "override": "heard it before",
                },
            },
        )
    ]
    assert scene.bed.session is not None
    assert (scene.bed.session.told_at, scene.bed.session.phase_at) == (NOON, NOON)
    unseen = Scene().give(
        given.StartSession(
            "s2", "P", plan, "nina", start_up=given.StartUpTest("nina", missing=("x",), override="y")
        )
    )
    assert unseen[0].detail["start_up"]["at"] == ""
    assert "start_up" not in Scene().give(given.StartSession("s3", "P", plan, "nina"))[0].detail


def test_p_44_doses_and_phases_are_told_whole(session: Scene) -> None:
    """P-44: amount, route and instant of a dose; from which phase to which, and why."""
    at = session.now - timedelta(seconds=30)
    assert said(session.give(given.RecordDose(28, "iv", "nina", at, "as agreed")))[:2] == [
        of_session(
            "DoseRecorded", value=28, reason="as agreed", detail={"route": "iv", "given_at": clock(12, 9, 30)}
        ),
        of_session("PhaseChanged", reason="28 mg iv", detail={"phase": "dosing", "was": "baseline"}),
    ]
    assert session.bed.session is not None
    assert session.bed.session.phase_at == session.now
    second = session.give(given.RecordDose(7, "in", "nina"), after_s=60)
    assert [one.outcome for one in second] == ["DoseRecorded"]
    struck = session.give(given.WithdrawDose(at, "nina", "not given"))
    assert said(struck)[0] == of_session(
        "DoseWithdrawn", value=28, reason="not given", detail={"given_at": clock(12, 9, 30)}
    )
    assert [dose.withdrawn for dose in session.bed.session.doses] == ["not given (nina)", ""]
    ended = session.give(given.EndDosing("nina"), after_s=60)
    assert said(ended)[0] == of_session(
        "PhaseChanged",
        reason="dosing ended at 12:12 UTC",
        detail={"phase": "observation", "was": "dosing"},
    )


def test_p_44_the_clock_and_a_withdrawal_change_phases_in_their_own_name(session: Scene) -> None:
    """P-44: nobody is said to have done what time did."""
    session.give(given.RecordDose(28, "iv", "nina"))
    back = session.give(given.WithdrawDose(session.now, "nina", "not given"))
    assert said(back)[-1] == of_session(
        "PhaseChanged", reason="the only dose was withdrawn", detail={"phase": "baseline", "was": "dosing"}
    )
    session.give(given.RecordDose(28, "iv", "nina"))
    told = [one for one in session.wait(40 * 60) if one.outcome == "PhaseChanged"]
    assert said(told) == [
        of_session(
            "PhaseChanged",
            by="clock",
            reason="the expected end of dosing has passed",
            detail={"phase": "observation", "was": "dosing"},
        )
    ]


def test_p_44_what_people_measure_and_say_is_told_whole(observed: Scene) -> None:
    """P-44: values, scales, words and answers, at the instant that they are of."""
    before = observed.now - timedelta(seconds=20)
    later = observed.now + timedelta(hours=1)
    acts: list[tuple[Input, dict[str, Any]]] = [
        (
            given.RecordManual({"respiration_rate": 14}, "nina", before),
            of_session(
                "ManualRecorded", detail={"values": {"respiration_rate": 14}, "read_at": clock(12, 9, 40)}
            ),
        ),
        (
            given.RecordManual({"respiration_rate": 14}, "nina", later),
            of_session(
                "ManualRecorded", detail={"values": {"respiration_rate": 14}, "read_at": clock(12, 10)}
            ),
        ),
        (
            given.RecordScore("moaas", 5, "nina", before),
            of_session("ScoreRecorded", value=5, detail={"scale": "moaas", "scored_at": clock(12, 9, 40)}),
        ),
        (
            given.RecordScore("nausea", 0, "nina", later),
            of_session("ScoreRecorded", value=0, detail={"scale": "nausea", "scored_at": clock(12, 10)}),
        ),
        (
            given.RecordNote("symptom", " dizzy ", "nina", before),
            of_session(
                "NoteRecorded", reason="dizzy", detail={"note": "symptom", "noted_at": clock(12, 9, 40)}
            ),
        ),
        (
            given.RecordNote("note", "x" * 2001, "nina", later),
            of_session("NoteRecorded", reason="x" * 2000, detail={"note": "note", "noted_at": clock(12, 10)}),
        ),
        (given.Answer("escort", True, "nina"), of_session("Answered", rule="escort", reason="yes")),
        (given.Answer("escort", False, "nina"), of_session("Answered", rule="escort", reason="no")),
        (
            given.SetSameLimb(True, "nina"),
            of_session(
                "NoteRecorded",
                reason="cuff and SpO2 probe on the same limb",
                detail={"note": "same_limb", "same": True},
            ),
        ),
        (
            given.SetSameLimb(False, "nina"),
            of_session(
                "NoteRecorded",
                reason="cuff and SpO2 probe on different limbs",
                detail={"note": "same_limb", "same": False},
            ),
        ),
    ]
    for act, told in acts:
        assert said(observed.give(act))[0] == told, act
    assert observed.bed.session is not None
    assert observed.bed.session.scores["moaas"].at == before
    assert observed.bed.session.scores["nausea"].at == observed.now


def test_p_44_readiness_and_the_end_are_told_whole(observed: Scene) -> None:
    """P-44: what was still open when a person overrode it, the doses that stood, the phase it ended in."""
    refused = observed.give(given.ConfirmReady("nina", " "))
    assert [(one.outcome, one.by, one.detail["input"]) for one in refused] == [
        ("Refused", "nina", "ConfirmReady")
    ]
    told = observed.give(given.ConfirmReady("nina", "well"))
    open_ones = told[0].detail["overridden"]
    assert len(open_ones) == len(protocols()["iv-ketamine"].discharge)
    assert "60 min since the end of dosing: not met (not before 13:10 UTC)" in open_ones
    assert said(told) == [
        of_session("ReadinessConfirmed", reason="well", detail={"overridden": open_ones}),
        of_session(
            "PhaseChanged", reason="readiness confirmed", detail={"phase": "ready", "was": "observation"}
        ),
    ]
    assert observed.bed.session is not None
    assert observed.bed.session.ready_by == "nina"
    assert said(observed.give(given.EndSession("nina", "went home")))[-1] == of_session(
        "SessionEnded",
        reason="went home",
        detail={"phase": "ready", "doses": [{"at": clock(12, 10), "amount_mg": 28, "route": "iv"}]},
    )
    bed = observed.bed
    assert (bed.tracks, bed.backlog, bed.audio_pause, bed.remind_at) == ({}, None, None, None)


def test_al_09_a_changed_limit_is_told_whole(session: Scene) -> None:
    """AL-09: which limit, its value now and before, whether it was on, from which reading, by whom, why."""
    session.cuff(120, after_s=0)
    rows = [
        ({"value": 170.0}, {"on": True, "was": 160, "was_on": True}),
        ({"on": False}, {"on": False, "was": 170, "was_on": True}),
        ({"value": 175.0}, {"on": True, "was": 170, "was_on": False}),
    ]
    for change, told in rows:
        found = session.give(given.SetLimit("systolic-high", "dr", "clinician", "as agreed", **change))  # type: ignore[arg-type]
        assert said(found)[0] == of_session(
            "LimitChanged",
            by="dr",
            rule="systolic-high",
            metric="nibp_systolic",
            reason="as agreed",
            detail={**told, "after_reading": clock(12, 10)},
            **({"value": change["value"]} if "value" in change else {}),
        ), change


def test_p_44_remarks_on_a_record_are_told_whole() -> None:
    """P-44, AF-13: no session runs any more; each remark names its session, and the alarm or entry."""
    acts: list[tuple[Input, dict[str, Any]]] = [
        (
            given.SignRecord("s1", "dr", "clinician", " seen "),
            {"outcome": "RecordSigned", "by": "dr", "reason": "seen", "detail": {"role": "clinician"}},
        ),
        (
            given.RecordDisposition("s1", "a1", "known", "dr", " moved "),
            {
                "outcome": "DispositionRecorded",
                "by": "dr",
                "reason": "moved",
                "alarm_id": "a1",
                "detail": {"disposition": "known"},
            },
        ),
        (
            given.CorrectRecord("s1", 7, "dr", " typo ", " 35 mg "),
            {
                "outcome": "RecordCorrected",
                "by": "dr",
                "reason": "typo",
                "detail": {"entry_id": 7, "text": "35 mg"},
            },
        ),
    ]
    for act, told in acts:
        assert said(Scene().give(act)) == [{"session_id": "s1", **told}]
    long = Scene().give(given.CorrectRecord("s1", 7, "dr", "r" * 3000, "t" * 3000))[0]
    assert (len(long.reason), len(long.detail["text"])) == (2000, 2000)
    assert len(Scene().give(given.SignRecord("s1", "dr", "clinician", "t" * 3000))[0].reason) == 2000


NAMELESS: list[Input] = [
    given.SignRecord("", "dr", "clinician"),
    given.SignRecord("s1", "dr", "nurse"),
    given.RecordDisposition("", "a1", "known", "dr"),
    given.RecordDisposition("s1", "", "known", "dr"),
    given.RecordDisposition("s1", "a1", "whim", "dr"),
    given.CorrectRecord("", 7, "dr", "typo", "35 mg"),
    given.CorrectRecord("s1", 7, "dr", "typo", " "),
    given.CorrectRecord("s1", 7, "dr", " ", "35 mg"),
    given.StartSession("s1", " ", protocol(), "dr"),
    given.StartSession("s1", "P", protocol(), "dr", without=("spo2",), reason=" "),
    given.StartSession("s1", "P", protocol(), "dr", start_up=given.StartUpTest(missing=("no sound",))),
    given.Dissociate("nowhere", "dr"),
    given.RecordDose(28, "iv", "dr"),
    given.EndDosing("dr"),
    given.WithdrawDose(NOON, "dr", "mistake"),
    given.RecordManual({"spo2": 97}, "dr"),
    given.RecordScore("moaas", 5, "dr"),
    given.RecordNote("note", "word", "dr"),
    given.Answer("escort", True, "dr"),
    given.ConfirmReady("dr", "well"),
    given.EndSession("dr", "left"),
    given.SetLimit("spo2-low", "dr", "clinician", "why"),
    given.SetSameLimb(True, "dr"),
    given.Acknowledge("none", "dr"),
    given.AcknowledgeMilder((("none", "low"),), "dr"),
    given.ResetAlarm("none", "dr"),
    given.PauseAudio("dr", 10_000),
    given.ResumeAudio("dr"),
    given.PauseAlarm("none", "dr", 20, "moving"),
    given.ResumeAlarm("none", "dr"),
    given.Accept("none", "dr"),
    given.Reject("none", "dr"),
]


@pytest.mark.parametrize("act", NAMELESS, ids=lambda act: type(act).__name__)
def test_p_44_a_refusal_says_what_was_refused_to_whom_and_why_and_does_nothing(act: Input) -> None:
    """P-44: one outcome, with the input's name, the person's, and words; the bed is as it was."""
    bed, told = advance(Bed("bed-1"), act, NOON)
    (one,) = told
    assert (one.outcome, one.by, one.detail) == ("Refused", "dr", {"input": type(act).__name__})
    assert len(one.reason) > 10
    assert bed == Bed("bed-1", now=NOON)


@pytest.mark.parametrize(
    "act",
    [
        given.StartSession("s2", "P", protocol(), "dr"),
        given.RecordDose(0, "iv", "dr"),
        given.RecordDose(1000.5, "iv", "dr"),
        given.RecordDose(28, "iv", "dr", NOON + timedelta(minutes=11, seconds=1)),
        given.RecordDose(28, "iv", "dr", NOON - timedelta(hours=24, seconds=1)),
        given.RecordManual({}, "dr"),
        given.RecordManual({"mood": 5}, "dr"),
        given.RecordManual({"nibp_systolic": 80, "nibp_diastolic": 80}, "dr"),
        given.RecordScore("moaas", 6, "dr"),
        given.RecordScore("moaas", -1, "dr"),
        given.RecordScore("pain", 1, "dr"),
        given.RecordNote("note", " ", "dr"),
        given.Answer("nothing", True, "dr"),
        given.Answer("elapsed", True, "dr"),
        given.ConfirmReady("dr", "well"),
        given.EndSession("dr", " "),
        given.SetLimit("spo2-low", "dr", "nurse", "why"),
        given.SetLimit("spo2-low", "dr", "clinician", " "),
        given.SetLimit("nothing", "dr", "clinician", "why"),
    ],
    ids=lambda act: type(act).__name__,
)
def test_p_44_what_a_session_refuses_leaves_it_as_it_was(session: Scene, act: Input) -> None:
    """P-44: what cannot be, who may not, and a reason that is owed: refused in words; nothing changes."""
    before = session.bed
    (one,) = session.give(act)
    assert (one.outcome, one.by, one.detail) == ("Refused", "dr", {"input": type(act).__name__})
    assert len(one.reason) > 10
    assert session.bed.session == before.session


def test_p_44_the_bounds_of_a_dose_belong_to_it(session: Scene) -> None:
    """P-44: 1000 mg, a minute ahead of the clock and a day before the session are the last that are taken."""
    for dose in (
        given.RecordDose(1000, "iv", "nina"),
        given.RecordDose(0.1, "iv", "nina"),
        given.RecordDose(28, "iv", "nina", session.now + timedelta(minutes=1)),
        given.RecordDose(28, "iv", "nina", NOON - timedelta(hours=24)),
    ):
        assert "DoseRecorded" in [one.outcome for one in session.give(dose)]


@pytest.mark.parametrize(("scale", "most"), [("moaas", 5), ("dissociation", 4), ("nausea", 3)])
def test_p_44_a_scale_is_taken_from_end_to_end(session: Scene, scale: str, most: int) -> None:
    """P-44: MOAA/S 0 to 5, dissociation 0 to 4, nausea 0 to 3; beyond that is no score."""
    for value in range(most + 1):
        assert session.give(given.RecordScore(scale, value, "nina"))[0].outcome == "ScoreRecorded"
    assert session.give(given.RecordScore(scale, most + 0.5, "nina"))[0].outcome == "Refused"
    assert session.give(given.RecordScore(scale, -0.5, "nina"))[0].outcome == "Refused"


def test_al_53_a_hand_over_is_told_whole() -> None:
    """AL-53: which device came and went, by whose hand; the same device again is no news."""
    scene = Scene()
    told = {"by": "nina", "reason": "oximeter-1", "detail": {"device_id": "oximeter-1"}}
    assert said(scene.give(given.Associate(OXIMETER, "nina"))) == [{"outcome": "DeviceAssociated", **told}]
    assert scene.bed.devices["oximeter-1"].served_since == NOON
    assert scene.give(given.Associate(DeviceProfile("oximeter-1", ("spo2",)), "nina"), after_s=5) == ()
    assert scene.bed.devices["oximeter-1"].profile.metrics == ("spo2",)
    assert scene.bed.devices["oximeter-1"].served_since == NOON
    assert said(scene.give(given.Dissociate("oximeter-1", "nina"))) == [
        {"outcome": "DeviceDissociated", **told}
    ]


def test_al_51_a_confirmed_test_of_signals_names_its_screen() -> None:
    """AL-51: who saw and heard what, on which screen."""
    assert said(Scene().give(given.ConfirmSignals("wall-1", "nina"))) == [
        {
            "outcome": "SignalsConfirmed",
            "by": "nina",
            "reason": "test light and test tone",
            "detail": {"screen": "wall-1"},
        }
    ]


def test_p_44_a_dose_that_the_hold_prompt_asks_a_reason_for_is_refused_by_name(session: Scene) -> None:
    """P-44: which metric is above its line; with a reason the dose is taken."""
    session.cuff(150, after_s=0)
    (refused,) = session.give(given.RecordDose(28, "iv", "nina", reason=" "))
    assert (refused.outcome, refused.by, refused.detail) == ("Refused", "nina", {"input": "RecordDose"})
    assert "systolic" in refused.reason
    assert session.give(given.RecordDose(28, "iv", "nina", reason="agreed"))[0].outcome == "DoseRecorded"
