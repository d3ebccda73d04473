"""What is due by the session's clock: cuff cadence, repeats, checkpoints.

Law: a cuff reading that does not come is an alarm (CLINICAL §0: a missing reading is itself an alarm); a
reading is matched to a window, never to an instant, and never carried forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from monitor.core import absence
from monitor.core.filters import Confirmation
from monitor.core.protocol import RANK, Cadence, Checkpoint, Priority
from monitor.core.session import Session, cuff_due_at, window
from monitor.core.turn import Timer, Turn
from monitor.core.vitals import METRICS, PRESSURES

CUFF = "nibp_systolic"
# Devices time whole seconds: the last second of a window still belongs to it.
LAST_SECOND = timedelta(seconds=1)


def cuff_measured(turn: Turn, metric: str) -> None:
    """A cuff reading came: with a systolic value nothing is overdue any more."""
    for key in ("overdue:cuff", "repeat:cuff") if metric == CUFF else ():
        turn.technical(key, None, "a cuff reading came")


def _cadence(session: Session) -> Cadence | None:
    for cadence in session.protocol.cadence:
        if cadence.phase == session.phase and CUFF not in session.without:
            return cadence
    return None


def _overdue_steps(session: Session) -> list[tuple[datetime, Priority]]:
    cadence, due = _cadence(session), cuff_due_at(session)
    if cadence is None or due is None:
        return []
    # The earlier of CLINICAL (due + 2 min) and ALARMS (interval + 25 %, at least 60 s): ALARMS §3.8.
    grace_s = min(cadence.medium_late_min * 60, max(60.0, 0.25 * cadence.every_min * 60))
    return [
        (due + timedelta(seconds=grace_s), "medium"),
        (due + timedelta(minutes=cadence.high_late_min), "high"),
    ]


def judge_cadence(turn: Turn) -> None:
    """Raise or worsen an overdue cuff reading; end it when the phase asks for none."""
    session = turn.session
    reached = [priority for at, priority in _overdue_steps(session) if at <= turn.now]
    due = cuff_due_at(session)
    if reached and due is not None:
        last = session.readings.get(CUFF, ())
        tail = f"last at {last[-1].at:%H:%M} UTC" if last else "none yet in this session"
        text = f"blood pressure overdue: due {due:%H:%M} UTC, {tail}; is the cuff's AUTO mode on?"
        turn.technical("overdue:cuff", reached[-1], text, metric=CUFF, onset_at=due, pausable=False)
        for metric in PRESSURES:
            absence.freeze(turn, metric)
    elif "overdue:cuff" in turn.bed.alarms:
        turn.technical("overdue:cuff", None, "no cuff reading is due now")


def _cadence_timers(turn: Turn) -> Iterator[Timer]:
    session = turn.session
    present = turn.bed.alarms.get("overdue:cuff")
    rank = present.rank if present is not None else 0
    for at, priority in _overdue_steps(session):
        if RANK[priority] > rank:
            yield at, judge_cadence
            break


def _repeat_timers(turn: Turn) -> Iterator[Timer]:
    for states in turn.bed.tracks.values():
        for state in states.values():
            if isinstance(state, Confirmation) and state.repeat_due_at is not None:
                yield state.repeat_due_at + LAST_SECOND, _repeat_missing


def _repeat_missing(turn: Turn) -> None:
    """No repeat came: a technical alarm; the first reading stands and is never cleared by this (§3.3)."""
    firsts: list[str] = []
    for slot, states in list(turn.bed.tracks.items()):
        changed = dict(states)
        for limit_id, state in states.items():
            if (
                isinstance(state, Confirmation)
                and state.repeat_due_at is not None
                and state.repeat_due_at + LAST_SECOND <= turn.now
            ):
                firsts.append(f"{METRICS[slot].label} {state.first_value:g} at {state.first_at:%H:%M} UTC")
                changed[limit_id] = replace(state, repeat_due_at=None)
        turn.bed.tracks[slot] = changed
    text = f"no repeat of {', '.join(dict.fromkeys(firsts))}; it stands unrepeated"
    turn.technical("repeat:cuff", "medium", text, metric=CUFF)


def meet_checkpoints(turn: Turn, metric: str, at: datetime) -> None:
    """Match a reading to the checkpoints whose window it falls into (windows, not instants)."""
    session = turn.session
    for checkpoint in session.protocol.checkpoints:
        span = window(session, checkpoint)
        if metric not in checkpoint.metrics or span is None:
            continue
        if span[0] <= at <= span[1] and session.checkpoints.get(checkpoint.id) != "met":
            _set_checkpoint(turn, checkpoint, "met")
            turn.tell(
                "CheckpointMet",
                rule=checkpoint.id,
                metric=metric,
                reason=f"{checkpoint.label}: read {at:%H:%M} UTC",
            )
        key = f"missed:{checkpoint.id}"
        if key in turn.bed.alarms and at > span[0]:
            turn.technical(key, None, f"{checkpoint.label}: read late, {at:%H:%M} UTC")
        session = turn.session


def anchors_moved(turn: Turn, before: Session) -> None:
    """Begin anew with the checkpoints whose time has changed with a dose (given, ended, withdrawn)."""
    after = turn.session
    moved = [
        c.id
        for c in after.protocol.checkpoints
        if window(before, c) != window(after, c) and not _still_met(after, c)
    ]
    kept = {name: state for name, state in after.checkpoints.items() if name not in moved}
    turn.bed.session = replace(after, checkpoints=kept)
    for name in moved:
        turn.technical(f"missed:{name}", None, "its time has changed")


def _still_met(session: Session, checkpoint: Checkpoint) -> bool:
    span = window(session, checkpoint)
    points = [point for metric in checkpoint.metrics for point in session.readings.get(metric, ())]
    met = session.checkpoints.get(checkpoint.id) == "met"
    return met and span is not None and any(span[0] <= point.at <= span[1] for point in points)


def _set_checkpoint(turn: Turn, checkpoint: Checkpoint, state: str) -> None:
    session = turn.session
    turn.bed.session = replace(session, checkpoints={**session.checkpoints, checkpoint.id: state})


def _checkpoint_timers(turn: Turn) -> Iterator[Timer]:
    session = turn.session
    for checkpoint in session.protocol.checkpoints:
        state = session.checkpoints.get(checkpoint.id)
        span = window(session, checkpoint) if state in (None, "due") else None
        if span is None or (session.without and set(checkpoint.metrics) <= set(session.without)):
            continue
        if state is None:
            yield span[0], partial(_open, checkpoint=checkpoint, until=span[1])
        else:
            yield span[1] + LAST_SECOND, partial(_miss, checkpoint=checkpoint)


def _open(turn: Turn, checkpoint: Checkpoint, until: datetime) -> None:
    session = turn.session
    _set_checkpoint(turn, checkpoint, "due")
    due = until - timedelta(minutes=checkpoint.late_min)
    reason = f"{checkpoint.label}: due {due:%H:%M} UTC, window to {until:%H:%M}"
    turn.tell(
        "CheckpointDue",
        rule=checkpoint.id,
        metric=checkpoint.metrics[0],
        reason=reason,
        due_at=due.isoformat(),
    )
    for metric in checkpoint.metrics:  # a reading that came before the window was known
        for point in session.readings.get(metric, ()):
            meet_checkpoints(turn, metric, point.at)


def _miss(turn: Turn, checkpoint: Checkpoint) -> None:
    _set_checkpoint(turn, checkpoint, "missed")
    text = f"{checkpoint.label}: no reading in its window"
    turn.tell("CheckpointMissed", rule=checkpoint.id, metric=checkpoint.metrics[0], reason=text)
    span, told_at = window(turn.session, checkpoint), turn.session.told_at
    if span is not None and told_at is not None and span[1] <= told_at:
        return  # over before the monitor was told: recorded, and nobody can help it now
    priority: Priority = "medium" if checkpoint.mandatory else "low"
    turn.technical(f"missed:{checkpoint.id}", priority, text, metric=checkpoint.metrics[0])


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when a reading, a repeat or a checkpoint comes due or is overdue."""
    if turn.bed.session is not None:
        yield from _cadence_timers(turn)
        yield from _repeat_timers(turn)
        yield from _checkpoint_timers(turn)
