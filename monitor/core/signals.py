"""What people do to alarm signals: acknowledge, reset, pause, and what the clock undoes.

Law: a signal changes only as its table allows, never the condition behind it; every pause ends by itself and
whatever is still present then signals again (AL-18, AL-23).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from monitor.core import alarms
from monitor.core.alarms import Alarm
from monitor.core.inputs import (
    Acknowledge,
    AcknowledgeMilder,
    ConfirmSignals,
    PauseAlarm,
    PauseAudio,
    ResetAlarm,
    ResumeAlarm,
    ResumeAudio,
)
from monitor.core.protocol import Priority
from monitor.core.turn import Pause, Timer, Turn


def confirm(turn: Turn, given: ConfirmSignals) -> None:
    """Write down that a person saw and heard the test signals of a screen (AL-51)."""
    turn.tell("SignalsConfirmed", by=given.by, reason="test light and test tone", screen=given.screen)


def acknowledge(turn: Turn, given: Acknowledge) -> None:
    """Acknowledge one alarm at the priority seen, with the milder ones that it speaks for (AL-17)."""
    alarm = turn.find(given.alarm_id)
    if alarm is None:
        turn.refuse("Acknowledge", "no such alarm is present or latched", given.by)
        return
    if given.priority is not None and alarm.priority != given.priority:
        turn.refuse(
            "Acknowledge", f"it is {alarm.priority} by now, not {given.priority}: look again", given.by
        )
        return
    if alarm.signal == "latched":
        reset(turn, alarm, given.by)
        return
    for one in (
        alarm,
        *(other for other in list(turn.bed.alarms.values()) if other.covered_by == alarm.alarm_id),
    ):
        changed = alarms.acknowledge(one, given.by, turn.now, lasts_s(turn, one.priority))
        turn.alter(changed)
        until = changed.acknowledgement.until if changed.acknowledgement else turn.now
        turn.tell("AlarmAcknowledged", alarm=changed, by=given.by, until=until.isoformat())
    for old in list(turn.bed.latched.values()):
        if old.key == alarm.key:
            reset(turn, old, given.by)


def acknowledge_milder(turn: Turn, given: AcknowledgeMilder) -> None:
    """Acknowledge low and medium alarms in one act, each as by itself; if one is worse now, none (P-37)."""
    present = [(alarm, seen) for alarm_id, seen in given.seen if (alarm := turn.find(alarm_id)) is not None]
    worse = next((one for one, seen in present if one.priority == "high" or one.priority != seen), None)
    if not present:
        turn.refuse("AcknowledgeMilder", "none of these alarms is present or latched", given.by)
    elif worse is not None:
        why = f"{worse.text}: it is {worse.priority} by now; a high alarm is acknowledged by itself"
        turn.refuse("AcknowledgeMilder", why, given.by)
    else:
        for one, seen in present:
            now = turn.find(one.alarm_id)
            if now is not None and now.signal != "acknowledged":  # one before may have spoken for it
                acknowledge(turn, Acknowledge(one.alarm_id, given.by, seen))


def reset_alarm(turn: Turn, given: ResetAlarm) -> None:
    """Take a latched alarm off the list: a person has seen it (AL-16)."""
    alarm = turn.bed.latched.get(given.alarm_id)
    if alarm is None:
        turn.refuse("ResetAlarm", "no such latched alarm", given.by)
        return
    reset(turn, alarm, given.by)


def reset(turn: Turn, alarm: Alarm, by: str) -> None:
    """Take a latched alarm off the list, in the name of a person."""
    reset = replace(alarm, signal=alarms.step(alarm.signal, "reset"))
    turn.alter(reset)
    turn.tell("AlarmReset", alarm=reset, by=by)


def pause_audio(turn: Turn, given: PauseAudio) -> None:
    """No sound from this bed for a while; light stays, a new high breaks through (AL-20, AL-21)."""
    timing = turn.timing
    seconds = timing.audio_pause_s if given.seconds is None else given.seconds
    if not 0 < seconds <= timing.audio_pause_max_s:
        turn.refuse(
            "PauseAudio", f"{seconds:g} s; use up to {timing.audio_pause_max_s:g} s (AL-20)", given.by
        )
        return
    until = turn.now + timedelta(seconds=seconds)
    turn.bed.audio_pause = Pause(until, given.by, turn.now)
    if seconds > timing.reminder_s and turn.bed.remind_at is None:
        turn.bed.remind_at = turn.now + timedelta(seconds=timing.reminder_s)
    for alarm in list(turn.bed.alarms.values()):
        if alarm.signal in ("on", "audio_paused"):
            turn.alter(alarms.pause(alarm, "pause_audio", until))
    turn.tell("AudioPaused", by=given.by, until=until.isoformat(), seconds=seconds)


def resume_audio(turn: Turn, given: ResumeAudio) -> None:
    """Sound again at once; whatever is still present signals again (AL-23)."""
    if turn.bed.audio_pause is None:
        turn.refuse("ResumeAudio", "the sound is not paused", given.by)
        return
    _audio_again(turn, given.by, "ended by a person")


def _audio_again(turn: Turn, by: str, reason: str) -> None:
    turn.bed.audio_pause = None
    turn.tell("AudioResumed", by=by, reason=reason)
    for alarm in list(turn.bed.alarms.values()):
        if alarm.signal == "audio_paused":
            _resume(turn, alarm, "the audio pause is over")


def pause_alarm(turn: Turn, given: PauseAlarm) -> None:
    """No signal of one alarm for a short while, with a reason; refused where AL-22 forbids it."""
    alarm = turn.find(given.alarm_id)
    most = turn.timing.alarm_pause_max_s
    if alarm is None:
        turn.refuse("PauseAlarm", "no such alarm is present", given.by)
    elif not 0 < given.seconds <= most:
        turn.refuse("PauseAlarm", f"{given.seconds:g} s; use up to {most:g} s", given.by)
    elif not given.reason.strip():
        turn.refuse("PauseAlarm", "give a reason", given.by)
    elif why := alarms.allowed(alarm, "pause_alarm"):
        turn.refuse("PauseAlarm", why, given.by)
    else:
        until = turn.now + timedelta(seconds=given.seconds)
        turn.alter(alarms.pause(alarm, "pause_alarm", until))
        turn.tell("AlarmPaused", alarm=alarm, by=given.by, reason=given.reason, until=until.isoformat())


def resume_alarm(turn: Turn, given: ResumeAlarm) -> None:
    """Signal again before the pause ends."""
    alarm = turn.find(given.alarm_id)
    if alarm is None or alarm.signal != "alarm_paused":
        turn.refuse("ResumeAlarm", "that alarm is not paused", given.by)
        return
    _resume(turn, alarm, "ended by a person", given.by)


def _resume(turn: Turn, alarm: Alarm, reason: str, by: str = "") -> None:
    again = alarms.resume(alarm)
    turn.alter(again)
    turn.tell("AlarmResumed", alarm=again, reason=reason, by=by)


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when a pause, an acknowledgement, a reminder or a phase runs out."""
    bed = turn.bed
    if bed.audio_pause is not None:
        yield bed.audio_pause.until, partial(_audio_again, by="clock", reason="the audio pause is over")
    for alarm in bed.alarms.values():
        if alarm.signal == "acknowledged" and alarm.acknowledgement is not None:
            yield alarm.acknowledgement.until, partial(_expire, key=alarm.key)
        elif alarm.signal == "alarm_paused" and alarm.paused_until is not None:
            yield alarm.paused_until, partial(_unpause, key=alarm.key)
    if bed.remind_at is not None:
        yield bed.remind_at, _remind


def _unpause(turn: Turn, key: str) -> None:
    _resume(turn, turn.bed.alarms[key], "the pause is over")


def _expire(turn: Turn, key: str) -> None:
    present = turn.bed.alarms[key]
    if present.covered_by:
        turn.alter(alarms.resume(present))
        turn.dirty = True
        return
    _resume(turn, present, "acknowledged, and still present")


def _remind(turn: Turn) -> None:
    """Remind of what is paused or off (AL-24); stop when nothing is."""
    session = turn.bed.session
    off = [limit_id for limit_id, change in (session.changes if session else {}).items() if not change.on]
    if turn.bed.audio_pause is None and not off:
        turn.bed.remind_at = None
        return
    turn.bed.remind_at = turn.now + timedelta(seconds=turn.timing.reminder_s)
    words = [f"limit {limit_id} is off" for limit_id in off]
    if turn.bed.audio_pause is not None:
        words.append(f"sound paused until {turn.bed.audio_pause.until:%H:%M:%S} UTC")
    turn.tell("AlarmReminded", reason="; ".join(words))


def lasts_s(turn: Turn, priority: Priority) -> float:
    """Return for how long a person's word on an alarm holds, in seconds (AL-19)."""
    timing = turn.timing
    return {
        "high": timing.acknowledge_high_s,
        "medium": timing.acknowledge_medium_s,
        "low": timing.acknowledge_low_s,
    }[priority]
