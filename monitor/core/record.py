"""What is kept of a session, as people read it afterwards: summary, outcomes, traces.

Law: a record is read, never computed anew: what it says happened is what was told when it happened. A gap
in a trace stays a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.vitals import Mode


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of the list of sessions.

    ``ended_at`` is ``None`` while it runs; ``alarms`` and ``high`` count physiological alarms raised;
    ``signed_by`` is empty until a clinician has signed the record.
    """

    session_id: str
    bed_id: str
    patient_code: str
    protocol: str
    protocol_digest: str
    mode: Mode
    started_at: datetime
    started_by: str
    ended_at: datetime | None = None
    ended_by: str = ""
    alarms: int = 0
    high: int = 0
    signed_by: str = ""
    signed_at: datetime | None = None


class Trace(NamedTuple):
    """One metric of one device over time.

    ``at``: instants in seconds since 1970 (UTC), shape (n,), ascending. ``values``: shape (n,), the metric's
    unit; ``None`` is a measurement that gave no value. ``marks``: reasons by position, for what is not
    plainly valid. When thinned, each interval keeps its lowest and its highest value, never a mean.
    """

    metric: str
    device_id: str
    at: list[float]
    values: list[float | None]
    marks: dict[int, str]


class Entry(NamedTuple):
    """One outcome as the journal numbered it."""

    id: int
    outcome: Outcome


class Delivery(NamedTuple):
    """What became of one notification: to which target, when made, how it stands, how often tried."""

    key: str
    alarm_id: str
    target: str
    created_at: datetime
    state: str
    attempts: int
    result: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Everything that leaves about one session."""

    summary: SessionSummary
    protocol: Protocol
    entries: tuple[Entry, ...]
    traces: tuple[Trace, ...]
    deliveries: tuple[Delivery, ...] = field(default=())
