"""The OBX segments of one patient, read into observations grouped by device.

Law: code, unit, status, flags and time of an OBX are each judged, and each refusal is written into the
reason. Two sources of one metric at one time are one observation: the first probe with a value, the others
in a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from monitor.core.vitals import INVALID, METRICS, Observation, Report
from monitor.formats.codes import BLOOD_PRESSURE, Meaning, by_unit, meaning_of
from monitor.formats.contract import Context
from monitor.formats.er7 import Message, Separators, component_of, field_of, unescape
from monitor.formats.hl7_alarms import Alarm, read_inop
from monitor.formats.identity import normalise_address
from monitor.formats.instants import read_dtm
from monitor.formats.reading import doubt, join, judge_pressures, observe, read_pressures, refuse, shown
from monitor.formats.units import find_scale

_NUMBERS = frozenset({"NM", "SN", "ST", ""})  # OBX-2 types that may hold a vital sign that we do not know

# OBX-2 types that hold a waveform or a document.
_NOT_A_VALUE = frozenset({"NA", "MA", "ED", "RP", "CD"})

# OBX-11, HL7 table 0085: what it does to a value. R, F and an empty one are ordinary.
_REFUSED_BY = {
    "X": "OBX-11 X: no result could be had",
    "W": "OBX-11 W: posted to the wrong patient",
    "D": "OBX-11 D: deleted by the sender",
    "I": "OBX-11 I: pending",
    "N": "OBX-11 N: not asked for",
    "O": "OBX-11 O: order only",
}
_REMARK_OF = {"P": "preliminary (OBX-11 P)", "C": "a correction (OBX-11 C)", "S": "partial (OBX-11 S)"}

# OBX-8: measurement status of IHE PCD TF-2 table B.8-3, and HL7 table 0078 off-scale signs.
_FLAG_REFUSES = {
    "INV": "OBX-8 INV: the device calls it invalid",
    "NAV": "OBX-8 NAV: not available",
    "BUSY": "OBX-8 BUSY: measurement still going on",
    "ONGO": "OBX-8 ONGO: measurement still going on",
}
_FLAG_DOUBTS = {
    "QUES": "OBX-8 QUES: the device calls it questionable",
    "CAL": "OBX-8 CAL: calibration going on",
    "EARLY": "OBX-8 EARLY: an early estimate",
    "<": "OBX-8 <: below the device's scale",
    ">": "OBX-8 >: above the device's scale",
}
_FLAG_DRILLS = {"DEMO": "OBX-8 DEMO: the monitor is in demonstration mode", "TEST": "OBX-8 TEST: test data"}

_TIME_SYNC_NONE = "532224"  # MDC_TIME_SYNC_NONE, Continua WAN


@dataclass(slots=True)
class Order:
    """One OBR with its OBX segments, and what its alarm said."""

    segment: list[str] = field(default_factory=list)
    observations: list[list[str]] = field(default_factory=list)
    device: str = ""
    alarm: Alarm | None = None
    faults: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)
    is_alarm_list: bool = False


@dataclass(slots=True)
class Patient:
    """One patient's part of a message."""

    location: str = ""
    number: str = ""
    seen_pid: bool = False
    orders: list[Order] = field(default_factory=list)

    def order(self) -> Order:
        """Return the order that the next segment belongs to."""
        if not self.orders:
            self.orders.append(Order())
        return self.orders[-1]


class Seen(NamedTuple):
    """One observation with where it stood."""

    observation: Observation
    rank: int
    sub_id: str
    measured_at: datetime | None


@dataclass(slots=True)
class Group:
    """What one message says of one device."""

    identity: str
    patient: int
    measured_at: datetime | None = None
    seen: list[Seen] = field(default_factory=list)
    faults: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    drill: str = ""
    online: bool | None = None

    def report(self, context: Context, gateway_at: datetime | None, drill: str, notes: list[str]) -> Report:
        """Return the group as a report."""
        drill = self.drill or drill
        self._settle_time()
        observations = self._observations(str(context.options.get("probe", "")))
        return Report(
            self.identity or context.device_id,
            context.received_at,
            self.measured_at,
            judge_pressures(observations),
            None if self.faults is None else tuple(dict.fromkeys(self.faults)),
            mode="drill" if drill else "real",
            retained=context.retained,
            gateway_at=gateway_at,
            online=self.online,
            notes=tuple(
                dict.fromkeys([*notes, *self.notes, *([f"{drill}: taken as drill"] if drill else [])])
            ),
        )

    def _settle_time(self) -> None:
        """Take a time that all observations share as the report's, when the order has none."""
        if self.measured_at is None:
            times = {seen.measured_at for seen in self.seen}
            if len(times) == 1:
                self.measured_at = times.pop()

    def _observations(self, probe: str) -> list[Observation]:
        """Return one observation for each metric and time: the wanted probe, else the first with a value."""
        best: dict[tuple[str, datetime | None], Seen] = {}
        for seen in self.seen:
            key = (seen.observation.metric, seen.measured_at)
            rival = best.get(key)
            if rival is None:
                best[key] = seen
            elif _better(seen, rival, probe):
                best[key] = seen
                self._tell_of_second(rival)
            else:
                self._tell_of_second(seen)
        return [
            seen.observation
            if seen.measured_at == self.measured_at or seen.measured_at is None
            else seen.observation._replace(measured_at=seen.measured_at)
            for seen in best.values()
        ]

    def _tell_of_second(self, seen: Seen) -> None:
        value = seen.observation.value
        sent = "no value" if value is None else f"{value:g}"
        self.notes.append(
            f"second source of {seen.observation.metric} (OBX-4 {seen.sub_id or 'empty'}): {sent}, not used"
        )


def _better(seen: Seen, rival: Seen, probe: str) -> bool:
    def order(one: Seen) -> tuple[bool, bool, int]:
        wanted = bool(probe) and (one.sub_id == probe or one.sub_id.startswith(probe + "."))
        return not wanted, one.observation.value is None, one.rank

    return order(seen) < order(rival)


def read_patient(patient: Patient, message: Message, context: Context) -> tuple[list[Group], int, list[str]]:
    """Read a patient's orders.

    Returns:
        The groups, one for each device; how many segments held no vital sign of ours; and the OBX-3 of
        numbers that no rule knows.
    """
    reader = _Reader(patient, message, context)
    for order in patient.orders:
        reader.read(order)
    groups = [g for g in reader.groups.values() if g.seen or g.faults is not None or g.online is not None]
    if not groups and reader.groups and any(order.alarm or order.is_alarm_list for order in patient.orders):
        groups = list(reader.groups.values())
    return groups, reader.ignored, reader.unread


class _Reader:
    """Reads the orders of one patient in turn."""

    def __init__(self, patient: Patient, message: Message, context: Context) -> None:
        self.separators = message.separators
        self.context = context
        self.ignored = 0
        self.unread: list[str] = []
        self.groups: dict[str, Group] = {}
        self._patient = id(patient)
        self._fixed = _fixed_identity(patient, message, context)
        self._location = _plain_location(patient.location)
        self._devices: dict[str, str] = {}
        self._codes = context.options.get("codes") or {}

    def read(self, order: Order) -> None:
        """Read one order: its time, its devices, then each OBX."""
        began, ended = (component_of(field_of(order.segment, field), 0, self.separators) for field in (7, 8))
        at, note = read_dtm(began or ended, self.context)
        self._learn_devices(order)
        notes = [f"OBR-7: {note}"] if note else []
        if order.alarm or order.is_alarm_list:
            self._read_alarm(order, at, notes)
            if order.is_alarm_list or not _tells_value(order.alarm):
                self.ignored += len(order.observations)
                return
        parents: dict[str, datetime] = {}
        for row in order.observations:
            self._read_row(row, at, notes, parents)

    def _learn_devices(self, order: Order) -> None:
        """Map the containment's first number (OBX-4, the device) to the identity in OBX-18 or PRT-10."""
        named = _identity(order.device, self.separators)
        for row in order.observations:
            if own := _identity(field_of(row, 18), self.separators):
                self._devices[_device_number(row)] = own
                named = named or own
        if named:
            self._devices[""] = named

    def _group(self, row: list[str], at: datetime | None, notes: list[str]) -> Group:
        identity = self._fixed
        if identity is None:
            own = _identity(field_of(row, 18), self.separators)
            identity = (
                own or self._devices.get(_device_number(row)) or self._devices.get("") or self._location
            )
        group = self.groups.get(identity)
        if group is None:
            group = self.groups[identity] = Group(identity, self._patient, at)
        elif group.measured_at is None and not group.seen:
            group.measured_at = at
        if notes:
            group.notes += notes
            notes.clear()
        return group

    def _read_alarm(self, order: Order, at: datetime | None, notes: list[str]) -> None:
        group = self._group(order.observations[0] if order.observations else [], at, notes)
        group.notes += order.notes
        if order.faults is not None:
            group.faults = [*(group.faults or []), *order.faults]
        alarm = order.alarm
        if alarm is None:
            return
        if alarm.watchdog:
            group.online = alarm.active
            return
        what = "technical" if alarm.technical else "physiological"
        group.notes.append(f"{what} alarm of the monitor ({alarm.phase}): {alarm.text}")
        if alarm.fault:
            group.faults = [*(group.faults or []), *([alarm.fault] if alarm.active else [])]

    def _read_row(
        self, row: list[str], at: datetime | None, notes: list[str], parents: dict[str, datetime]
    ) -> None:
        meaning = _meaning(field_of(row, 3), field_of(row, 4), self.separators)
        if self._codes:
            meaning = self._own_code(row, meaning)
        is_panel = meaning.metric == BLOOD_PRESSURE
        if not meaning.metric or (field_of(row, 2).strip().upper() in _NOT_A_VALUE and not is_panel):
            self._read_other(row, meaning, at, notes)
            return
        given, sub_id = field_of(row, 5), field_of(row, 4).strip()
        own_at, note = read_dtm(component_of(field_of(row, 14), 0, self.separators), self.context)
        if own_at is None and sub_id:
            own_at = parents.get(sub_id.rpartition(".")[0])
        if not given.strip():
            if own_at is not None and sub_id:
                parents[sub_id] = own_at
            if is_panel or field_of(row, 2).strip() == "":
                return
        group = self._group(row, at, notes)
        for observation in self._observations(row, meaning, given):
            judged = _judge(observation, row, self.separators)
            if own_at is None:
                judged = _without_own_time(judged, row, note)
            elif note:
                group.notes.append(f"OBX-14: {note}")
            group.seen.append(Seen(judged, meaning.rank, sub_id, own_at or at))
        group.drill = group.drill or _drill(row, self.separators)

    def _observations(self, row: list[str], meaning: Meaning, given: str) -> tuple[Observation, ...]:
        unit_field = field_of(row, 6)
        if meaning.metric == BLOOD_PRESSURE:
            found = read_pressures(
                unescape(given.replace(self.separators.component, "/"), self.separators),
                _unit("mm[Hg]", unit_field, self.separators),
                meaning.remark,
            )
            return tuple(doubt(one, meaning.doubt) for one in found) if meaning.doubt else found
        if meaning.clash and unit_field:
            units = [
                unescape(part.strip(), self.separators)
                for part in unit_field.split(self.separators.component)
            ]
            meaning = next((one for part in units if (one := by_unit(meaning, part)).doubt), meaning)
        if meaning.clash:
            return (
                Observation(meaning.metric, None, INVALID, f"{meaning.clash}: {shown(given, 20)} not used"),
            )
        unit = _unit(METRICS[meaning.metric].unit, unit_field, self.separators) if unit_field else ""
        text, remark = _value_text(given, field_of(row, 2), self.separators)
        found_one = observe(meaning.metric, text, unit, join(meaning.remark, remark))
        if remark:
            return (doubt(found_one, "taken with doubt"),)
        return (doubt(found_one, meaning.doubt),) if meaning.doubt else (found_one,)

    def _own_code(self, row: list[str], meaning: Meaning) -> Meaning:
        """Look a code up in the site's own table (options.codes) first."""
        parts = [component_of(field_of(row, 3), part, self.separators) for part in range(3)]
        for key in (f"{parts[2]}:{parts[0]}", parts[0], parts[1]):
            if key and key in self._codes:
                metric = str(self._codes[key])
                return Meaning(
                    "" if metric == "ignore" else metric, remark=f"code {key[:30]} by options.codes"
                )
        return meaning

    def _read_other(self, row: list[str], meaning: Meaning, at: datetime | None, notes: list[str]) -> None:
        """Count a segment that is no vital sign of ours; say it when it could be mistaken for one."""
        self.ignored += 1
        given, identifier = field_of(row, 5), field_of(row, 3)
        if fault := read_inop(identifier, given, self.separators):
            group = self._group(row, at, notes)
            group.faults = [*(group.faults or []), fault]
            group.notes.append(f"technical alarm of the monitor: {shown(given.strip())}")
        elif meaning.what and given.strip() and len(given) < 24:
            name = component_of(field_of(row, 3), 1, self.separators) or component_of(
                field_of(row, 3), 0, self.separators
            )
            self._group(row, at, notes).notes.append(
                f"{shown(name, 40)} {shown(given, 12)}: {meaning.what}, not used"
            )
        elif given.startswith(_TIME_SYNC_NONE) or "MDC_TIME_SYNC_NONE" in given:
            group = self._group(row, at, notes)
            group.faults = [*(group.faults or []), "clock_unset"]
            group.notes.append("the device's clock is not synchronised (MDC_TIME_SYNC_NONE)")
        elif "MDC_ATTR_TIME_ABS" in identifier:
            group = self._group(row, at, notes)
            group.notes.append(
                f"device clock {shown(given, 30)} while the gateway says {shown(field_of(row, 14), 30)}"
            )
        elif given and field_of(row, 2) in _NUMBERS and not meaning.what:
            self.unread.append(identifier)


def _tells_value(alarm: Alarm | None) -> bool:
    """Say whether the value in an alarm is of now: later phases repeat the one that started it."""
    return alarm is not None and alarm.phase in {"start", "tpoint"} and not alarm.watchdog


def _fixed_identity(patient: Patient, message: Message, context: Context) -> str | None:
    """Return the identity that the options choose; ``None`` leaves it to OBX-18 and PV1-3."""
    wanted = context.options.get("identity", "auto")
    separators, header = message.separators, message.segments[0]
    if wanted == "topic":
        return ""
    if wanted == "PV1-3":
        return _plain_location(patient.location)
    if wanted == "PID-3":
        return component_of(patient.number, 0, separators)
    if wanted in {"MSH-3", "MSH-4"}:
        return normalise_address(component_of(field_of(header, int(wanted[-1])), 0, separators))
    if wanted == "OBR-3" and patient.orders:
        return normalise_address(component_of(field_of(patient.orders[0].segment, 3), 0, separators))
    return None


def _plain_location(location: str) -> str:
    """Return PV1-3 as written, without the empty components at its ends."""
    return location.strip().strip("^&~ ")[:128]


def _identity(text: str, separators: Separators) -> str:
    """Return the device named by an entity identifier (OBX-18, PRT-10)."""
    if not text:
        return ""
    return normalise_address(component_of(text, 0, separators) or component_of(text, 2, separators))


def _device_number(row: list[str]) -> str:
    """Return the first number of OBX-4, which counts the devices of a PCD-01 message."""
    return field_of(row, 4).partition(".")[0].strip() if "." in field_of(row, 4) else ""


@lru_cache(maxsize=8192)
def _meaning(identifier: str, sub_id: str, separators: Separators) -> Meaning:
    """Return what OBX-3 means, by its first coding or its alternate."""
    parts = [unescape(part.strip(), separators) for part in identifier.split(separators.component)]
    parts += [""] * (6 - len(parts))
    found = meaning_of(parts[2], parts[0], parts[1], sub_id.strip())
    if not found.metric and not found.what and (parts[3] or parts[4]):
        return meaning_of(parts[5], parts[3], parts[4])
    return found


@lru_cache(maxsize=4096)
def _unit(own: str, unit_field: str, separators: Separators) -> str:
    """Return the part of OBX-6 that names a unit which becomes ``own``; else its first part."""
    parts = [unescape(part.strip(), separators) for part in unit_field.split(separators.component)]
    return next((part for part in parts if part and find_scale(own, part)), next(filter(None, parts), ""))


def _value_text(given: str, kind: str, separators: Separators) -> tuple[str, str]:
    """Return OBX-5 as one number's text, and a remark when it held more."""
    remark = ""
    if separators.repetition in given:
        parts = given.split(separators.repetition)
        given, remark = parts[0], f"{len(parts)} values in one OBX-5, the first taken"
    if kind.strip().upper() == "SN":  # comparator ^ number
        parts = given.split(separators.component)
        given = "".join(parts[:2])
    elif separators.component in given:
        given = given.split(separators.component, 1)[0]
    return unescape(given, separators), remark


def _judge(observation: Observation, row: list[str], separators: Separators) -> Observation:
    """Apply OBX-11 and OBX-8 to an observation."""
    status = field_of(row, 11).strip().upper()
    if status in _REFUSED_BY:
        return refuse(observation, _REFUSED_BY[status])
    if status in _REMARK_OF:
        observation = observation._replace(reason=join(observation.reason, _REMARK_OF[status]))
    flags = field_of(row, 8)
    if not flags:
        return observation
    for flag in (
        flags.upper().replace(separators.component, separators.repetition).split(separators.repetition)
    ):
        if flag in _FLAG_REFUSES:
            observation = refuse(observation, _FLAG_REFUSES[flag])
        elif flag in _FLAG_DOUBTS:
            observation = doubt(observation, _FLAG_DOUBTS[flag])
    return observation


def _drill(row: list[str], separators: Separators) -> str:
    flags = field_of(row, 8).upper()
    return next(
        (why for flag, why in _FLAG_DRILLS.items() if flag and flag in flags.split(separators.repetition)), ""
    )


def _without_own_time(observation: Observation, row: list[str], note: str) -> Observation:
    """Mark a value whose own time is missing or unreadable, where that could hide that it is old."""
    if note:
        return doubt(observation, f"OBX-14: {note}; not known to be new")
    if "APERIODIC" in field_of(row, 13).upper() or "APERIODIC" in field_of(row, 17).upper():
        return doubt(observation, "aperiodic and without a time of its own: not known to be new")
    return observation
