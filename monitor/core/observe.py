"""Readings become alarm conditions.

Law: only a live value of the right mode is judged; a cuff value keeps its own time and is never carried
forward; a reading in doubt is held back for a bounded time only. Everything else is charted and counted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core import absence, filters, readiness, schedule, technical
from monitor.core.device import LATE, Device, receive
from monitor.core.filters import Confirmation, Excursion, Sample
from monitor.core.inputs import Observe
from monitor.core.protocol import Limit
from monitor.core.session import Band, Point, Rule, Session, with_reading
from monitor.core.turn import MANUAL, MANUAL_SLOT, Backlog, Reading, Turn
from monitor.core.vitals import FAULTS, INVALID, METRICS, VALID, Observation, Report

WHOLE_STEPS = 2.0  # a gap counts for at most so many nominal periods (AF-06)
CUFF_CYCLE = timedelta(seconds=15)  # shorter than any cuff cycle (20 to 45 s, CLINICAL §5)
CUFF_METRICS = frozenset(name for name, metric in METRICS.items() if metric.aperiodic)
MANUAL_S = 60.0  # what one value that a person read stands for: longer than any ceiling, so that it counts


def observe(turn: Turn, given: Observe) -> None:
    """Take one report of a device that serves this bed."""
    report = given.report
    device = turn.bed.devices.get(report.device_id)
    if device is None:
        turn.refuse("Observe", f"device {report.device_id} does not serve {turn.bed.bed_id}")
        return
    device = turn.bed.devices[report.device_id] = device.copy()
    if report.online is not None:
        device.online = report.online
        absence.judge_channels(turn)
        if not report.observations and report.faults is None:
            return
    session = turn.bed.session
    if session is not None and report.mode != session.mode:
        technical.wrong_mode(turn, device, report)
        return
    watched_closely = device.skew_since is not None or device.gap_at is not None
    timed = receive(device, report, turn.now)
    if timed.liveness == "late":
        _late(turn, report)
        technical.judge_device(turn, device)
    if timed.liveness != "live":
        return
    faults = report.faults if report.faults is not None else _outlived(device, report)
    if faults != device.faults:
        technical.set_faults(turn, device, faults)
    carried = _is_carried(turn, report)
    stale = turn.now - timed.at > LATE
    for observation in report.observations:
        if carried and observation.metric in CUFF_METRICS:
            continue
        if stale or device.faults or observation.measured_at is not None:
            _take(turn, device, observation, _instant(turn, report, observation, timed.at))
        else:
            _record(turn, observation, report.device_id, timed.at, device.profile.expected_interval_s)
    if watched_closely or device.skew_since is not None or device.gap_at is not None:
        technical.judge_device(turn, device)


def observe_manual(turn: Turn, observations: tuple[Observation, ...], by: str, at: datetime) -> None:
    """Take what a person measured; it enters the same core, marked (values in the metrics' units)."""
    for observation in observations:
        _record(turn, observation, f"{MANUAL}{by}", at, nominal_s=MANUAL_S)


def _outlived(device: Device, report: Report) -> tuple[str, ...]:
    """Return a device's faults without those of the cuff measurement before a new cuff value."""
    if not device.faults or not any(
        o.value is not None and METRICS[o.metric].channel == "cuff" for o in report.observations
    ):
        return device.faults
    return tuple(name for name in device.faults if FAULTS[name].channel != "cuff")


def _is_carried(turn: Turn, report: Report) -> bool:
    """Say whether a report only repeats the last cuff values, without a time of their own, as they stood.

    Some monitors send their last cuff values with every message. Taken for new measurements these would
    confirm each other and hide that the cuff has stopped. A real cycle takes 20 s or more (CLINICAL §5).
    """
    cuff = [o for o in report.observations if o.metric in CUFF_METRICS and o.value is not None]
    if not cuff:
        return False
    within = CUFF_CYCLE
    if len(cuff) < len(report.observations):  # one message of many values, at the device's own pace
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


def _instant(turn: Turn, report: Report, observation: Observation, at: datetime) -> datetime:
    """Return the instant of an observation, which may have a time of its own, on our clock."""
    if observation.measured_at is None:
        return at
    return min(at - (report.at - observation.measured_at), turn.now)


def _take(turn: Turn, device: Device, observation: Observation, at: datetime) -> None:
    metric = METRICS[observation.metric]
    if turn.now - at > LATE:
        _chart_late(turn, observation, at)
        return
    if device.faults and observation.value is not None:
        blocked = absence.blocking(device.faults, metric.channel)
        if blocked:
            observation = observation._replace(value=None, validity=INVALID, reason=FAULTS[blocked].text)
    _record(turn, observation, device.profile.device_id, at, device.profile.expected_interval_s)


def _record(turn: Turn, observation: Observation, source: str, at: datetime, nominal_s: float) -> None:
    """Make an observation the newest of its metric, if it is, and judge it."""
    bed = turn.bed
    name = observation.metric
    before = bed.latest.get(name)
    slot = name
    if before is None or before.device_id != source:
        slot, before = _slot(turn, name, before, source)
    if before is not None and at <= before.at:
        return  # repeated or out of order: charted, never judged (AL-32, P-27)
    value = observation.value
    if value is None:
        valued_at, seen_at = (before.valued_at, before.seen_at) if before else (None, None)
        bed.latest[slot] = Reading(None, INVALID, at, source, observation.reason, valued_at, seen_at)
        return
    bed.latest[slot] = Reading(value, observation.validity, at, source, observation.reason, at, turn.now)
    session = bed.session
    if session is None:
        return
    if bed.alarms and not slot.endswith(MANUAL_SLOT):
        absence.value_returned(turn, name)
    if name in CUFF_METRICS:
        _cuff(turn, session, observation, at)
        return
    if session.phase == "baseline":
        session = _baseline(turn, session, observation, at)
    band = session.plan.get(name)
    if band is None:
        return
    if band.near is not None and session.phase == "observation":
        _look_at_readiness(turn, band.near, before, value)
    if not band.low < value < band.high or slot in bed.tracks:
        step_s = _step_s(before, at, nominal_s, source)
        _continuous(turn, band, name, slot, Sample(value, observation.validity == VALID, at, step_s))


def _look_at_readiness(turn: Turn, near: float, before: Reading | None, value: float) -> None:
    """Notice that a value crosses what readiness for discharge asks of it, or is there again."""
    if before is None or before.value is None or before.seen_at is None:
        turn.measured = True
        return
    absent = turn.now - before.seen_at >= readiness.DEVICE_VALUE_LASTS
    turn.measured |= absent or (before.value >= near) != (value >= near)


def _slot(turn: Turn, name: str, before: Reading | None, source: str) -> tuple[str, Reading | None]:
    """Return where a reading of a source that is new to a metric belongs, and the newest one there.

    What a person read stands beside the device's values and never hides that these have stopped. A second
    device stands beside the first while that one measures, and takes its place when it has fallen silent.
    """
    turn.dirty = True
    if METRICS[name].aperiodic:
        if before is not None:
            technical.second_source(turn, name, before, source)
        return name, before
    if source.startswith(MANUAL):
        return name + MANUAL_SLOT, turn.bed.latest.get(name + MANUAL_SLOT)
    if before is None:
        return name, None
    technical.second_source(turn, name, before, source)
    beside = f"{name}@{source}"
    if absence.speaks_for(turn, name, before):
        return beside, turn.bed.latest.get(beside)
    if beside in turn.bed.latest:
        before = turn.bed.latest.pop(beside)
    if beside in turn.bed.tracks:
        turn.bed.tracks[name] = turn.bed.tracks.pop(beside)
    return name, before


def _step_s(before: Reading | None, at: datetime, nominal_s: float, source: str) -> float:
    """Return how much time a sample stands for, in seconds: since the last value, at most two periods.

    A person's value stands for one period by itself: nobody reads a pulse every second.
    """
    least = nominal_s if source.startswith(MANUAL) else 0.0
    if before is None or before.valued_at is None:
        return least
    gap = (at - before.valued_at).total_seconds()
    most = WHOLE_STEPS * nominal_s
    return max(least, min(gap, most)) if gap > 0 else least


def _continuous(turn: Turn, band: Band, name: str, slot: str, sample: Sample) -> None:
    """Pass one sample of a continuous metric through every rule in force."""
    held = absence.same_limb_hold(turn, name)
    for rule in band.rules:
        if rule.filter is not None:
            _filter(turn, rule, sample, held, slot)
        elif rule.limit.annotation and rule.boundary.beyond(sample.value):
            _annotate(turn, rule, sample.value, sample.at)
    technical.judge_quality(turn, name)


def _filter(turn: Turn, rule: Rule, sample: Sample, held: bool, slot: str) -> None:
    """Pass one sample through one rule's filter and do what it says."""
    limit, boundary, chosen = rule
    assert chosen is not None
    if held and boundary.beyond(sample.value) and not _deep(rule, sample.value):
        return  # the cuff squeezes the same limb: held back, charted, never the floor (AL-54)
    state = turn.bed.tracks.get(slot, {}).get(limit.id, filters.IDLE)
    assert isinstance(state, Excursion)
    after, verdict = filters.judge(chosen, boundary, state, sample)
    _keep(turn, slot, limit, None if after is filters.IDLE else after)
    if verdict == "fires":
        text = filters.why(boundary, after, _unit(limit))
        _raise(turn, rule, sample.value, after.onset_at or sample.at, text, after.path)
    elif verdict == "clears" and not _fired_elsewhere(turn, limit, slot):
        _clear(turn, limit, f"back inside {boundary.value:g} {_unit(limit)}: now {sample.value:g}")
    elif verdict == "present":
        _follow(turn, limit, after)


def _fired_elsewhere(turn: Turn, limit: Limit, slot: str) -> bool:
    """Say whether another source of the metric, still measuring, holds this limit's alarm."""
    for other, states in turn.bed.tracks.items():
        state = states.get(limit.id)
        if other == slot or not isinstance(state, Excursion) or not state.fired:
            continue
        reading = turn.bed.latest.get(other)
        if reading is not None and absence.speaks_for(turn, limit.metric, reading):
            return True
    return False


def _deep(rule: Rule, value: float) -> bool:
    floor = rule.filter.floor if rule.filter else None
    return floor is not None and (value <= floor if rule.boundary.side == "low" else value >= floor)


def _cuff(turn: Turn, session: Session, observation: Observation, at: datetime) -> None:
    """Judge one value of a cuff measurement: repeat-confirm, hard ceiling, hold, checkpoints."""
    name, value = observation.metric, observation.value
    assert value is not None
    point = Point(at, value)
    turn.measured = turn.dirty = True
    session = turn.bed.session = replace(session, readings=with_reading(session, name, point))
    if session.phase == "baseline" and observation.validity == VALID:
        _baseline(turn, session, observation, at)
        _hold(turn, name, point)
    schedule.meet_checkpoints(turn, name, at)
    schedule.cuff_measured(turn, name)
    band = turn.session.plan.get(name)
    if band is not None:
        judge_cuff(turn, band, observation, at)


def judge_cuff(turn: Turn, band: Band, observation: Observation, at: datetime) -> None:
    """Pass a cuff value through every limit of its metric (also used when a limit has changed)."""
    value = observation.value
    assert value is not None
    for rule in band.rules:
        if rule.limit.annotation:
            if rule.boundary.beyond(value):
                _annotate(turn, rule, value, at)
            continue
        _confirm(turn, rule, Sample(value, observation.validity == VALID, at, 0.0))


def _confirm(turn: Turn, rule: Rule, sample: Sample) -> None:
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
    )
    _keep(turn, limit.metric, limit, after)
    words = f"{sample.value:g} {_unit(limit)}, {boundary.words()}"
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
        first = f"{state.first_value:g}, repeat " if state is not None else ""
        reason = f"{first}{words}" + (" (confirmed)" if path == "confirmed" else ", at once")
        _raise(turn, rule, sample.value, state.first_at if state else sample.at, reason, path)
    elif verdict == "clears":
        _clear(turn, limit, f"cuff {sample.value:g} {_unit(limit)}, inside {boundary.value:g}")
    elif verdict == "idle" and state is not None:
        turn.tell(
            "ReadingNotConfirmed",
            rule=limit.id,
            metric=limit.metric,
            value=sample.value,
            reason=f"first {state.first_value:g}, repeat {sample.value:g} {_unit(limit)}",
        )


def _raise(turn: Turn, rule: Rule, value: float, onset_at: datetime, text: str, path: str) -> None:
    limit = rule.limit
    if limit.id in turn.bed.alarms:
        return  # another source of the metric raised it already
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


def _clear(turn: Turn, limit: Limit, reason: str) -> None:
    alarm = turn.bed.alarms.get(limit.id)
    if alarm is not None:
        turn.end_alarm(alarm, reason)


def _follow(turn: Turn, limit: Limit, state: Excursion) -> None:
    """Keep the worst value and the number of returns on a present alarm."""
    alarm = turn.bed.alarms.get(limit.id)
    if alarm is not None and (alarm.worst != state.worst or alarm.flaps != state.flaps):
        turn.bed.alarms[limit.id] = replace(alarm, worst=state.worst, flaps=state.flaps)


def _annotate(turn: Turn, rule: Rule, value: float, at: datetime) -> None:
    """Mark the chart once per session and rule; never an alarm."""
    session = turn.bed.session
    if session is None or rule.limit.id in session.annotated:
        return
    turn.bed.session = replace(session, annotated=(*session.annotated, rule.limit.id))
    words = f"{value:g} {_unit(rule.limit)}, {rule.boundary.words()}"
    turn.tell(
        "LimitAnnotated",
        rule=rule.limit.id,
        metric=rule.limit.metric,
        value=value,
        reason=words,
        read_at=at.isoformat(),
    )


def _baseline(turn: Turn, session: Session, observation: Observation, at: datetime) -> Session:
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


def _late(turn: Turn, report: Report) -> None:
    for observation in report.observations:
        _chart_late(turn, observation, observation.measured_at or report.at)


def _chart_late(turn: Turn, observation: Observation, at: datetime) -> None:
    """Count a reading that came too late to alarm; a summary follows when the backlog is over (AL-33)."""
    session, value = turn.bed.session, observation.value
    if session is None or value is None:
        return
    latest = turn.bed.latest.get(observation.metric)
    if latest is not None and at <= latest.at and METRICS[observation.metric].aperiodic:
        return  # a cuff value repeated in a later message is no backlog
    band = session.plan.get(observation.metric)
    beyond = band is not None and not band.low <= value <= band.high
    old = turn.bed.backlog
    turn.bed.backlog = Backlog(
        (old.count if old else 0) + 1,
        (old.beyond if old else 0) + beyond,
        min(old.first_at, at) if old else at,
        max(old.last_at, at) if old else at,
        turn.now,
    )
    turn.dirty = True
    if METRICS[observation.metric].aperiodic and at >= session.started_at:
        _late_cuff(turn, session, observation, at)


def _late_cuff(turn: Turn, session: Session, observation: Observation, at: datetime) -> None:
    """Count a late cuff reading for what was due, by its own time; it still raises and clears nothing."""
    name, value = observation.metric, observation.value
    assert value is not None
    points = session.readings.get(name, ())
    if not points or at > points[-1].at:
        turn.bed.session = replace(session, readings=with_reading(session, name, Point(at, value)))
        turn.measured = True
    schedule.meet_checkpoints(turn, name, at)
    schedule.judge_cadence(turn)


def _keep(turn: Turn, slot: str, limit: Limit, state: Excursion | Confirmation | None) -> None:
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


def _unit(limit: Limit) -> str:
    return METRICS[limit.metric].unit
