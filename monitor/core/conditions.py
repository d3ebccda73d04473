"""A limit that is crossed becomes an alarm condition, and ends as one.

Law: what a filter or a repeat has decided is written down here and nowhere else: the alarm with its words,
its end, the mark on the chart, the patient's baseline.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from monitor.core.filters import Confirmation, Excursion
from monitor.core.protocol import Limit
from monitor.core.session import Point, Rule, Session
from monitor.core.turn import Turn
from monitor.core.vitals import METRICS, VALID, Observation


def raise_limit(turn: Turn, rule: Rule, value: float, onset_at: datetime, text: str, path: str) -> None:
    """Raise the alarm of a limit (``value`` in the metric's unit)."""
    limit = rule.limit
    metric = METRICS[limit.metric]
    floor = path == "floor" or (
        limit.priority == "high" and rule.filter is not None and rule.filter.floor is not None
    )
    alarm = turn.make(
        limit.id,
        "physiological",
        limit.priority,
        onset_at,
        f"{metric.label} {value:g} {metric.unit}: {text}",
        metric=limit.metric,
        side=limit.side,
        value=value,
        limit=rule.boundary.words(),
        worst=value,
        latching=limit.latching,
        pausable=limit.pausable and not floor,
    )
    turn.raise_alarm(alarm)


def clear_limit(turn: Turn, limit: Limit, reason: str) -> None:
    """End the alarm of a limit, if it is present."""
    alarm = turn.bed.alarms.get(limit.id)
    if alarm is not None:
        turn.end_alarm(alarm, reason)


def follow(turn: Turn, limit: Limit, state: Excursion) -> None:
    """Keep the worst value of any source and the number of returns on a present alarm."""
    alarm = turn.bed.alarms[limit.id]
    seen = [value for value in (alarm.worst, state.worst) if value is not None]
    worst = min(seen) if limit.side == "low" else max(seen)
    flaps = max(alarm.flaps, state.flaps)
    if (worst, flaps) != (alarm.worst, alarm.flaps):
        turn.bed.alarms[limit.id] = replace(alarm, worst=worst, flaps=flaps)


def annotate(turn: Turn, rule: Rule, value: float, at: datetime) -> None:
    """Mark the chart once per session and rule; never an alarm."""
    session = turn.bed.session
    if session is None or rule.limit.id in session.annotated:
        return
    turn.bed.session = replace(session, annotated=(*session.annotated, rule.limit.id))
    words = f"{value:g} {unit_of(rule.limit)}, {rule.boundary.words()}"
    turn.tell(
        "LimitAnnotated",
        rule=rule.limit.id,
        metric=rule.limit.metric,
        value=value,
        reason=words,
        read_at=at.isoformat(),
    )


def keep(turn: Turn, slot: str, limit: Limit, state: Excursion | Confirmation | None) -> None:
    """Put a filter's state back; idle filters take no room."""
    of_slot = turn.bed.tracks.get(slot)
    if state is None and (of_slot is None or limit.id not in of_slot):
        return
    changed = dict(of_slot or {})
    if state is None:
        del changed[limit.id]
    else:
        changed[limit.id] = state
    if changed:
        turn.bed.tracks[slot] = changed
    else:
        turn.bed.tracks.pop(slot, None)


def unit_of(limit: Limit) -> str:
    """Return the unit of a limit."""
    return METRICS[limit.metric].unit


def add_to_baseline(turn: Turn, session: Session, observation: Observation, at: datetime) -> Session:
    """Add a valid reading to the patient's baseline if it is far enough from the last; return the session."""
    name, value = observation.metric, observation.value
    points = session.baseline.get(name)
    if points is not None and (at - points[-1].at).total_seconds() < session.protocol.baseline.apart_min * 60:
        return session
    if observation.validity != VALID or value is None:
        return session
    had = session.base(name)
    more = {**session.baseline, name: (*(points or ()), Point(at, value))}
    after = turn.bed.session = replace(session, baseline=more)
    base = after.base(name)
    if had is None and base is not None:
        turn.tell(
            "BaselineEstablished",
            metric=name,
            value=base,
            reason=f"median of {len(more[name])} readings before the dose",
        )
    return after
