"""FHIR R4 Observation and Bundle: vital-signs profiles, Personal Health Device profiles, SampledData.

Law: an observation says what it measured by its codings, the most exact nomenclature first; what was
withdrawn (entered-in-error, cancelled) or is absent has no value, with FHIR's own reason. The resources are
walked, not validated: a gateway's small mistake must not cost a reading. ``effective`` is the device's
time, ``issued`` the gateway's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitor.core.vitals import INVALID, Observation, Report
from monitor.formats.codes import BLOOD_PRESSURE, Meaning, meaning_of, precedence
from monitor.formats.contract import Context, Decoded, Format, Undecodable
from monitor.formats.identity import normalise_address
from monitor.formats.instants import read_iso
from monitor.formats.json_payload import find, parse
from monitor.formats.reading import doubt, join, judge_pressures, observe, read_pressures, refuse, shown

_MAX_PAYLOAD_BYTES = 128 * 1024  # a Bundle of one session visit; S-05's 16 KiB is for single devices
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


@dataclass(slots=True)
class _Found:
    """What the resources of one message say of one device."""

    measured_at: datetime | None = None
    gateway_at: datetime | None = None
    subjects: set[str] = field(default_factory=set)
    seen: dict[tuple[str, datetime | None], tuple[int, Observation]] = field(default_factory=dict)
    order: list[tuple[str, datetime | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drill: bool = False


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode an Observation, a Bundle, or a list of either.

    Options: ``identity`` ("device", the default, or "topic").

    Raises:
        Undecodable: no FHIR resource, or several patients without devices that tell them apart.
    """
    document = parse(payload)
    groups: dict[str, _Found] = {}
    kinds: list[str] = []
    ignored = 0
    resources = list(_resources(document, 0))
    devices = _device_names(resources)
    for _, resource in resources:
        kind = str(resource.get("resourceType", ""))
        if kind != "Observation":
            kinds.append(kind)
            ignored += kind not in {"Bundle", "Device"}
            continue
        if not _read_observation(resource, groups, devices, context):
            ignored += 1
    if not groups and not kinds and not ignored:
        raise Undecodable("no FHIR resource (no resourceType); FHIR JSON is an Observation or a Bundle")
    _refuse_mixed_patients(groups)
    note = (
        ""
        if groups
        else "no vital sign of ours in it: " + ", ".join(dict.fromkeys(kinds or ["Observation"]))[:200]
    )
    return Decoded(tuple(_report(name, found, context) for name, found in groups.items()), ignored, note)


def _resources(document: Any, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every resource with its address in the Bundle."""
    if depth > 8:
        return
    if isinstance(document, list):
        for entry in document:
            yield from _resources(entry, depth + 1)
    elif isinstance(document, dict) and isinstance(document.get("resourceType"), str):
        yield "", document
        for entry in _list(document.get("entry")):
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                for address, resource in _resources(entry["resource"], depth + 1):
                    yield address or str(entry.get("fullUrl", "")), resource


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _device_names(resources: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Map the addresses of Device resources in the message to what the device calls itself."""
    names: dict[str, str] = {}
    for address, resource in resources:
        if resource.get("resourceType") == "Device":
            name = find(resource, ("identifier", "0", "value")) or resource.get("id")
            if isinstance(name, str) and name:
                names[address] = names[f"Device/{resource.get('id')}"] = name
    return names


def _read_observation(
    resource: dict[str, Any], groups: dict[str, _Found], devices: dict[str, str], context: Context
) -> bool:
    """Read one Observation into the group of its device; say whether it held a vital sign."""
    at, note = _effective(resource, context)
    readings = list(_readings(resource, at))
    readings += [
        reading
        for component in _list(resource.get("component"))
        if isinstance(component, dict)
        for reading in _readings(component, at)
    ]
    readings = [(meaning, _by_status(one, resource)) for meaning, one in readings]
    if not readings:
        return False
    name = "" if context.options.get("identity") == "topic" else _device(resource, devices)
    found = groups.setdefault(name, _Found(measured_at=at))
    subject = find(resource, ("subject", "reference"))
    found.subjects.add(subject if isinstance(subject, str) else "")
    found.drill = found.drill or _is_drill(resource)
    if note:
        found.notes.append(note)
    if found.gateway_at is None and "issued" in resource:
        found.gateway_at = read_iso(resource["issued"], context)[0]
    for meaning, one in readings:
        _keep(found, meaning, one, at)
    return True


def _keep(found: _Found, meaning: Meaning, one: Observation, at: datetime | None) -> None:
    """Keep one observation for each metric and time: with a value before without, then the better source."""
    key = (one.metric, one.measured_at or at)
    rival = found.seen.get(key)
    if rival is None:
        found.order.append(key)
        found.seen[key] = (meaning.rank, one)
        return
    lost = one
    if (one.value is None, meaning.rank) < (rival[1].value is None, rival[0]):
        found.seen[key], lost = (meaning.rank, one), rival[1]
    sent = "no value" if lost.value is None else f"{lost.value:g}"
    found.notes.append(f"second source of {one.metric}: {sent}, not used")


def _report(name: str, found: _Found, context: Context) -> Report:
    observations = []
    for key in found.order:
        one = found.seen[key][1]
        at = key[1]
        observations.append(one._replace(measured_at=at if at != found.measured_at else None))
    return Report(
        name or context.device_id,
        context.received_at,
        found.measured_at,
        judge_pressures(observations),
        mode="drill" if found.drill else "real",
        retained=context.retained,
        gateway_at=found.gateway_at,
        notes=tuple(
            dict.fromkeys([*found.notes, *(["marked as test data: taken as drill"] if found.drill else [])])
        ),
    )


def _refuse_mixed_patients(groups: dict[str, _Found]) -> None:
    """Refuse several patients under one device name.

    Raises:
        Undecodable: two subjects' readings would go to one device.
    """
    for name, found in groups.items():
        if len(found.subjects) > 1:
            named = f"device {name}" if name else "no device reference"
            raise Undecodable(
                f"{len(found.subjects)} subjects and {named}: whose reading is whose cannot be told; "
                "send one patient a message, or give each Observation its device"
            )


def _effective(resource: dict[str, Any], context: Context) -> tuple[datetime | None, str]:
    """Return when it was measured: dateTime, Instant, the Period's end, or the first Timing event."""
    period = resource.get("effectivePeriod")
    candidates = (
        resource.get("effectiveDateTime"),
        resource.get("effectiveInstant"),
        find(period, ("end",)) or find(period, ("start",)),
        find(resource.get("effectiveTiming"), ("event", "0")),
    )
    given = next((value for value in candidates if value is not None), None)
    if given is None:
        return None, ""
    at, note = read_iso(given, context)
    return at, f"effective: {note}" if note else ""


def _device(resource: dict[str, Any], devices: dict[str, str]) -> str:
    """Return the device's name: of the Device in the message, of its identifier, or of the reference."""
    device = resource.get("device")
    reference = find(device, ("reference",))
    if isinstance(reference, str) and reference:
        if reference in devices:
            return normalise_address(devices[reference])
        if reference.startswith("#"):
            for contained in _list(resource.get("contained")):
                if find(contained, ("id",)) == reference[1:]:
                    named = find(contained, ("identifier", "0", "value"))
                    return (
                        normalise_address(named)
                        if isinstance(named, str)
                        else normalise_address(reference[1:])
                    )
        return normalise_address(reference.rsplit("/", 1)[-1].removeprefix("urn:uuid:"))
    for path in (("identifier", "value"), ("display",)):
        named = find(device, path)
        if isinstance(named, str) and named:
            return normalise_address(named)
    return ""


def _readings(part: dict[str, Any], at: datetime | None) -> Iterator[tuple[Meaning, Observation]]:
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
    given, unit, remark = _value(part)
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
    one = observe(meaning.metric, given, unit, join(meaning.remark, remark))
    yield refuse(one, absent) if absent else one


def _meaning(concept: Any) -> Meaning:
    """Return what a CodeableConcept means: by the most exact of its codings, then by its text."""
    codings = [coding for coding in _list(find(concept, ("coding",))) if isinstance(coding, dict)]
    best = Meaning()
    ranked = sorted(codings, key=lambda coding: precedence(str(coding.get("system", ""))))
    for coding in ranked[:16]:
        texts = (str(coding.get(key, ""))[:120] for key in ("system", "code", "display"))
        system, code, display = texts
        found = meaning_of(system, code, display)
        if found.metric or found.what:
            return found
    text = find(concept, ("text",))
    if not codings and isinstance(text, str):
        best = meaning_of("", "", text[:120])
    return best


def _value(part: dict[str, Any]) -> tuple[Any, str, str]:
    """Return the value as sent, its unit, and a remark."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict):
        number = quantity.get("value")
        comparator = quantity.get("comparator")
        if isinstance(comparator, str) and comparator[:1] in {"<", ">"} and isinstance(number, int | float):
            number = f"{comparator[:2]}{number}"
        # PHD gateways write odd unit texts beside a right UCUM code.
        code, unit = quantity.get("code"), quantity.get("unit")
        return number, str(code or unit or "")[:40], ""
    for key in ("valueInteger", "valueDecimal", "valueString"):
        if key in part:
            return part[key], "", ""
    return None, "", ""


def _absence(part: dict[str, Any]) -> str:
    """Say why a value is absent, in FHIR's words."""
    reason = part.get("dataAbsentReason")
    if reason is None:
        return ""
    said = find(reason, ("coding", "0", "code")) or find(reason, ("text",)) or "no reason given"
    return f"dataAbsentReason {shown(said, 30)}: no value"


def _by_status(one: Observation, resource: dict[str, Any]) -> Observation:
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
    for concept in _list(resource.get("interpretation")):
        for coding in _list(find(concept, ("coding",))):
            yield str(find(coding, ("code",)))[:40]
    for key in ("security", "tag"):
        for coding in _list(find(resource, ("meta", key))):
            yield str(find(coding, ("code",)))[:40]


def _is_drill(resource: dict[str, Any]) -> bool:
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
    words = str(data.get("data", "")).split()
    step = max(1, int(_plain_number(data.get("dimensions"), 1.0)))
    words = words[::step]
    if len(words) > _MAX_SAMPLES:
        why = f"{len(words) - _MAX_SAMPLES} more samples: at most {_MAX_SAMPLES} are read"
        yield Observation(metric, None, INVALID, why)._replace(measured_at=_later(at, -1))
    for index, word in enumerate(words[:_MAX_SAMPLES]):
        if word in _OFF_SCALE:
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


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [f"options.{key}: unknown; known is identity" for key in options if key != "identity"]
    if options.get("identity", "device") not in {"device", "topic"}:
        mistakes.append(f"options.identity is {options['identity']!r}; it must be 'device' or 'topic'")
    return tuple(mistakes)


FORMAT = Format("fhir", "FHIR R4 Observation and Bundle (JSON)", decode, check, _MAX_PAYLOAD_BYTES)
