"""Technical conditions of one device: its faults, its clock, its counter, what it sent that was refused.

Law: technical and physiological never turn into one another (AL-02); what a device says of itself is an
alarm with its text and duration (AL-31); drill and real readings never share a session (S-10).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from monitor.core.absence import judge_channels, measures, watched
from monitor.core.device import Device, missing_count, skewed
from monitor.core.filters import Excursion
from monitor.core.protocol import Priority
from monitor.core.session import Session
from monitor.core.turn import MANUAL, Reading, Timer, Turn
from monitor.core.vitals import FAULTS, METRICS, Report

GAP_NOTICED = timedelta(seconds=5)  # time for a reordered message to arrive before its absence is an alarm
GAP_FORGOTTEN = timedelta(minutes=10)
REFUSAL_LASTS = timedelta(seconds=60)
BACKLOG_OVER = timedelta(seconds=30)
PULSE_RETURNS = timedelta(
    seconds=10
)  # after a cuff has let go of the limb an oximeter finds the pulse; proposed


def set_faults(turn: Turn, device: Device, faults: tuple[str, ...]) -> None:
    """Take a device's own list of faults: those that block show as the channel's silence (AL-31)."""
    before, device.faults = device.faults, faults
    _excuse_oximeter(turn, "cuff_inflating" in before, "cuff_inflating" in faults)
    turn.dirty = True
    channels = {METRICS[watch.metric].channel for watch in watched(turn)}
    if turn.bed.session is not None:
        for name in dict.fromkeys((*before, *faults)):
            _judge_fault(turn, device, name, name in faults, channels)
    judge_channels(turn)


def _excuse_oximeter(turn: Turn, was: bool, inflating: bool) -> None:
    """Excuse an oximeter on the cuff's limb while that squeezes and a moment longer, no more (AL-54)."""
    if inflating and not was:
        turn.bed.cuff_until = turn.now + timedelta(seconds=turn.timing.same_limb_hold_s)
    elif was and not inflating and turn.bed.cuff_until is not None:
        turn.bed.cuff_until = min(turn.bed.cuff_until, turn.now + PULSE_RETURNS)


def _judge_fault(turn: Turn, device: Device, name: str, present: bool, channels: set[str]) -> None:
    fault = FAULTS[name]
    if name == "cuff_inflating" or (fault.blocks and (fault.channel in channels or not fault.channel)):
        return
    key = f"fault:{device.profile.device_id}:{name}"
    if present:
        priority: Priority = "medium" if fault.blocks else "low"
        turn.technical(key, priority, f"{device.profile.device_id}: {fault.text}")
    else:
        turn.technical(key, None, f"{device.profile.device_id} no longer reports it")


def judge_devices(turn: Turn) -> None:
    """Judge what the devices of the bed said of themselves before the session began (AL-28)."""
    turn.dirty = True
    for name in list(turn.bed.devices):
        device = turn.bed.devices[name] = turn.bed.devices[name].copy()
        faults, device.faults = device.faults, ()
        set_faults(turn, device, faults)
        judge_device(turn, device)


def judge_device(turn: Turn, device: Device) -> None:
    """Raise or end what is wrong with a device's clock and message counter (AL-32, P-28)."""
    if turn.bed.session is None:
        return
    name = device.profile.device_id
    key = f"clock:{name}"
    if device.skew_since is None:
        if key in turn.bed.alarms:
            turn.technical(key, None, f"{name}: the clock agrees again")
    elif skewed(device, turn.now):
        seconds = device.skew.total_seconds()
        side = "behind" if seconds > 0 else "ahead"
        turn.technical(
            key,
            "low",
            f"{name}: clock {_duration(abs(seconds))} {side}; readings are placed by their arrival",
        )
    judge_gap(turn, device)


def judge_gap(turn: Turn, device: Device) -> None:
    """Raise or end the absence of messages that the device has counted."""
    key = f"sequence:{device.profile.device_id}"
    if device.gap_at is None:
        if key in turn.bed.alarms:
            turn.technical(key, None, f"{device.profile.device_id}: no message is missing any more")
    elif turn.now - device.gap_at >= GAP_NOTICED:
        count = missing_count(device)
        turn.technical(
            key, "low", f"{device.profile.device_id}: {count} messages missing", onset_at=device.gap_at
        )


def refuse_report(turn: Turn, device_id: str, reason: str) -> None:
    """A message of a device of this bed was refused: quarantined, and an alarm until it speaks sense."""
    device = turn.bed.devices.get(device_id)
    if device is None:
        return
    device = turn.bed.devices[device_id] = device.copy()
    device.malformed_at, device.malformed = turn.now, reason
    turn.dirty = True
    if turn.bed.session is not None:
        turn.technical(f"refused:{device_id}", "low", f"{device_id}: message refused: {reason}")


def wrong_mode(turn: Turn, device: Device, report: Report) -> None:
    """Keep drill and real apart (S-10); a real high reading ends the drill on this bed (S-11)."""
    session = turn.session
    device.malformed_at, device.malformed = turn.now, f"a {report.mode} reading in a {session.mode} session"
    turn.dirty = True
    turn.technical(
        f"refused:{report.device_id}",
        "medium",
        f"{report.device_id}: {report.mode} readings are refused, the session on this bed is {session.mode}",
    )
    if session.mode == "drill":
        for observation in report.observations:
            words = _urgent(session, observation.metric, observation.value)
            if words:
                label = METRICS[observation.metric].label
                turn.drill_ended_by = f"{label} {observation.value:g}, {words}, from {report.device_id}"
                return


def _urgent(session: Session, metric: str, value: float | None) -> str:
    band = session.plan.get(metric)
    if band is None or value is None:
        return ""
    for rule in band.rules:
        if rule.limit.priority == "high" and rule.boundary.beyond(value):
            return rule.boundary.words()
    return ""


def second_source(turn: Turn, metric: str, before: Reading, source: str) -> None:
    """Notice two devices measuring the same thing in one session (CLINICAL §5: do not mix monitors)."""
    if turn.bed.session is None or MANUAL in source + before.device_id:
        return
    first, second = sorted((before.device_id, source))
    text = f"{METRICS[metric].label} from {first} and {second}: makes can differ"
    turn.technical(f"two-sources:{METRICS[metric].channel}", "low", text, metric=metric)


def judge_quality(turn: Turn, metric: str) -> None:
    """Say so while low-quality values count as real because the gate's budget is used up (ALARMS §3.2)."""
    exhausted = any(
        isinstance(state, Excursion) and state.gate_exhausted
        for slot, states in turn.bed.tracks.items()
        if slot.partition("@")[0] == metric and measures(turn, slot)
        for state in states.values()
    )
    key = f"low-quality:{metric}"
    if exhausted:
        turn.technical(key, "low", f"{METRICS[metric].label}: low quality, counted as real", metric=metric)
    elif key in turn.bed.alarms:
        turn.technical(key, None, f"{METRICS[metric].label}: quality is good again")


def _device_timers(turn: Turn) -> Iterator[Timer]:
    for name, device in turn.bed.devices.items():
        if device.gap_at is not None:
            if turn.bed.session is not None and f"sequence:{name}" not in turn.bed.alarms:
                yield device.gap_at + GAP_NOTICED, partial(_notice_gap, name=name)
            else:
                yield device.gap_at + GAP_FORGOTTEN, partial(_forget_gap, name=name)
        if device.malformed_at is not None:
            yield device.malformed_at + REFUSAL_LASTS, partial(_forget_refusal, name=name)


def _notice_gap(turn: Turn, name: str) -> None:
    judge_gap(turn, turn.bed.devices[name])


def _forget_gap(turn: Turn, name: str) -> None:
    device = turn.bed.devices[name] = turn.bed.devices[name].copy()
    device.missing, device.gap_at = (), None
    turn.technical(f"sequence:{name}", None, f"{name}: given up waiting; the gap stays in the record")


def _forget_refusal(turn: Turn, name: str) -> None:
    device = turn.bed.devices[name] = turn.bed.devices[name].copy()
    device.malformed_at = None
    turn.technical(f"refused:{name}", None, f"{name}: nothing refused for a minute")


def _summarise(turn: Turn) -> None:
    backlog = turn.bed.backlog
    assert backlog is not None
    turn.bed.backlog = None
    turn.tell(
        "BacklogSummarised",
        reason=f"{backlog.count} readings of {backlog.first_at:%H:%M:%S} to {backlog.last_at:%H:%M:%S} UTC"
        f" arrived late; {backlog.beyond} of them beyond a limit; they are on the chart and raised no alarm",
        count=backlog.count,
        beyond=backlog.beyond,
        first_at=backlog.first_at.isoformat(),
        last_at=backlog.last_at.isoformat(),
    )


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when time alone will change a technical condition of a device, and what then happens."""
    yield from _device_timers(turn)
    if turn.bed.backlog is not None:
        yield turn.bed.backlog.seen_at + BACKLOG_OVER, _summarise


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
