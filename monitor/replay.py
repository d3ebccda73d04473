"""The same core over recorded readings: offline, at full speed, with the recording's own time.

Law: nothing here decides anything about an alarm; it only hands ``advance`` what was recorded, at the time at
which it was received. Two replays of a file are equal, byte for byte.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from monitor import formats
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Phase, Protocol
from monitor.core.vitals import METRICS, Report, screen, screen_pressures

SECOND_0 = datetime(2026, 1, 1, tzinfo=UTC)  # files that count seconds begin here
CUFF_INTERVAL_S = 300.0
BED = "replay"
BY = "replay"


class BadRecording(ValueError):
    """The file cannot be replayed; the text names the file, the line and the remedy."""


class Row(NamedTuple):
    """One line of a recording: ``value`` is ``None`` for no value."""

    line: int
    measured_at: datetime
    received_at: datetime | None
    device_id: str
    metric: str
    value: float | None


@dataclass(slots=True)
class Recording:
    """What was read, and the lines that could not be used (each with its reason)."""

    rows: list[Row] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


# --- reading -----------------------------------------------------------------------------------------------


def read(file: Path) -> Recording:
    """Read a CSV with ``measured_at,metric,value`` and optional ``received_at,device_id``; .gz too.

    Raises:
        BadRecording: a needed column is missing, or no line can be used.
    """
    opened = gzip.open if file.suffix == ".gz" else open
    found = Recording()
    try:
        with opened(file, "rt", newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            absent = {"measured_at", "metric", "value"} - set(table.fieldnames or ())
            if absent:
                wanted = ", ".join(sorted(absent))
                raise BadRecording(
                    f"{file}: line 1: no column {wanted}; the first line must name measured_at,metric,value"
                )
            for line, row in enumerate(table, 2):
                _take(found, line, row)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise BadRecording(
            f"{file}: cannot be read: {fault}; give a CSV file in UTF-8, or .csv.gz"
        ) from fault
    if not found.rows:
        raise BadRecording(f"{file}: no line can be used; " + "; ".join(found.unused[:5]))
    return found


def _take(found: Recording, line: int, row: Mapping[str | Any, Any]) -> None:
    metric = (row["metric"] or "").strip()
    if metric not in METRICS:
        found.unused.append(f"line {line}: metric {metric!r} is unknown; known are {', '.join(METRICS)}")
        return
    try:
        measured_at = _instant(row["measured_at"])
        received_at = _instant(row["received_at"]) if row.get("received_at") else None
    except (ValueError, OverflowError, TypeError):
        found.unused.append(f"line {line}: the time cannot be read; write ISO 8601 or seconds")
        return
    device_id = (row.get("device_id") or "").strip() or f"replay-{METRICS[metric].channel}"
    found.rows.append(Row(line, measured_at, received_at, device_id, metric, _number(row["value"])))


def _instant(text: str) -> datetime:
    """Read ISO 8601 (without offset: UTC) or seconds."""
    try:
        return SECOND_0 + timedelta(seconds=float(text))
    except ValueError:
        at = datetime.fromisoformat(text.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _number(text: str | None) -> float | None:
    """Read a number; whatever is none (empty, ``--``, ``nan``) is "no value"."""
    try:
        return float(text or "")
    except ValueError:
        return None


def reports(rows: Iterable[Row]) -> Iterator[Report]:
    """Return rows as reports: neighbours of one device and time are one.

    Where the file does not say when a reading was received, it came as soon as it could: when it was
    measured, or after the newest one before it.
    """
    group: list[Row] = []
    newest: datetime | None = None
    for row in rows:
        if group and (
            (row.device_id, row.measured_at, row.received_at)
            != (group[0].device_id, group[0].measured_at, group[0].received_at)
            or any(row.metric == one.metric for one in group)
        ):
            newest = _received(group[0], newest)
            yield _report(group, newest)
            group = []
        group.append(row)
    if group:
        yield _report(group, _received(group[0], newest))


def _received(row: Row, newest: datetime | None) -> datetime:
    at = row.received_at or row.measured_at
    return at if newest is None else max(at, newest)


def _report(group: list[Row], received_at: datetime) -> Report:
    values = tuple(
        screen(row.metric, row.value)
        for row in sorted(group, key=lambda row: list(METRICS).index(row.metric))
    )
    return Report(group[0].device_id, received_at, group[0].measured_at, screen_pressures(values))


def profiles(found: list[Report]) -> list[DeviceProfile]:
    """Return what each device measures and how often (median gap, at least a second)."""
    metrics: dict[str, set[str]] = {}
    times: dict[str, list[datetime]] = {}
    for report in found:
        metrics.setdefault(report.device_id, set()).update(one.metric for one in report.observations)
        times.setdefault(report.device_id, []).append(report.at)
    return [
        DeviceProfile(name, tuple(sorted(measured)), _interval_s(measured, times[name]))
        for name, measured in metrics.items()
    ]


def _interval_s(metrics: set[str], times: list[datetime]) -> float:
    if all(METRICS[name].aperiodic for name in metrics):
        return CUFF_INTERVAL_S
    ordered = sorted(set(times))
    gaps = [(b - a).total_seconds() for a, b in pairwise(ordered)]
    return max(median(gaps), 1.0) if gaps else 1.0


# --- replaying ---------------------------------------------------------------------------------------------


class Stage:
    """Beds that live by recorded time."""

    def __init__(self) -> None:
        """Begin with no bed."""
        self.beds: dict[str, Bed] = {}
        self.serves: dict[str, str] = {}

    def do(self, bed_id: str, one: Input, now: datetime) -> tuple[Outcome, ...]:
        """Give a bed one input; return what happened."""
        bed = self.beds.get(bed_id) or Bed(bed_id)
        self.beds[bed_id], outcomes = advance(bed, one, now)
        return outcomes

    def associate(self, bed_id: str, profile: DeviceProfile, now: datetime) -> tuple[Outcome, ...]:
        """Let a device serve a bed."""
        self.serves[profile.device_id] = bed_id
        return self.do(bed_id, given.Associate(profile), now)

    def pass_time(self, now: datetime) -> Iterator[Outcome]:
        """Let time come to ``now`` on every bed."""
        for bed_id in list(self.beds):
            yield from self.do(bed_id, given.Tick(), now)


def replay(found: list[Report], protocol: Protocol, *, phase: Phase = "observation") -> Iterator[Outcome]:
    """Replay reports as one session that begins with the first of them.

    Args:
        found: in order of receipt.
        protocol: the limits.
        phase: in which the whole recording stands.

    Yields:
        What happened, in order. Metrics that the recording does not hold are not waited for.
    """
    stage = Stage()
    start = min(found[0].received_at, found[0].at)
    measured = {one.metric for report in found for one in report.observations}
    without = tuple(name for name in METRICS if name not in measured)
    for profile in profiles(found):
        yield from stage.associate(BED, profile, start)
    yield from stage.do(
        BED,
        given.StartSession(
            "replay", "replay", protocol, BY, started_at=start, phase=phase, without=without, reason="replay"
        ),
        start,
    )
    for report in found:
        yield from stage.do(BED, given.Observe(report), report.received_at)


WARM_UP = timedelta(minutes=2)  # of a session lived again: device clocks and counters settle


def live_again(
    given_to_bed: Iterable[tuple[datetime, Input | Report]],
    bed_id: str,
    session_id: str,
    protocol: Protocol | None = None,
    changes: Mapping[str, float | None] | None = None,
) -> Iterator[Outcome]:
    """Give a bed of its own what a session's bed was given; yield what then happens to the session.

    Args:
        given_to_bed: as ``series.embedded.Embedded.lived`` returns it, in order.
        bed_id: of the bed.
        session_id: of the session.
        protocol: another one in place of the one it started from.
        changes: by limit id: another absolute value (the metric's unit), or ``None`` for off.

    With neither, the outcomes are those that the journal holds (AF-01).
    """
    stage = Stage()
    for at, one in given_to_bed:
        told: Input = given.Observe(one) if isinstance(one, Report) else one
        if isinstance(told, given.StartSession):
            told = replace(told, protocol=changed(protocol or told.protocol, changes or {}))
        outcomes = stage.do(bed_id, told, at)
        yield from (each for each in outcomes if each.session_id == session_id)


def changed(protocol: Protocol, changes: Mapping[str, float | None]) -> Protocol:
    """Return a protocol with other absolute limits, for a what-if.

    Raises:
        BadRecording: it has no limit of that id.
    """
    known = {limit.id for limit in protocol.limits}
    for name in changes:
        if name not in known:
            raise BadRecording(f"no limit {name!r} in {protocol.name}; it has {', '.join(sorted(known))}")
    limits = tuple(
        limit
        if limit.id not in changes
        else replace(limit, on=changes[limit.id] is not None, limit=changes[limit.id] or limit.limit)
        for limit in protocol.limits
    )
    return replace(protocol, limits=limits)


# --- recorded messages and staff actions (drills) ----------------------------------------------------------


def replay_envelopes(lines: Iterable[str], protocols: Mapping[str, Protocol]) -> Iterator[Outcome]:
    """Replay messages and staff actions, as ``drill run --fast`` writes them.

    Args:
        lines: JSON lines. First ``{"plan": [...]}`` as ``drill ward --plan`` prints; then messages
            ``{"at", "topic", "payload" or "payload_b64", "retained"}`` and actions
            ``{"at", "action", "bed", …}`` with the fields of ``core.inputs``; ``{"at", "tick": true}`` lets
            time pass.
        protocols: by name.

    Raises:
        BadRecording: a line cannot be read; the text names it.
    """
    stage = Stage()
    entries: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            if "plan" in one:
                entries |= {d["device_id"]: d["format"] for bed in one["plan"] for d in bed["devices"]}
                yield from _associate_plan(stage, one)
                continue
            now = datetime.fromisoformat(one["at"])
            if "action" in one:
                yield from stage.do(one["bed"], _action(one, stage, protocols, now), now)
            elif "topic" in one:
                yield from _message(stage, entries, one, now)
            yield from stage.pass_time(now)
        except (ValueError, KeyError, TypeError) as fault:
            raise BadRecording(f"line {number}: {type(fault).__name__}: {fault}") from fault


def _associate_plan(stage: Stage, one: dict[str, Any]) -> Iterator[Outcome]:
    at = datetime.fromisoformat(one["at"]) if "at" in one else SECOND_0
    for bed in one["plan"]:
        for device in bed["devices"]:
            profile = DeviceProfile(
                device["device_id"], tuple(device["metrics"]), float(device["expected_interval_s"])
            )
            yield from stage.associate(bed["bed_id"], profile, at)


def _message(
    stage: Stage, entries: Mapping[str, str], one: dict[str, Any], now: datetime
) -> Iterator[Outcome]:
    payload = base64.b64decode(one["payload_b64"]) if "payload_b64" in one else one["payload"].encode()
    device_id = one.get("device") or one["topic"].split("/")[-2]
    bed_id = stage.serves.get(device_id)
    context = formats.Context(device_id, now, one["topic"], bool(one.get("retained")))
    try:
        decoded = formats.decode(entries.get(device_id, "native"), payload, context)
    except formats.Undecodable as fault:
        if bed_id:
            yield from stage.do(bed_id, given.RefuseReport(device_id, str(fault)), now)
        return
    for report in decoded.reports:
        serving = stage.serves.get(report.device_id)
        if serving:
            yield from stage.do(serving, given.Observe(report), now)


ACTIONS: dict[str, type] = {
    "dose": given.RecordDose,
    "end_dosing": given.EndDosing,
    "withdraw_dose": given.WithdrawDose,
    "reset": given.ResetAlarm,
    "pause_audio": given.PauseAudio,
    "resume_audio": given.ResumeAudio,
    "pause_alarm": given.PauseAlarm,
    "resume_alarm": given.ResumeAlarm,
    "accept": given.Accept,
    "reject": given.Reject,
    "acknowledge": given.Acknowledge,
    "manual": given.RecordManual,
    "score": given.RecordScore,
    "note": given.RecordNote,
    "answer": given.Answer,
    "confirm_ready": given.ConfirmReady,
    "end_session": given.EndSession,
    "set_limit": given.SetLimit,
    "same_limb": given.SetSameLimb,
    "lose_link": given.LoseLink,
    "restore_link": given.RestoreLink,
    "dissociate": given.Dissociate,
}
_INSTANTS = ("given_at", "started_at")


def _action(one: dict[str, Any], stage: Stage, protocols: Mapping[str, Protocol], now: datetime) -> Input:
    fields = {key: value for key, value in one.items() if key not in ("at", "action", "bed", "rule")}
    for key in _INSTANTS:
        if key in fields:
            fields["at" if key == "given_at" else key] = datetime.fromisoformat(fields.pop(key))
    name = one["action"]
    if name == "start_session":
        fields["protocol"] = protocols[fields["protocol"]]
        fields["without"] = tuple(fields.get("without", ()))
        fields.setdefault("session_id", f"{one['bed']}-{now:%Y%m%dT%H%M%S}")
        return given.StartSession(**fields)
    if name not in ACTIONS:
        raise ValueError(f"no action {name!r}; known are start_session, {', '.join(ACTIONS)}")
    if "rule" in one:
        fields["alarm_id"] = _alarm_id(stage, one["bed"], one["rule"])
    found: Input = ACTIONS[name](**fields)
    return found


def _alarm_id(stage: Stage, bed_id: str, rule: str) -> str:
    bed = stage.beds.get(bed_id)
    alarms = [*bed.alarms.values(), *bed.latched.values()] if bed else []
    return next((alarm.alarm_id for alarm in alarms if alarm.key == rule), f"none of rule {rule}")
