"""Cuff readings: one every few minutes, so no duration to measure (ALARMS §3.3).

Law: a reading at the hard ceiling alarms at once, a milder one when a repeat confirms it; a repeat is another
measurement, never the same one again. A cuff value keeps its own time and is never carried forward.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core import conditions, filters, schedule
from monitor.core.device import LATE
from monitor.core.filters import Confirmation, Sample
from monitor.core.session import Band, Point, Rule, Session, with_reading
from monitor.core.turn import Turn
from monitor.core.vitals import METRICS, VALID, Observation, Report

CYCLE = timedelta(seconds=15)  # shorter than any cuff cycle (20 to 45 s, CLINICAL §5)
WHOLE_STEPS = 2.0  # equal values within so many of a device's periods are one measurement
CUFF_METRICS = frozenset(name for name, metric in METRICS.items() if metric.aperiodic)


def measured(turn: Turn, session: Session, observation: Observation, at: datetime) -> None:
    """Judge one value of a cuff measurement: repeat-confirm, hard ceiling, hold, checkpoints."""
    name, value = observation.metric, observation.value
    assert value is not None
    point = Point(at, value)
    turn.measured = turn.dirty = True
    session = turn.bed.session = replace(session, readings=with_reading(session, name, point))
    _before_the_dose(turn, session, observation, point)
    schedule.meet_checkpoints(turn, name, at)
    schedule.cuff_measured(turn, name)
    band = turn.session.plan.get(name)
    if band is not None:
        judge_cuff(turn, band, observation, at)


def _before_the_dose(turn: Turn, session: Session, observation: Observation, point: Point) -> None:
    """Let a valid reading before the dose count for the patient's baseline and the hold prompt."""
    if session.phase == "baseline" and observation.validity == VALID:
        conditions.add_to_baseline(turn, session, observation, point.at)
        _hold(turn, observation.metric, point)


def judge_cuff(
    turn: Turn, band: Band, observation: Observation, at: datetime, in_force_at: datetime | None = None
) -> None:
    """Pass a cuff value through every limit of its metric.

    ``in_force_at`` is set when a limit has come into force after the reading: what it then raises begins
    there, and is another alarm than any that the reading raised before.
    """
    value = observation.value
    assert value is not None
    for rule in band.rules:
        if rule.limit.annotation:
            if rule.boundary.beyond(value):
                conditions.annotate(turn, rule, value, at)
            continue
        _confirm(turn, rule, Sample(value, observation.validity == VALID, at, 0.0), in_force_at or at)


def _confirm(turn: Turn, rule: Rule, sample: Sample, in_force_at: datetime) -> None:
    limit, boundary, _ = rule
    state = turn.bed.tracks.get(limit.metric, {}).get(limit.id)
    assert state is None or isinstance(state, Confirmation)
    after, verdict, path = filters.confirm(
        boundary,
        state,
        sample,
        needs_repeat=limit.confirm,
        repeat_within_s=limit.repeat_within_s,
        deadband=limit.deadband,
        asked_at=sample.at if turn.now - sample.at <= LATE else turn.now,
    )
    conditions.keep(turn, limit.metric, limit, after)
    words = f"{sample.value:g} {conditions.unit_of(limit)}, {boundary.words()}"
    if verdict == "pending":
        due = after.repeat_due_at.isoformat() if after and after.repeat_due_at else ""
        turn.tell(
            "ReadingUnconfirmed",
            rule=limit.id,
            metric=limit.metric,
            value=sample.value,
            reason=f"{words}; repeat asked",
            due_at=due,
        )
    elif verdict == "fires":
        # The alarm's text begins with the value: it is said again only beside the one that it confirms.
        reason = f"{state.first_value:g}, repeat {words}" if state is not None else boundary.words()
        reason += " (confirmed)" if path == "confirmed" else ", at once"
        onset_at = state.first_at if state else in_force_at
        conditions.raise_limit(turn, rule, sample.value, onset_at, reason, path)
    elif verdict == "clears":
        conditions.clear_limit(
            turn, limit, f"cuff {sample.value:g} {conditions.unit_of(limit)}, inside {boundary.value:g}"
        )
    elif verdict == "idle" and state is not None:
        repeat = (
            f"repeat {sample.value:g}"
            if sample.at > state.first_at
            else f"the limit is {boundary.value:g} now"
        )
        turn.tell(
            "ReadingNotConfirmed",
            rule=limit.id,
            metric=limit.metric,
            value=sample.value,
            reason=f"first {state.first_value:g}, {repeat} {conditions.unit_of(limit)}",
        )


def _hold(turn: Turn, name: str, point: Point) -> None:
    """Prompt to hold the dose when a baseline reading is above the protocol's line; a later one clears it."""
    session = turn.session
    for hold in session.protocol.hold:
        if hold.metric != name:
            continue
        if point.value > hold.above:
            turn.bed.session = session = replace(session, held={**session.held, name: point.at})
            turn.tell(
                "HoldPrompted",
                metric=name,
                value=point.value,
                reason=f"{point.value:g} above {hold.above:g} {METRICS[name].unit} before the dose;"
                f" measure again after {hold.repeat_after_min:g} min",
            )
        elif name in session.held:
            held = {metric: at for metric, at in session.held.items() if metric != name}
            turn.bed.session = session = replace(session, held=held)
            turn.tell(
                "HoldCleared",
                metric=name,
                value=point.value,
                reason=f"{point.value:g}, at most {hold.above:g}",
            )


def is_carried(turn: Turn, report: Report) -> bool:
    """Say whether a report only repeats the last cuff values, without a time of their own, as they stood.

    Some monitors send their last cuff values with every message. Taken for new measurements these would
    confirm each other and hide that the cuff has stopped. A real cycle takes 20 s or more (CLINICAL §5).
    """
    cuff = [o for o in report.observations if o.metric in CUFF_METRICS and o.value is not None]
    if not cuff:
        return False
    within = CYCLE
    if any(o.metric not in CUFF_METRICS for o in report.observations):  # many values, at the device's pace
        period_s = turn.bed.devices[report.device_id].profile.expected_interval_s
        within = max(within, timedelta(seconds=WHOLE_STEPS * period_s))
    for observation in cuff:
        before = turn.bed.latest.get(observation.metric)
        if (
            observation.measured_at is not None
            or before is None
            or before.device_id != report.device_id
            or before.value != observation.value
            or before.seen_at is None
            or turn.now - before.seen_at > within
        ):
            return False
    for observation in cuff:
        before = turn.bed.latest[observation.metric]
        turn.bed.latest[observation.metric] = before._replace(seen_at=turn.now)
    return True


def measured_late(turn: Turn, session: Session, observation: Observation, at: datetime) -> None:
    """Count a late cuff reading for what was due, by its own time; it still raises and clears nothing."""
    name, value = observation.metric, observation.value
    assert value is not None
    points = session.readings.get(name, ())
    if not points or at > points[-1].at:
        point = Point(at, value)
        session = turn.bed.session = replace(session, readings=with_reading(session, name, point))
        turn.measured = True
        _before_the_dose(turn, session, observation, point)
    schedule.meet_checkpoints(turn, name, at)
    schedule.judge_cadence(turn)
