"""What one FHIR Observation, or one component of it, measured.

Law: the most exact of its codings says what it is; a standard's code that we do not know is of something
else. What was withdrawn or is absent has no value, with FHIR's own reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from monitor.core.vitals import INVALID, METRICS, Observation
from monitor.formats.codes import BLOOD_PRESSURE, Meaning, meaning_of, precedence, system_of
from monitor.formats.json_payload import find
from monitor.formats.reading import doubt, join, observe, read_pressures, refuse, shown
from monitor.formats.units import find_scale

_MAX_SAMPLES = 4000  # an hour of one value a second; bounds the work of one payload
_WITHDRAWN = {
    "entered-in-error": "status entered-in-error: withdrawn",
    "cancelled": "status cancelled: no result",
    "registered": "status registered: no result yet",
}
_REMARKS = {"preliminary": "preliminary", "corrected": "a correction", "amended": "an amendment"}
# Measurement status of the PHD profile, as interpretation or as meta.security.
_DOUBTS = frozenset(
    {"questionable", "early-indication", "calibration-ongoing", "measurement-status-in-alarm"}
)
_REFUSALS = frozenset({"invalid", "not-available", "measurement-ongoing", "msmt-ongoing"})
_DRILLS = frozenset({"HTEST", "demo-data", "test-data"})
_OFF_SCALE = {"E": "error", "U": "above the device's scale", "L": "below the device's scale"}


def readings_of(part: dict[str, Any], at: datetime | None) -> Iterator[tuple[Meaning, Observation]]:
    """Yield what an Observation or one component measured."""
    meaning = _meaning(part.get("code"))
    if not meaning.metric:
        return
    if meaning.clash:
        yield meaning, Observation(meaning.metric, None, INVALID, meaning.clash)
        return
    if isinstance(part.get("valueSampledData"), dict) and meaning.metric != BLOOD_PRESSURE:
        for one in _samples(meaning.metric, part["valueSampledData"], at):
            yield meaning, one
        return
    for one in _values(part, meaning):
        yield meaning, doubt(one, meaning.doubt) if meaning.doubt else one


def _values(part: dict[str, Any], meaning: Meaning) -> Iterator[Observation]:
    given, unit = _value(part, meaning.metric)
    if meaning.metric == BLOOD_PRESSURE:
        if isinstance(given, str):
            yield from read_pressures(given, unit, meaning.remark)
        return
    absent = _absence(part)
    if given is None and not absent and part.get("component"):
        return  # the values are in the components
    if given is None:
        yield Observation(meaning.metric, None, INVALID, absent or "no value and no reason for it")
        return
    one = observe(meaning.metric, given, unit, meaning.remark)
    yield refuse(one, absent) if absent else one


def _meaning(concept: Any) -> Meaning:
    """Return what a CodeableConcept means: by the most exact of its codings, then by its text."""
    codings = [coding for coding in as_list(find(concept, ("coding",))) if isinstance(coding, dict)]
    ranked = sorted(codings, key=lambda coding: precedence(str(coding.get("system", ""))))
    standard = False
    for coding in ranked[:16]:
        system, code, display = (str(coding.get(key, ""))[:120] for key in ("system", "code", "display"))
        found = meaning_of(system, code, display)
        if found.metric or found.what:
            return found
        standard = standard or system_of(system) in _STANDARD
    text = find(concept, ("text",))
    return Meaning() if standard or not isinstance(text, str) else meaning_of("", "", text[:120])


_STANDARD = frozenset({"mdc", "loinc", "snomed"})  # a code of theirs that we do not know is of something else


def _value(part: dict[str, Any], metric: str) -> tuple[Any, str]:
    """Return the value as sent, and its unit: UCUM's code, or the text where that alone fits the metric."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict):
        number = quantity.get("value")
        comparator = quantity.get("comparator")
        if isinstance(comparator, str) and comparator[:1] in {"<", ">"} and isinstance(number, int | float):
            number = f"{comparator[:2]}{number}"
        # PHD gateways write odd unit texts beside a right UCUM code; others only the text.
        units = [str(quantity[key])[:40] for key in ("code", "unit") if quantity.get(key)]
        fits = [unit for unit in units if metric in METRICS and find_scale(METRICS[metric].unit, unit)]
        return number, next(iter(fits or units), "")
    for key in ("valueInteger", "valueDecimal", "valueString"):
        if key in part:
            return part[key], ""
    return None, ""


def _absence(part: dict[str, Any]) -> str:
    """Say why a value is absent, in FHIR's words."""
    reason = part.get("dataAbsentReason")
    if reason is None:
        return ""
    said = find(reason, ("coding", "0", "code")) or find(reason, ("text",)) or "no reason given"
    return f"dataAbsentReason {shown(said, 30)}: no value"


def by_status(one: Observation, resource: dict[str, Any]) -> Observation:
    """Apply the Observation's status and its measurement status."""
    status = str(resource.get("status", "")).lower()
    if status in _WITHDRAWN:
        return refuse(one, _WITHDRAWN[status])
    if status in _REMARKS:
        one = one._replace(reason=join(one.reason, _REMARKS[status]))
    elif status == "unknown":
        one = doubt(one, "status unknown")
    for code in _marks(resource):
        if code in _REFUSALS:
            return refuse(one, f"the device calls it {code}")
        if code in _DOUBTS:
            one = doubt(one, f"the device calls it {code}")
    return one


def _marks(resource: dict[str, Any]) -> Iterator[str]:
    """Yield the codes of interpretation, meta.security and meta.tag."""
    for concept in as_list(resource.get("interpretation")):
        for coding in as_list(find(concept, ("coding",))):
            yield str(find(coding, ("code",)))[:40]
    for key in ("security", "tag"):
        for coding in as_list(find(resource, ("meta", key))):
            yield str(find(coding, ("code",)))[:40]


def is_drill(resource: dict[str, Any]) -> bool:
    """Say whether the resource is marked as test data."""
    return any(code in _DRILLS for code in _marks(resource))


def _samples(metric: str, data: dict[str, Any], at: datetime | None) -> Iterator[Observation]:
    """Yield the samples of a SampledData as observations with times of their own.

    FHIR: value = sample * factor + origin; the period is in milliseconds; E, U and L stand for error, above
    and below the device's scale. Only the first of several dimensions is read.
    """
    unit = str(find(data, ("origin", "code")) or find(data, ("origin", "unit")) or "")[:40]
    origin, factor = (
        _plain_number(value, usual)
        for value, usual in (
            (find(data, ("origin", "value")), 0.0),
            (data.get("factor"), 1.0),
        )
    )
    period_ms = _plain_number(data.get("period", data.get("interval")), 0.0)
    period_ms *= {"s": 1000.0, "us": 0.001, "min": 60_000.0}.get(str(data.get("intervalUnit")), 1.0)  # R5
    words = str(data.get("data", "")).split()
    step = max(1, int(_plain_number(data.get("dimensions"), 1.0)))
    words = words[::step]
    if len(words) > _MAX_SAMPLES:
        why = f"{len(words) - _MAX_SAMPLES} more samples: at most {_MAX_SAMPLES} are read"
        yield Observation(metric, None, INVALID, why)._replace(measured_at=_later(at, -1))
    limits = {"L": f"<{data.get('lowerLimit')}", "U": f">{data.get('upperLimit')}"}
    for index, word in enumerate(words[:_MAX_SAMPLES]):
        if limits.get(word, "")[1:2].isdigit():  # beyond the scale, whose end is given, must not vanish
            one = observe(metric, limits[word], unit, f"SampledData {word}")
        elif word in _OFF_SCALE:
            one = Observation(metric, None, INVALID, f"sample {word}: {_OFF_SCALE[word]}")
        elif re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", word):
            one = observe(metric, float(word) * factor + origin, unit, "SampledData")
        else:
            one = Observation(metric, None, INVALID, f"sample {shown(word, 12)!r} is not a number")
        yield one._replace(measured_at=_later(at, index * period_ms))


def _plain_number(value: Any, usual: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
        return float(value)
    return usual


def _later(at: datetime | None, milliseconds: float) -> datetime | None:
    try:
        return at + timedelta(milliseconds=milliseconds) if at else None
    except OverflowError:
        return None


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and nothing for what is none."""
    return value if isinstance(value, list) else []


def called(concept: Any) -> str:
    """Return how a CodeableConcept calls itself: its text, else its first code."""
    for path in (("text",), ("coding", "0", "display"), ("coding", "0", "code")):
        if isinstance(named := find(concept, path), str) and named:
            return shown(named, 60)
    return ""
