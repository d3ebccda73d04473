"""Readiness for discharge: the protocol's criteria against what was measured.

Law: each criterion is met, not met or not measured, in words; the software never says "may go home". A
person answers, and may override with a reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitor.core.protocol import Criterion
from monitor.core.session import Session
from monitor.core.turn import MANUAL_LASTS, MANUAL_SLOT, Bed
from monitor.core.vitals import METRICS

DEVICE_VALUE_LASTS = timedelta(seconds=30)  # AL-29: no value is current when older

Answered = Literal["met", "not met", "not measured"]


class Judged(NamedTuple):
    """One criterion with its answer, in words, and when time alone will change it (``None``: never)."""

    criterion: Criterion
    answer: Answered
    words: str
    due_at: datetime | None = None


def judge(bed: Bed, now: datetime) -> tuple[Judged, ...]:
    """Judge every discharge criterion of the bed's session; empty without a session."""
    session = bed.session
    if session is None:
        return ()
    return tuple(_judge_one(bed, session, criterion, now) for criterion in session.protocol.discharge)


def all_met(judged: tuple[Judged, ...]) -> bool:
    """Say whether every criterion is met."""
    return bool(judged) and all(one.answer == "met" for one in judged)


def _judge_one(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    table = {
        "elapsed": _elapsed,
        "settled": _settled,
        "not_rising": _not_rising,
        "near_base": _near_base,
        "recent": _recent,
        "score": _score,
        "asked": _asked,
    }
    return table[criterion.kind](bed, session, criterion, now)


def _elapsed(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    anchor = session.anchor(criterion.anchor)
    if anchor is None:
        return Judged(criterion, "not measured", f"no {criterion.anchor.replace('_', ' ')} yet")
    due = anchor + timedelta(minutes=criterion.minutes)
    if now >= due:
        return Judged(criterion, "met", f"since {due:%H:%M} UTC")
    return Judged(criterion, "not met", f"not before {due:%H:%M} UTC", due)


def _settled(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    points = session.readings.get(criterion.metric, ())
    if not points:
        return Judged(criterion, "not measured", "no reading")
    base = session.base(criterion.metric)
    bound = criterion.absolute if base is None else max(criterion.absolute, base + criterion.margin)
    last = points[-1]
    words = f"{last.value:g} at {last.at:%H:%M} UTC, at most {bound:g} {METRICS[criterion.metric].unit}"
    if base is None:
        words += " (no baseline)"
    return Judged(criterion, "met" if last.value <= bound else "not met", words)


def _not_rising(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    points = session.readings.get(criterion.metric, ())[-2:]
    if len(points) < 2:
        return Judged(criterion, "not measured", "fewer than two readings")
    words = f"{points[0].value:g} then {points[1].value:g} {METRICS[criterion.metric].unit}"
    return Judged(criterion, "met" if points[1].value <= points[0].value else "not met", words)


def _near_base(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    reading, base = _fresh(bed, criterion.metric, now), session.base(criterion.metric)
    if reading is None:
        return Judged(criterion, "not measured", "no fresh value")
    if base is None:
        return Judged(criterion, "not measured", "no baseline")
    bound = base - criterion.margin
    value, until = reading
    words = f"{value:g}, at least {bound:g} {METRICS[criterion.metric].unit}"
    return Judged(criterion, "met" if value >= bound else "not met", words, until)


def _fresh(bed: Bed, metric: str, now: datetime) -> tuple[float, datetime] | None:
    """Return the value that stands for now and until when: a device's, or else what a person read."""
    for slot, lasts in ((metric, DEVICE_VALUE_LASTS), (metric + MANUAL_SLOT, MANUAL_LASTS)):
        latest = bed.latest.get(slot)
        if latest is None or latest.value is None or latest.seen_at is None:
            continue
        if now - latest.seen_at < lasts:
            return latest.value, latest.seen_at + lasts
    return None


def _recent(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    points = session.readings.get(criterion.metric, ())
    lasts = timedelta(minutes=criterion.minutes)
    if not points or now - points[-1].at >= lasts:
        return Judged(criterion, "not measured", f"none within {criterion.minutes:g} min")
    return Judged(criterion, "met", f"read at {points[-1].at:%H:%M} UTC", points[-1].at + lasts)


def _score(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    score = session.scores.get(criterion.scale)
    if score is None:
        return Judged(criterion, "not measured", f"{criterion.scale} not scored")
    low = criterion.at_least is None or score.value >= criterion.at_least
    high = criterion.at_most is None or score.value <= criterion.at_most
    words = f"{criterion.scale} {score.value:g} at {score.at:%H:%M} UTC by {score.by}"
    return Judged(criterion, "met" if low and high else "not met", words)


def _asked(bed: Bed, session: Session, criterion: Criterion, now: datetime) -> Judged:
    answer = session.answers.get(criterion.id)
    if answer is None:
        return Judged(criterion, "not measured", "not answered")
    return Judged(criterion, "met" if answer else "not met", "answered yes" if answer else "answered no")
