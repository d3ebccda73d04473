"""The same core over recorded readings: offline, at full speed, with the recording's own time.

Law: nothing here decides anything about an alarm; it only hands ``advance`` what was recorded, at the time at
which it was received. Two replays of a file are equal, byte for byte.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from monitor import formats
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Phase, Protocol
from monitor.core.vitals import METRICS, Report
from monitor.formats.recording_times import SECOND_0
from monitor.formats.recordings import BadRecording
from monitor.recording import profiles

BED = "replay"
BY = "replay"


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
