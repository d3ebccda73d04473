"""Readings are taken in, placed in time and judged.

Law: only a live value of the right mode is judged; a reading in doubt is held back for a bounded time only.
Everything else is charted and counted.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.core import absence, conditions, cuff, filters, readiness, technical
from monitor.core.cuff import CUFF_METRICS
from monitor.core.device import LATE, Device, DeviceProfile, Spoken, is_overtaken, note_live, receive
from monitor.core.filters import Excursion, Sample
from monitor.core.inputs import Observe
from monitor.core.protocol import Limit
from monitor.core.session import Band, Rule
from monitor.core.turn import MANUAL, MANUAL_LASTS, MANUAL_SLOT, Backlog, Reading, Track, Turn
from monitor.core.vitals import FAULTS, INVALID, METRICS, VALID, Observation, Report

WELL = (None, None)  # a device whose clock and counter are as they should be
WHOLE_STEPS = 2.0  # a gap counts for at most so many nominal periods (AF-06)
MANUAL_S = 60.0  # what one value that a person read stands for: longer than any ceiling, so that it counts


def observe(turn: Turn, given: Observe) -> None:
    """Take one report of a device that serves this bed."""
    report = given.report
    device = turn.bed.devices.get(report.device_id)
    if device is None:
        turn.refuse("Observe", f"device {report.device_id} does not serve {turn.bed.bed_id}")
        return
    device = turn.bed.devices[report.device_id] = device.copy()
    newest, now = device.measured_at, turn.now  # as they are before it is taken
    turn.dated = lambda: _since(device.profile, newest, report, now)
    _take_report(turn, device, report)
    turn.dated = None


def _since(profile: DeviceProfile, newest: datetime | None, report: Report, now: datetime) -> datetime:
    """Return since when what a report says is so: by its own time where that is new and near.

    Then hearing it again after a crash makes the same alarm, not another one (R-02).
    """
    at = report.measured_at if profile.trust_clock else None
    if at is None or not timedelta(0) <= now - at <= LATE:
        return now
    return at if newest is None or at >= newest else now


def _take_report(turn: Turn, device: Device, report: Report) -> None:
    if report.online is not None:
        device.online = report.online
        absence.judge_channels(turn)
        if not report.observations and report.faults is None:
            return
    session = turn.bed.session
    if session is not None and report.mode != session.mode:
        technical.wrong_mode(turn, device, report)
        return
    before = (device.skew_since, device.gap_at)
    timed = receive(device, report, turn.now)
    if timed.liveness == "late":
        _late(turn, report)
        _end_faults(turn, device, report)
        technical.judge_device(turn, device)
        turn.dirty = True
    if timed.liveness != "live":
        return
    note_live(device, timed.at)
    faults = _faults(device, report)
    if faults != device.faults:
        technical.set_faults(turn, device, faults)
    carried = cuff.is_carried(turn, report)
    stale = turn.now - timed.at > LATE
    for observation in report.observations:
        if carried and observation.metric in CUFF_METRICS:
            continue
        if stale or device.faults or observation.measured_at is not None:
            _take(turn, device, observation, _instant(turn, report, observation, timed.at))
        else:
            _record(turn, observation, report.device_id, timed.at, device.profile.expected_interval_s)
    after = (device.skew_since, device.gap_at)
    if before != WELL or after != WELL:
        technical.judge_device(turn, device)
        turn.dirty |= before != after


def _end_faults(turn: Turn, device: Device, report: Report) -> None:
    """Take off the faults that a late report no longer has: whoever sends changes only says it once.

    It begins none: what is over or not is for live reports to say (AL-33).
    """
    if report.sequence is not None:
        newest = report.sequence == device.sequence
    else:
        newest = (
            report.measured_at is None
            or device.measured_at is None
            or report.measured_at >= device.measured_at
        )
    if report.faults is not None and newest:
        device.faults_said = Spoken(report.boot_id, report.sequence)
        left = tuple(name for name in device.faults if name in report.faults)
        if left != device.faults:
            technical.set_faults(turn, device, left)


def observe_manual(turn: Turn, observations: tuple[Observation, ...], by: str, at: datetime) -> None:
    """Take what a person measured; it enters the same core, marked (values in the metrics' units).

    What was read too long ago to stand for the patient now is charted and counts for what was due (AL-32).
    """
    for observation in observations:
        if turn.now - at > MANUAL_LASTS:
            _chart_late(turn, observation, at)
            continue
        _record(turn, observation, f"{MANUAL}{by}", at, nominal_s=MANUAL_S)


def _faults(device: Device, report: Report) -> tuple[str, ...]:
    """Return a device's faults as a live report leaves them."""
    if report.faults is None:
        return _outlived(device, report)
    if is_overtaken(device, report):
        return device.faults
    device.faults_said = Spoken(report.boot_id, report.sequence)
    return report.faults


def _outlived(device: Device, report: Report) -> tuple[str, ...]:
    """Return a device's faults without those that a report without any word of faults shows to be over.

    Of the cuff: a new cuff value. Of every kind: it has been switched off and on since, and says them again
    if they are still there; the word that ended them may have been lost with its power.
    """
    said = device.faults_said
    if report.boot_id and said and said.boot_id and report.boot_id != said.boot_id:
        return ()
    if not device.faults or not any(
        o.value is not None and METRICS[o.metric].channel == "cuff" for o in report.observations
    ):
        return device.faults
    return tuple(name for name in device.faults if FAULTS[name].channel != "cuff")


def _instant(turn: Turn, report: Report, observation: Observation, at: datetime) -> datetime:
    """Return the instant of an observation, which may have a time of its own, on our clock."""
    if observation.measured_at is None:
        return at
    return min(at - (report.at - observation.measured_at), turn.now)


def _take(turn: Turn, device: Device, observation: Observation, at: datetime) -> None:
    metric = METRICS[observation.metric]
    # A cuff value waits for the next message of its device: so much later it is still news.
    waited = timedelta(seconds=device.profile.expected_interval_s) if metric.aperiodic else timedelta(0)
    if turn.now - at > LATE + waited:
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
    if bed.alarms:
        _measured_again(turn, name, slot)
    if name in CUFF_METRICS:
        cuff.measured(turn, session, observation, at)
        return
    if session.phase == "baseline":
        session = conditions.add_to_baseline(turn, session, observation, at)
    band = session.plan.get(name)
    if band is None:
        return
    if band.near is not None and session.phase == "observation":
        _look_at_readiness(turn, band.near, before, value)
    if not band.low < value < band.high or observation.validity != VALID or slot in bed.tracks:
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
        own = turn.bed.latest.pop(beside)
        if own.seen_at is None:  # it has measured nothing yet: the silence is still that of the first one
            own = own._replace(valued_at=before.valued_at, seen_at=before.seen_at)
        before = own
    if beside in turn.bed.tracks:
        turn.bed.tracks[name] = _carried_on(turn.bed.tracks.pop(beside), turn.bed.tracks.get(name, {}))
    return name, before


def _measured_again(turn: Turn, name: str, slot: str) -> None:
    """A value came while an alarm is present: whatever waited for its metric goes on.

    What a source had raised that has fallen silent passes to the one that measures now. The patient is
    measured: the alarm neither ends by that silence nor stays for ever, but ends by values as any other.
    """
    if slot != name + MANUAL_SLOT:
        absence.value_returned(turn, name)
    for other in [one for one in turn.bed.tracks if one != slot and one.partition("@")[0] == name]:
        if not absence.measures(turn, other):
            turn.bed.tracks[slot] = _carried_on(turn.bed.tracks.get(slot, {}), turn.bed.tracks.pop(other))
    if f"low-quality:{name}" in turn.bed.alarms:
        technical.judge_quality(turn, name)


def _carried_on(own: dict[str, Track], left: dict[str, Track]) -> dict[str, Track]:
    """Return a source's filters with the alarms that another one left behind."""
    fired = {rule: state for rule, state in left.items() if _fired(state) and not _fired(own.get(rule))}
    return {**own, **fired}


def _fired(state: Track | None) -> bool:
    return isinstance(state, Excursion) and state.fired


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
            conditions.annotate(turn, rule, sample.value, sample.at)
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
    conditions.keep(turn, slot, limit, None if after is filters.IDLE else after)
    if verdict == "clears" and not _fired_elsewhere(turn, limit, slot):
        conditions.clear_limit(
            turn, limit, f"back inside {boundary.value:g} {conditions.unit_of(limit)}: now {sample.value:g}"
        )
    elif after.fired and limit.id in turn.bed.alarms:
        conditions.follow(turn, limit, after)
    elif after.fired:
        text = filters.why(boundary, after, conditions.unit_of(limit))
        conditions.raise_limit(turn, rule, sample.value, after.onset_at or sample.at, text, after.path)


def _fired_elsewhere(turn: Turn, limit: Limit, slot: str) -> bool:
    """Say whether another source of the metric holds this limit's alarm (it measures: see above)."""
    return any(_fired(states.get(limit.id)) for other, states in turn.bed.tracks.items() if other != slot)


def _deep(rule: Rule, value: float) -> bool:
    floor = rule.filter.floor if rule.filter else None
    return floor is not None and (value <= floor if rule.boundary.side == "low" else value >= floor)


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
    rules = band.rules if band is not None else ()
    beyond = any(rule.boundary.beyond(value) and not rule.limit.annotation for rule in rules)
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
        cuff.measured_late(turn, session, observation, at)
