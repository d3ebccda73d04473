"""One session as a chart and a table: traces, limits over time, marks.

Law: a record is read, never computed anew. The limits over time are those that the core's
own function gives for what is in the log (phases, baseline, changes). A gap stays a gap. A long span is
drawn by the lowest and the highest of ten seconds, which is all that a screen can show of it; whoever looks
closer is given every value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.record import Entry, SessionSummary, Trace
from monitor.core.session import LimitChange, Point, Session
from monitor.web.desk import Archive
from monitor.web.wall import limits_of, ms

EXACT_S = 3600.0  # a span as long as this, and the newest part of a longer one, is told value by value
INTERVAL_S = 10.0  # else the lowest and the highest of so long: 3 pixels of an hour on a wide screen
NEWEST_S = 600.0
CHARTED = (
    "spo2",
    "heart_rate",
    "pulse_rate",
    "nibp_systolic",
    "nibp_diastolic",
    "nibp_mean",
    "nibp_pulse_rate",
    "respiration_rate",
    "etco2",
    "temperature",
)

# Outcome -> the key of its detail that says when it was true, for what a person records afterwards.
OWN_TIME = {
    "DoseRecorded": "given_at",
    "DoseWithdrawn": "given_at",
    "ManualRecorded": "read_at",
    "ScoreRecorded": "scored_at",
    "NoteRecorded": "noted_at",
}
MARKED = frozenset(
    {
        *OWN_TIME,
        "SessionStarted",
        "SessionEnded",
        "PhaseChanged",
        "AlarmRaised",
        "AlarmEscalated",
        "AlarmEnded",
        "AlarmAcknowledged",
        "AudioPaused",
        "LimitChanged",
        "LimitAnnotated",
        "HoldPrompted",
        "CheckpointMet",
        "CheckpointMissed",
        "ReadyForDischarge",
        "ReadinessConfirmed",
        "BacklogSummarised",
    }
)


def gather(archive: Archive, summary: SessionSummary, now: datetime) -> dict[str, Any]:
    """Return everything a session page draws, as JSON values."""
    ended = summary.ended_at or now
    entries = archive.log(session_id=summary.session_id)
    protocol = archive.protocol_of(summary.session_id)
    return {
        "from": ms(summary.started_at),
        "to": ms(ended),
        "live": summary.ended_at is None,
        "traces": traces(archive, summary.bed_id, summary.started_at, ended + timedelta(seconds=1)),
        "every_s": every_s(summary.started_at, ended),
        "bands": list(bands(protocol, summary, [entry.outcome for entry in entries])),
        "marks": [_mark(entry) for entry in entries if entry.outcome.outcome in MARKED],
        "last_id": entries[-1].id if entries else 0,
    }


def every_s(from_at: datetime, to_at: datetime) -> float:
    """Return how long the intervals are by which a span is drawn, in seconds; 0: every value."""
    return INTERVAL_S if (to_at - from_at).total_seconds() > EXACT_S else 0.0


def traces(archive: Archive, bed_id: str, from_at: datetime, to_at: datetime) -> list[dict[str, Any]]:
    """Return a bed's traces in a span: by intervals if it is long, but the newest part value by value.

    A live page goes on from the last value: an interval that is not over would stand in its way.
    """
    step_s = every_s(from_at, to_at)
    newest = from_at
    if step_s:
        newest = datetime.fromtimestamp((to_at.timestamp() - NEWEST_S) // step_s * step_s, UTC)
    exact = archive.traces(bed_id, newest, to_at, metrics=CHARTED)
    if not step_s:
        return [_trace(one) for one in exact]
    last = newest - timedelta(microseconds=1)
    found = {
        (one.metric, one.device_id): one
        for one in archive.traces(bed_id, from_at, last, metrics=CHARTED, every_s=step_s)
    }
    for one in exact:
        key = (one.metric, one.device_id)
        found[key] = _joined(found[key], one) if key in found else one
    return [_trace(one) for one in found.values()]


def _joined(before: Trace, after: Trace) -> Trace:
    marks = before.marks | {len(before.at) + place: reason for place, reason in after.marks.items()}
    return before._replace(at=before.at + after.at, values=before.values + after.values, marks=marks)


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "metric": trace.metric,
        "device": trace.device_id,
        "at": trace.at,
        "values": trace.values,
        "marks": {str(place): reason for place, reason in trace.marks.items()},
    }


def _mark(entry: Entry) -> dict[str, Any]:
    outcome = entry.outcome
    return {
        "id": entry.id,
        "at": ms(_when(outcome)),
        "what": outcome.outcome,
        "alarm": outcome.alarm_id,
        "rule": outcome.rule,
        "kind": outcome.kind,
        "priority": outcome.priority,
        "metric": outcome.metric,
        "value": outcome.value,
        "reason": outcome.reason,
        "by": outcome.by,
        "detail": {key: value for key, value in outcome.detail.items() if key != "signal"},
    }


def _when(outcome: Outcome) -> datetime:
    said = outcome.detail.get(OWN_TIME.get(outcome.outcome, ""))
    return datetime.fromisoformat(said) if isinstance(said, str) else outcome.at


def bands(
    protocol: Protocol, summary: SessionSummary, outcomes: Sequence[Outcome]
) -> Iterator[dict[str, Any]]:
    """Yield each metric's limits over time: from, to (milliseconds; ``None``: still), and the limits."""
    session = Session(
        summary.session_id,
        summary.patient_code,
        protocol,
        summary.mode,
        summary.started_at,
        summary.started_by,
        phase_at=summary.started_at,
    )
    since = {metric: (summary.started_at, limits_of(session, metric)) for metric in CHARTED}
    for outcome in outcomes:
        changed = _followed(session, outcome)
        if changed is None:
            continue
        session = changed
        for metric in CHARTED:
            began, before = since[metric]
            after = limits_of(session, metric)
            if after != before:
                yield from _band(metric, began, outcome.at, before)
                since[metric] = (outcome.at, after)
    for metric, (began, limits) in since.items():
        yield from _band(metric, began, summary.ended_at, limits)


def _band(
    metric: str, began: datetime, ended: datetime | None, limits: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    if limits:
        yield {"metric": metric, "from": ms(began), "to": ms(ended), "limits": limits}


def _followed(session: Session, outcome: Outcome) -> Session | None:
    """Return the session after an outcome that moves limits, or ``None``."""
    if outcome.outcome == "PhaseChanged":
        return replace(session, phase=outcome.detail["phase"], phase_at=outcome.at)
    if outcome.outcome == "BaselineEstablished" and outcome.value is not None:
        points = (Point(outcome.at, outcome.value),) * session.protocol.baseline.readings
        return replace(session, baseline={**session.baseline, outcome.metric: points})
    if outcome.outcome == "LimitChanged":
        on = bool(outcome.detail.get("on", True))
        change = LimitChange(outcome.value, on, outcome.by, outcome.at, outcome.reason)
        return replace(session, changes={**session.changes, outcome.rule: change})
    return None
