"""Ownership moves: alarms are offered, accepted, rejected, time out; what the clock and people do to it.

Law: an alarm that signals and has no owner is on offer, from the moment it signals until a person accepts or
acknowledges it or its condition ends. One alarm has one owner (AL-42). Acceptance never touches the signal:
sound and light stay until somebody acknowledges in the room. Nothing here looks at receipts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from monitor.core import escalation
from monitor.core.alarms import Alarm
from monitor.core.escalation import EMPTY, UNOWNED, Ownership
from monitor.core.inputs import Accept, Reject, SetLadder
from monitor.core.signals import lasts_s
from monitor.core.turn import Bed, Timer, Turn

UNANSWERED = "unanswered:"  # + the key of the alarm that nobody accepted


def set_ladder(turn: Turn, given: SetLadder) -> None:
    """Offer this bed's alarms to other people from now on; who takes over is told at once."""
    if given.ladder == turn.bed.ladder:
        return
    turn.bed.ladder = given.ladder
    turn.tell("LadderChanged", by=given.by, on_duty=list(given.ladder.on_duty))
    for alarm in list(turn.bed.alarms.values()):
        if alarm.ownership.wanted:
            turn.alter(replace(alarm, ownership=UNOWNED))


def accept(turn: Turn, given: Accept) -> None:
    """Make a person the owner of an alarm and of the milder ones that it speaks for (AL-42)."""
    alarm = _meant(turn, given.alarm_id)
    if alarm is None:
        turn.refuse("Accept", "no such alarm is present: it has ended", given.by)
    elif not alarm.ownership.wanted:
        turn.refuse("Accept", f"{alarm.ownership.owner} has accepted it already", given.by)
    else:
        for one in [alarm, *(a for a in turn.bed.alarms.values() if a.covered_by == alarm.alarm_id)]:
            until = turn.now + timedelta(seconds=lasts_s(turn, one.priority))
            own = escalation.accept(one.ownership, given.by, one.priority, until)
            turn.alter(replace(one, ownership=own))
            turn.tell("AlarmAccepted", alarm=one, by=given.by, until=until.isoformat(), level=own.level)


def reject(turn: Turn, given: Reject) -> None:
    """Pass an alarm on to the next level at once (AL-41); an owner gives it back the same way."""
    alarm = _meant(turn, given.alarm_id)
    if alarm is None:
        turn.refuse("Reject", "no such alarm is present: it has ended", given.by)
        return
    own = alarm.ownership
    if own.state == "accepted" and own.owner != given.by:
        turn.refuse("Reject", f"{own.owner} has accepted it already", given.by)
        return
    passed = replace(own, rejected_by=(*own.rejected_by, given.by))
    turn.tell("AlarmRejected", alarm=alarm, by=given.by, reason=given.reason or "no reason given")
    if own.state in ("offered", "accepted"):
        _offer(turn, replace(alarm, ownership=passed), own.level + 1)


def settle(turn: Turn) -> None:
    """Bring ownership in line with what is signalled now; called whenever something has happened."""
    for key, alarm in list(turn.bed.alarms.items()):
        if key.startswith(UNANSWERED):
            _settle_unanswered(turn, key)
        elif (own := _due(alarm)) != alarm.ownership:
            turn.alter(replace(alarm, ownership=own))
            turn.dirty = True
        if key in turn.bed.alarms and _on_offer(turn, turn.bed.alarms[key]):
            _offer(turn, turn.bed.alarms[key], 0)


def timers(turn: Turn) -> Iterator[Timer]:
    """Yield when an offer times out, an acceptance lapses, or an alarm is told again."""
    for key, alarm in turn.bed.alarms.items():
        own = alarm.ownership
        if own.due_at is not None and own.state == "offered":
            yield own.due_at, partial(_time_out, key=key)
        elif own.due_at is not None and alarm.signal != "acknowledged":
            yield own.due_at, partial(_lapse, key=key)
        if own.repeat_at is not None:
            yield own.repeat_at, partial(_tell_again, key=key)


def after_downtime(bed: Bed, now: datetime) -> Bed:
    """Return the bed with the time taken out in which the monitor was down and nobody could be told (AL-43).

    To be called once for each bed that comes back from the journal, before its first ``advance``: an offer
    has as much time left as it had, and a long night of downtime does not run up the ladder in one instant.
    """
    if bed.now is None or now <= bed.now or not bed.alarms:
        return bed
    moved, lost = bed.copy(), now - bed.now
    for key, alarm in bed.alarms.items():
        own = alarm.ownership
        if own.wanted and own.priority is not None:
            due_at = own.due_at + lost if own.due_at else None
            repeat_at = own.repeat_at + lost if own.repeat_at else None
            moved.alarms[key] = replace(alarm, ownership=replace(own, due_at=due_at, repeat_at=repeat_at))
    return moved


def _meant(turn: Turn, alarm_id: str) -> Alarm | None:
    """Return the present alarm of that id; an answer to "nobody accepted it" answers the alarm itself."""
    found = next((one for one in turn.bed.alarms.values() if one.alarm_id == alarm_id), None)
    if found is not None and found.key.startswith(UNANSWERED):
        return turn.bed.alarms.get(found.key.removeprefix(UNANSWERED))
    return found


def _due(alarm: Alarm) -> Ownership:
    """Return the ownership that an alarm's signal leaves it."""
    own, known = alarm.ownership, alarm.acknowledgement
    if own.priority not in (None, alarm.priority):
        own = UNOWNED  # it is worse now: nobody has answered for that (AL-17)
    if alarm.signal == "acknowledged" and known is not None:
        owner = own.owner if own.state == "accepted" else known.by
        return escalation.accept(own, owner, alarm.priority, known.until)
    if own.state != "accepted" and (alarm.covered_by or alarm.signal == "alarm_paused"):
        return UNOWNED
    return own


def _on_offer(turn: Turn, alarm: Alarm) -> bool:
    fresh = alarm.ownership.priority is None and not alarm.key.startswith(UNANSWERED)
    return fresh and alarm.signalling and turn.bed.ladder != EMPTY


def _settle_unanswered(turn: Turn, key: str) -> None:
    origin = turn.bed.alarms.get(key.removeprefix(UNANSWERED))
    if origin is None:
        turn.technical(key, None, "the alarm that nobody accepted is over")
    elif origin.ownership.state != "exhausted":
        turn.technical(key, None, "it has been offered again, or somebody has it")


def _offer(turn: Turn, alarm: Alarm, level: int) -> None:
    own = escalation.offer(alarm.ownership, turn.bed.ladder, alarm.priority, level, turn.now)
    offered = replace(alarm, ownership=own)
    turn.alter(offered)
    turn.dirty = True
    if own.state == "offered" and own.due_at is not None:
        people = turn.bed.ladder.levels[alarm.priority][own.level].people
        due_at = own.due_at.isoformat()
        turn.tell("AlarmOffered", alarm=offered, level=own.level, people=list(people), due_at=due_at)
    elif own.state == "exhausted":
        turn.tell("OwnershipExhausted", alarm=offered, rejected_by=list(own.rejected_by))
        turn.technical(f"{UNANSWERED}{alarm.key}", "high", f"nobody has accepted: {alarm.text}")


def _time_out(turn: Turn, key: str) -> None:
    alarm = turn.bed.alarms[key]
    turn.tell("OwnershipTimedOut", alarm=alarm, level=alarm.ownership.level, reason="nobody answered in time")
    _offer(turn, alarm, alarm.ownership.level + 1)


def _lapse(turn: Turn, key: str) -> None:
    """Offer again what somebody accepted and is still present (AL-19)."""
    alarm = turn.bed.alarms[key]
    turn.alter(replace(alarm, ownership=UNOWNED))
    reason = f"{alarm.ownership.owner} accepted it, and it is still present"
    turn.tell("OwnershipTimedOut", alarm=alarm, level=alarm.ownership.level, reason=reason)


def _tell_again(turn: Turn, key: str) -> None:
    """Tell again of an alarm that nobody has accepted (P-48); held while a pause holds its sound."""
    alarm = turn.bed.alarms[key]
    own = escalation.repeat(alarm.ownership, turn.bed.ladder.repeat_s.get(alarm.priority, 0), turn.now)
    turn.alter(replace(alarm, ownership=own))
    turn.dirty = True
    if alarm.signalling:
        turn.tell("AlarmReminded", alarm=alarm, reason="nobody has accepted it", level=own.level)
