"""FHIR R4 Observation and Bundle: vital-signs profiles, Personal Health Device profiles, SampledData.

Law: an observation says what it measured by its codings, the most exact nomenclature first; what was
withdrawn (entered-in-error, cancelled) or is absent has no value, with FHIR's own reason. The resources are
walked, not validated: a gateway's small mistake must not cost a reading. ``effective`` is the device's
time, ``issued`` the gateway's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitor.core.vitals import PRESSURES, Observation, Report
from monitor.formats.codes import Meaning
from monitor.formats.contract import MAX_UNREAD, Context, Decoded, Format, Undecodable
from monitor.formats.fhir_values import as_list, by_status, called, is_drill, readings_of
from monitor.formats.identity import normalise_address
from monitor.formats.instants import read_iso
from monitor.formats.json_payload import find, parse
from monitor.formats.reading import judge_pressures

_MAX_PAYLOAD_BYTES = 128 * 1024  # a Bundle of one session visit; S-05's 16 KiB is for single devices
_EFFECTIVE = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "effectiveTiming")


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
    document = _parsed(payload)
    groups: dict[str, _Found] = {}
    kinds: list[str] = []
    unread: dict[str, None] = {}
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
            unread[called(resource.get("code"))] = None
    if not groups and not kinds and not ignored:
        raise Undecodable("no FHIR resource (no resourceType); FHIR JSON is an Observation or a Bundle")
    _refuse_mixed_patients(groups)
    note = (
        ""
        if groups
        else "no vital sign of ours in it: " + ", ".join(dict.fromkeys(kinds or ["Observation"]))[:200]
    )
    reports = tuple(_report(name, found, context) for name, found in groups.items())
    return Decoded(reports, ignored, note, tuple(filter(None, unread))[:MAX_UNREAD])


def _parsed(payload: bytes) -> Any:
    """Parse a resource, or one on each line (NDJSON).

    Raises:
        Undecodable: neither; FHIR's XML form is named as such.
    """
    try:
        return parse(payload)
    except Undecodable:
        if payload.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise Undecodable(
                "FHIR XML: only its JSON form is read (Accept: application/fhir+json)"
            ) from None
        lines = [line for line in payload.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [parse(line) for line in lines]


def _resources(document: Any, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every resource with its address in the Bundle; Observations contained in another one too."""
    if depth > 8:
        return
    if isinstance(document, list):
        for entry in document:
            yield from _resources(entry, depth + 1)
    elif isinstance(document, dict) and isinstance(document.get("resourceType"), str):
        yield "", document
        for contained in as_list(document.get("contained")):
            if find(contained, ("resourceType",)) == "Observation":
                yield "", _inherited(contained, document)
        for entry in [*as_list(document.get("entry")), *as_list(document.get("parameter"))]:
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                for address, resource in _resources(entry["resource"], depth + 1):
                    yield address or str(entry.get("fullUrl", "")), resource


def _inherited(contained: dict[str, Any], around: dict[str, Any]) -> dict[str, Any]:
    """Return a contained Observation with what only the one around it says: device, subject and time."""
    keys: tuple[str, ...] = ("device", "subject", "contained", "issued")
    keys += () if any(key.startswith("effective") for key in contained) else _EFFECTIVE
    return {**{key: around[key] for key in keys if key in around}, **contained}


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
    readings = list(readings_of(resource, at))
    readings += [
        reading
        for component in as_list(resource.get("component"))
        if isinstance(component, dict)
        for reading in readings_of(component, at)
    ]
    if _is_invasive(resource):
        readings = [reading for reading in readings if reading[1].metric not in PRESSURES]
    readings = [(meaning, by_status(one, resource)) for meaning, one in readings]
    if not readings:
        return False
    name = "" if context.options.get("identity") == "topic" else _device(resource, devices)
    found = groups.setdefault(name, _Found(measured_at=at))
    subject = find(resource, ("subject", "reference"))
    found.subjects.add(subject if isinstance(subject, str) else "")
    found.drill = found.drill or is_drill(resource)
    if note:
        found.notes.append(note)
    if found.gateway_at is None and "issued" in resource:
        found.gateway_at = read_iso(resource["issued"], context)[0]
    for meaning, one in readings:
        _keep(found, meaning, one, at)
    return True


def _is_invasive(resource: dict[str, Any]) -> bool:
    """Say whether the method is an arterial line: LOINC's 8480-6 does not tell it from a cuff."""
    method = f"{called(resource.get('method'))}".lower().replace("-", "")
    return ("invasive" in method and "noninvasive" not in method) or "arterial line" in method


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
    """Return when it was measured: dateTime, Instant, an end of the Period, or the first Timing event."""
    period = resource.get("effectivePeriod")
    ends = ("start", "end") if "valueSampledData" in resource else ("end", "start")  # samples follow a start
    candidates = (
        resource.get("effectiveDateTime"),
        resource.get("effectiveInstant"),
        find(period, ends[:1]) or find(period, ends[1:]),
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
            for contained in as_list(resource.get("contained")):
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


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [f"options.{key}: unknown; known is identity" for key in options if key != "identity"]
    if options.get("identity", "device") not in {"device", "topic"}:
        mistakes.append(f"options.identity is {options['identity']!r}; it must be 'device' or 'topic'")
    return tuple(mistakes)


FORMAT = Format("fhir", "FHIR R4 Observation and Bundle (JSON)", decode, check, _MAX_PAYLOAD_BYTES)
