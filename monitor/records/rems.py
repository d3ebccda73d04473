"""The SPRAVATO REMS monitoring form, prefilled with what this session measured.

Law: a value comes from this session's own readings or stays empty; nothing is carried forward from an earlier
visit. What asks for a judgement ("acceptable") is answered by a person: the form shows the facts beside the
question and no answer. The fields are data with a version (``forms/*.toml``), because the form changes.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import resources
from typing import Any, NamedTuple

from monitor.clockface import Clockface
from monitor.config import Site
from monitor.core.record import SessionRecord
from monitor.records.sections import SCALES
from monitor.records.story import Cuff, Story
from monitor.records.table import digest

FORM = "spravato-rems"
VERSION = "2026-unconfirmed"
DOSES_MG = {56.0: "56 mg", 84.0: "84 mg"}
# The reading nearest to 40 minutes, within 35 to 45 (CLINICAL section 2, prefill rule a; label).
AFTER, WINDOW = timedelta(minutes=40), timedelta(minutes=5)
NOTICE = (
    "Prefilled from this session's readings only; nothing is carried forward. A person checks every value, "
    "answers what is open, and compares the fields with the current form. Secondary notification: not a "
    "primary alarm."
)


class Prefilled(NamedTuple):
    """A value with where it comes from, or ``None`` with why there is none."""

    value: str | int | float | None
    origin: str


class Field(NamedTuple):
    """One field of the form. ``facts`` are what a person may want to see before answering."""

    id: str
    section: str
    label: str
    kind: str
    required: str
    value: str | int | float | None
    origin: str
    facts: str
    confirm: bool
    choices: tuple[str, ...]

    @property
    def open(self) -> bool:
        """Say whether a person must still answer it."""
        return self.value is None and self.required != "no"


@dataclass(frozen=True, slots=True)
class Form:
    """The prefilled form. ``due_on`` is the last day for handing it in."""

    form: str
    version: str
    effective: str
    basis: str
    due_on: date | None
    fields: tuple[Field, ...]
    warnings: tuple[str, ...]


def versions() -> tuple[str, ...]:
    """Return the versions of the form that are known, oldest first."""
    names = (path.name for path in resources.files("monitor.records").joinpath("forms").iterdir())
    start = f"{FORM}-"
    return tuple(sorted(n.removeprefix(start).removesuffix(".toml") for n in names if n.startswith(start)))


def schema(version: str = VERSION) -> dict[str, Any]:
    """Return one version of the form as data.

    Raises:
        ValueError: there is no such version; the text names those there are.
    """
    if version not in versions():
        raise ValueError(f"no version {version!r} of the REMS form; there are {', '.join(versions())}")
    file = resources.files("monitor.records").joinpath("forms", f"{FORM}-{version}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def render(record: SessionRecord, site: Site, version: str = VERSION) -> bytes:
    """Return the prefilled form as JSON.

    Raises:
        ValueError: the session was not intranasal, or the version or zone is unknown.
    """
    form = prefill(record, site, version)
    content = {
        "form": form.form,
        "version": form.version,
        "effective": form.effective,
        "basis": form.basis,
        "notice": NOTICE,
        "mode": record.summary.mode,
        "session_id": record.summary.session_id,
        "patient_code": record.summary.patient_code,
        "record_sha256": digest(record),
        "due_on": form.due_on.isoformat() if form.due_on else None,
        "warnings": list(form.warnings),
        "open": [field.id for field in form.fields if field.open],
        "fields": [{**field._asdict(), "choices": list(field.choices)} for field in form.fields],
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"


def prefill(record: SessionRecord, site: Site, version: str = VERSION) -> Form:
    """Return the form with what the session's own record can answer.

    Raises:
        ValueError: the session was not intranasal, or the version or zone is unknown.
    """
    if record.protocol.route != "in":
        raise ValueError(
            "the SPRAVATO REMS form is for intranasal esketamine; "
            f"this session's route is {record.protocol.route}"
        )
    found, story = schema(version), Story(record)
    facts = _Facts(story, Clockface(site.zone, [story.started_at, story.ended_at]), site.name)
    day = facts.day()
    return Form(
        found["form"],
        found["version"],
        found["effective"],
        found["basis"],
        day + timedelta(days=found["due_days"]) if day else None,
        tuple(_field(row, facts) for row in found["fields"]),
        tuple(_warnings(found, facts)),
    )


def _field(row: dict[str, Any], facts: _Facts) -> Field:
    rules: dict[str, Callable[[], Prefilled]] = {
        "site": facts.site_name,
        "treatment_date": facts.treatment_date,
        "dose": facts.dose,
        "dose_other": facts.dose_other,
        "minutes_monitored": facts.minutes_monitored,
        "pressure_before": facts.pressure_before,
        "pressure_40": facts.pressure_40,
        "pressure_last": facts.pressure_last,
        "oximetry": facts.oximetry,
        "readiness": facts.readiness,
        "sedation": lambda: facts.scores("moaas"),
        "dissociation": lambda: facts.scores("dissociation"),
    }
    given = rules[row["prefill"]]() if "prefill" in row else Prefilled(None, "a person answers")
    beside = ""
    if "facts" in row:
        fact = rules[row["facts"]]()
        beside = ", ".join(filter(None, ("" if fact.value is None else str(fact.value), fact.origin)))
    return Field(
        row["id"],
        row["section"],
        row["label"],
        row["kind"],
        row["required"],
        *given,
        beside,
        row["source"] != "S" or row["required"] == "unknown",
        tuple(row.get("choices", ())),
    )


def _warnings(found: dict[str, Any], facts: _Facts) -> list[str]:
    words = []
    if facts.story.record.summary.mode == "drill":
        words.append("DRILL: simulated patient; never hand this in")
    minutes = facts.minutes_monitored().value
    if isinstance(minutes, int) and minutes < found["least_min"]:
        words.append(f"monitored for {minutes} min; the form asks for at least {found['least_min']}")
    if not facts.story.record.summary.ended_at:
        words.append("the session still runs: what follows is as of now")
    if not found["effective"]:
        words.append("these fields are second-hand: compare them with the current form")
    return words


class _Facts:
    """What one session's record can say."""

    def __init__(self, story: Story, clock: Clockface, site: str) -> None:
        self.story, self.clock, self.site = story, clock, site
        self.first = story.first_dose_at
        self.cuffs = [c for c in story.cuffs if c.complete and story.started_at <= c.at <= story.ended_at]

    def day(self) -> date | None:
        return self.clock.local(self.first).date() if self.first else None

    def site_name(self) -> Prefilled:
        return Prefilled(self.site or None, "site configuration" if self.site else "not configured")

    def treatment_date(self) -> Prefilled:
        day = self.day()
        return (
            Prefilled(day.isoformat(), "first recorded device")
            if day
            else Prefilled(None, "no dose is recorded")
        )

    def _total_mg(self) -> float:
        return sum(dose.amount_mg for dose in self.story.standing)

    def dose(self) -> Prefilled:
        total = self._total_mg()
        if not total:
            return Prefilled(None, "no dose is recorded")
        each = " + ".join(f"{dose.amount_mg:g}" for dose in self.story.standing)
        return Prefilled(DOSES_MG.get(total, "other"), f"{each} mg recorded")

    def dose_other(self) -> Prefilled:
        total = self._total_mg()
        if not total or total in DOSES_MG:
            return Prefilled(None, "not needed" if total else "no dose is recorded")
        return Prefilled(total, "sum of the recorded devices")

    def minutes_monitored(self) -> Prefilled:
        ended = self.story.record.summary.ended_at
        if self.first is None or ended is None:
            return Prefilled(None, "no dose is recorded" if self.first is None else "the session still runs")
        minutes = int((ended - self.first) / timedelta(minutes=1))
        return Prefilled(minutes, f"first device {self._time(self.first)}, end {self._time(ended)}")

    def pressure_before(self) -> Prefilled:
        before = [cuff for cuff in self.cuffs if self.first is not None and cuff.at <= self.first]
        return self._pressure(
            before[-1] if before else None, "no complete reading of this session before the dose"
        )

    def pressure_40(self) -> Prefilled:
        if self.first is None:
            return Prefilled(None, "no dose is recorded")
        return self._pressure(
            self.story.nearest(self.first + AFTER, WINDOW, WINDOW),
            "no complete reading 35 to 45 min after the dose",
        )

    def pressure_last(self) -> Prefilled:
        late = [cuff for cuff in self.cuffs if self.first and cuff.at > self.first + AFTER + WINDOW]
        if not late:
            return Prefilled(None, "no complete reading later than 45 min after the dose")
        left = (self.story.ended_at - late[-1].at) / timedelta(minutes=1)
        found = self._pressure(late[-1], "")
        return found._replace(origin=f"{found.origin}, {left:.0f} min before the end")

    def _pressure(self, cuff: Cuff | None, why_not: str) -> Prefilled:
        if cuff is None or self.first is None:
            return Prefilled(None, why_not)
        pair = f"{cuff.values['nibp_systolic']:.0f}/{cuff.values['nibp_diastolic']:.0f}"
        minutes = (cuff.at - self.first) / timedelta(minutes=1)
        side = "after" if minutes > 0 else "before"
        words = f"{cuff.source}, {self._time(cuff.at)}, {abs(minutes):.1f} min {side} the dose"
        return Prefilled(pair, words + (f"; doubtful: {cuff.mark}" if cuff.mark else ""))

    def oximetry(self) -> Prefilled:
        lowest = self.story.extreme("spo2", "low")
        if lowest is None:
            return Prefilled(None, "no valid saturation in this session")
        gaps = [gap for gap in self.story.gaps() if gap.metric == "spo2"]
        value = f"continuous; lowest valid {lowest[0]:g} % at {self._time(lowest[1])}"
        return Prefilled(value, f"{len(gaps)} gaps" if len(gaps) != 1 else "1 gap")

    def readiness(self) -> Prefilled:
        confirmed = self.story.named("ReadinessConfirmed")
        if not confirmed or self.first is None:
            return Prefilled(None, "readiness was not confirmed")
        return Prefilled(
            None, f"readiness confirmed {self.story.minute(confirmed[-1].at)} min by {confirmed[-1].by}"
        )

    def scores(self, scale: str) -> Prefilled:
        told = [
            f"{one.value:g} at {self._time(_scored_at(one.detail, one.at))}"
            for one in self.story.named("ScoreRecorded")
            if one.detail.get("scale") == scale and one.value is not None
        ]
        return Prefilled(
            None, f"{SCALES[scale]}: {', '.join(told)}" if told else f"{SCALES[scale]}: not scored"
        )

    def _time(self, at: datetime) -> str:
        return self.clock.time(at, seconds=True)


def _scored_at(detail: Any, fallback: datetime) -> datetime:
    text = detail.get("scored_at")
    return datetime.fromisoformat(text) if text else fallback
