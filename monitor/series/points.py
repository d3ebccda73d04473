"""A row of the journal as points of a time series store.

Law: the same row gives the same points for ever, so that writing twice is writing once. No patient code, no
name of a person and nothing that people typed leaves this way: a session is known by its id alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from influxdb_client.client.write.point import Point

from monitor.core.outcomes import Outcome
from monitor.schema import DRILL, METRIC_COLUMNS, OFFLINE, ONLINE, micros

VITALS, OUTCOMES, PROBE = "vitals", "outcomes", "mirror"

# What is mirrored of the log. What people wrote (notes, signatures, corrections) stays in the journal.
TOLD_BY_THE_MONITOR = frozenset(
    "AlarmRaised AlarmEscalated AlarmLatched AlarmEnded AlarmFrozen AlarmThawed CheckpointDue CheckpointMet "
    "CheckpointMissed ReadyForDischarge ReadinessLost BacklogSummarised".split()
)
DONE_BY_PEOPLE = frozenset(
    "AlarmAcknowledged AlarmReset AlarmPaused AlarmResumed AlarmReminded AlarmOffered AlarmAccepted "
    "AlarmRejected OwnershipTimedOut OwnershipExhausted AudioPaused AudioResumed SessionStarted SessionEnded "
    "PhaseChanged DeviceAssociated DeviceDissociated".split()
)
MIRRORED = TOLD_BY_THE_MONITOR | DONE_BY_PEOPLE


def lines_of_reading(site: str, row: tuple[Any, ...], names: Mapping[int, str]) -> Iterator[str]:
    """Yield the points of one reading, in line protocol.

    Args:
        site: id of the site, a tag of every point.
        row: ``bed, at, device, flags, extra`` and the metrics' columns, as the journal has them.
        names: by number, the journal's names of beds and devices.

    Yields:
        One point at the time of the reading, and one for each other time at which a value was measured.
    """
    bed, at, device, flags, extra, *values = row
    fields: dict[int, dict[str, Any]] = {at: {}}
    if extra is None:
        fields[at] = {name: v for name, v in zip(METRIC_COLUMNS, values, strict=True) if v is not None}
    else:
        _fill(fields, at, orjson.loads(extra))
    if flags & (ONLINE | OFFLINE):
        fields[at]["online"] = bool(flags & ONLINE)
    tags = {
        "site": site,
        "bed": names[bed],
        "device": names[device],
        "mode": "drill" if flags & DRILL else "real",
    }
    for when, found in fields.items():
        if found:
            yield _line(VITALS, tags, found, when * 1000)


def _fill(fields: dict[int, dict[str, Any]], at: int, extra: Mapping[str, Any]) -> None:
    """Put what the columns cannot hold under its own time: a value, why it is doubted, faults."""
    for one in extra["values"]:
        own = one["measured_at"]
        found = fields.setdefault(micros(datetime.fromisoformat(own)) if own else at, {})
        if one["value"] is not None:
            found[one["metric"]] = float(one["value"])
        mark = one["reason"] or ("" if one["validity"] == "valid" else one["validity"])
        if mark:
            found[f"{one['metric']}_mark"] = mark
    if extra.get("faults"):
        fields[at]["faults"] = ",".join(extra["faults"])


def line_of_outcome(site: str, number: int, outcome: Outcome) -> str | None:
    """Return the point of one outcome in line protocol, or ``None`` for what stays in the journal.

    Its number gives the last digits of the nanosecond: two outcomes of one instant stay two.
    """
    if outcome.outcome not in MIRRORED:
        return None
    tags = {
        "site": site,
        "bed": outcome.bed_id,
        "outcome": outcome.outcome,
        "rule": outcome.rule,
        "kind": outcome.kind,
        "priority": outcome.priority,
    }
    fields: dict[str, Any] = {"number": number}
    for name in ("alarm_id", "session_id", "metric"):
        fields[name] = getattr(outcome, name) or None
    fields["value"] = None if outcome.value is None else float(outcome.value)
    if outcome.outcome in TOLD_BY_THE_MONITOR:
        fields["reason"] = outcome.reason or None
    if outcome.outcome == "PhaseChanged":
        fields["phase"] = outcome.detail.get("phase")
    return _line(OUTCOMES, tags, fields, micros(outcome.at) * 1000 + number % 1000)


def _line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, Any], nanoseconds: int) -> str:
    made: Any = Point
    point = made(measurement).time(nanoseconds, "ns")
    for key, text in tags.items():
        point.tag(key, text)
    for key, value in fields.items():
        if value is not None:
            point.field(key, value)
    return str(point.to_line_protocol())
