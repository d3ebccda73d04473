"""From a drill file to a running ward: patients, devices, network, and what staff does in a fast run.

Law: the same drill makes the same stream, whether it is played live or at full speed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from simulators.chance import Chance
from simulators.course import Episode, Point, Script
from simulators.cuff import Cuff
from simulators.device import Device, Message, Trouble
from simulators.drill import BEGIN_MIN, Drill, Lying, Task, numbers
from simulators.network import PERFECT, Conditions, Cut, CutKind, Network
from simulators.patient import Patient, Truth
from simulators.pharmacology import Dose
from simulators.plan import calm, dose_record, doses_of
from simulators.sensors import Breathing, EcgRate, Oximeter, Sensor
from simulators.subject import OneSubject, draw_subject
from simulators.ward import Bed, Ward
from simulators.wiring import device_record

SECOND_0 = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)  # of a fast run: any day, always the same
PERIOD_S = {"oximeter": 1.0, "cuff": 300.0, "breath": 5.0, "ecg": 1.0}
ROBOT = "robot"


@dataclass(slots=True)
class Stage:
    """A drill ready to be played. ``truths`` is what was true, by bed: session seconds and the truth."""

    drill: Drill
    ward: Ward
    plan: list[dict[str, Any]]
    second_0: datetime
    truths: dict[str, list[Truth]] = field(default_factory=dict)

    def note_truth(self) -> None:
        """Keep what is true now, a second apart at most."""
        for bed in self.ward.beds:
            kept = self.truths.setdefault(bed.bed_id, [])
            if not kept or kept[-1].at_s < bed.patient.truth.at_s:
                kept.append(bed.patient.truth)

    def minute(self, at: datetime) -> float:
        """Return an instant in minutes since the first dose."""
        return (at - self.second_0).total_seconds() / 60.0


def device_ids(lying: Lying, number: int) -> dict[str, str]:
    """Return the devices of a bed by name; they are those of ``drill ward``."""
    return {name: f"sim-{name}-{number}" for name in lying.devices}


def set_stage(drill: Drill, second_0: datetime, site: str, *, live_min: float | None = None) -> Stage:
    """Make the ward of a drill.

    Args:
        drill: the exercise.
        second_0: the instant of the first dose.
        site: the site's name in topics.
        live_min: session minute at which the ward's clock reads 0; ``None`` lets it run on the session's
            clock from the beginning of the baseline.
    """
    start_s = 0.0 if live_min is None else -live_min * 60.0
    beds = [
        _bed(drill, lying, number, second_0, site, start_s)
        for number, lying in zip(numbers(drill), drill.beds, strict=True)
    ]
    cuts = list(_cuts(drill, start_s))
    conditions = Conditions(cuts=cuts) if cuts else PERFECT
    network = Network(conditions, Chance(drill.seed, "network"), site, second_0 - timedelta(seconds=start_s))
    ward = Ward(beds, network, now_s=0.0 if live_min is not None else BEGIN_MIN * 60.0)
    now_min = BEGIN_MIN if live_min is None else live_min
    plan = [_plan(lying, number, now_min) for number, lying in zip(numbers(drill), drill.beds, strict=True)]
    return Stage(drill, ward, plan, second_0)


def _plan(lying: Lying, number: int, now_min: float) -> dict[str, Any]:
    doses = _doses(lying)
    made = {
        "oximeter": Oximeter(Chance(0)).metrics,
        "cuff": Cuff(Chance(0)).metrics,
        "breath": Breathing(Chance(0)).metrics,
        "ecg": EcgRate(Chance(0)).metrics,
    }
    return {
        "bed_id": lying.bed,
        "devices": [
            device_record(device_id, name, made[name], PERIOD_S[name])
            for name, device_id in device_ids(lying, number).items()
        ],
        "patient_code": patient_code(lying),
        "protocol": lying.protocol,
        "minutes_since_start": round(now_min - BEGIN_MIN, 2),
        "doses": [dose_record(d, "minutes_since", now_min - d.at_min) for d in doses if d.at_min <= now_min],
        "planned_doses": [
            dose_record(d, "in_minutes", d.at_min - now_min) for d in doses if d.at_min > now_min
        ],
        "story": lying.patient,
    }


def patient_code(lying: Lying) -> str:
    """Return the pseudonym of the patient in a bed."""
    return f"DRILL-{lying.bed}"


def _doses(lying: Lying) -> tuple[Dose, ...]:
    doses = doses_of(lying.protocol, lying.weight_kg, lying.sprays)
    return tuple(replace(dose, at_min=dose.at_min + lying.dose_delay_min) for dose in doses)


def _bed(drill: Drill, lying: Lying, number: int, second_0: datetime, site: str, start_s: float) -> Bed:
    chance = Chance(drill.seed, "drill", drill.title, lying.bed)
    subject = calm(
        draw_subject(
            OneSubject(chance.branch("subject")),
            age_years=lying.age_years,
            weight_kg=lying.weight_kg,
            hypertensive=float(lying.hypertensive),
        )
    )
    scripts = {
        name: Script([Point(minute * 60.0, value) for minute, value in points], lead_in_s=120.0)
        for name, points in lying.course.items()
    }
    patient = Patient(
        subject,
        chance.branch("truth"),
        _doses(lying),
        [Episode(h.episode_kind, h.at_min * 60.0, h.lasts_s, h.size) for h in lying.happens],
        scripts,
        variability=0.15,
        fidgets=False,  # a drill moves its patient when the file says so
    )
    cuff = Cuff(
        chance.branch("cuff", "sensor"),
        lying.cuff.every_min * 60.0,
        bias_systolic=lying.cuff.bias,
        bias_diastolic=0.6 * lying.cuff.bias,
        noise=0.15,
        artefacts=0.0,
        auto=lying.cuff.auto,
        clock_offset_s=30.0,
        at_s=[at * 60.0 for at in lying.cuff.at_min],
        announces=lying.cuff.same_arm,
    )
    arm = cuff.inflated if lying.cuff.same_arm else None
    sensors: dict[str, Sensor] = {
        "oximeter": Oximeter(chance.branch("oximeter", "sensor"), artefacts=0.0, arm_inflated=arm),
        "breath": Breathing(chance.branch("breath", "sensor")),
        "ecg": EcgRate(chance.branch("ecg", "sensor")),
    }
    devices = []
    for place, (name, device_id) in enumerate(device_ids(lying, number).items()):
        devices.append(
            Device(
                device_id,
                name,
                site,
                patient,
                second_0,
                chance.branch(name),
                () if name == "cuff" else (sensors[name],),
                cuff if name == "cuff" else None,
                period_s=PERIOD_S[name],
                phase_s=round((number + 10 * place) * 0.618034 % 1.0, 3),
                troubles=[
                    Trouble(fault.kind, fault.at_min * 60.0, fault.lasts_s, fault.size)
                    for fault in lying.faults
                    if fault.device == name
                ],
            )
        )
    return Bed(lying.bed, patient, devices, start_s)


def _cuts(drill: Drill, start_s: float) -> Iterator[Cut]:
    names = {
        lying.bed: device_ids(lying, number) for number, lying in zip(numbers(drill), drill.beds, strict=True)
    }
    for fault in drill.network:
        kind: CutKind = "partition" if fault.kind == "broker_down" else fault.kind
        device_id = names[fault.bed].get(fault.device, "") if fault.device else ""
        yield Cut(kind, fault.at_min * 60.0 + start_s, fault.lasts_s, device_id)


# --- the lines of a fast run -------------------------------------------------------------------------------


def lines(stage: Stage) -> Iterator[str]:
    """Give the whole session as ``afterwatch replay --envelopes`` reads it, in the order of time."""
    drill = stage.drill
    begin = BEGIN_MIN * 60.0
    yield json.dumps({"at": stamp(stage, begin), "plan": stage.plan})
    waiting = sorted(_acts(stage), key=lambda act: act[0])
    for message in stage.ward.run(drill.ends_at_min * 60.0):
        while waiting and waiting[0][0] <= message.at_s:
            yield from _at_its_time(waiting.pop(0)[1])
        stage.note_truth()
        yield _envelope(stage, message)
    for _, act in waiting:
        yield from _at_its_time(act)
    yield json.dumps({"at": stamp(stage, drill.ends_at_min * 60.0), "tick": True})


def _at_its_time(act: dict[str, Any]) -> Iterator[str]:
    """Give an act after what came due before it: whoever acknowledges has seen the alarm."""
    yield json.dumps({"at": act["at"], "tick": True})
    yield json.dumps(act)


def stamp(stage: Stage, at_s: float) -> str:
    """Return a session second as ISO 8601."""
    return (stage.second_0 + timedelta(seconds=round(at_s, 3))).isoformat()


def _envelope(stage: Stage, message: Message) -> str:
    return json.dumps(
        {
            "at": stamp(stage, message.at_s),
            "topic": message.topic,
            "payload": message.payload.decode(),
            "retained": False,  # the monitor was there when it was sent
        }
    )


def _acts(stage: Stage) -> Iterator[tuple[float, dict[str, Any]]]:
    drill = stage.drill
    for lying in drill.beds:
        yield _act(stage, BEGIN_MIN, lying.bed, "start_session", **_session(lying))
        if lying.cuff.same_arm:
            yield _act(stage, BEGIN_MIN, lying.bed, "same_limb", same=True, by=ROBOT)
        for dose in _doses(lying):
            given = dose_record(dose, "in_minutes", 0.0)
            fields = {"amount_mg": given["amount_mg"], "route": given["route"], "by": ROBOT}
            if dose.at_min <= drill.ends_at_min:
                yield _act(stage, dose.at_min, lying.bed, "dose", **fields)
    for task in drill.staff:
        yield _act(stage, task.at_min, task.bed, task.does, **_fields(task))
    for fault in drill.network:
        if fault.kind == "broker_down":
            for lying in drill.beds:
                yield _act(stage, fault.at_min, lying.bed, "lose_link")
                yield _act(stage, fault.at_min + fault.lasts_s / 60.0, lying.bed, "restore_link")


def _session(lying: Lying) -> dict[str, Any]:
    return {
        "patient_code": patient_code(lying),
        "protocol": lying.protocol,
        "mode": "drill",
        "by": ROBOT,
    }


def _act(stage: Stage, minute: float, bed: str, name: str, **fields: Any) -> tuple[float, dict[str, Any]]:
    at_s = minute * 60.0
    return at_s, {"at": stamp(stage, at_s), "action": name, "bed": bed, **fields}


_OF_ACTION = {
    "manual": ("values",),
    "score": ("scale", "value"),
    "note": ("kind", "text"),
    "answer": ("criterion", "met"),
    "confirm_ready": ("reason",),
    "end_session": ("reason",),
    "dose": ("amount_mg", "route", "reason"),
    "pause_audio": ("seconds",),
}


def _fields(task: Task) -> dict[str, Any]:
    fields = {name: getattr(task, name) for name in _OF_ACTION.get(task.does, ())}
    if task.does in ("acknowledge", "accept", "reset"):
        fields["rule"] = task.after
    return {**fields, "by": task.role}
