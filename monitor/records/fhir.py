"""The record as a FHIR R4 transaction bundle.

Law: the bundle says what the record says, in FHIR's words: blood pressure is one panel, a gap is an
observation without a value, a struck dose is "entered in error", a drill is marked as test data on every
resource. The patient is a pseudonym. Sent twice, it changes nothing: each resource carries its own identity.

R4 and R4B have the same shape for every resource used here; ``fhir.resources`` knows R4B and checks it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from fhir.resources.R4B.bundle import Bundle

from monitor.clockface import Clockface, instant
from monitor.config import Site
from monitor.core.outcomes import Outcome
from monitor.core.record import SessionRecord, Trace
from monitor.core.vitals import METRICS
from monitor.records.sections import SCALES
from monitor.records.story import ANSWERS, CUFF, AlarmStory, Cuff, Dose, Gap, Story, lowest_and_highest
from monitor.records.table import digest

Resource = dict[str, Any]

OURS = UUID("6a0b8f1e-6f0a-5d0e-9a52-2c0c6f7d4b11")  # the namespace of our version-5 UUIDs; never change it
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
MDC, SNOMED = "urn:iso:std:iso:11073:10101", "http://snomed.info/sct"
TERMS = "http://terminology.hl7.org/CodeSystem"
PROFILE = "http://hl7.org/fhir/StructureDefinition"
SEVERITY = {"high": "high", "medium": "moderate", "low": "low"}
ROUTES = {  # SNOMED CT [G: to be confirmed by the site's terminology]
    "in": ("46713006", "Nasal route"),
    "iv": ("47625008", "Intravenous route"),
    "im": ("78421000", "Intramuscular route"),
}
# What the vital-signs profiles demand beside our own code (CLINICAL 7.2; FHIR R4 vital signs).
REQUIRED = {
    "spo2": ("2708-6", "oxygensat"),
    "heart_rate": ("8867-4", "heartrate"),
    "pulse_rate": ("8867-4", "heartrate"),
    "nibp_pulse_rate": ("8867-4", "heartrate"),
    "respiration_rate": ("9279-1", "resprate"),
    "temperature": ("8310-5", "bodytemp"),
}


def render(record: SessionRecord, site: Site) -> bytes:
    """Return the record as a FHIR R4 transaction bundle in JSON, checked against the library's models.

    Raises:
        ValueError: the zone is unknown, or the bundle is not valid FHIR (our mistake).
    """
    bundle = build(record, site)
    Bundle.model_validate(bundle)
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def build(record: SessionRecord, site: Site) -> Resource:
    """Return the bundle as JSON values."""
    writer = _Writer(record, site, Clockface(site.zone))
    entries = [writer.entry(one) for one in writer.resources()]
    bundle: Resource = _clean(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "timestamp": writer.when(writer.story.ended_at),
            "meta": writer.meta(),
            "entry": entries,
        }
    )
    return bundle


class _Writer:
    """Writes one record's resources; references are the UUIDs that the server resolves."""

    def __init__(self, record: SessionRecord, site: Site, clock: Clockface) -> None:
        self.record, self.site, self.clock = record, site, clock
        self.story = Story(record)
        self.summary = record.summary

    # --- identity ---------------------------------------------------------------------------------------

    def urn(self, *parts: object) -> str:
        """Return the lasting identity of something of this session."""
        return _urn("session", self.summary.session_id, *parts)

    def lasting(self, kind: str, name: str) -> str:
        """Return the identity of a patient or device, the same in every session of the site."""
        mode = () if self.summary.mode == "real" else (self.summary.mode,)
        return _urn(kind, self.site.identity, name, *mode)

    @property
    def patient(self) -> Resource:
        return {"reference": self.lasting("patient", self.summary.patient_code)}

    @property
    def encounter(self) -> Resource:
        return {"reference": self.urn("encounter")}

    def device(self, device_id: str) -> Resource:
        if device_id.startswith("manual:"):
            return {}
        return {"device": {"reference": self.lasting("device", device_id)}}

    def entry(self, resource: Resource) -> Resource:
        """Return a resource with its request; patients and devices are never overwritten."""
        kind, urn = resource["resourceType"], resource["identifier"][0]["value"]
        search = f"identifier=urn:ietf:rfc:3986%7C{urn}"
        request = {"method": "PUT", "url": f"{kind}?{search}"}
        if kind in ("Patient", "Device"):
            request = {"method": "POST", "url": kind, "ifNoneExist": search}
        if kind == "Provenance":  # R4 gives it no identifier to search by
            del resource["identifier"]
            resource["id"] = urn.removeprefix("urn:uuid:")
            request = {"method": "PUT", "url": f"Provenance/{resource['id']}"}
        return {"fullUrl": urn, "resource": resource, "request": request}

    def start(self, kind: str, urn: str, **more: Any) -> Resource:
        """Return a resource with its identity and, in a drill, its mark."""
        identifier = [{"system": "urn:ietf:rfc:3986", "value": urn}]
        return {"resourceType": kind, "meta": self.meta(), "identifier": identifier, **more}

    def meta(self, profile: str = "") -> Resource:
        found: Resource = {"profile": [f"{PROFILE}/{profile}"]} if profile else {}
        if self.summary.mode == "drill":
            found["security"] = [
                {"system": f"{TERMS}/v3-ActReason", "code": "HTEST", "display": "test health data"}
            ]
        return found

    def when(self, at: datetime) -> str:
        return self.clock.local(at).isoformat()

    # --- the resources ----------------------------------------------------------------------------------

    def resources(self) -> Iterator[Resource]:
        found = [self._patient(), *self._devices(), self._encounter()]
        found += [self._dose(number, dose) for number, dose in enumerate(self.story.doses)]
        found += [one for cuff in self.story.cuffs for one in self._cuff(cuff)]
        found += [one for trace in self.story.lines for one in self._continuous(trace)]
        found += [self._manual(one, name, value) for one, name, value in self._by_hand()]
        found += [self._gap(gap) for gap in self.story.gaps()]
        found += [*self._scores(), *self._notes()]
        found += [self._alarm(alarm) for alarm in self.story.alarms]
        yield from found
        yield self._provenance([one["identifier"][0]["value"] for one in found])

    def _patient(self) -> Resource:
        patient = self.start("Patient", self.lasting("patient", self.summary.patient_code))
        code = {
            "use": "secondary",
            "type": {"text": "patient code (pseudonym)"},
            "value": self.summary.patient_code,
        }
        patient["identifier"].append(code)
        if self.summary.mode == "drill":
            patient["name"] = [{"use": "anonymous", "text": "DRILL: simulated patient"}]
        return patient

    def _devices(self) -> Iterator[Resource]:
        for name in dict.fromkeys(trace.device_id for trace in self.record.traces):
            if not name.startswith("manual:"):
                named = [{"name": name, "type": "user-friendly-name"}]
                yield self.start("Device", self.lasting("device", name), deviceName=named)

    def _encounter(self) -> Resource:
        ended = self.summary.ended_at
        return self.start(
            "Encounter",
            self.urn("encounter"),
            status="finished" if ended else "in-progress",
            **{"class": {"system": f"{TERMS}/v3-ActCode", "code": "AMB", "display": "ambulatory"}},
            type=[{"text": self.record.protocol.title}],
            subject=self.patient,
            period={"start": self.when(self.summary.started_at), "end": self.when(ended) if ended else None},
            location=[{"location": {"display": self.summary.bed_id}}],
            serviceProvider={"display": self.site.name},
        )

    def _dose(self, number: int, dose: Dose) -> Resource:
        struck = dose.withdrawn
        code, display = ROUTES.get(dose.route, ("", dose.route))
        route = {
            "coding": [{"system": SNOMED, "code": code, "display": display}] if code else [],
            "text": dose.route,
        }
        amount = {"value": _number(dose.amount_mg), "unit": "mg", "system": UCUM, "code": "mg"}
        return self.start(
            "MedicationAdministration",
            self.urn("dose", number, dose.at.isoformat()),
            status="entered-in-error" if struck else "completed",
            statusReason=[{"text": f"{struck.reason} ({struck.by})"}] if struck else [],
            medicationCodeableConcept={"text": self.record.protocol.title},
            subject=self.patient,
            context=self.encounter,
            effectiveDateTime=self.when(dose.at),
            performer=[{"actor": {"display": dose.by}}],
            note=[{"text": dose.reason}] if dose.reason else [],
            dosage={"route": route, "dose": amount},
        )

    def _cuff(self, cuff: Cuff) -> Iterator[Resource]:
        if any(metric in cuff.values for metric in CUFF[:3]):
            panel = self._vital("pressure", cuff.at, cuff.source, _panel_code(), cuff.mark, "bp")
            panel["component"] = [
                {"code": _code(metric), **self._value(metric, cuff.values.get(metric))}
                for metric in CUFF[:3]
                if metric in cuff.values or metric != CUFF[2]
            ]
            yield panel
        if CUFF[3] in cuff.values:
            yield self._single(CUFF[3], cuff.at, cuff.values[CUFF[3]], cuff.source, cuff.mark)

    def _continuous(self, trace: Trace) -> Iterator[Resource]:
        for position in lowest_and_highest(trace):
            mark = trace.marks.get(position, "")
            yield self._single(
                trace.metric, instant(trace.at[position]), trace.values[position], trace.device_id, mark
            )

    def _by_hand(self) -> Iterator[tuple[Any, str, float]]:
        for one in self.story.named("ManualRecorded"):
            for name, value in dict(one.detail.get("values", {})).items():
                if name in METRICS and name not in CUFF:
                    yield one, name, value

    def _manual(self, one: Any, name: str, value: float) -> Resource:
        at = datetime.fromisoformat(one.detail.get("read_at") or one.at.isoformat())
        return self._single(name, at, value, f"manual:{one.by}", "")

    def _single(self, metric: str, at: datetime, value: float | None, source: str, mark: str) -> Resource:
        profile = REQUIRED[metric][1] if metric in REQUIRED else "vitalsigns"
        return {**self._vital(metric, at, source, _code(metric), mark, profile), **self._value(metric, value)}

    def _value(self, metric: str, value: float | None) -> Resource:
        if value is None:
            return {
                "dataAbsentReason": {"coding": [{"system": f"{TERMS}/data-absent-reason", "code": "unknown"}]}
            }
        unit = METRICS[metric].unit
        return {"valueQuantity": {"value": _number(value), "unit": unit, "system": UCUM, "code": unit}}

    def _vital(
        self, key: str, at: datetime, source: str, code: Resource, mark: str, profile: str
    ) -> Resource:
        by = source.removeprefix("manual:")
        found = self._observation((key, source, at.isoformat()), "vital-signs", code, self.when(at))
        found["meta"] = self.meta(profile)
        found.update(self.device(source))
        if source.startswith("manual:"):
            found |= {"performer": [{"display": by}], "method": {"text": "read by a person"}}
        if mark:
            found["note"] = [{"text": f"doubtful: {mark}"}]
        return found

    def _observation(
        self, key: tuple[object, ...], category: str, code: Resource, effective: str
    ) -> Resource:
        coding = {"system": f"{TERMS}/observation-category", "code": category}
        return self.start(
            "Observation",
            self.urn("observation", *key),
            status="final",
            category=[{"coding": [coding]}],
            code=code,
            subject=self.patient,
            encounter=self.encounter,
            effectiveDateTime=effective,
        )

    def _gap(self, gap: Gap) -> Resource:
        found = self._single(gap.metric, gap.from_at, None, gap.device_id, "")
        del found["effectiveDateTime"]
        found["identifier"][0]["value"] = self.urn("gap", gap.metric, gap.device_id, gap.from_at.isoformat())
        found["effectivePeriod"] = {"start": self.when(gap.from_at), "end": self.when(gap.to_at)}
        found["note"] = [{"text": f"no value in this time: {gap.why}"}]
        return found

    def _scores(self) -> Iterator[Resource]:
        for number, one in enumerate(self.story.named("ScoreRecorded")):
            scale = str(one.detail.get("scale", ""))
            at = self.when(datetime.fromisoformat(one.detail.get("scored_at") or one.at.isoformat()))
            found = self._observation(("score", number), "survey", {"text": SCALES.get(scale, scale)}, at)
            value = {"value": _number(one.value or 0.0), "unit": "{score}", "system": UCUM, "code": "{score}"}
            yield {**found, "performer": [{"display": one.by}], "valueQuantity": value}

    def _notes(self) -> Iterator[Resource]:
        for number, one in enumerate(self.story.named("NoteRecorded")):
            at = self.when(datetime.fromisoformat(one.detail.get("noted_at") or one.at.isoformat()))
            found = self._observation(
                ("note", number), "exam", {"text": str(one.detail.get("note") or "note")}, at
            )
            yield {**found, "performer": [{"display": one.by}], "valueString": one.reason}
        for number, one in enumerate(self.story.named("RecordCorrected")):
            told = {"text": f"correction of entry {one.detail.get('entry_id')}"}
            found = self._observation(("correction", number), "exam", told, self.when(one.at))
            said = {"valueString": str(one.detail.get("text", "")), "note": [{"text": one.reason}]}
            yield {**found, "performer": [{"display": one.by}], **said}

    def _alarm(self, alarm: AlarmStory) -> Resource:
        period = {
            "start": self.when(alarm.first.at),
            "end": self.when(alarm.ended.at) if alarm.ended else None,
        }
        if alarm.first.kind != "physiological":
            return self.start(
                "Flag",
                self.urn("alarm", alarm.alarm_id),
                status="inactive" if alarm.ended else "active",
                category=[{"text": f"technical alarm, {alarm.worst} priority"}],
                code={"text": alarm.first.reason or alarm.first.rule},
                subject=self.patient,
                encounter=self.encounter,
                period=period,
            )
        return self.start(
            "DetectedIssue",
            self.urn("alarm", alarm.alarm_id),
            status="final",
            code={"text": f"alarm {alarm.first.rule}"},
            severity=SEVERITY[alarm.worst],
            patient=self.patient,
            identifiedPeriod=period,
            detail="; ".join([alarm.first.reason, *(_disposition(one) for one in alarm.dispositions)]),
            mitigation=[
                {
                    "action": {
                        "text": f"{ANSWERS[one.outcome]}: says that a person knew, not that it was resolved"
                    },
                    "date": self.when(one.at),
                    "author": {"display": one.by},
                }
                for one in alarm.answers
                if one.outcome != "AlarmPaused"
            ],
        )

    def _provenance(self, targets: list[str]) -> Resource:
        agents = [_agent("assembler", "Afterwatch (secondary notification, not a primary alarm)")]
        if self.summary.signed_by:
            agents.append(_agent("verifier", self.summary.signed_by))
        what = {
            "identifier": {
                "type": {"text": "SHA-256 of the record's JSON Lines"},
                "value": digest(self.record),
            }
        }
        return self.start(
            "Provenance",
            self.urn("provenance"),
            target=[{"reference": urn} for urn in targets],
            occurredPeriod={
                "start": self.when(self.summary.started_at),
                "end": self.when(self.story.ended_at),
            },
            recorded=self.when(self.summary.signed_at or self.story.ended_at),
            agent=agents,
            entity=[{"role": "source", "what": what}],
        )


def _disposition(one: Outcome) -> str:
    return f"{one.by}: {one.detail.get('disposition')} {one.reason}".rstrip()


def _urn(*parts: object) -> str:
    return f"urn:uuid:{uuid5(OURS, json.dumps([str(part) for part in parts]))}"


def _agent(kind: str, name: str) -> Resource:
    coding = {"system": f"{TERMS}/provenance-participant-type", "code": kind}
    return {"type": {"coding": [coding]}, "who": {"display": name}}


def _panel_code() -> Resource:
    coding = [{"system": LOINC, "code": "85354-9"}, {"system": MDC, "code": "150020"}]
    return {"coding": coding, "text": "blood pressure"}


def _code(metric: str) -> Resource:
    shown = METRICS[metric]
    loinc = dict.fromkeys(filter(None, (REQUIRED.get(metric, ("",))[0], shown.loinc)))
    coding = [{"system": LOINC, "code": code} for code in loinc] + [{"system": MDC, "code": str(shown.mdc)}]
    return {"coding": coding, "text": shown.label}


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _clean(value: Any) -> Any:
    """Return JSON values without what FHIR forbids: empty members, and control signs in text."""
    if isinstance(value, dict):
        kept = {key: _clean(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (None, "", [], {})}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, str):
        return "".join(sign if sign >= " " or sign in "\t\r\n" else "\ufffd" for sign in value).strip()
    return value
