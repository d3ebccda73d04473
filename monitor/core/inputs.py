"""Everything that can happen to a bed, as imperatives.

Law: whatever changes a bed comes through one of these, carries all it needs, and is refused or done by
``advance``; ``by`` is the person who asks. Instants are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitor.core.device import DeviceProfile
from monitor.core.escalation import Ladder
from monitor.core.protocol import Phase, Priority, Protocol
from monitor.core.vitals import Mode, Report


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; nothing else."""


@dataclass(frozen=True, slots=True)
class Observe:
    """A device reported."""

    report: Report


@dataclass(frozen=True, slots=True)
class Associate:
    """This device now serves this bed; with ``by`` it is a person's hand-over (AL-53)."""

    profile: DeviceProfile
    by: str = ""


@dataclass(frozen=True, slots=True)
class Dissociate:
    """This device no longer serves this bed."""

    device_id: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class RefuseReport:
    """A device of this bed sent what could not be decoded (it is in the quarantine)."""

    device_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoseLink:
    """The broker cannot be reached: silence says nothing about devices any more (P-41, P-45)."""


@dataclass(frozen=True, slots=True)
class RestoreLink:
    """The broker is back."""


@dataclass(frozen=True, slots=True)
class ReportCondition:
    """A technical condition found outside the core is present (a dead channel, a full disk)."""

    key: str
    priority: Priority
    text: str


@dataclass(frozen=True, slots=True)
class ClearCondition:
    """That condition is over."""

    key: str


@dataclass(frozen=True, slots=True)
class ConfirmSignals:
    """A person saw and heard the test signals of a screen (AL-51)."""

    screen: str
    by: str


@dataclass(frozen=True, slots=True)
class StartUpTest:
    """What is proved of light, sound and channels as a session begins (AL-51).

    ``by`` saw and heard the test signals at ``at``; ``missing`` says in words what is not proved, and
    ``override`` why the session begins all the same.
    """

    by: str = ""
    at: datetime | None = None
    missing: tuple[str, ...] = ()
    override: str = ""


@dataclass(frozen=True, slots=True)
class StartSession:
    """Begin a session. ``without`` names metrics that will not be measured, with ``reason`` why.

    ``start_up``: none where no person stands before a screen (a drill's program, a replay).
    """

    session_id: str
    patient_code: str
    protocol: Protocol
    by: str
    mode: Mode = "real"
    started_at: datetime | None = None
    phase: Phase = "baseline"
    without: tuple[str, ...] = ()
    reason: str = ""
    start_up: StartUpTest | None = None


@dataclass(frozen=True, slots=True)
class RecordDose:
    """A dose was given. ``reason`` is needed while the hold prompt stands."""

    amount_mg: float
    route: str
    by: str
    at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndDosing:
    """The infusion stopped, or the last device was used."""

    by: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WithdrawDose:
    """A dose was recorded by mistake; it stays in the record, struck through."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordManual:
    """A person measured: values in the metrics' units."""

    values: dict[str, float]
    by: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordScore:
    """A person scored the patient on a scale."""

    scale: str
    value: float
    by: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordNote:
    """A symptom, an intervention or a note, in a person's words."""

    kind: str
    text: str
    by: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's yes or no to a discharge criterion that only a person can judge."""

    criterion: str
    met: bool
    by: str


@dataclass(frozen=True, slots=True)
class ConfirmReady:
    """A person confirms readiness for discharge; ``reason`` is needed when criteria are not met."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EndSession:
    """End the session; ``reason`` is needed when readiness was not confirmed."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Change one limit of this session: a new value, or on and off (AL-09)."""

    limit_id: str
    by: str
    role: str
    reason: str
    value: float | None = None
    on: bool = True


@dataclass(frozen=True, slots=True)
class SetSameLimb:
    """The cuff and the SpO2 probe are (not) on the same limb (AL-54)."""

    same: bool
    by: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person knows of this alarm, at the priority that they saw."""

    alarm_id: str
    by: str
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class AcknowledgeMilder:
    """A person knows of these low and medium alarms of the bed, each (id) at the priority seen (P-37)."""

    seen: tuple[tuple[str, Priority], ...]
    by: str


@dataclass(frozen=True, slots=True)
class ResetAlarm:
    """A person has seen an ended alarm that stayed latched."""

    alarm_id: str
    by: str


@dataclass(frozen=True, slots=True)
class PauseAudio:
    """No sound from this bed for ``seconds`` (``None``: the protocol's default)."""

    by: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ResumeAudio:
    """Sound again, before the pause ends."""

    by: str


@dataclass(frozen=True, slots=True)
class PauseAlarm:
    """No signal of one alarm for ``seconds`` (a probe is being moved); capped, and not for every alarm."""

    alarm_id: str
    by: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeAlarm:
    """Signal again, before the pause ends."""

    alarm_id: str
    by: str


@dataclass(frozen=True, slots=True)
class SetLadder:
    """Whom this bed's alarms are offered to from now on; with ``by`` a person changed who is on duty."""

    ladder: Ladder
    by: str = ""


@dataclass(frozen=True, slots=True)
class Accept:
    """A person takes responsibility for this alarm; its sound and light stay until it is acknowledged."""

    alarm_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A person cannot take this alarm: it passes to the next level at once (AL-41)."""

    alarm_id: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SignRecord:
    """A clinician signs a session's record, as it stands, in ``text``'s words."""

    session_id: str
    by: str
    role: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class RecordDisposition:
    """What an alarm turned out to be: actionable, known, artefact or drill (AF-13)."""

    session_id: str
    alarm_id: str
    disposition: str
    by: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class CorrectRecord:
    """An entry of a session's record is wrong: what is right, and why; the entry itself stays."""

    session_id: str
    entry_id: int
    by: str
    reason: str
    text: str


Input = (
    Tick
    | Observe
    | Associate
    | Dissociate
    | RefuseReport
    | LoseLink
    | RestoreLink
    | ReportCondition
    | ClearCondition
    | ConfirmSignals
    | StartSession
    | RecordDose
    | EndDosing
    | WithdrawDose
    | RecordManual
    | RecordScore
    | RecordNote
    | Answer
    | ConfirmReady
    | EndSession
    | SetLimit
    | SetSameLimb
    | Acknowledge
    | AcknowledgeMilder
    | ResetAlarm
    | PauseAudio
    | ResumeAudio
    | PauseAlarm
    | ResumeAlarm
    | SignRecord
    | RecordDisposition
    | CorrectRecord
    | SetLadder
    | Accept
    | Reject
)
