"""The patient's visit: the session, its doses, what people measure and say, and readiness.

Law: nothing that a person records erases what was, and every refusal says why. The software never says what
to do for the patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from monitor.core import readiness, schedule, technical
from monitor.core.inputs import (
    Answer,
    ConfirmReady,
    EndDosing,
    EndSession,
    RecordDose,
    RecordManual,
    RecordNote,
    RecordScore,
    SetSameLimb,
    StartSession,
    StartUpTest,
    WithdrawDose,
)
from monitor.core.limits import drop_unwatched, judge_again
from monitor.core.observe import observe_manual
from monitor.core.protocol import Phase
from monitor.core.session import Dose, Score, Session
from monitor.core.signals import reset
from monitor.core.turn import Timer, Turn
from monitor.core.vitals import METRICS, Observation, screen, screen_pressures

SCALES: dict[str, tuple[float, float]] = {"moaas": (0, 5), "dissociation": (0, 4), "nausea": (0, 3)}


def start_session(turn: Turn, given: StartSession) -> None:
    """Begin a session on a free bed, pinned to the protocol as it is now (AL-10)."""
    bed = turn.bed
    if bed.session is not None:
        turn.refuse("StartSession", f"{bed.bed_id} has a session; end it first", given.by)
        return
    if not given.patient_code.strip():
        turn.refuse("StartSession", "no patient code; give the pseudonym, never a name", given.by)
        return
    if given.without and not given.reason.strip():
        turn.refuse("StartSession", f"say why {', '.join(given.without)} will not be measured", given.by)
        return
    test = given.start_up
    if test and test.missing and given.mode == "real" and not test.override.strip():
        why = f"start-up test (AL-51): {'; '.join(test.missing)}. Say why it starts all the same"
        turn.refuse("StartSession", why, given.by)
        return
    for alarm in list(bed.latched.values()):
        reset(turn, alarm, given.by)
    _end_alarms(turn, "a session begins")
    at = min(given.started_at or turn.now, turn.now)
    bed.tracks, bed.backlog, bed.audio_pause, bed.remind_at = {}, None, None, None
    bed.session = Session(
        given.session_id,
        given.patient_code.strip(),
        given.protocol,
        given.mode,
        at,
        given.by,
        given.phase,
        at,
        without=given.without,
        told_at=turn.now,
    )
    for metric in list(bed.latest):
        del bed.latest[metric]  # nothing of the previous patient counts for this one
    turn.tell(
        "SessionStarted",
        by=given.by,
        reason=given.reason,
        patient_code=given.patient_code.strip(),
        protocol=given.protocol.name,
        protocol_version=given.protocol.version,
        protocol_digest=given.protocol.digest,
        mode=given.mode,
        started_at=at.isoformat(),
        without=list(given.without),
        **_show_test(given.start_up),
    )
    technical.judge_devices(turn)


def _show_test(test: StartUpTest | None) -> dict[str, Any]:
    if test is None:
        return {}
    at = test.at.isoformat() if test.at else ""
    shown = {"by": test.by, "at": at, "missing": list(test.missing), "override": test.override.strip()}
    return {"start_up": shown}


def _end_alarms(turn: Turn, reason: str) -> None:
    """End every alarm but those of the equipment around the bed, the mildest first."""
    for alarm in sorted(turn.bed.alarms.values(), key=lambda alarm: alarm.rank):
        if not alarm.external:
            turn.end_alarm(turn.bed.alarms[alarm.key], reason)


def end_session(turn: Turn, given: EndSession) -> None:
    """End the session; without confirmed readiness only with a reason."""
    session = turn.bed.session
    if session is None:
        turn.refuse("EndSession", "there is no session", given.by)
    elif session.phase != "ready" and not given.reason.strip():
        turn.refuse("EndSession", "readiness is not confirmed; confirm it, or give a reason", given.by)
    else:
        close_session(turn, given.reason, given.by)


def close_session(turn: Turn, reason: str, by: str) -> None:
    """End the session and every alarm of it; a real high one that nobody saw stays latched (AL-16)."""
    session = turn.session
    _end_alarms(turn, "the session ended")
    if session.mode == "drill":  # without a session nothing would mark them as a drill's (S-10)
        for alarm in list(turn.bed.latched.values()):
            reset(turn, alarm, "monitor")
    doses = [
        {"at": dose.at.isoformat(), "amount_mg": dose.amount_mg, "route": dose.route}
        for dose in session.standing
    ]
    turn.tell("SessionEnded", by=by, reason=reason, phase=session.phase, doses=doses)
    turn.bed.session = None
    turn.bed.tracks, turn.bed.backlog, turn.bed.audio_pause, turn.bed.remind_at = {}, None, None, None


def set_phase(turn: Turn, phase: Phase, by: str, reason: str) -> None:
    """Move the session to a phase; its limits come into force, those not live in it end alarms (AL-28)."""
    session = turn.bed.session
    if session is None or session.phase == phase:
        return
    before = {rule.limit.id for band in session.plan.values() for rule in band.rules}
    turn.bed.session = replace(session, phase=phase, phase_at=turn.now)
    turn.tell("PhaseChanged", by=by, reason=reason, phase=phase, was=session.phase)
    drop_unwatched(turn, f"not watched in phase {phase}")
    for limit in session.protocol.limits:
        if limit.id not in before:
            judge_again(turn, limit)
    schedule.judge_cadence(turn)


def record_dose(turn: Turn, given: RecordDose) -> None:
    """Record a dose; while the hold prompt stands, only with a reason."""
    session = turn.bed.session
    if session is None:
        turn.refuse("RecordDose", "there is no session", given.by)
        return
    if session.held and not session.standing and not given.reason.strip():
        names = ", ".join(METRICS[metric].label for metric in session.held)
        turn.refuse("RecordDose", f"the hold prompt stands ({names} above the line): give a reason", given.by)
        return
    if not 0 < given.amount_mg <= 1000:
        turn.refuse("RecordDose", f"{given.amount_mg:g} mg is no dose; give 0 to 1000 mg", given.by)
        return
    at = given.at or turn.now
    if at > turn.now + timedelta(minutes=1) or at < session.started_at - timedelta(hours=24):
        turn.refuse(
            "RecordDose", "the time lies in the future or long before the session; correct it", given.by
        )
        return
    turn.bed.session = replace(
        session, doses=(*session.doses, Dose(at, given.amount_mg, given.route, given.by))
    )
    turn.tell(
        "DoseRecorded",
        by=given.by,
        reason=given.reason,
        value=given.amount_mg,
        route=given.route,
        given_at=at.isoformat(),
    )
    schedule.anchors_moved(turn, session)
    set_phase(turn, "dosing", given.by, f"{given.amount_mg:g} mg {given.route}")


def end_dosing(turn: Turn, given: EndDosing) -> None:
    """Record that the infusion stopped or the last device was used."""
    session = turn.bed.session
    doses = session.standing if session else ()
    if session is None or not doses:
        turn.refuse("EndDosing", "no dose is recorded", given.by)
        return
    last = doses[-1]
    at = max(last.at, min(given.at or turn.now, turn.now))
    changed = tuple(replace(dose, ended_at=at) if dose is last else dose for dose in session.doses)
    turn.bed.session = replace(session, doses=changed)
    schedule.anchors_moved(turn, session)
    set_phase(turn, "observation", given.by, f"dosing ended at {at:%H:%M} UTC")


def withdraw_dose(turn: Turn, given: WithdrawDose) -> None:
    """Strike a dose that was recorded by mistake; it stays in the record."""
    session = turn.bed.session
    standing = [
        dose for dose in (session.doses if session else ()) if dose.at == given.at and not dose.withdrawn
    ]
    if session is None or not standing or not given.reason.strip():
        turn.refuse("WithdrawDose", "no standing dose at that time, or no reason given", given.by)
        return
    note = f"{given.reason} ({given.by})"
    changed = tuple(replace(dose, withdrawn=note) if dose is standing[0] else dose for dose in session.doses)
    before, turn.bed.session = session, replace(session, doses=changed)
    turn.tell(
        "DoseWithdrawn",
        by=given.by,
        reason=given.reason,
        value=standing[0].amount_mg,
        given_at=given.at.isoformat(),
    )
    schedule.anchors_moved(turn, before)
    if not turn.session.standing:
        set_phase(turn, "baseline", given.by, "the only dose was withdrawn")


def _time_ends_dosing(turn: Turn) -> None:
    set_phase(turn, "observation", "clock", "the expected end of dosing has passed")


def record_manual(turn: Turn, given: RecordManual) -> None:
    """Take values that a person measured into the same core, marked as manual."""
    if turn.bed.session is None:
        turn.refuse("RecordManual", "there is no session", given.by)
        return
    unknown = [name for name in given.values if name not in METRICS]
    if unknown or not given.values:
        turn.refuse("RecordManual", f"unknown metric {', '.join(unknown) or '(none given)'}", given.by)
        return
    screened = screen_pressures(tuple(screen(name, value) for name, value in given.values.items()))
    wrong = [one for one in screened if one.value is None]
    if wrong:
        turn.refuse("RecordManual", "; ".join(f"{one.metric}: {one.reason}" for one in wrong), given.by)
        return
    at = min(given.at or turn.now, turn.now)
    turn.tell("ManualRecorded", by=given.by, values=dict(given.values), read_at=at.isoformat())
    observe_manual(
        turn, tuple(Observation(o.metric, o.value, o.validity, o.reason) for o in screened), given.by, at
    )


def record_score(turn: Turn, given: RecordScore) -> None:
    """Take a score of the patient on a known scale."""
    session = turn.bed.session
    span = SCALES.get(given.scale)
    if session is None or span is None or not span[0] <= given.value <= span[1]:
        known = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in SCALES.items())
        turn.refuse("RecordScore", f"no session, or not a score of: {known}", given.by)
        return
    score = Score(given.scale, given.value, given.by, min(given.at or turn.now, turn.now))
    turn.bed.session = replace(session, scores={**session.scores, given.scale: score})
    turn.tell(
        "ScoreRecorded", by=given.by, value=given.value, scale=given.scale, scored_at=score.at.isoformat()
    )


def record_note(turn: Turn, given: RecordNote) -> None:
    """Take a symptom, an intervention or a note in a person's words."""
    if turn.bed.session is None or not given.text.strip():
        turn.refuse("RecordNote", "no session, or an empty note", given.by)
        return
    at = min(given.at or turn.now, turn.now)
    turn.tell(
        "NoteRecorded",
        by=given.by,
        reason=given.text.strip()[:2000],
        note=given.kind,
        noted_at=at.isoformat(),
    )


def answer(turn: Turn, given: Answer) -> None:
    """Take a person's yes or no to a criterion that only a person can judge."""
    session = turn.bed.session
    asked = (
        [c for c in session.protocol.discharge if c.id == given.criterion and c.kind == "asked"]
        if session
        else []
    )
    if session is None or not asked:
        turn.refuse("Answer", f"{given.criterion!r} is no question of this protocol", given.by)
        return
    turn.bed.session = replace(session, answers={**session.answers, given.criterion: given.met})
    turn.tell("Answered", by=given.by, rule=given.criterion, reason="yes" if given.met else "no")


def confirm_ready(turn: Turn, given: ConfirmReady) -> None:
    """Take a person's word that the patient may be discharged; an override needs a reason."""
    session = turn.bed.session
    if session is None or not session.standing:
        turn.refuse("ConfirmReady", "no session, or no dose is recorded", given.by)
        return
    judged = readiness.judge(turn.bed, turn.now)
    open_ones = [
        f"{one.criterion.label}: {one.answer} ({one.words})" for one in judged if one.answer != "met"
    ]
    if open_ones and not given.reason.strip():
        turn.refuse("ConfirmReady", f"give a reason to override: {'; '.join(open_ones)}", given.by)
        return
    turn.bed.session = replace(session, ready_by=given.by)
    turn.tell("ReadinessConfirmed", by=given.by, reason=given.reason, overridden=open_ones)
    set_phase(turn, "ready", given.by, "readiness confirmed")


def announce_readiness(turn: Turn) -> None:
    """Say once when every criterion has come to be met, and once when that is lost."""
    session = turn.bed.session
    if session is None or session.phase != "observation":
        return
    judged = readiness.judge(turn.bed, turn.now)
    met = readiness.all_met(judged)
    if met == session.ready_announced:
        return
    turn.bed.session = replace(session, ready_announced=met)
    open_ones = "; ".join(f"{one.criterion.label}: {one.words}" for one in judged if one.answer != "met")
    turn.tell(
        "ReadyForDischarge" if met else "ReadinessLost", reason="every criterion is met" if met else open_ones
    )


def set_same_limb(turn: Turn, given: SetSameLimb) -> None:
    """Say whether cuff and SpO2 probe share a limb (AL-54)."""
    session = turn.bed.session
    if session is None:
        turn.refuse("SetSameLimb", "there is no session", given.by)
        return
    turn.bed.session = replace(session, same_limb=given.same)
    where = "the same limb" if given.same else "different limbs"
    turn.tell(
        "NoteRecorded",
        by=given.by,
        reason=f"cuff and SpO2 probe on {where}",
        note="same_limb",
        same=given.same,
    )


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when the clock ends a phase or meets a discharge criterion."""
    session = turn.bed.session
    if session is None:
        return
    ends = session.dosing_ends_at()
    if session.phase == "dosing" and ends is not None:
        yield ends, _time_ends_dosing
    if session.phase == "observation":
        judged = readiness.judge(turn.bed, turn.now)
        if readiness.all_met(judged) != session.ready_announced:
            yield turn.now, announce_readiness
        for one in judged:
            if one.due_at is not None:
                yield one.due_at, announce_readiness
