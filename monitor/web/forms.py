"""What a person may hand in about a bed: one form for each input, checked before it reaches the desk.

Law: a form says what it needs and refuses the rest; who it comes from is never part of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitor.core import inputs
from monitor.core.inputs import Input
from monitor.core.protocol import Priority
from monitor.core.vitals import METRICS, Mode
from monitor.web.seats import Right, Seat

Reason = Annotated[str, Field(max_length=500)]
Amount = Annotated[float, Field(allow_inf_nan=False, ge=-1000, le=100_000)]


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}: use one of {', '.join(METRICS)}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


class Form(BaseModel):
    """One thing a person hands in."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    right: ClassVar[Right] = "care"

    def make(self, seat: Seat) -> Input:
        """Return the input, in the person's name."""
        raise NotImplementedError


class _Timed(Form):
    at: datetime | None = Field(None, description="when it happened, with offset; now if left out")

    def when(self) -> datetime | None:
        """Return the instant in UTC; one without an offset counts as UTC."""
        if self.at is None:
            return None
        return self.at.replace(tzinfo=UTC) if self.at.tzinfo is None else self.at.astimezone(UTC)


class Dose(_Timed):
    """A dose was given."""

    amount_mg: float = Field(gt=0, le=1000, allow_inf_nan=False)
    route: Literal["iv", "in", "im", "sc", "po"]
    reason: Reason = ""

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.RecordDose(self.amount_mg, self.route, seat.name, self.when(), self.reason)


class DoseWithdrawal(Form):
    """A dose was recorded by mistake."""

    at: datetime
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.WithdrawDose(self.at.astimezone(UTC), seat.name, self.reason)


class DosingEnd(_Timed):
    """The infusion stopped, or the last device was used."""

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.EndDosing(seat.name, self.when())


class Manual(_Timed):
    """A person measured."""

    values: dict[MetricName, Amount] = Field(min_length=1, max_length=11)

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.RecordManual(dict(self.values), seat.name, self.when())


class ScoreForm(_Timed):
    """A person scored the patient."""

    scale: Annotated[str, Field(max_length=40)]
    value: Amount

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.RecordScore(self.scale, self.value, seat.name, self.when())


class Note(_Timed):
    """A symptom, an intervention or a note."""

    kind: Literal["note", "symptom", "intervention"] = "note"
    text: Annotated[str, Field(min_length=1, max_length=2000)]

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.RecordNote(self.kind, self.text, seat.name, self.when())


class CriterionAnswer(Form):
    """A yes or no to a discharge criterion."""

    criterion: Annotated[str, Field(max_length=80)]
    met: bool

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.Answer(self.criterion, self.met, seat.name)


class Ready(Form):
    """Readiness for discharge is confirmed."""

    reason: Reason = ""

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.ConfirmReady(seat.name, self.reason)


class End(Form):
    """The session ends."""

    reason: Reason = ""

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.EndSession(seat.name, self.reason)


class SameLimb(Form):
    """Cuff and SpO2 probe are (not) on the same limb."""

    same: bool

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.SetSameLimb(self.same, seat.name)


class AudioPause(Form):
    """No sound from this bed for a while."""

    seconds: float | None = Field(None, gt=0, le=3600)

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.PauseAudio(seat.name, self.seconds)


class AudioResume(Form):
    """Sound again."""

    def make(self, seat: Seat) -> Input:
        """Return the input."""
        return inputs.ResumeAudio(seat.name)


FORMS: dict[str, type[Form]] = {
    "dose": Dose,
    "dose/withdraw": DoseWithdrawal,
    "dosing-end": DosingEnd,
    "manual": Manual,
    "score": ScoreForm,
    "note": Note,
    "answer": CriterionAnswer,
    "ready": Ready,
    "end": End,
    "same-limb": SameLimb,
    "audio/pause": AudioPause,
    "audio/resume": AudioResume,
}


class Start(Form):
    """Begin a session."""

    patient_code: Annotated[str, Field(min_length=1, max_length=40)]
    protocol: Annotated[str, Field(max_length=80)]
    mode: Mode = "real"
    without: list[MetricName] = []
    reason: Reason = ""
    screen: Annotated[str, Field(max_length=40, description="whose start-up test counts (AL-51)")] = ""
    override: Annotated[str, Field(max_length=500, description="why to start with something unproved")] = ""


class Acknowledgement(Form):
    """A person knows of an alarm, at the priority seen."""

    priority: Priority | None = None


class MilderAcknowledgement(Form):
    """A person knows of these low and medium alarms: each alarm's id with the priority seen."""

    seen: dict[Annotated[str, Field(max_length=80)], Literal["medium", "low"]] = Field(
        min_length=1, max_length=200
    )


class AlarmPause(Form):
    """No signal of one alarm for a short while."""

    seconds: float = Field(gt=0, le=3600)
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Rejection(Form):
    """A person cannot take an alarm."""

    reason: Reason = ""


class Signature(Form):
    """A clinician signs, perhaps with a remark."""

    text: Reason = ""


class Disposition(Form):
    """What an alarm was, said afterwards: one of the core's words (AF-13)."""

    code: Annotated[str, Field(max_length=40)]
    note: Reason = ""


class Correction(Form):
    """An entry of the record is wrong: what is right, and why."""

    entry_id: int = Field(ge=1)
    text: Annotated[str, Field(min_length=1, max_length=2000)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class LimitProposal(Form):
    """The first of two steps of changing a limit."""

    limit_id: Annotated[str, Field(max_length=80)]
    value: float | None = Field(None, allow_inf_nan=False)
    on: bool = True
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class LimitConfirmation(Form):
    """The second step: the token that the first one gave."""

    token: Annotated[str, Field(max_length=4000)]


class HandOver(Form):
    """A device serves another bed from now on; no bed: none."""

    bed_id: Annotated[str, Field(max_length=63)] = ""
