"""HL7 v2: ORU^R01 of bedside monitors and gateways, IHE PCD-01 and Continua WAN, PCD-04 alarms (ORU^R40).

Law: each OBX is judged alone; one bad OBX costs that OBX. A value keeps its own time (OBX-14): what a monitor
repeats without measuring again stays as old as it is. Patients and devices of one message are never mixed:
what cannot be told apart is refused. MSH-7 is the gateway's clock, OBR-7 and OBX-14 are the device's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitor.core.vitals import METRICS
from monitor.formats import er7
from monitor.formats.contract import MAX_UNREAD, Context, Decoded, Format, Undecodable
from monitor.formats.er7 import Message, component_of, field_of
from monitor.formats.hl7_alarms import read_alarm, read_mindray_alarms
from monitor.formats.hl7_observations import Group, Order, Patient, read_patient
from monitor.formats.instants import offset_of, read_dtm
from monitor.formats.reading import shown

# A message of a monitor with every module is 20 to 60 KiB; the rule of 16 KiB (S-05) is for single devices.
_MAX_PAYLOAD_BYTES = 128 * 1024
_IDENTITIES = ("auto", "topic", "OBX-18", "PV1-3", "PID-3", "MSH-3", "MSH-4", "OBR-3")
_MINDRAY_ALARM_LISTS = frozenset({"54", "56"})
_WITH_OBSERVATIONS = frozenset({"ORU", "ORF", "OUL", ""})  # ORF answers a query with them


def decode(payload: bytes, context: Context) -> Decoded:
    """Decode one or more HL7 v2 messages.

    Options: ``identity`` (which field names the device), ``codes`` (a table of the site's own codes to
    metrics), ``probe`` (OBX-4 of the probe to use where two send the same metric).

    Raises:
        Undecodable: no MSH segment, or several patients and nothing that names their devices.
    """
    decoded = [_decode_message(message, context) for message in er7.read_messages(payload)]
    return Decoded(
        tuple(report for one in decoded for report in one.reports),
        sum(one.ignored for one in decoded),
        "; ".join(dict.fromkeys(one.note for one in decoded if one.note))[:500],
        tuple(dict.fromkeys(name for one in decoded for name in one.unread))[:MAX_UNREAD],
    )


def _decode_message(message: Message, context: Context) -> Decoded:
    header, separators = message.segments[0], message.separators
    kind = component_of(field_of(header, 9), 0, separators).upper()
    trigger = component_of(field_of(header, 9), 1, separators).upper()
    if kind not in _WITH_OBSERVATIONS:
        return _without_observations(message, f"{kind}^{trigger}")
    if trigger == "W01":
        return Decoded((), 1, "ORU^W01: waveforms, no vital signs")
    sent_at = field_of(header, 7).split(separators.component)[0]
    if context.zone is None and (offset := offset_of(sent_at)):
        context = replace(context, zone=offset)  # HL7 2.14.9.7: MSH-7's offset holds for the whole message
    gateway_at, note = read_dtm(sent_at, context)
    notes = [f"MSH-7: {note}"] if note else []
    mode = _drill_reason(component_of(field_of(header, 11), 0, separators).upper())
    groups: list[Group] = []
    unread: list[str] = []
    ignored = 0
    patients = _patients(message)
    for patient in patients:
        read_alarms(patient, trigger, field_of(header, 10), message)
        found, skipped, unknown = read_patient(patient, message, context)
        groups += found
        ignored += skipped
        unread += unknown
    _refuse_mixed_patients(patients, groups, context)
    reports = tuple(group.report(context, gateway_at, mode, notes) for group in groups)
    note = "" if reports else f"{kind}^{trigger}: no vital sign of ours in it"
    return Decoded(reports, ignored, note, tuple(unread))


def _without_observations(message: Message, kind: str) -> Decoded:
    """Say what a message of another kind is; what an admission repeats of a patient is not live."""
    rows = sum(segment[0] == "OBX" for segment in message.segments)
    said = f"its {rows} OBX are not of now and not used" if rows else "no observations in such a message"
    return Decoded((), max(rows, 1), _acknowledgement(message) or f"{kind}: {said}")


def _acknowledgement(message: Message) -> str:
    """Say what an ACK acknowledges."""
    for segment in message.segments:
        if segment[0] == "MSA":
            return f"ACK {shown(field_of(segment, 1), 8)} for message {shown(field_of(segment, 2), 40)}"
    return ""


def _drill_reason(processing: str) -> str:
    """Say why a message is not about a patient (MSH-11, HL7 table 0103); empty for production."""
    return {"T": "MSH-11 says training", "D": "MSH-11 says debugging"}.get(processing, "")


def _patients(message: Message) -> list[Patient]:
    """Group the segments by patient and order. OBX before any PID or OBR belong to the first of each."""
    patients = [Patient()]
    for segment in message.segments[1:]:
        name = segment[0].strip().upper()
        patient = patients[-1]
        if name == "PID":
            if patient.seen_pid or any(order.observations for order in patient.orders):
                patient = Patient()
                patients.append(patient)
            patient.seen_pid = True
            patient.number = field_of(segment, 3)
        elif name == "PV1":
            patient.location = field_of(segment, 3)
        elif name == "OBR":
            patient.orders.append(Order(segment))
        elif name == "OBX":
            patient.order().observations.append(segment)
        elif name == "PRT" and field_of(segment, 10):
            _take_participation(patient.order(), field_of(segment, 10))
    return [
        patient for patient in patients if any(o.observations or o.is_alarm_list for o in patient.orders)
    ] or [patients[0]]


def _take_participation(order: Order, device: str) -> None:
    """Take a device from a PRT (HL7 2.7): of the OBX that it follows, or of the whole order."""
    if not order.observations:
        order.device = device
        return
    row = order.observations[-1]
    row += [""] * (19 - len(row))
    row[18] = row[18] or device


def read_alarms(patient: Patient, trigger: str, control_id: str, message: Message) -> None:
    """Read the alarms of a patient's orders into them (PCD-04, or Mindray's lists by control id)."""
    separators = message.separators
    if trigger == "R01" and control_id.strip() in _MINDRAY_ALARM_LISTS:
        order = patient.order()
        faults, order.notes = read_mindray_alarms(order.observations, separators)
        order.faults = faults if control_id.strip() == "56" else None
        order.is_alarm_list = True
        return
    for order in patient.orders:
        if trigger == "R40" or component_of(field_of(order.segment, 4), 1, separators) == "MDC_EVT_ALARM":
            order.alarm = read_alarm(order.observations, separators)


def _refuse_mixed_patients(patients: list[Patient], groups: list[Group], context: Context) -> None:
    """Refuse a message of several patients when nothing says which device is whose.

    Raises:
        Undecodable: two patients' readings would go to one device.
    """
    owners: dict[str, int] = {}
    for group in groups:
        identity = group.identity or context.device_id
        if owners.setdefault(identity, group.patient) != group.patient:
            raise Undecodable(
                f"{len(patients)} patients and no field that tells their devices apart (OBX-18, PV1-3): "
                "set options.identity, or let the gateway send one patient a message"
            )


def check(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the mistakes in a device's options for this format."""
    mistakes = [
        f"options.{key}: unknown; known are identity, codes, probe"
        for key in options
        if key not in {"identity", "codes", "probe"}
    ]
    if options.get("identity", "auto") not in _IDENTITIES:
        mistakes.append(
            f"options.identity is {options['identity']!r}; it must be one of {', '.join(_IDENTITIES)}"
        )
    codes = options.get("codes", {})
    if not isinstance(codes, Mapping):
        return (*mistakes, "options.codes must be a table of code = metric")
    for code, metric in codes.items():
        if metric != "ignore" and metric not in METRICS:
            mistakes.append(
                f"options.codes.{code} is {metric!r}; it must be a metric ({', '.join(METRICS)}) or ignore"
            )
    return tuple(mistakes)


FORMAT = Format("hl7v2", "HL7 v2 ORU, IHE PCD-01 and PCD-04, Continua WAN", decode, check, _MAX_PAYLOAD_BYTES)
