"""One alarm's life: the condition and the signal, two machines as two tables.

Law: an alarm condition is what is true of the patient or the equipment; an alarm signal is what people
perceive of it. Nothing done to a signal ends a condition, and no missing measurement does (AL-02, AL-18,
AL-29). Acknowledged, audio paused, alarm paused, off and latched are different states (ALARMS §1.3, §1.9).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from monitor.core.escalation import UNOWNED, Ownership
from monitor.core.protocol import RANK, Priority

Kind = Literal["physiological", "technical"]
Condition = Literal["present", "ended"]
Signal = Literal["on", "acknowledged", "audio_paused", "alarm_paused", "latched", "off"]
Change = Literal[
    "worsens",
    "acknowledge",
    "acknowledgement_expires",
    "pause_audio",
    "audio_resumes",
    "pause_alarm",
    "alarm_resumes",
    "ends",
    "ends_unseen",
    "reset",
]

# The filters hold "absent" and "pending": an alarm exists from the moment its condition is present.
# Rows: (condition, what happens) -> condition. Absence of a measurement is no row: it cannot end anything.
CONDITIONS: dict[tuple[Literal["absent", "pending", "present"], str], str] = {
    ("absent", "violates"): "pending",
    ("absent", "fires"): "present",
    ("pending", "recovers"): "absent",
    ("pending", "fires"): "present",
    ("present", "clears"): "absent",
    ("absent", "data lost"): "absent, frozen",
    ("pending", "data lost"): "pending, frozen",
    ("present", "data lost"): "present, frozen",
}

SIGNALS: dict[tuple[Signal, Change], Signal] = {
    ("on", "worsens"): "on",
    ("acknowledged", "worsens"): "on",
    ("audio_paused", "worsens"): "on",
    ("alarm_paused", "worsens"): "on",
    ("on", "acknowledge"): "acknowledged",
    ("audio_paused", "acknowledge"): "acknowledged",
    ("alarm_paused", "acknowledge"): "acknowledged",
    ("acknowledged", "acknowledge"): "acknowledged",
    ("acknowledged", "acknowledgement_expires"): "on",
    ("on", "pause_audio"): "audio_paused",
    ("audio_paused", "pause_audio"): "audio_paused",
    ("audio_paused", "audio_resumes"): "on",
    ("on", "pause_alarm"): "alarm_paused",
    ("audio_paused", "pause_alarm"): "alarm_paused",
    ("acknowledged", "pause_alarm"): "alarm_paused",
    ("alarm_paused", "alarm_resumes"): "on",
    ("on", "ends"): "off",
    ("acknowledged", "ends"): "off",
    ("audio_paused", "ends"): "off",
    ("alarm_paused", "ends"): "off",
    ("on", "ends_unseen"): "latched",
    ("audio_paused", "ends_unseen"): "latched",
    ("alarm_paused", "ends_unseen"): "latched",
    ("acknowledged", "ends_unseen"): "off",
    ("latched", "reset"): "off",
    ("latched", "acknowledge"): "off",
}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person's word that an alarm is known: by whom, when, at which priority, until when (AL-17, AL-19)."""

    by: str
    at: datetime
    priority: Priority
    until: datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that is not closed.

    ``onset_at`` is the first evidence (t1), ``present_at`` when the condition was decided (t2).
    ``text`` says why in words, ``limit`` in words what was crossed, ``value`` the reading that fired and
    ``worst`` the deepest since. ``frozen``: its measurement has stopped; it can then not end. ``covered_by``
    names a worse alarm of the same metric and side that already speaks for it. ``flaps`` counts returns
    within the re-arm time. ``external``: found outside the core (a full disk); no session ends it.
    """

    alarm_id: str
    key: str
    kind: Kind
    priority: Priority
    onset_at: datetime
    present_at: datetime
    text: str
    metric: str = ""
    side: str = ""
    value: float | None = None
    limit: str = ""
    worst: float | None = None
    condition: Condition = "present"
    signal: Signal = "on"
    frozen: bool = False
    latching: bool = False
    pausable: bool = True
    flaps: int = 0
    covered_by: str = ""
    acknowledgement: Acknowledgement | None = None
    paused_until: datetime | None = None
    remind_at: datetime | None = None
    ended_at: datetime | None = None
    ownership: Ownership = UNOWNED
    external: bool = False

    @property
    def rank(self) -> int:
        """Return 3, 2 or 1 for high, medium, low."""
        return RANK[self.priority]

    @property
    def signalling(self) -> bool:
        """Say whether people should perceive it by light and sound."""
        return self.signal == "on" and not self.covered_by


def derive_alarm_id(owner: str, key: str, onset_at: datetime) -> str:
    """Return the identity of an alarm: the same for the same session (or bed), rule and onset.

    It has the layout of a UUID of version 8 (RFC 9562): 48 bits of the onset in milliseconds, so that ids
    sort by time, then bits of a SHA-256. What a crash makes us say twice carries the same id.
    """
    stamp = int(onset_at.timestamp() * 1000) & ((1 << 48) - 1)
    name = f"{owner}\n{key}\n{onset_at.astimezone(UTC).isoformat()}".encode()
    rest = int.from_bytes(hashlib.sha256(name).digest()[:10], "big")
    bits = (stamp << 80) | rest
    bits = bits & ~(0xF << 76) | (0x8 << 76)
    bits = bits & ~(0x3 << 62) | (0x2 << 62)
    digits = f"{bits:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def step(signal: Signal, change: Change) -> Signal:
    """Return the signal after a change; a change that the table does not know for it alters nothing."""
    return SIGNALS.get((signal, change), signal)


def allowed(alarm: Alarm, change: Change) -> str:
    """Return why a person's change of this alarm's signal is refused, or an empty string."""
    if change == "pause_alarm" and not alarm.pausable:
        return "this alarm cannot be paused: it guards a floor or the absence of measurements (AL-22)"
    if (alarm.signal, change) not in SIGNALS:
        return f"an alarm that is {alarm.signal.replace('_', ' ')} cannot take: {change.replace('_', ' ')}"
    return ""


def acknowledge(alarm: Alarm, by: str, at: datetime, lasts_s: float) -> Alarm:
    """Return the alarm acknowledged for its present priority."""
    given = Acknowledgement(by, at, alarm.priority, at + timedelta(seconds=lasts_s))
    return replace(alarm, signal=step(alarm.signal, "acknowledge"), acknowledgement=given, paused_until=None)


def worsen(alarm: Alarm, priority: Priority, text: str) -> Alarm:
    """Return the alarm at a higher priority: it signals again and the old acknowledgement is void (AL-17)."""
    return replace(
        alarm,
        priority=priority,
        text=text,
        signal=step(alarm.signal, "worsens"),
        acknowledgement=None,
        paused_until=None,
        remind_at=None,
    )


def pause(alarm: Alarm, change: Literal["pause_audio", "pause_alarm"], until: datetime) -> Alarm:
    """Return the alarm with its sound, or sound and light, paused until an instant."""
    return replace(alarm, signal=step(alarm.signal, change), paused_until=until)


def resume(alarm: Alarm) -> Alarm:
    """Return the alarm signalling again after a pause or an acknowledgement ran out (AL-19, AL-23)."""
    change: dict[Signal, Change] = {
        "audio_paused": "audio_resumes",
        "alarm_paused": "alarm_resumes",
        "acknowledged": "acknowledgement_expires",
    }
    if alarm.signal not in change:
        return alarm
    return replace(
        alarm,
        signal=step(alarm.signal, change[alarm.signal]),
        acknowledgement=None,
        paused_until=None,
        remind_at=None,
    )


def end(alarm: Alarm, at: datetime) -> Alarm:
    """Return the alarm with its condition ended: latched if nobody saw it and it must be seen (AL-16)."""
    must_be_seen = alarm.latching or (alarm.priority == "high" and alarm.kind == "physiological")
    change: Change = "ends_unseen" if must_be_seen else "ends"
    signal = step(alarm.signal, change)
    return replace(alarm, condition="ended", signal=signal, ended_at=at, frozen=False, paused_until=None)
