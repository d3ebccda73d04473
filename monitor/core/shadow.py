"""A candidate protocol beside the active one: what it would have told, and nothing else.

Law: the shadow sees the same inputs through the same core on a bed of its own; it signals nobody and changes
nothing (AF-11). What it would have lost is listed alarm by alarm (AF-12).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed

NEAR = timedelta(seconds=90)  # one excursion may begin earlier or later under another filter

# What people do to one alarm, by its id, means nothing to another bed's alarms.
_OF_ONE_ALARM = (
    given.Acknowledge,
    given.ResetAlarm,
    given.PauseAlarm,
    given.ResumeAlarm,
    given.Accept,
    given.Reject,
)


class Difference(NamedTuple):
    """The physiological alarms that both told, that only the active one told, and only the candidate."""

    kept: tuple[Outcome, ...]
    lost: tuple[Outcome, ...]
    new: tuple[Outcome, ...]


def follow(shadow: Bed, one: Input, now: datetime, candidate: Protocol) -> tuple[Bed, tuple[Outcome, ...]]:
    """Give the shadow of a bed what the bed was given, with the candidate in place of its protocol."""
    if isinstance(one, _OF_ONE_ALARM):
        one = given.Tick()
    elif isinstance(one, given.StartSession):
        one = replace(one, protocol=candidate)
    return advance(shadow, one, now)


def compare(active: Iterable[Outcome], candidate: Iterable[Outcome]) -> Difference:
    """Match the alarms of both by rule and onset."""
    told, would = _alarms(active), _alarms(candidate)
    kept = tuple(one for one in told if any(_same(one, other) for other in would))
    lost = tuple(one for one in told if one not in kept)
    new = tuple(other for other in would if not any(_same(one, other) for one in told))
    return Difference(kept, lost, new)


def _alarms(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if o.outcome == "AlarmRaised" and o.kind == "physiological"]


def _same(one: Outcome, other: Outcome) -> bool:
    return one.rule == other.rule and abs(_onset(one) - _onset(other)) <= NEAR


def _onset(alarm: Outcome) -> datetime:
    return datetime.fromisoformat(alarm.detail["onset_at"])
