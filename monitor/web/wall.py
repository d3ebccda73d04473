"""One bed as the wall shows it: plain JSON values, made from the bed alone.

Law: nothing here depends on the time of looking. Where time alone changes what is shown (a stale number, a
countdown) the instant goes out and the browser acts on it: a bed that did not change costs nothing, and a
browser that hears nothing still greys its numbers. Instants are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from monitor.core import readiness
from monitor.core.alarms import Alarm
from monitor.core.protocol import Limit, Watch
from monitor.core.session import Session, cuff_due_at, due_at, window
from monitor.core.turn import Bed, Reading
from monitor.core.vitals import METRICS

STALE_S = 30.0  # for a continuous metric that no protocol watches: the cap of AL-29
CUFF_LEAVES_S = 3600.0  # without a cadence a cuff reading leaves the tile after an hour (proposed)

# The metrics of a tile, in their fixed order; the rest is on the session page.
SHOWN = (
    "spo2",
    "heart_rate",
    "pulse_rate",
    "nibp_systolic",
    "nibp_diastolic",
    "respiration_rate",
    "etco2",
    "temperature",
)


class _OfSession(NamedTuple):
    """What follows from a session alone. A session is a value, so this is worked out once for each."""

    session: Session
    limits: dict[str, dict[str, Any]]
    shown: dict[str, Any]


_KEPT: dict[str, _OfSession] = {}  # by bed: one for each, however many sessions it has seen


def show_bed(bed: Bed) -> dict[str, Any]:
    """Return one bed: its numbers, its alarms (the worst first), its session."""
    session = bed.session
    worst: dict[str, str] = {}
    alarms = sort_alarms(bed)
    for alarm in reversed(alarms):
        if alarm.metric and alarm.kind == "physiological" and alarm.condition == "present":
            worst[alarm.metric] = alarm.priority
    return {
        "id": bed.bed_id,
        "numbers": {
            name: _number(bed, name, bed.latest.get(name), worst.get(name, ""))
            for name in SHOWN
            if name in bed.latest or _expected(bed, name)
        },
        "alarms": [show_alarm(alarm) for alarm in alarms],
        "pause": {"until": ms(bed.audio_pause.until), "by": bed.audio_pause.by} if bed.audio_pause else None,
        "link_lost": ms(bed.link_lost_at),
        "session": _show_progress(bed, session) if session is not None else None,
        "devices": sorted(bed.devices),
    }


def sort_alarms(bed: Bed) -> list[Alarm]:
    """Return present and latched alarms: high, medium, low; the newest first within a priority (AL-05)."""
    every = [*bed.alarms.values(), *bed.latched.values()]
    return sorted(every, key=lambda one: (-one.rank, bool(one.covered_by), -one.present_at.timestamp()))


def show_alarm(alarm: Alarm) -> dict[str, Any]:
    """Return one alarm in JSON values."""
    known, own = alarm.acknowledgement, alarm.ownership
    return {
        "id": alarm.alarm_id,
        "key": alarm.key,
        "kind": alarm.kind,
        "priority": alarm.priority,
        "text": alarm.text,
        "metric": alarm.metric,
        "value": alarm.value,
        "worst": alarm.worst,
        "limit": alarm.limit,
        "since": ms(alarm.onset_at),
        "present": ms(alarm.present_at),
        "ended": ms(alarm.ended_at),
        "signal": alarm.signal,
        "frozen": alarm.frozen,
        "pausable": alarm.pausable,
        "covered": bool(alarm.covered_by),
        "flaps": alarm.flaps,
        "by": known.by if known else "",
        "until": ms(known.until if known else alarm.paused_until),
        "owner": own.owner,
        "ownership": own.state,
    }


def signature(bed: Bed) -> tuple[Any, ...]:
    """Return what must be seen at once when it changes; numbers may wait for the next second."""
    session = bed.session
    return (
        tuple(
            (one.alarm_id, one.priority, one.signal, one.frozen, one.covered_by, one.ownership)
            for one in (*bed.alarms.values(), *bed.latched.values())
        ),
        bed.audio_pause,
        (session.session_id, session.phase, session.doses, session.ready_by, tuple(session.held))
        if session
        else None,
        bed.link_lost_at,
    )


def limits_of(session: Session, metric: str) -> list[dict[str, Any]]:
    """Return a metric's limits: in force or off, each with its priority and exact words (AL-07, AL-08)."""
    band = session.plan.get(metric)
    live = {rule.limit.id: rule.boundary for rule in band.rules} if band else {}
    found = []
    for limit in session.protocol.limits:
        if limit.metric != metric or limit.annotation or session.phase not in limit.phases:
            continue
        boundary = live.get(limit.id)
        if boundary is None and not _switched_off(session, limit):
            continue  # relative to a baseline that is not there yet
        found.append(
            {
                "id": limit.id,
                "side": limit.side,
                "value": boundary.value if boundary else None,
                "priority": limit.priority,
                "inclusive": limit.at_limit,
                "on": boundary is not None,
                "changed": limit.id in session.changes,
            }
        )
    return found


def _switched_off(session: Session, limit: Limit) -> bool:
    change = session.changes.get(limit.id)
    return not (change.on if change else limit.on)


def _expected(bed: Bed, metric: str) -> bool:
    if bed.session is None or metric in bed.session.without:
        return False
    if any(watch.metric == metric and not watch.if_provided for watch in bed.session.protocol.watch):
        return True
    return metric in ("nibp_systolic", "nibp_diastolic") or any(
        metric in device.profile.metrics for device in bed.devices.values()
    )


def _number(bed: Bed, name: str, reading: Reading | None, priority: str) -> dict[str, Any]:
    session, metric = bed.session, METRICS[name]
    shown: dict[str, Any] = {"unit": metric.unit}
    if priority:
        shown["priority"] = priority
    if metric.decimals:
        shown["decimals"] = metric.decimals
    if session is not None:
        shown |= _of_session(bed.bed_id, session).limits[name]
    late = _late_reading(session, name)
    if late is not None and (reading is None or reading.at < late.at):
        reading = late
    if reading is None:
        return {**shown, "value": None, "why": "nothing received yet"}
    return {
        **shown,
        "value": reading.value,
        "at": ms(reading.valued_at),
        "stale": ms(_leaves_at(bed, name, reading)),
        "quality": reading.validity,
        "source": reading.device_id,
        **({"why": reading.reason} if reading.reason else {}),
    }


def _late_reading(session: Session | None, name: str) -> Reading | None:
    """Return the newest cuff value, which may have come too late to alarm; it keeps its own time."""
    points = session.readings.get(name, ()) if session is not None else ()
    if not points:
        return None
    newest = max(points, key=lambda one: one.at)
    return Reading(newest.value, "valid", newest.at, "", "came late", newest.at, newest.at)


def _of_session(bed_id: str, session: Session) -> _OfSession:
    kept = _KEPT.get(bed_id)
    if kept is None or kept.session is not session:
        limits = {metric: _tile_limits(session, metric) for metric in SHOWN}
        kept = _KEPT[bed_id] = _OfSession(session, limits, _show_session(session))
    return kept


def _tile_limits(session: Session, name: str) -> dict[str, Any]:
    """Return the tightest limit of each side that is in force, and the sides where one is off."""
    bounds = limits_of(session, name)
    off = [one["side"] for one in bounds if not one["on"]]
    shown: dict[str, Any] = {side: _tightest(bounds, side) for side in ("low", "high")}
    return {
        **{side: value for side, value in shown.items() if value is not None},
        **({"off": off} if off else {}),
    }


def _tightest(bounds: list[dict[str, Any]], side: str) -> float | None:
    values = [one["value"] for one in bounds if one["side"] == side and one["on"]]
    if not values:
        return None
    chosen = max(values) if side == "low" else min(values)
    return None if math.isinf(chosen) else float(chosen)


def _leaves_at(bed: Bed, name: str, reading: Reading) -> datetime | None:
    """Return from when a number is too old to stand on a tile."""
    session = bed.session
    if METRICS[name].aperiodic:
        if reading.valued_at is None:
            return None
        if session is not None:
            for cadence in session.protocol.cadence:
                if cadence.phase == session.phase:
                    return reading.valued_at + timedelta(minutes=cadence.every_min + cadence.high_late_min)
        return reading.valued_at + timedelta(seconds=CUFF_LEAVES_S)
    if reading.seen_at is None:
        return None
    watches = session.protocol.watch if session else ()
    return reading.seen_at + timedelta(seconds=_stale_after_s(bed, name, watches))


def _stale_after_s(bed: Bed, name: str, watches: tuple[Watch, ...]) -> float:
    found = [watch.stale_after_s for watch in watches if watch.metric == name]
    period = min(
        (d.profile.expected_interval_s for d in bed.devices.values() if name in d.profile.metrics),
        default=0.0,
    )
    return max(found[0] if found else STALE_S, 2.5 * period)


def _show_progress(bed: Bed, session: Session) -> dict[str, Any]:
    """Return the session, with how many criteria for discharge are met by now."""
    near_home = session.phase in ("observation", "ready")  # before, nobody asks, and judging is half the cost
    judged = readiness.judge(bed, bed.now or session.started_at) if near_home else ()
    met = sum(one.answer == "met" for one in judged)
    shown = _of_session(bed.bed_id, session).shown
    return {**shown, "ready": {"met": met, "of": len(session.protocol.discharge)}}


def _show_session(session: Session) -> dict[str, Any]:
    doses = session.standing
    return {
        "id": session.session_id,
        "code": session.patient_code,
        "protocol": session.protocol.name,
        "title": session.protocol.title,
        "route": session.protocol.route,
        "phase": session.phase,
        "mode": session.mode,
        "started": ms(session.started_at),
        "by": session.started_by,
        "first_dose": ms(doses[0].at) if doses else None,
        "last_dose": ms(doses[-1].at) if doses else None,
        "dosing_ends": ms(session.dosing_ends_at()),
        "doses": [
            {
                "at": ms(dose.at),
                "exact": dose.at.isoformat(),  # what strikes it: a millisecond is too coarse
                "amount_mg": dose.amount_mg,
                "route": dose.route,
                "by": dose.by,
                "withdrawn": dose.withdrawn,
            }
            for dose in session.doses
        ],
        "next": _next_checkpoint(session),
        "cuff_due": ms(cuff_due_at(session)),
        "held": sorted(session.held),
        "without": list(session.without),
        "ready_by": session.ready_by,
        "baseline": {name: session.base(name) for name in session.baseline},
        "same_limb": session.same_limb,
    }


def show_criteria(bed: Bed, now: datetime) -> list[dict[str, Any]]:
    """Return each criterion for discharge with its answer; for the session page, not sent to walls."""
    return [
        {
            "id": one.criterion.id,
            "label": one.criterion.label,
            "kind": one.criterion.kind,
            "answer": one.answer,
            "words": one.words,
            "due": ms(one.due_at),
        }
        for one in readiness.judge(bed, now)
    ]


def _next_checkpoint(session: Session) -> dict[str, Any] | None:
    """Return the next measurement due that is not met: its label, its instant and the end of its window."""
    found = []
    for checkpoint in session.protocol.checkpoints:
        due, span = due_at(session, checkpoint), window(session, checkpoint)
        if session.checkpoints.get(checkpoint.id) in ("met", "missed") or due is None or span is None:
            continue
        found.append((due, span, checkpoint))
    if not found:
        return None
    due, span, checkpoint = min(found, key=lambda one: one[0])
    return {"id": checkpoint.id, "label": checkpoint.label, "due": ms(due), "until": ms(span[1])}


def ms(instant: datetime | None) -> int | None:
    """Return an instant as milliseconds since 1970 UTC."""
    return None if instant is None else round(instant.timestamp() * 1000)
