"""Who owns an alarm: offered, accepted, rejected, timed out, exhausted.

Law: an alarm is offered to one level after the other on fixed timers until a person accepts it; a missing
receipt never makes it faster (ALARMS §1.9). A rejection passes it on at once (AL-41). When nobody is left,
that is an alarm of its own (AL-40). Here is what ownership is; ``ownership`` moves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from monitor.core.protocol import Priority

OwnershipState = Literal["none", "offered", "accepted", "exhausted"]


@dataclass(frozen=True, slots=True)
class Level:
    """The people (their ids) who are offered an alarm together, and for how long until the next level is."""

    people: tuple[str, ...]
    wait_s: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """Whom a bed's alarms are offered to, by priority, lowest level first.

    ``repeat_s``: how often a signalling alarm that nobody has accepted is told again, by priority (P-48);
    a priority that is not in it is told once. ``on_duty``: the people from whom the levels were made, empty
    when nobody has said who is on duty. An empty ladder offers nothing to anybody.
    """

    levels: dict[Priority, tuple[Level, ...]] = field(default_factory=dict)
    repeat_s: dict[Priority, float] = field(default_factory=dict)
    on_duty: tuple[str, ...] = ()

    def next_level(self, priority: Priority, level: int) -> int | None:
        """Return the first level from ``level`` on that has anybody in it, or ``None``."""
        levels = self.levels.get(priority, ())
        return next((n for n in range(level, len(levels)) if levels[n].people), None)

    def people(self, priority: Priority, upto: int) -> tuple[str, ...]:
        """Return everybody in the levels up to and with ``upto``, in their order, each once."""
        levels = self.levels.get(priority, ())[: upto + 1]
        return tuple(dict.fromkeys(name for level in levels for name in level.people))


@dataclass(frozen=True, slots=True)
class Ownership:
    """Where one alarm stands on its ladder.

    ``priority`` is the one it was offered at: a worse alarm is offered anew (AL-17). ``due_at``: when the
    offer times out, or, accepted, when an alarm that is still present is offered again (AL-19).
    ``repeat_at``: when it is told again, for the ``repeats`` + first time.
    """

    state: OwnershipState = "none"
    priority: Priority | None = None
    level: int = 0
    offered_at: datetime | None = None
    due_at: datetime | None = None
    repeat_at: datetime | None = None
    repeats: int = 0
    owner: str = ""
    rejected_by: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Say whether somebody is still to accept it."""
        return self.state != "accepted"


UNOWNED = Ownership()
EMPTY = Ladder()


def offer(own: Ownership, ladder: Ladder, priority: Priority, level: int, now: datetime) -> Ownership:
    """Return the ownership offered to ``level`` or the next with anybody in it; exhausted when there is none.

    Without any levels for the priority nothing is offered, but it is told again all the same.
    """
    every = ladder.repeat_s.get(priority, 0)
    repeat_at = own.repeat_at or (now + timedelta(seconds=every) if every > 0 else None)
    found = ladder.next_level(priority, level)
    told = replace(own, priority=priority, offered_at=now, due_at=None, repeat_at=repeat_at, owner="")
    if found is not None:
        wait = timedelta(seconds=ladder.levels[priority][found].wait_s)
        return replace(told, state="offered", level=found, due_at=now + wait)
    return replace(told, state="exhausted" if ladder.levels.get(priority) else "none")


def accept(own: Ownership, by: str, priority: Priority, until: datetime) -> Ownership:
    """Return the ownership with ``by`` as the owner until an instant."""
    return Ownership("accepted", priority, own.level, own.offered_at, until, owner=by)


def repeat(own: Ownership, every_s: float, now: datetime) -> Ownership:
    """Return the ownership told once more."""
    again = now + timedelta(seconds=every_s) if every_s > 0 else None
    return replace(own, repeats=own.repeats + 1, repeat_at=again)
