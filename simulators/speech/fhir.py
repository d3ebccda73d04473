"""FHIR R4: a Bundle of Observations, the pressures of a cuff as one panel, marked ``HTEST``: test data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from monitor.core.vitals import METRICS, PRESSURES
from simulators.speech.contract import Language, Reading, Said, Speaker, stamp

_MDC = "urn:iso:std:iso:11073:10101"
_TEST = {"tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}]}
_CATEGORY = [
    {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
        ]
    }
]


def speak(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as a Bundle."""
    if not reading.values:
        return ()
    pressures = [metric for metric in reading.values if metric in PRESSURES]
    bodies = [_measured(metric, reading) for metric in reading.values if metric not in pressures]
    if pressures:
        panel = {"code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}}
        bodies.append({**panel, "component": [_measured(metric, reading) for metric in pressures]})
    time = {} if reading.measured_at is None else {"effectiveDateTime": stamp(reading.measured_at)}
    head = {
        "resourceType": "Observation",
        "meta": _TEST,
        "status": "final",
        "category": _CATEGORY,
        "device": {"reference": f"Device/{speaker.device_id}"},
        **time,
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {**head, **body}} for body in bodies],
    }
    return (Said(f"fhir/{speaker.device_id}", json.dumps(bundle, separators=(",", ":")).encode()),)


def _measured(metric: str, reading: Reading) -> dict[str, Any]:
    row, value = METRICS[metric], reading.values[metric]
    coding = [{"system": _MDC, "code": str(row.mdc)}]
    if metric != "nibp_pulse_rate":  # LOINC has one code for the heart's rate and the cuff's
        coding.insert(0, {"system": "http://loinc.org", "code": row.loinc})
    body: dict[str, Any] = {"code": {"coding": coding}}
    if value is None:
        body["dataAbsentReason"] = {"coding": [{"code": "error"}]}
    else:
        body["valueQuantity"] = {
            "value": value,
            "unit": row.unit,
            "system": "http://unitsofmeasure.org",
            "code": row.unit,
        }
    if metric in reading.quality and metric not in PRESSURES:
        body["interpretation"] = [{"coding": [{"code": "questionable"}]}]
    return body


FHIR = Language("fhir", speak, "fhir/{id}", doubts=True, says_drill=True)
