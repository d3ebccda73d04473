"""What is sent for an outcome, to whom, and in which words.

Law: pure. The same outcome of the same bed makes the same messages with the same keys, so that what a crash
makes us say twice is one row. A message names the bed, never the patient (AL-44); it states facts and
recommends nothing. An alarm that a worse one speaks for, or that a pause holds back, sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from monitor.clockface import Clockface
from monitor.config import Configuration, Notify
from monitor.core.alarms import Alarm
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.core.vitals import METRICS, Mode

DISCLAIMER = (
    "Secondary notification, not a primary alarm; designed after IEC 60601-1-8, claims no conformity."
)
EXERCISE = "DRILL: an exercise, not a patient."
STATION = "station"
LONGEST_TITLE = 140
CHANNEL, UNANSWERED = "channel:", "unanswered:"

Link = Callable[[str, str, str], str]  # bed_id, alarm_id, who answers -> the address of the answer page
Holders = dict[str, str]  # target -> the person whom it reaches, or ""


class Notification(NamedTuple):
    """One message to one target.

    ``key`` is its identity: the same key is never sent twice on purpose. After ``deadline_at`` it is too old
    to be sent (P-36). ``next_at``: when it is tried next (``None``: at once). ``follow_up``: it tells of an
    alarm that somebody accepted or that ended, so it outlives the alarm. ``late``: its next channel has been
    told already.
    """

    key: str
    alarm_id: str
    bed_id: str
    session_id: str
    target: str
    priority: Priority
    mode: Mode
    title: str
    body: str
    created_at: datetime
    deadline_at: datetime
    attempts: int = 0
    next_at: datetime | None = None
    follow_up: bool = False
    late: bool = False


def dump(notification: Notification) -> str:
    """Return a notification as the JSON that the journal keeps."""
    return json.dumps(notification._asdict(), default=datetime.isoformat, ensure_ascii=False)


def load(text: str) -> Notification:
    """Return the notification that ``dump`` stored."""
    fields = json.loads(text)
    for name in ("created_at", "deadline_at", "next_at"):
        if fields[name] is not None:
            fields[name] = datetime.fromisoformat(fields[name])
    return Notification(**fields)


def plan(
    outcome: Outcome, bed: Bed, configuration: Configuration, now: datetime, link: Link | None = None
) -> tuple[Notification, ...]:
    """Return the messages that an outcome causes.

    Args:
        outcome: what happened to the bed.
        bed: the bed after it happened.
        configuration: targets, routes, people, labels and the zone of times in the text.
        now: the instant of the decision: what a message's age counts from, aware UTC.
        link: makes the address where one person answers one alarm; without it there is none.
    """
    holders = _holders(outcome, bed, configuration.clinic.notify)
    if not holders:
        return ()
    title, lines = _text(outcome, bed, configuration, now)
    instants = _instants(outcome, bed, ZoneInfo(configuration.clinic.site.zone))
    made = []
    for target, person in holders.items():
        answer = [f"Answer: {link(bed.bed_id, outcome.alarm_id, person or target)}"] if link else []
        if not outcome.alarm_id or outcome.outcome in FOLLOW_UPS:
            answer = []
        ref = f"ref {outcome.alarm_id or bed.bed_id}"
        body = "\n".join([*lines, *answer, instants, ref, DISCLAIMER])
        made.append(_notification(outcome, bed, configuration.clinic.notify, target, title, body, now))
    return tuple(made)


def collected(
    words: str, target: str, mode: Mode, configuration: Configuration, now: datetime
) -> Notification:
    """Return the message for alarms that were told together, because there were too many (AL-55)."""
    notify, drill = configuration.clinic.notify, mode == "drill"
    title = f"{'DRILL ' if drill else ''}[{configuration.clinic.site.name}] {words}"
    at = _iso(now, ZoneInfo(configuration.clinic.site.zone))
    body = "\n".join([*([EXERCISE] if drill else []), words, f"decided {at}", DISCLAIMER])
    until = now + timedelta(seconds=notify.lifetime_s)
    key = f"collected/{target}/{mode}/{now.isoformat()}"
    return Notification(key, "", STATION, "", target, "medium", mode, title, body, now, until, follow_up=True)


def cancels(outcome: Outcome, bed: Bed) -> tuple[str, ...]:
    """Return the alarms whose queued messages an outcome ends (P-35): known to a person, or of a drill's end.

    An alarm that merely ended cancels nothing, nor does the end of a real session: its first notice goes out
    all the same (P-47).
    """
    name = outcome.outcome
    if name in ("AlarmAccepted", "AlarmAcknowledged", "AlarmReset"):
        return (outcome.alarm_id,)
    over = name == "AlarmEnded" and outcome.mode == "drill" and bed.session is None
    return (outcome.alarm_id,) if over else ()


def divert(failed: Notification, notify: Notify, now: datetime) -> tuple[Notification, ...]:
    """Return the message for the next channel when one has failed or is late (AL-39), if there is one."""
    fallback = next((one.fallback for one in notify.targets if one.id == failed.target), "")
    if not fallback:
        return ()
    fresh = failed._replace(
        key=f"{failed.key}/instead/{fallback}",
        target=fallback,
        created_at=now,
        deadline_at=now + timedelta(seconds=notify.lifetime_s),
        attempts=0,
        next_at=None,
        late=False,
        body=f"{failed.body}\nsent here because {failed.target} was not reached",
    )
    return (fresh,)


# --- to whom -----------------------------------------------------------------------------------------------

FOLLOW_UPS = ("AlarmAccepted", "AlarmEnded")
BEGINS = {"AlarmRaised": "raised", "AlarmEscalated": "escalated", "AlarmResumed": "resumed"}
KINDS = {**BEGINS, "AlarmOffered": "offered", "AlarmReminded": "reminded"} | dict(
    zip(FOLLOW_UPS, ("accepted", "ended"), strict=True)
)


def _holders(outcome: Outcome, bed: Bed, notify: Notify) -> Holders:
    """Return the targets that hear of an outcome, each with the person whom it reaches."""
    name = outcome.outcome
    if name not in KINDS:
        return {}
    alarm = _alarm(outcome, bed)
    if name in FOLLOW_UPS:
        spoken_for = alarm is not None and bool(alarm.covered_by)
        ends_with_session = name == "AlarmEnded" and bool(outcome.session_id) and bed.session is None
        return {} if spoken_for or ends_with_session else _routed(outcome, bed, notify, follow_up=True)
    if name == "AlarmOffered":
        return _reached(notify, outcome.detail.get("people", ()))
    if name == "AlarmReminded":
        people = bed.ladder.people(alarm.priority, alarm.ownership.level) if alarm else ()
        heard = _reached(notify, _offered_now(outcome, bed, alarm))
        found = {**_routed(outcome, bed, notify), **_reached(notify, people)}
        return {target: person for target, person in found.items() if target not in heard}
    if outcome.detail.get("covered_by") or outcome.detail.get("signal", "on") != "on":
        return {}
    if name == "AlarmResumed" and alarm is not None and alarm.ownership.state == "accepted":
        return {}
    offered = _reached(notify, _offered_now(outcome, bed, alarm))
    return {target: who for target, who in _routed(outcome, bed, notify).items() if target not in offered}


def _routed(outcome: Outcome, bed: Bed, notify: Notify, *, follow_up: bool = False) -> Holders:
    """Return the targets of the routes; an alarm that nobody accepts goes to every target (AL-40)."""
    if outcome.rule.startswith(UNANSWERED) and not follow_up:
        return dict.fromkeys((one.id for one in notify.targets), "")
    priority, kind = outcome.priority or "low", outcome.kind or "technical"
    found = [
        target
        for route in notify.routes
        if priority in route.priorities
        and kind in route.kinds
        and (not route.beds or bed.bed_id in route.beds or bed.bed_id == STATION)
        and (route.follow_up or not follow_up)
        for target in route.targets
    ]
    dead = outcome.rule.removeprefix(CHANNEL) if outcome.rule.startswith(CHANNEL) else ""
    return {target: "" for target in found if target != dead}


def _reached(notify: Notify, people: Iterable[str]) -> Holders:
    wanted = {name: number for number, name in enumerate(people)}
    present = sorted((one for one in notify.people if one.id in wanted), key=lambda one: wanted[one.id])
    return {target: one.id for one in reversed(present) for target in one.targets}


def _offered_now(outcome: Outcome, bed: Bed, alarm: Alarm | None) -> tuple[str, ...]:
    """Return the people whom the offer made at the same instant tells: they need no second message."""
    if alarm is None or alarm.ownership.state != "offered" or alarm.ownership.offered_at != outcome.at:
        return ()
    return bed.ladder.levels[alarm.priority][alarm.ownership.level].people


def _alarm(outcome: Outcome, bed: Bed) -> Alarm | None:
    alarm = bed.alarms.get(outcome.rule)
    if alarm is not None and alarm.alarm_id == outcome.alarm_id:
        return alarm
    return bed.latched.get(outcome.alarm_id)


# --- in which words ----------------------------------------------------------------------------------------


def _notification(
    outcome: Outcome, bed: Bed, notify: Notify, target: str, title: str, body: str, now: datetime
) -> Notification:
    kind = KINDS[outcome.outcome]
    if kind not in ("raised", "escalated"):  # the others can happen again to the same alarm
        kind = f"{kind}@{int(outcome.at.timestamp() * 1000)}"
    priority = outcome.priority or "low"
    key = f"{outcome.alarm_id or bed.bed_id}/{priority}/{outcome.detail.get('level', 0)}/{target}/{kind}"
    return Notification(
        key,
        outcome.alarm_id,
        bed.bed_id,
        outcome.session_id,
        target,
        priority,
        outcome.mode or "real",
        title,
        body,
        now,
        now + timedelta(seconds=notify.lifetime_s),
        follow_up=outcome.outcome in FOLLOW_UPS,
    )


def _text(outcome: Outcome, bed: Bed, configuration: Configuration, now: datetime) -> tuple[str, list[str]]:
    """Return title and lines of a message (AL-44)."""
    zone = ZoneInfo(configuration.clinic.site.zone)
    alarm, place = _alarm(outcome, bed), _place(bed.bed_id, configuration)
    drill = outcome.mode == "drill"
    what = _what(outcome, alarm)
    title = f"{'DRILL ' if drill else ''}{_opening(outcome)}, {place}: {what}"
    lines = [EXERCISE] if drill else []
    lines.append(f"{_opening(outcome)}, {outcome.kind or 'technical'}, {place}")
    near = alarm.onset_at if alarm else outcome.at
    clock = Clockface(configuration.clinic.site.zone, (near, now))
    lines.append(clock.words(_why(outcome, alarm), near))
    lines += _times(alarm, bed, zone, now)
    if bed.session is not None:
        lines.append(f"session minute {int((now - bed.session.started_at).total_seconds() // 60)}")
    due = outcome.detail.get("due_at")
    if outcome.outcome == "AlarmOffered":
        passes = f"; passes on at {_clock(datetime.fromisoformat(due), zone)}" if due else ""
        lines.append(f"offered to level {outcome.detail.get('level', 0) + 1}{passes}")
    if outcome.outcome == "AlarmReminded" and alarm is not None:
        lines.append(f"nobody has accepted it yet; told {alarm.ownership.repeats + 1} times")
    return _shortened(clock.words(title, near)), [line for line in lines if line]


def _shortened(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"


def _opening(outcome: Outcome) -> str:
    word = (outcome.priority or "reminder").upper()
    return {
        "AlarmEscalated": f"NOW {word} (was {outcome.detail.get('was', 'less')})",
        "AlarmResumed": f"AGAIN {word}",
        "AlarmReminded": f"STILL {word}" if outcome.alarm_id else word,
        "AlarmAccepted": f"ACCEPTED by {outcome.by} ({word})",
        "AlarmEnded": f"ENDED ({word})",
    }.get(outcome.outcome, word)


def _what(outcome: Outcome, alarm: Alarm | None) -> str:
    metric, value = METRICS.get(outcome.metric), outcome.value
    if metric is None or value is None or outcome.kind != "physiological":
        return _unquoted(alarm.text if alarm else outcome.reason)
    return f"{metric.label} {_number(outcome.metric, value)}"


def _why(outcome: Outcome, alarm: Alarm | None) -> str:
    """Return what was crossed and by which path; the alarm's own words when it is still there."""
    if outcome.outcome in ("AlarmEnded", "AlarmResumed") or alarm is None:
        before = f"{_unquoted(alarm.text)}; " if alarm else ""
        return _plain(f"{before}{_unquoted(outcome.reason)}")
    limit = f" (limit: {alarm.limit})" if alarm.limit else ""
    return _plain(_unquoted(alarm.text)) + limit


def _unquoted(text: str) -> str:
    """Return an alarm's words without the reason of a refusal: that may quote what a device sent (S-12)."""
    before, refused, _ = text.partition("message refused: ")
    return f"{before}message refused; the page says why" if refused else text


def _times(alarm: Alarm | None, bed: Bed, zone: ZoneInfo, now: datetime) -> list[str]:
    """Return since when it is, and the newest reading of its metric with its age."""
    lines = []
    if alarm is not None:
        since = alarm.onset_at.astimezone(zone)
        lines.append(f"since {since:%H:%M:%S} {since.tzname()}")
    reading = bed.latest.get(alarm.metric) if alarm else None
    if alarm is not None and reading is not None and reading.valued_at is not None:
        age = f"{max(0.0, (now - reading.valued_at).total_seconds()):.0f} s ago"
        value = "no value" if reading.value is None else _number(alarm.metric, reading.value)
        measured = reading.at if reading.value is None else reading.valued_at
        age = age if reading.value is not None else f"last value {age}"
        lines.append(f"newest reading: {value}, measured {_clock(measured, zone)}, {age}")
    return lines


def _instants(outcome: Outcome, bed: Bed, zone: ZoneInfo) -> str:
    """Return onset, decision and reading with date and offset, for programs and later readers (P-22)."""
    alarm = _alarm(outcome, bed)
    found = {"onset": alarm.onset_at if alarm else None, "decided": outcome.at}
    reading = bed.latest.get(alarm.metric) if alarm else None
    if reading is not None:
        found |= {"reading measured": reading.valued_at, "received": reading.seen_at}
    return ", ".join(f"{name} {_iso(at, zone)}" for name, at in found.items() if at is not None)


def _iso(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%H:%M:%S}"


def _number(metric: str, value: float) -> str:
    known = METRICS[metric]
    return _plain(f"{value:.{known.decimals}f} {known.unit}")


def _plain(text: str) -> str:
    """Return a text with units as people write them."""
    return text.replace("mm[Hg]", "mmHg").replace(" Cel", " °C")


def _place(bed_id: str, configuration: Configuration) -> str:
    if bed_id == STATION:
        return configuration.clinic.site.name
    bed = next((one for one in configuration.ward.beds if one.id == bed_id), None)
    return (bed.label or bed.id) if bed else bed_id
