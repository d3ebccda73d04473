"""What happened to a bed: the past tense of what inputs did.

Law: one flat shape for every outcome, so that the journal, a message, the wall and a line of JSON all say
the same thing in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from monitor.core.alarms import Kind
from monitor.core.protocol import Priority
from monitor.core.vitals import Mode

OutcomeName = Literal[
    "AlarmRaised",
    "AlarmEscalated",
    "AlarmLatched",
    "AlarmEnded",
    "AlarmAcknowledged",
    "AlarmReset",
    "AlarmFrozen",
    "AlarmThawed",
    "AlarmResumed",
    "AlarmReminded",
    "AlarmPaused",
    "AlarmOffered",
    "AlarmAccepted",
    "AlarmRejected",
    "OwnershipTimedOut",
    "OwnershipExhausted",
    "LadderChanged",
    "AudioPaused",
    "AudioResumed",
    "SignalsConfirmed",
    "SessionStarted",
    "PhaseChanged",
    "DoseRecorded",
    "DoseWithdrawn",
    "HoldPrompted",
    "HoldCleared",
    "BaselineEstablished",
    "LimitChanged",
    "LimitAnnotated",
    "ReadingUnconfirmed",
    "ReadingNotConfirmed",
    "CheckpointDue",
    "CheckpointMet",
    "CheckpointMissed",
    "ManualRecorded",
    "ScoreRecorded",
    "NoteRecorded",
    "Answered",
    "ReadyForDischarge",
    "ReadinessLost",
    "ReadinessConfirmed",
    "SessionEnded",
    "BacklogSummarised",
    "RecordSigned",
    "DispositionRecorded",
    "RecordCorrected",
    "DeviceAssociated",
    "DeviceDissociated",
    "Refused",
]


class Outcome(NamedTuple):
    """One thing that happened.

    ``at`` is when it became true (a timer's own due time, not the tick that noticed it), ``reason`` says
    why in words, ``by`` who did it, ``detail`` holds what only this kind of outcome has (JSON values).
    ``mode`` is that of its session, which may have ended since; empty where there was none.
    """

    outcome: OutcomeName
    at: datetime
    bed_id: str
    session_id: str = ""
    alarm_id: str = ""
    rule: str = ""
    kind: Kind | Literal[""] = ""
    priority: Priority | Literal[""] = ""
    metric: str = ""
    value: float | None = None
    reason: str = ""
    by: str = ""
    detail: Mapping[str, Any] = MappingProxyType({})
    mode: Mode | Literal[""] = ""


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as JSON values; instants as ISO 8601 with offset, an empty ``mode`` left out."""
    fields = outcome._asdict()
    if not outcome.mode:
        del fields["mode"]
    fields["at"] = outcome.at.isoformat()
    fields["detail"] = dict(outcome.detail)
    return fields
