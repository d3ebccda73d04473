"""A watched channel without a valid value: the alarm that absence is.

Law: the absence of a measurement is an alarm of its own and never the end of another (AL-02, AL-29). What
is expected comes from the session, not from what happens to arrive (AL-30, P-14). One cause is one alarm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core.protocol import RANK, Priority, Watch
from monitor.core.turn import MANUAL, MANUAL_LASTS, MANUAL_SLOT, Reading, Timer, Turn
from monitor.core.vitals import FAULTS, METRICS

NO_DATA = "no-data:"  # begins the key of a channel's silence
SLOW_DEVICE_PERIODS = 2.5  # a device is silent after so many of its own periods at the earliest


def watched(turn: Turn) -> list[Watch]:
    """Return what must keep coming on this bed now."""
    bed, session = turn.bed, turn.bed.session
    if session is None:
        return []
    return [
        watch
        for watch in session.protocol.watch
        if _measured(turn, watch.metric)
        or (
            watch.metric not in session.without
            and (
                not watch.if_provided
                or watch.metric in bed.latest
                or any(watch.metric in device.profile.metrics for device in bed.devices.values())
            )
        )
    ]


def _measured(turn: Turn, metric: str) -> bool:
    """Say whether a device has measured it: it must then go on, whatever was said of it at the start."""
    latest = turn.bed.latest.get(metric)
    return latest is not None and latest.seen_at is not None


def _since(turn: Turn, watch: Watch) -> datetime:
    """Return from when the absence of a metric counts."""
    bed, session = turn.bed, turn.session
    latest = bed.latest.get(watch.metric)
    instants = [session.told_at or session.started_at]
    if latest is not None and latest.seen_at is not None:
        instants.append(latest.seen_at)
    else:
        serving = [d for d in bed.devices.values() if watch.metric in d.profile.metrics]
        instants += sorted(d.served_since for d in serving if d.served_since is not None)[:1]
    if bed.link_restored_at is not None:
        instants.append(bed.link_restored_at)
    if session.same_limb and bed.cuff_until is not None and METRICS[watch.metric].channel == "oximeter":
        instants.append(bed.cuff_until)
    return max(instants)


def stale_after_s(turn: Turn, watch: Watch) -> float:
    """Return after how many seconds a metric is stale; a slow device is given 2.5 of its periods."""
    periods = [
        d.profile.expected_interval_s for d in turn.bed.devices.values() if watch.metric in d.profile.metrics
    ]
    return max(watch.stale_after_s, SLOW_DEVICE_PERIODS * min(periods, default=0.0))


def _ages(turn: Turn, watch: Watch) -> tuple[tuple[float, Priority], ...]:
    """Return at what age in seconds the absence of a metric becomes low, medium and high."""
    stale = stale_after_s(turn, watch)
    slower = stale - watch.stale_after_s
    return (
        (stale, "low"),
        (watch.medium_after_s + slower, "medium"),
        (watch.high_after_s + slower, "high"),
    )


def judge_channels(turn: Turn) -> None:
    """Raise, worsen or end the silence of every watched channel."""
    if turn.bed.session is None or turn.bed.link_lost_at is not None:
        return
    channels: dict[str, list[Watch]] = {}
    for watch in watched(turn):
        channels.setdefault(METRICS[watch.metric].channel, []).append(watch)
    for channel, watches in channels.items():
        _judge_channel(turn, channel, watches)
    for alarm in list(turn.bed.alarms.values()):
        if alarm.key.startswith(NO_DATA) and alarm.key.removeprefix(NO_DATA) not in channels:
            turn.technical(alarm.key, None, "no device of this bed measures it any more")


def _judge_channel(turn: Turn, channel: str, watches: list[Watch]) -> None:
    worst: Priority | None = None
    missing: list[Watch] = []
    for watch in watches:
        since = _since(turn, watch)
        absent = turn.now - since
        reached = [priority for age_s, priority in _ages(turn, watch) if timedelta(seconds=age_s) <= absent]
        # While the cuff squeezes the probe's arm, what the oximeter says of itself is no news (AL-54).
        blocked = _blocked(turn, watch.metric) if since <= turn.now else ""
        if not reached and not blocked:
            continue
        missing.append(watch)
        level = reached[-1] if reached else "low"
        if worst is None or RANK[level] > RANK[worst]:
            worst = level
    key = NO_DATA + channel
    if not missing:
        alarm = turn.bed.alarms.get(key)
        if alarm is not None and all(_measured_since(turn, watch, alarm.onset_at) for watch in watches):
            turn.technical(key, None, f"{channel} measures again")
        return
    since = min(_since(turn, watch) for watch in missing)
    turn.technical(
        key,
        worst,
        _text(turn, missing),
        metric=missing[0].metric,
        onset_at=since,
        pausable=False,
    )
    for watch in missing:
        if not _measured_beside(turn, watch.metric):
            freeze(turn, watch.metric)


def _measured_beside(turn: Turn, metric: str) -> bool:
    """Say whether a second device still measures a metric whose first one does not."""
    beside = [
        slot for slot in turn.bed.latest if slot.startswith(f"{metric}@") and slot != metric + MANUAL_SLOT
    ]
    return any(measures(turn, slot) for slot in beside)


def _measured_since(turn: Turn, watch: Watch, at: datetime) -> bool:
    """Say whether a value came since: that a device is back, or its fault over, is no measurement yet."""
    latest = turn.bed.latest.get(watch.metric)
    return latest is not None and latest.seen_at is not None and latest.seen_at > at


def _text(turn: Turn, missing: list[Watch]) -> str:
    names = " and ".join(METRICS[watch.metric].label for watch in missing)
    since = min(_since(turn, watch) for watch in missing)
    metric = missing[0].metric
    latest = turn.bed.latest.get(metric)
    if latest is None or latest.seen_at is None:
        tail = "nothing received since the session began"
    else:
        tail = f"no valid value since {since:%H:%M:%S} UTC (last {latest.valued_at:%H:%M:%S})"
        if latest.value is None and latest.reason:
            tail += f": {latest.reason}"
    cause = _blocked(turn, metric)
    return f"{names}: {cause}; {tail}" if cause and cause not in tail else f"{names}: {tail}"


def _blocked(turn: Turn, metric: str) -> str:
    """Return why the source of a metric cannot measure now, in words, or an empty string."""
    bed = turn.bed
    latest = bed.latest.get(metric)
    channel = METRICS[metric].channel
    for device in bed.devices.values():
        serves = metric in device.profile.metrics or (
            latest is not None and latest.device_id == device.profile.device_id
        )
        if not serves or (latest is not None and latest.device_id != device.profile.device_id):
            continue
        fault = blocking(device.faults, channel)
        if fault:
            return FAULTS[fault].text
        if device.online is False:
            return f"{device.profile.device_id} is offline"
    return ""


def blocking(faults: tuple[str, ...], channel: str) -> str:
    """Return the fault under which no value of a channel can be trusted, or an empty string."""
    for name in faults:
        fault = FAULTS[name]
        if fault.blocks and fault.channel in ("", channel):
            return name
    return ""


def value_returned(turn: Turn, metric: str) -> None:
    """A value came: its channel's silence may be over, and frozen alarms of the metric move again."""
    if NO_DATA + METRICS[metric].channel in turn.bed.alarms:
        judge_channels(turn)
    for alarm in list(turn.bed.alarms.values()):
        if alarm.frozen and alarm.metric == metric:
            thawed = replace(alarm, frozen=False)
            turn.bed.alarms[alarm.key] = thawed
            turn.tell("AlarmThawed", alarm=thawed, reason="its measurement is back")


def freeze(turn: Turn, metric: str) -> None:
    """Freeze the alarms of a metric whose measurement has stopped: they cannot end (AL-29)."""
    for alarm in list(turn.bed.alarms.values()):
        if alarm.kind == "physiological" and alarm.metric == metric and not alarm.frozen:
            frozen = replace(alarm, frozen=True)
            turn.bed.alarms[alarm.key] = frozen
            turn.tell("AlarmFrozen", alarm=frozen, reason="its measurement has stopped: it cannot end")


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when the absence of a metric becomes an alarm, or a worse one."""
    if turn.bed.link_lost_at is not None:
        return
    for watch in watched(turn):
        present = turn.bed.alarms.get(NO_DATA + METRICS[watch.metric].channel)
        rank = present.rank if present is not None else 0
        for age_s, priority in _ages(turn, watch):
            if RANK[priority] > rank:
                yield _since(turn, watch) + timedelta(seconds=age_s), judge_channels
                break


def lose_link(turn: Turn) -> None:
    """The broker is gone: silence says nothing of devices; one technical alarm elsewhere speaks (P-45)."""
    turn.dirty = True
    turn.bed.link_lost_at = turn.bed.link_lost_at or turn.now
    for metric in {alarm.metric for alarm in turn.bed.alarms.values()}:
        freeze(turn, metric)


def restore_link(turn: Turn) -> None:
    """The broker is back: silence counts from now."""
    turn.dirty = True
    turn.bed.link_lost_at = None
    turn.bed.link_restored_at = turn.now


def measures(turn: Turn, slot: str) -> bool:
    """Say whether the source of a slot still measures its metric."""
    reading = turn.bed.latest.get(slot)
    return reading is not None and speaks_for(turn, slot.partition("@")[0], reading)


def speaks_for(turn: Turn, metric: str, reading: Reading) -> bool:
    """Say whether a metric's present source is still fresh, so that another one stands beside it."""
    if reading.seen_at is None:
        return False
    if reading.device_id.startswith(MANUAL):
        return turn.now - reading.seen_at <= MANUAL_LASTS
    session = turn.bed.session
    watches = [watch for watch in session.protocol.watch if watch.metric == metric] if session else []
    limit_s = stale_after_s(turn, watches[0]) if watches else 30.0
    return (turn.now - reading.seen_at).total_seconds() <= limit_s


def same_limb_hold(turn: Turn, metric: str) -> bool:
    """Say whether a cuff on the same limb is squeezing the probe now, for at most a minute (AL-54)."""
    bed = turn.bed
    if bed.cuff_until is None or bed.session is None or not bed.session.same_limb:
        return False
    if METRICS[metric].channel != "oximeter" or not any(
        "cuff_inflating" in d.faults for d in bed.devices.values()
    ):
        return False
    return turn.now <= bed.cuff_until
