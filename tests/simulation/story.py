"""What outcomes come to, one after the other: who must be present, latched, known, paused.

Law: it is told of outcomes and asks nobody; what cannot follow from those before is a violation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor.core.outcomes import Outcome

RANK = {"high": 3, "medium": 2, "low": 1}
ACKNOWLEDGED_FOR = {"high": 600, "medium": 1200, "low": 3600}  # AL-19
ANSWERS = ("AlarmAcknowledged", "AlarmAccepted", "AlarmReset")
Violate = Callable[[str, str], None]


class Found(BaseException):
    """A requirement does not hold; no part of the monitor may catch it and go on."""


class Violated(AssertionError):
    """A requirement does not hold: which, and how to see it again."""


@dataclass(slots=True)
class Known:
    """One present alarm, from the words about it."""

    rule: str
    kind: str
    priority: str
    metric: str
    known_by: str = ""
    known_at: str = ""  # the priority at which a person acknowledged it
    known_until: datetime | None = None
    held_until: datetime | None = None  # by an alarm pause


@dataclass(slots=True)
class Place:
    """One bed, from the words about it."""

    present: dict[str, Known] = field(default_factory=dict)
    latched: set[str] = field(default_factory=set)
    session_id: str = ""
    mode: str = ""
    quiet_until: datetime | None = None  # the audio pause
    changed: set[str] = field(default_factory=set)  # limits that a person has changed

    def copy(self) -> Place:
        """Return one that goes on by itself."""
        present = {alarm_id: replace(known) for alarm_id, known in self.present.items()}
        return replace(self, present=present, latched=set(self.latched), changed=set(self.changed))


class Story:
    """What all outcomes come to, one after the other."""

    def __init__(self) -> None:
        """Begin with an empty house."""
        self.places: dict[str, Place] = {}
        self.serves: dict[str, str] = {}
        self.raised: set[str] = set()
        self.ended: dict[str, datetime] = {}
        self.modes: dict[str, str] = {}
        self.priorities: dict[str, str] = {}  # of every alarm, the last one told of
        self.answered: set[str] = set()  # alarms of which somebody has ever said to know

    def copy(self) -> Story:
        """Return one that goes on by itself."""
        other = Story()
        other.places = {bed_id: place.copy() for bed_id, place in self.places.items()}
        other.serves, other.raised = dict(self.serves), set(self.raised)
        other.ended, other.modes = dict(self.ended), dict(self.modes)
        other.priorities, other.answered = dict(self.priorities), set(self.answered)
        return other

    def place(self, bed_id: str) -> Place:
        """Return a bed."""
        return self.places.setdefault(bed_id, Place())

    def take(self, one: Outcome, violated: Violate) -> None:
        """Take the next outcome; whatever cannot follow from those before it is a violation."""
        place = self.place(one.bed_id)
        if one.alarm_id:
            self.priorities[one.alarm_id] = one.priority
        if one.outcome in ANSWERS:
            self.answered.add(one.alarm_id)
        if one.outcome == "AlarmRaised":
            self._begin(place, one, violated)
        elif one.outcome == "AlarmEnded":
            self.ended[one.alarm_id] = one.at
            if place.present.pop(one.alarm_id, None) is None:
                violated("P-03", f"{one.rule} of {one.bed_id} ends and was not present")
        elif one.outcome == "AlarmLatched":
            place.latched.add(one.alarm_id)
        elif one.outcome == "AlarmReset":
            place.latched.discard(one.alarm_id)
        elif one.alarm_id in place.present:
            self._signal(place.present[one.alarm_id], one, violated)
        else:
            self._around(place, one)

    def _begin(self, place: Place, one: Outcome, violated: Violate) -> None:
        # The same equipment's trouble, over and back at one instant, is one onset and so one identity.
        again = (one.kind, self.ended.get(one.alarm_id)) == ("technical", one.at)
        if one.alarm_id in self.raised and not again:
            violated("R-02", f"{one.rule} of {one.bed_id} is raised a second time as {one.alarm_id}")
        if any(other.rule == one.rule for other in place.present.values()):
            violated("R-02", f"{one.rule} of {one.bed_id} is raised while it is present")
        self.raised.add(one.alarm_id)
        place.present[one.alarm_id] = Known(one.rule, one.kind, one.priority, one.metric)

    def _around(self, place: Place, one: Outcome) -> None:
        """Take what happens to a bed and to none of its alarms."""
        name = one.outcome
        if name == "AudioPaused":
            place.quiet_until = datetime.fromisoformat(one.detail["until"])
        elif name == "AudioResumed":
            place.quiet_until = None
        elif name in ("SessionStarted", "SessionEnded"):
            began = name == "SessionStarted"
            place.session_id = one.session_id if began else ""
            place.mode = str(one.detail["mode"]) if began else ""
            place.quiet_until = None
            place.changed.clear()
            if began:
                self.modes[one.session_id] = place.mode
        elif name == "LimitChanged":
            place.changed.add(one.rule)
        elif name == "DeviceAssociated":
            self.serves[one.reason] = one.bed_id
        elif name == "DeviceDissociated" and self.serves.get(one.reason) == one.bed_id:
            del self.serves[one.reason]

    def _signal(self, known: Known, one: Outcome, violated: Violate) -> None:
        name = one.outcome
        if one.kind != known.kind or one.rule != known.rule:
            violated("AL-02", f"{known.kind} {known.rule} has become {one.kind} {one.rule}")
        if name == "AlarmEscalated":
            if RANK[one.priority] <= RANK[known.priority]:
                violated("AL-17", f"{one.rule} escalates from {known.priority} to {one.priority}")
            known.priority, known.known_by, known.known_until = one.priority, "", None
            known.held_until = None
        elif name == "AlarmAcknowledged":
            known.known_by, known.known_at = one.by, one.priority
            known.known_until = one.at + timedelta(seconds=ACKNOWLEDGED_FOR[one.priority])
            known.held_until = None
        elif name == "AlarmPaused":
            known.held_until = datetime.fromisoformat(one.detail["until"])
        elif name == "AlarmResumed":
            known.known_by, known.known_until, known.held_until = "", None, None
