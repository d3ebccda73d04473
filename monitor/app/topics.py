"""What lamps, pagers and other programs hear: our topics and their payloads.

Law: the retained list of a bed is always complete, so that whoever comes at any time knows each
active alarm from it alone (AL-46, AL-47). No patient code is ever in it. ``docs/wire.md`` tells outsiders.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from monitor.core.alarms import Alarm
from monitor.core.outcomes import Outcome
from monitor.core.turn import Bed

# Outcome -> phase of an alarm, in the words of IHE ACM.
PHASES = {
    "AlarmRaised": "start",
    "AlarmEscalated": "escalate",
    "AlarmEnded": "end",
    "AlarmAcknowledged": "update",
    "AlarmAccepted": "update",
    "AlarmResumed": "update",
    "AlarmPaused": "update",
    "AlarmFrozen": "update",
    "AlarmThawed": "update",
    "AlarmReset": "end",
}
REHEARSED = ("scale", "note", "route", "phase", "input")  # of an outcome's detail


def list_topic(root: str, bed_id: str) -> str:
    """Return the retained topic of a bed's list."""
    return f"{root}/beds/{bed_id}/alarms"


def phase_topic(root: str, bed_id: str) -> str:
    """Return the topic of one alarm's phases."""
    return f"{root}/beds/{bed_id}/alarm"


def drill_topic(root: str, bed_id: str) -> str:
    """Return the topic of what else happens in a bed's drill."""
    return f"{root}/drills/{bed_id}/outcome"


def committed_topic(root: str, device_id: str) -> str:
    """Return the retained topic that says what of a device is durable."""
    return f"{root}/devices/{device_id}/committed"


def alarm_fields(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as JSON values, without anything about the patient."""
    return {
        "alarm_id": alarm.alarm_id,
        "rule": alarm.key,
        "kind": alarm.kind,
        "priority": alarm.priority,
        "metric": alarm.metric,
        "value": alarm.value,
        "text": alarm.text,
        "signal": alarm.signal,
        "condition": alarm.condition,
        "frozen": alarm.frozen,
        "covered_by": alarm.covered_by,
        "onset_at": alarm.onset_at.isoformat(),
        "present_at": alarm.present_at.isoformat(),
        "acknowledged_by": alarm.acknowledgement.by if alarm.acknowledgement else "",
    }


def alarm_list(bed: Bed, boot_id: str, seq: int, now: datetime) -> bytes:
    """Return the complete list of a bed's alarms, present and latched, the worst first."""
    active = sorted(
        (*bed.alarms.values(), *bed.latched.values()), key=lambda alarm: (-alarm.rank, alarm.onset_at)
    )
    return orjson.dumps(
        {
            "boot_id": boot_id,
            "seq": seq,
            "at": now.isoformat(),
            "mode": bed.session.mode if bed.session else "",
            "audio_paused_until": bed.audio_pause.until.isoformat() if bed.audio_pause else None,
            "alarms": [alarm_fields(alarm) for alarm in active],
        }
    )


def phases(outcomes: Iterable[Outcome], boot_id: str) -> list[bytes]:
    """Return one payload for each outcome that is a phase of an alarm."""
    return [
        orjson.dumps(
            {
                "phase": PHASES[one.outcome],
                "outcome": one.outcome,
                "boot_id": boot_id,
                "mode": one.mode,
                "at": one.at.isoformat(),
                "alarm_id": one.alarm_id,
                "rule": one.rule,
                "kind": one.kind,
                "priority": one.priority,
                "metric": one.metric,
                "value": one.value,
                "text": one.reason,
                **({"onset_at": one.detail["onset_at"]} if "onset_at" in one.detail else {}),
            }
        )
        for one in outcomes
        if one.outcome in PHASES
    ]


def rehearsed(outcomes: Iterable[Outcome], boot_id: str) -> list[bytes]:
    """Return one payload for each other thing that happened in a drill: what its score counts.

    ``what`` is the scale that was scored, the kind of note, the route of a dose, the phase, what was refused.
    No word that anybody wrote is in it.
    """
    return [
        orjson.dumps(
            {
                "outcome": one.outcome,
                "boot_id": boot_id,
                "mode": "drill",
                "at": one.at.isoformat(),
                "rule": one.rule,
                "what": next((str(one.detail[key]) for key in REHEARSED if key in one.detail), ""),
            }
        )
        for one in outcomes
        if one.outcome not in PHASES
    ]


def continuing(bed: Bed, boot_id: str, now: datetime) -> list[bytes]:
    """Return the ``continue`` of every present alarm, spoken every 30 s."""
    mode = bed.session.mode if bed.session else ""
    more = {"phase": "continue", "boot_id": boot_id, "mode": mode, "at": now.isoformat()}
    return [orjson.dumps({**more, **alarm_fields(alarm)}) for alarm in bed.alarms.values()]


def signed(topic: str, payload: bytes, key: bytes) -> bytes:
    """Return a payload with ``hmac`` as its last field: HMAC-SHA256 over topic, a zero byte and the payload.

    A consumer cuts the last field off, puts the closing brace back and computes the same (``docs/wire.md``).
    """
    digest = hmac.new(key, topic.encode() + b"\0" + payload, hashlib.sha256).hexdigest()
    return payload[:-1] + b',"hmac":"' + digest.encode() + b'"}'
