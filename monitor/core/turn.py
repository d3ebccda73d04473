"""One turn of ``advance``: a working copy of the bed, and what happened to it so far.

Law: a turn changes only its own copy; the caller's bed stays as it was, so a turn that fails costs nothing.
Here alarms are raised, worsened and ended, and every one of these writes its outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from monitor.core import alarms
from monitor.core.alarms import Alarm, Kind
from monitor.core.device import Device
from monitor.core.escalation import EMPTY, Ladder
from monitor.core.filters import Confirmation, Excursion
from monitor.core.outcomes import Outcome, OutcomeName
from monitor.core.protocol import RANK, Priority, Timing
from monitor.core.session import Session
from monitor.core.vitals import Validity


class Reading(NamedTuple):
    """The newest live observation of a metric.

    ``value`` is ``None`` when the newest says "no value". ``valued_at`` is the sample time of the last one
    that had a value, ``seen_at`` when that one arrived: what staleness is counted from.
    """

    value: float | None
    validity: Validity
    at: datetime
    device_id: str
    reason: str
    valued_at: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pause:
    """No sound from a bed until an instant, by whom."""

    until: datetime
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """Readings that came too late to alarm: how many, how many beyond a limit, of which time, last when."""

    count: int
    beyond: int
    first_at: datetime
    last_at: datetime
    seen_at: datetime


Track = Excursion | Confirmation

MANUAL = "manual:"  # what the source of a person's reading begins with
MANUAL_LASTS = timedelta(minutes=10)  # how long what a person read stands for the patient; proposed
MANUAL_SLOT = "@manual"  # what is added to a continuous metric's name for what people read of it


@dataclass(slots=True)
class Bed:
    """The unit of state: one bed with its devices, its session and its alarms.

    Treated as a value: ``advance`` returns a new one and never changes the one it was given. ``tracks``
    holds the filters that are not idle, by metric and rule; ``alarms`` those whose condition is present, by
    key; ``latched`` those that ended unseen, by id. ``cuff_until``: until when a cuff on the probe's limb
    excuses the oximeter. ``next_due_at`` is when time alone can next change it.
    """

    bed_id: str
    session: Session | None = None
    devices: dict[str, Device] = field(default_factory=dict)
    latest: dict[str, Reading] = field(default_factory=dict)
    tracks: dict[str, dict[str, Track]] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    latched: dict[str, Alarm] = field(default_factory=dict)
    audio_pause: Pause | None = None
    backlog: Backlog | None = None
    link_lost_at: datetime | None = None
    link_restored_at: datetime | None = None
    cuff_until: datetime | None = None
    remind_at: datetime | None = None
    ladder: Ladder = EMPTY
    next_due_at: datetime | None = None
    now: datetime | None = None

    def copy(self) -> Bed:
        """Return a copy whose containers may be changed."""
        return Bed(
            self.bed_id,
            self.session,
            self.devices.copy(),
            self.latest.copy(),
            self.tracks.copy(),
            self.alarms.copy(),
            self.latched.copy(),
            self.audio_pause,
            self.backlog,
            self.link_lost_at,
            self.link_restored_at,
            self.cuff_until,
            self.remind_at,
            self.ladder,
            self.next_due_at,
            self.now,
        )


Timer = tuple[datetime, Callable[["Turn"], None]]


class Turn:
    """A working copy of a bed at an instant, with the outcomes so far.

    ``dirty`` says that a timer may have come nearer, so that the next due time must be found again;
    ``measured`` that a reading came on which readiness depends. ``dated`` tells since when what the report
    that is being taken says is so; asked only when an alarm comes of it.
    """

    __slots__ = ("bed", "dated", "dirty", "drill_ended_by", "measured", "now", "outcomes")

    def __init__(self, bed: Bed, now: datetime) -> None:
        """Begin a turn on a copy of ``bed``."""
        self.bed = bed.copy()
        self.now = now
        self.outcomes: list[Outcome] = []
        self.dirty = False
        self.measured = False
        self.drill_ended_by = ""
        self.dated: Callable[[], datetime] | None = None

    @property
    def session(self) -> Session:
        """Return the session; to be asked for only where there is one."""
        if self.bed.session is None:
            raise LookupError(f"{self.bed.bed_id} has no session")
        return self.bed.session

    @property
    def timing(self) -> Timing:
        """Return the times of acknowledgement, pause and reminder in force."""
        return self.bed.session.protocol.timing if self.bed.session else Timing()

    # --- outcomes -----------------------------------------------------------------------------------

    def tell(
        self,
        name: OutcomeName,
        *,
        alarm: Alarm | None = None,
        reason: str = "",
        by: str = "",
        metric: str = "",
        value: float | None = None,
        rule: str = "",
        at: datetime | None = None,
        session_id: str | None = None,
        alarm_id: str = "",
        **detail: Any,
    ) -> None:
        """Write down that something happened; by default to the session that runs."""
        self.dirty = True
        session = self.bed.session
        if session_id is None:
            session_id = session.session_id if session else ""
        self.outcomes.append(
            Outcome(
                name,
                at or self.now,
                self.bed.bed_id,
                session_id,
                alarm.alarm_id if alarm else alarm_id,
                alarm.key if alarm else rule,
                alarm.kind if alarm else "",
                alarm.priority if alarm else "",
                alarm.metric if alarm else metric,
                alarm.value if alarm and value is None else value,
                reason or (alarm.text if alarm else ""),
                by,
                detail,
                session.mode if session and session.session_id == session_id else "",
            )
        )

    def refuse(self, what: str, why: str, by: str = "") -> None:
        """Write down that an input was refused, and why."""
        self.tell("Refused", reason=why, by=by, input=what)

    # --- alarms -------------------------------------------------------------------------------------

    def owner(self) -> str:
        """Return what alarm identities are derived from: the session, or the bed between sessions."""
        session = self.bed.session
        return session.session_id if session else self.bed.bed_id

    def raise_alarm(self, alarm: Alarm) -> None:
        """Begin an alarm: it signals unless a pause holds it, and covers milder ones of its side."""
        alarm = self._paused(self._covered(alarm))
        self.bed.alarms[alarm.key] = alarm
        for other in list(self.bed.alarms.values()):
            if other.key != alarm.key and _same_side(other, alarm) and other.rank < alarm.rank:
                self.bed.alarms[other.key] = replace(other, covered_by=alarm.alarm_id)
        self.tell(
            "AlarmRaised",
            alarm=alarm,
            onset_at=alarm.onset_at.isoformat(),
            limit=alarm.limit,
            signal=alarm.signal,
            covered_by=alarm.covered_by,
        )

    def _covered(self, alarm: Alarm) -> Alarm:
        for other in self.bed.alarms.values():
            if _same_side(other, alarm) and other.rank > alarm.rank:
                return replace(alarm, covered_by=other.alarm_id)
        return alarm

    def _paused(self, alarm: Alarm) -> Alarm:
        pause = self.bed.audio_pause
        if pause is None or alarm.priority == "high":  # a new high breaks the pause (AL-21)
            return alarm
        session = self.bed.session
        breaks = session.protocol.timing.medium_breaks_pause if session else True
        if alarm.priority == "medium" and breaks:
            return alarm
        return alarms.pause(alarm, "pause_audio", pause.until)

    def worsen(self, alarm: Alarm, priority: Priority, text: str) -> None:
        """Raise the priority of a present alarm; an acknowledgement of the milder one is void (AL-17)."""
        worse = alarms.worsen(alarm, priority, text)
        self.bed.alarms[alarm.key] = worse
        self.tell("AlarmEscalated", alarm=worse, was=alarm.priority)

    def end_alarm(self, alarm: Alarm, reason: str, at: datetime | None = None) -> None:
        """End an alarm's condition; it stays latched when it must still be seen, and uncovers milder ones."""
        ended = alarms.end(alarm, at or self.now)
        del self.bed.alarms[alarm.key]
        self.tell("AlarmEnded", alarm=ended, reason=reason, at=at, worst=alarm.worst, flaps=alarm.flaps)
        if ended.signal == "latched":
            self.bed.latched[ended.alarm_id] = ended
            self.tell("AlarmLatched", alarm=ended, reason="ended before anyone acknowledged it")
        for other in list(self.bed.alarms.values()):
            if other.covered_by == alarm.alarm_id:
                self._uncover(other)

    def _uncover(self, alarm: Alarm) -> None:
        free = self._covered(replace(alarm, covered_by=""))
        self.bed.alarms[alarm.key] = free
        if free.signalling:
            self.tell("AlarmResumed", alarm=free, reason="the worse alarm that spoke for it has ended")

    def alter(self, alarm: Alarm) -> None:
        """Put a changed alarm back in its place."""
        if alarm.key in self.bed.alarms and self.bed.alarms[alarm.key].alarm_id == alarm.alarm_id:
            self.bed.alarms[alarm.key] = alarm
        else:
            self.bed.latched.pop(alarm.alarm_id, None)

    def find(self, alarm_id: str) -> Alarm | None:
        """Return the present or latched alarm of that id."""
        for alarm in self.bed.alarms.values():
            if alarm.alarm_id == alarm_id:
                return alarm
        return self.bed.latched.get(alarm_id)

    # --- technical conditions -----------------------------------------------------------------------

    def technical(
        self,
        key: str,
        priority: Priority | None,
        text: str,
        *,
        metric: str = "",
        onset_at: datetime | None = None,
        pausable: bool = True,
        external: bool = False,
    ) -> None:
        """Make a technical condition be as it is: ``None`` ends it, a higher priority worsens it (AL-02)."""
        present = self.bed.alarms.get(key)
        if priority is None and present is not None:
            self.end_alarm(present, text)
        elif priority is None:
            return
        elif present is None:
            onset = onset_at or (self.dated() if self.dated else self.now)
            more = {"metric": metric, "pausable": pausable, "external": external}
            self.raise_alarm(self.make(key, "technical", priority, onset, text, **more))
        elif RANK[priority] > present.rank:
            self.worsen(present, priority, text)
        elif text != present.text:
            self.bed.alarms[key] = replace(present, text=text)

    def make(
        self, key: str, kind: Kind, priority: Priority, onset_at: datetime, text: str, **more: Any
    ) -> Alarm:
        """Return a new alarm of this bed that begins to be present now."""
        alarm_id = alarms.derive_alarm_id(self.owner(), key, onset_at)
        return Alarm(alarm_id, key, kind, priority, onset_at, self.now, text, **more)


def _same_side(one: Alarm, other: Alarm) -> bool:
    return one.kind == other.kind == "physiological" and one.metric == other.metric and one.side == other.side
