"""A limit is changed during a session: who may, within what, and from which reading on.

Law: a change needs a role and a reason, stays inside the sanity range, takes effect at a stated reading and
expires with the session (AL-09, AL-10). The urgent SpO2 limit cannot be switched off (AF-07).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from monitor.core.cuff import judge_cuff
from monitor.core.inputs import SetLimit
from monitor.core.protocol import Limit
from monitor.core.session import LimitChange, Session
from monitor.core.soundness import limit_problems
from monitor.core.technical import judge_quality
from monitor.core.turn import Turn
from monitor.core.vitals import METRICS, Observation

LIMIT_ROLES = ("clinician", "admin")


def set_limit(turn: Turn, given: SetLimit) -> None:
    """Change a limit of this session, in force from the next and for the last cuff reading (AL-09)."""
    session = turn.bed.session
    why = _limit_refusal(session, given)
    if why or session is None:
        turn.refuse("SetLimit", why, given.by)
        return
    limit = session.protocol.limit(given.limit_id)
    before = session.changes.get(limit.id)
    change = LimitChange(_value(session, given), given.on, given.by, turn.now, given.reason)
    turn.bed.session = session = replace(session, changes={**session.changes, limit.id: change})
    latest = turn.bed.latest.get(limit.metric)
    turn.tell(
        "LimitChanged",
        by=given.by,
        rule=limit.id,
        metric=limit.metric,
        value=given.value,
        reason=given.reason,
        on=given.on,
        was=before.limit if before and before.limit is not None else limit.limit,
        was_on=before.on if before else limit.on,
        after_reading=latest.at.isoformat() if latest else "",
    )
    drop_unwatched(turn, f"limit switched off by {given.by}")
    if not given.on and turn.bed.remind_at is None:
        turn.bed.remind_at = turn.now + timedelta(seconds=session.protocol.timing.reminder_s)
    judge_again(turn, limit)


def _value(session: Session, given: SetLimit) -> float | None:
    """Return the value that a change leaves in force: only a new one takes the place of an earlier one."""
    before = session.changes.get(given.limit_id)
    return given.value if given.value is not None or before is None else before.limit


def _limit_refusal(session: Session | None, given: SetLimit) -> str:
    if session is None:
        return "there is no session"
    if given.role not in LIMIT_ROLES:
        return f"only {' or '.join(LIMIT_ROLES)} may change limits"
    if not given.reason.strip():
        return "give a reason"
    limits = {limit.id: limit for limit in session.protocol.limits}
    limit = limits.get(given.limit_id)
    if limit is None:
        return f"no limit {given.limit_id!r}; there are: {', '.join(limits)}"
    if not given.on and limit.metric == "spo2" and limit.priority == "high":
        return "the urgent SpO2 limit cannot be switched off (AF-07)"
    if given.value is not None and (found := list(limit_problems(limit.id, limit, given.value))):
        return f"{found[0].text}; {found[0].remedy}"
    value = _value(session, given)
    value = limit.limit if value is None else value
    return _crossed(session, limit, value) if given.on and value is not None else ""


def _crossed(session: Session, limit: Limit, value: float) -> str:
    band = session.plan.get(limit.metric)
    for rule in band.rules if band else ():
        other = rule.boundary
        if other.side != limit.side and (
            value >= other.value if limit.side == "low" else value <= other.value
        ):
            return f"{value:g} would cross {rule.limit.id} at {other.value:g}"
    return ""


def judge_again(turn: Turn, limit: Limit) -> None:
    """Judge the last cuff reading by a limit that came into force; a continuous sample is near (AL-28)."""
    session, latest = turn.bed.session, turn.bed.latest.get(limit.metric)
    if session is None or latest is None or latest.value is None or not METRICS[limit.metric].aperiodic:
        return
    band = session.plan.get(limit.metric)
    if band is not None:
        rules = tuple(rule for rule in band.rules if rule.limit.id == limit.id)
        observation = Observation(limit.metric, latest.value, latest.validity)
        judge_cuff(turn, band._replace(rules=rules), observation, latest.at, turn.now)


def drop_unwatched(turn: Turn, reason: str) -> None:
    """Forget filters and end alarms of limits that are no longer in force (AL-28)."""
    session = turn.session
    live = {rule.limit.id for band in session.plan.values() for rule in band.rules}
    known = {limit.id for limit in session.protocol.limits}
    for slot, states in list(turn.bed.tracks.items()):
        kept = {limit_id: state for limit_id, state in states.items() if limit_id in live}
        if kept:
            turn.bed.tracks[slot] = kept
        else:
            del turn.bed.tracks[slot]
    for alarm in sorted(turn.bed.alarms.values(), key=lambda alarm: alarm.rank):
        if alarm.key in known and alarm.key not in live:
            turn.end_alarm(turn.bed.alarms[alarm.key], reason)
    for metric in {limit.metric for limit in session.protocol.limits}:
        judge_quality(turn, metric)
