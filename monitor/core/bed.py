"""``advance``: one input to one bed, and what came of it.

Law: pure. The same bed, input and instant always give the same bed and outcomes, live, in replay and in a
drill. Time moves only through ``now``: whatever came due before an input happens first, at its own due
time, so that how finely time is ticked changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from monitor.core import (
    absence,
    association,
    limits,
    observe,
    ownership,
    remarks,
    schedule,
    signals,
    technical,
    visit,
)
from monitor.core import inputs as given
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed, Timer, Turn

__all__ = ["Bed", "advance"]

MOST_TIMERS = 100_000  # of one turn; more is a mistake in a timer, not a long absence


def _external(turn: Turn, condition: given.ReportCondition) -> None:
    present, session = turn.bed.alarms.get(condition.key), turn.bed.session
    limits_here = {limit.id for limit in session.protocol.limits} if session else set()
    if condition.key in limits_here or (present is not None and not present.external):
        turn.refuse("ReportCondition", f"the key {condition.key!r} belongs to the core")
        return
    turn.technical(condition.key, condition.priority, condition.text, external=True)


def _external_over(turn: Turn, condition: given.ClearCondition) -> None:
    present = turn.bed.alarms.get(condition.key)
    if present is not None and present.external:
        turn.technical(condition.key, None, "the condition is over")


STEPS: dict[type, Callable[[Turn, Any], None]] = {
    given.Tick: lambda _turn, _: None,
    given.Observe: observe.observe,
    given.Associate: association.associate,
    given.Dissociate: association.dissociate,
    given.RefuseReport: lambda turn, one: technical.refuse_report(turn, one.device_id, one.reason),
    given.LoseLink: lambda turn, _: absence.lose_link(turn),
    given.RestoreLink: lambda turn, _: absence.restore_link(turn),
    given.ReportCondition: _external,
    given.ClearCondition: _external_over,
    given.ConfirmSignals: signals.confirm,
    given.StartSession: visit.start_session,
    given.RecordDose: visit.record_dose,
    given.EndDosing: visit.end_dosing,
    given.WithdrawDose: visit.withdraw_dose,
    given.RecordManual: visit.record_manual,
    given.RecordScore: visit.record_score,
    given.RecordNote: visit.record_note,
    given.Answer: visit.answer,
    given.ConfirmReady: visit.confirm_ready,
    given.EndSession: visit.end_session,
    given.SetLimit: limits.set_limit,
    given.SetSameLimb: visit.set_same_limb,
    given.SignRecord: remarks.sign,
    given.RecordDisposition: remarks.dispose,
    given.CorrectRecord: remarks.correct,
    given.Acknowledge: signals.acknowledge,
    given.AcknowledgeMilder: signals.acknowledge_milder,
    given.ResetAlarm: signals.reset_alarm,
    given.PauseAudio: signals.pause_audio,
    given.ResumeAudio: signals.resume_audio,
    given.PauseAlarm: signals.pause_alarm,
    given.ResumeAlarm: signals.resume_alarm,
    given.SetLadder: ownership.set_ladder,
    given.Accept: ownership.accept,
    given.Reject: ownership.reject,
}


def advance(bed: Bed, one: Input, now: datetime) -> tuple[Bed, tuple[Outcome, ...]]:
    """Give a bed one input at an instant.

    Args:
        bed: the bed as it is; never changed.
        one: what happened.
        now: when, aware UTC; an instant before the bed's last one counts as that last one.

    Returns:
        The bed as it is then, and what happened to it, oldest first.
    """
    if bed.now is not None and now < bed.now:
        now = bed.now
    turn = Turn(bed, bed.now or now)
    if bed.next_due_at is not None and bed.next_due_at <= now:
        _run_timers(turn, now)
    turn.now = now
    told = len(turn.outcomes)
    STEPS[type(one)](turn, one)
    if turn.drill_ended_by:
        _end_drill(turn)
    if turn.measured or len(turn.outcomes) > told:
        visit.announce_readiness(turn)
    if turn.dirty or turn.outcomes:
        _run_timers(turn, now)
    turn.bed.now = now
    return turn.bed, tuple(turn.outcomes)


def _run_timers(turn: Turn, now: datetime) -> None:
    """Let everything that came due by ``now`` happen, in its order and at its own time."""
    for _ in range(MOST_TIMERS):
        ownership.settle(turn)
        due = min(_timers(turn), key=lambda timer: timer[0], default=None)
        if due is None or due[0] > now:
            turn.bed.next_due_at = due[0] if due is not None else None
            return
        turn.now = max(due[0], turn.now)
        due[1](turn)
    raise RuntimeError(f"{turn.bed.bed_id}: timers do not come to an end")


def _timers(turn: Turn) -> Iterator[Timer]:
    yield from absence.timers(turn)
    yield from technical.timers(turn)
    yield from schedule.timers(turn)
    yield from signals.timers(turn)
    yield from ownership.timers(turn)
    yield from visit.timers(turn)


def _end_drill(turn: Turn) -> None:
    """A real high reading ends the drill on this bed (S-11)."""
    visit.close_session(turn, f"real reading during a drill: {turn.drill_ended_by}", "monitor")
    turn.technical("drill-ended", "high", f"the drill ended: real reading {turn.drill_ended_by}")
