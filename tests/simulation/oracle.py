"""A second opinion on the whole house: what must hold after every step, reckoned without the core (R-07).

Law: nothing here asks the monitor what ought to be. It knows what devices measured, what the broker handed
over and was told is durable, what people asked and what services took; it reads the journal with a connection
of its own, and folds outcomes into who must be present. Where chance makes the answer open, it claims only
what is certain: a rule that it states is never broken by luck.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from monitor.core.inputs import AcknowledgeMilder
from monitor.core.outcomes import Outcome
from monitor.web.wall import show_bed
from tests.simulation.bedside import CUFF, OXIMETER, Garbage, Sent
from tests.simulation.broker import Stored
from tests.simulation.story import ANSWERS, RANK, Found, Known, Place, Story

COLUMNS = (*OXIMETER, *CUFF)
READINGS = (
    f"SELECT id, device, boot, sequence, at, {', '.join(COLUMNS)} FROM reading WHERE id > ? ORDER BY id"
)
ROW = "SELECT key, alarm_id, session_id, target, state, body FROM notification WHERE key=?"
STATION = "station"
# What must alarm however long it is looked at: rule, metric, beyond, for seconds. Numbers: config/protocols
# (SpO2 < 90 for 30 s, <= 85 for 6 s; < 93 for 30 s; pulse > 130 or > 110 for 10 s, <= 40 or < 50 for 10 s).
SUSTAINED: tuple[tuple[str, str, Callable[[float], bool], float], ...] = (
    ("spo2-low-urgent", "spo2", lambda x: x < 90, 30.0),
    ("spo2-low-urgent", "spo2", lambda x: x <= 85, 6.0),
    ("spo2-low", "spo2", lambda x: x < 93, 30.0),
    ("pulse-rate-high-urgent", "pulse_rate", lambda x: x > 130, 10.0),
    ("pulse-rate-high", "pulse_rate", lambda x: x > 110, 10.0),
    ("pulse-rate-low-urgent", "pulse_rate", lambda x: x <= 40, 10.0),
    ("pulse-rate-low", "pulse_rate", lambda x: x < 50, 10.0),
)
# The same limits as evidence: an alarm of this rule needs a value beyond, its end a value inside.
BEYOND: dict[str, Callable[[float], bool]] = {
    "spo2-low-urgent": lambda x: x < 90,
    "spo2-low": lambda x: x < 93,
    "pulse-rate-high-urgent": lambda x: x > 130,
    "pulse-rate-high": lambda x: x > 110,
    "pulse-rate-low-urgent": lambda x: x <= 40,
    "pulse-rate-low": lambda x: x < 50,
    "systolic-high-urgent": lambda x: x >= 180,
}


class Read(NamedTuple):
    """One delivered report as the model of a bed sees it."""

    at: float
    sent: Sent
    bed_id: str


class Row(NamedTuple):
    """One notification as the journal has it."""

    key: str
    alarm_id: str
    session_id: str
    target: str
    state: str
    body: str


class Oracle:
    """Watches one world."""

    def __init__(self, world: Any, path: Path) -> None:
        """Begin with nothing known; the journal is looked at from the first start on."""
        self._world, self._path = world, path
        self._db: sqlite3.Connection | None = None
        self._seen: Counter[str] = Counter()  # of each table, the commits into it that were looked at
        self.live, self.durable = Story(), Story()
        self.told: list[Outcome] = []  # in the order of telling; the journal must have the same
        self._durable_count = self._outcome_id = self._reading_id = 0
        self.stored: dict[tuple[str, str, int], tuple[float | None, ...]] = {}
        self._content: dict[tuple[str, int], set[tuple[str, float | None]]] = {}
        self._names: dict[int, str] = {}
        self._quarantined: set[bytes] = set()
        self._quarantine_id = 0
        self.sent: dict[tuple[str, str, int], Sent] = {}
        self._fresh: list[Read] = []
        self._recent: dict[tuple[str, str], deque[tuple[float, float, str]]] = {}
        self._heard: dict[str, tuple[str, int]] = {}
        self._runs: dict[tuple[str, int], tuple[float, float]] = {}  # bed, rule: since, last (device time)
        self._last_sign: dict[str, float] = {}  # bed: when its oximeter may last have been heard
        self._rows: dict[str, tuple[str, int | None]] = {}  # of each message: state, when it was settled
        self._said: dict[str, tuple[bytes, set[str]]] = {}  # of a bed: the retained list, and whom it names
        self._dead_since: dict[str, float] = {}  # of an alarm `channel:...`
        self._before: dict[str, Any] = {}
        self._shown: dict[str, Any] = {}
        self._asked: set[tuple[str, str]] = set()
        self._came: list[Outcome] = []  # of what the loop does for a person now
        self.checks = 0

    def violated(self, requirement: str, text: str) -> None:
        """Say that something does not hold."""
        raise Found(f"{requirement}: {text}")

    # --- the life of the process ------------------------------------------------------------------------

    def booting(self) -> None:
        """A process starts: what it knows is what is durable, and nothing else."""
        self.live = self.durable.copy()
        del self.told[self._durable_count :]
        self._starting_at = len(self.told)

    def booted(self, monitor: Any) -> None:
        """It has read its journal: nothing happens by it (P-03, AL-27), nothing is forgotten (P-01)."""
        for one in self.told[self._starting_at :]:
            if one.bed_id != STATION and one.outcome in ("AlarmRaised", "AlarmEnded", "AlarmReset"):
                self.violated("AL-27", f"the restart made {one.outcome} of {one.rule} on {one.bed_id}")
        self._before = {}
        self._settle_beds(monitor)
        for bed_id, place in self.live.places.items():
            bed = monitor.beds().get(bed_id)
            session_id = bed.session.session_id if bed.session else ""
            if session_id != place.session_id:
                self.violated(
                    "P-04", f"{bed_id} comes back with session {session_id!r}, not {place.session_id!r}"
                )
            for alarm_id, known in place.present.items():
                self._ack_stands(bed, alarm_id, known)
        self._forget_runs()
        for bed_id in self.live.places:
            self._last_sign[bed_id] = self._world.scheduler.now_s

    def _ack_stands(self, bed: Any, alarm_id: str, known: Known) -> None:
        now = self._world.scheduler.clock.now()
        if not known.known_by or known.known_until is None or known.known_until <= now or known.held_until:
            return
        alarm = next(one for one in bed.alarms.values() if one.alarm_id == alarm_id)
        if alarm.signal != "acknowledged":
            self.violated("P-06", f"the restart forgot that {known.known_by} acknowledged {known.rule}")

    def crashed(self) -> None:
        """The process is gone: what was on the disk must still be there."""
        self._fresh.clear()
        self._forget_runs()
        self.reopen()
        count = len(self.stored)
        rows = self._db.execute(  # type: ignore[union-attr]
            "SELECT count(*) FROM reading WHERE sequence IS NOT NULL AND boot IS NOT NULL"
        ).fetchone()[0]
        if rows < count:
            self.violated("R-02", f"{count - rows} readings that were on the disk are gone after the crash")

    def reopen(self) -> None:
        """Look at the file with a new connection."""
        if self._db is not None:
            self._db.close()
        self._db = sqlite3.connect(self._path, timeout=5)
        self._seen.clear()
        self.pull()

    def close(self) -> None:
        """Look no more."""
        if self._db is not None:
            self._db.close()

    def _forget_runs(self) -> None:
        self._runs.clear()

    # --- what happens around the monitor ----------------------------------------------------------------

    def on_sent(self, one: Sent | Garbage) -> None:
        """A device has measured and sends it."""
        if isinstance(one, Sent):
            self.sent[one.device, one.boot, one.sequence] = one

    def on_delivered(self, one: Stored) -> None:
        """The broker hands a message over."""
        what, now_s = one.what, self._world.scheduler.now_s
        if not isinstance(what, Sent):
            return
        bed_id = self.live.serves.get(what.device, "")
        for metric, value in what.values.items():
            kept = self._recent.setdefault((bed_id, metric), deque(maxlen=400))
            kept.append((now_s, value, what.mode))
        if "spo2" in what.values:
            self._last_sign[bed_id] = now_s
        if not one.retained:
            self._fresh.append(Read(now_s, what, bed_id))

    def on_confirmed(self, one: Stored) -> None:
        """The monitor has confirmed a message: it must be on the disk by now (R-01, P-23)."""
        self.checks += 1
        self.pull()
        what = one.what
        if isinstance(what, Garbage):
            if what.payload not in self._quarantined:
                self.violated("P-25", f"garbage of {what.device} is confirmed and in no quarantine")
        elif isinstance(what, Sent):
            key = (what.device, what.boot, what.sequence)
            at = round(what.measured_at.timestamp() * 1000) * 1000
            if key not in self.stored and not self._complete(what, at):
                self.violated("R-01", f"confirmed and not in the journal: {what}")

    def asked(self, bed_id: str, by: str) -> None:
        """A person asked something of a bed."""
        self._asked.add((bed_id, by))

    def answered(self, bed_id: str, outcomes: tuple[Outcome, ...], durable: bool) -> None:
        """A person heard what came of it: what is called durable is on the disk."""
        self.pull()
        if durable:
            tail = self.told[: self._durable_count][-400:]
            for one in outcomes:
                if one not in tail:
                    self.violated(
                        "AL-50", f"{one.outcome} of {bed_id} is called durable and is not in the journal"
                    )

    def doing(self) -> None:
        """The loop begins to do what a person asked."""
        self._came.clear()

    def did(self, bed_id: str, one: Any) -> None:
        """The loop has done it, with the outcomes that were told meanwhile."""
        if isinstance(one, AcknowledgeMilder):
            self._all_or_none(bed_id, one)

    def _all_or_none(self, bed_id: str, one: AcknowledgeMilder) -> None:
        """P-37: one press acknowledges every milder alarm that was seen, or none; a high one never."""
        place, priorities = self.live.place(bed_id), self.live.priorities
        there = {
            alarm_id: p for alarm_id, p in one.seen if alarm_id in place.present or alarm_id in place.latched
        }
        worse = [x for x, seen in there.items() if priorities[x] == "high" or priorities[x] != seen]
        answered = [
            x for x in self._came if x.outcome in ("AlarmAcknowledged", "AlarmReset") and x.by == one.by
        ]
        if any(x.outcome == "Refused" and x.detail["input"] == "AcknowledgeMilder" for x in self._came):
            if answered:
                self.violated("P-37", f"refused, and yet {answered[0].rule} of {bed_id} is answered")
            if there and not worse:
                self.violated("P-37", f"refused on {bed_id}, and all are as they were seen: {there}")
            return
        if any(x.priority == "high" for x in answered):
            self.violated("P-37", f"one press on {bed_id} answered a high alarm: {answered}")
        if worse or any(x in place.latched or not place.present[x].known_by for x in there):
            self.violated("P-37", f"of {there} on {bed_id} some are worse {worse} or left: {answered}")

    # --- what the monitor says --------------------------------------------------------------------------

    def on_told(self, outcomes: tuple[Outcome, ...]) -> None:
        """Outcomes reach the live surfaces."""
        ended = {one.bed_id for one in outcomes if one.outcome in ("SessionEnded", "SessionStarted")}
        moved = {
            one.bed_id
            for one in outcomes
            if one.outcome in ("PhaseChanged", "LimitChanged", "BaselineEstablished")
        }
        for one in outcomes:
            place = self.live.place(one.bed_id)
            if (
                one.kind == "physiological"
                and one.outcome == "AlarmEnded"
                and one.bed_id not in ended | moved
            ):
                self._end_has_evidence(one, place)
            if one.kind == "physiological" and one.outcome == "AlarmRaised":
                self._onset_has_evidence(one, place)
            if one.rule.startswith("channel:"):
                self._channel_has_evidence(one)
            if one.rule == "monitor-fault" and one.outcome == "AlarmRaised":
                self.violated("DESIGN 5", f"the monitor met a mistake of its own: {one.reason}")
            if one.outcome == "AlarmAcknowledged" and (one.bed_id, one.by) not in self._asked:
                self.violated("AL-42", f"{one.rule} is acknowledged by {one.by}, who asked for nothing")
            self.live.take(one, self.violated)
            self.told.append(one)
            self._came.append(one)
            if one.outcome in ("SessionStarted", "DeviceAssociated", "DeviceDissociated", "SessionEnded"):
                self._last_sign[one.bed_id] = self._world.scheduler.now_s
                for run in [key for key in self._runs if key[0] == one.bed_id]:
                    del self._runs[run]

    def _values(self, bed_id: str, metric: str, within_s: float) -> list[tuple[float, str]]:
        oldest = self._world.scheduler.now_s - within_s
        return [(v, mode) for at, v, mode in self._recent.get((bed_id, metric), ()) if at >= oldest]

    def _end_has_evidence(self, one: Outcome, place: Place) -> None:
        """AL-29: only a measurement ends a physiological alarm."""
        values = self._values(one.bed_id, one.metric, 5.0)
        if one.rule in BEYOND and one.rule not in place.changed:
            values = [(v, mode) for v, mode in values if not BEYOND[one.rule](v)]
        if not values and not one.metric.startswith("nibp"):
            self.violated(
                "AL-29", f"{one.rule} of {one.bed_id} ended and nothing inside was measured: {one.reason}"
            )

    def _onset_has_evidence(self, one: Outcome, place: Place) -> None:
        """S-10, P-11: an alarm needs a value beyond its limit, of this bed's device and of this mode."""
        beyond = BEYOND.get(one.rule)
        if beyond is None or one.rule in place.changed:
            return
        values = self._values(one.bed_id, one.metric, 200.0 if one.metric in OXIMETER else 1e9)
        if not any(beyond(v) and mode == place.mode for v, mode in values):
            self.violated("S-10", f"{one.rule} of {one.bed_id} without a {place.mode} value beyond it")

    def _channel_has_evidence(self, one: Outcome) -> None:
        """AL-38: a dead channel is an alarm until it delivers; a restart is no delivery."""
        if one.outcome == "AlarmRaised":
            self._dead_since[one.alarm_id] = self._world.scheduler.now_s
        elif one.outcome == "AlarmEnded":
            service = self._world.services[one.rule.removeprefix("channel:")]
            if service.said_at < self._dead_since[one.alarm_id]:
                self.violated("AL-38", f"{one.rule} ended and nothing was delivered")

    # --- after every step -------------------------------------------------------------------------------

    def settled(self, monitor: Any) -> None:
        """Nothing can go on without time: everything that must hold, holds."""
        self.pull()
        if self._fresh and not monitor.inbox.waiting():
            fresh, self._fresh = self._fresh, []
            for one in fresh:
                self._observe(one, monitor)
        self._settle_beds(monitor)

    def _settle_beds(self, monitor: Any) -> None:
        for bed_id, bed in monitor.beds().items():
            if self._before.get(bed_id) is not bed:
                self._before[bed_id] = bed
                self._judge(bed_id, bed)

    def _judge(self, bed_id: str, bed: Any) -> None:
        """P-01, AL-17: its alarms are those that were told of, each signalling unless a person knows."""
        self.checks += 1
        place = self.live.place(bed_id)
        if not bed.alarms and not place.present and not place.latched and not bed.latched:
            return
        alarms = {one.alarm_id: one for one in bed.alarms.values()}
        if alarms.keys() != place.present.keys():
            text = f"{bed_id} has {sorted(a.key for a in alarms.values())}, told were "
            self.violated("P-01", text + f"{sorted(k.rule for k in place.present.values())}")
        if bed.latched.keys() != place.latched:
            self.violated("AL-16", f"{bed_id} keeps {sorted(bed.latched)}, told were {sorted(place.latched)}")
        for alarm_id, alarm in alarms.items():
            self._heard_or_known(bed, alarm, place, place.present[alarm_id])

    def _heard_or_known(self, bed: Any, alarm: Any, place: Place, known: Known) -> None:
        if alarm.priority != known.priority or alarm.kind != known.kind:
            self.violated("AL-02", f"{alarm.key} is {alarm.kind} {alarm.priority}, told was {known}")
        if alarm.covered_by:
            other = next((one for one in bed.alarms.values() if one.alarm_id == alarm.covered_by), None)
            if other is None or RANK[other.priority] <= RANK[alarm.priority] or other.metric != alarm.metric:
                self.violated("AL-17", f"{alarm.key} is covered by what does not speak for it")
        if alarm.signal == "acknowledged" and (not known.known_by or known.known_at != alarm.priority):
            self.violated("AL-17", f"{alarm.key} is acknowledged at {alarm.priority} and nobody did that")
        if alarm.signal == "audio_paused" and place.quiet_until is None:
            self.violated("AL-20", f"{alarm.key} makes no sound and nobody paused it")
        if alarm.signal == "alarm_paused" and (known.held_until is None or not alarm.pausable):
            self.violated("AL-22", f"{alarm.key} is paused and must not be")

    # --- what must alarm --------------------------------------------------------------------------------

    def _observe(self, one: Read, monitor: Any) -> None:
        """Follow sustained excursions of plain readings; anything that is not plain ends what is certain."""
        sent, bed_id = one.sent, one.bed_id
        bed = monitor.beds().get(bed_id)
        if bed is None or bed.session is None or "spo2" not in sent.values:
            return
        boot, sequence = self._heard.get(sent.device, ("", -1))
        newer = sent.boot == boot and sequence < sent.sequence <= sequence + 1
        self._heard[sent.device] = (
            sent.boot,
            max(sequence, sent.sequence) if sent.boot == boot else sent.sequence,
        )
        plain = newer and sent.plain and sent.mode == bed.session.mode and one.at - sent.true_at < 3.0
        plain = plain and not bed.session.same_limb and self.live.serves.get(sent.device) == bed_id
        for number, (rule, metric, beyond, seconds) in enumerate(SUSTAINED):
            key = (bed_id, number)
            if not plain or not beyond(sent.values[metric]) or rule in self.live.place(bed_id).changed:
                self._runs.pop(key, None)
                continue
            since, last = self._runs.get(key, (sent.true_at, sent.true_at))
            if sent.true_at - last > 2 * sent.period_s + 0.01:
                since = sent.true_at
            self._runs[key] = (since, sent.true_at)
            if sent.true_at - since >= seconds + 2 * sent.period_s + 0.01 and rule not in bed.alarms:
                run = f"{sent.true_at - since:.0f} s beyond, now {sent.values[metric]:g}"
                self.violated("AF-04", f"{rule} of {bed_id} is not raised after {run}")

    # --- now and then -----------------------------------------------------------------------------------

    def look(self, monitor: Any) -> None:
        """Look at the wall, at the broker's retained lists, at the messages, at what is missing."""
        self.checks += 1
        self._rows_hold()
        carries = monitor.link.carries
        for bed_id, bed in monitor.beds().items():
            if self._shown.get(bed_id) is not bed:
                self._shown[bed_id] = bed
                self._wall_shows(bed)
            self._quiet_ends(bed_id, bed)
            if carries:
                self._list_holds(bed_id, bed)
                self._silence_is_heard(bed_id, bed)
        self._disk_is_named(monitor)

    def _wall_shows(self, bed: Any) -> None:
        """AL-05, AL-45: every alarm is on the tile, the worst first; every number says when it leaves."""
        tile = orjson.loads(orjson.dumps(show_bed(bed)))
        shown = [one["id"] for one in tile["alarms"]]
        if set(shown) != {one.alarm_id for one in (*bed.alarms.values(), *bed.latched.values())}:
            self.violated("AL-45", f"the tile of {bed.bed_id} shows {shown}")
        ranks = [RANK[one["priority"]] for one in tile["alarms"]]
        if ranks != sorted(ranks, reverse=True):
            self.violated("AL-05", f"the tile of {bed.bed_id} is not sorted: {ranks}")
        for name, number in tile["numbers"].items():
            if number["value"] is not None and number["stale"] is None:
                self.violated("AL-37", f"{name} of {bed.bed_id} would stand on the tile for ever")

    def _quiet_ends(self, bed_id: str, bed: Any) -> None:
        """AL-19, AL-23: what a person made quiet signals again when that is over, while it is present."""
        slack_s, place = self._world.tick_s + 1.0, self.live.place(bed_id)
        if self._world.scheduler.now_s - self._world.booted_at <= slack_s:
            return
        latest = self._world.scheduler.clock.now() - timedelta(seconds=slack_s)
        for alarm in bed.alarms.values():
            known = place.present[alarm.alarm_id]
            until = {
                "acknowledged": known.known_until,
                "alarm_paused": known.held_until,
                "audio_paused": place.quiet_until,
            }.get(alarm.signal)
            if until is not None and until < latest:
                self.violated("AL-23", f"{alarm.key} of {bed_id} is still {alarm.signal}, until {until}")

    def _list_holds(self, bed_id: str, bed: Any) -> None:
        """AL-46, AL-47: whoever subscribes now learns every active alarm."""
        payload = self._world.broker.retained.get(f"{self._world.broker.root}/beds/{bed_id}/alarms")
        said = self._named(bed_id, payload) if payload else None
        if said != {one.alarm_id for one in (*bed.alarms.values(), *bed.latched.values())}:
            self.violated("AL-47", f"the retained list of {bed_id} is {said}")

    def _named(self, bed_id: str, payload: bytes) -> set[str]:
        """Return the alarms in a list; one that is still the same is not read once more."""
        if self._said.get(bed_id, (b"",))[0] is not payload:
            self._said[bed_id] = (payload, {one["alarm_id"] for one in orjson.loads(payload)["alarms"]})
        return self._said[bed_id][1]

    def _silence_is_heard(self, bed_id: str, bed: Any) -> None:
        """AL-29, P-12, P-13: a silent oximeter is an alarm within its time, with or without a device."""
        if bed.session is None or bed.link_lost_at is not None:
            return
        period = max(
            (d.profile.expected_interval_s for d in bed.devices.values() if "spo2" in d.profile.metrics),
            default=0,
        )
        last = max(self._last_sign.get(bed_id, 0.0), self._world.linked_at)
        silent_s = self._world.scheduler.now_s - last
        if (
            silent_s > max(10.0, 2.5 * period) + self._world.tick_s + 1.0
            and "no-data:oximeter" not in bed.alarms
        ):
            self.violated(
                "AL-29", f"{bed_id} has heard nothing of its oximeter for {silent_s:.0f} s and says nothing"
            )

    def _disk_is_named(self, monitor: Any) -> None:
        """R-04: a disk that refuses is an alarm within 5 s, and over by itself when it works again."""
        now_s, weather, slack = self._world.scheduler.now_s, self._world.weather, 5.0 + self._world.tick_s
        present = "journal" in monitor.station_bed().alarms
        since = weather.refusing_since
        if since is not None and now_s - max(since, self._world.booted_at) > slack and not present:
            self.violated("R-04", f"the disk has refused for {now_s - since:.1f} s and nobody is told")
        if since is None and now_s - weather.last_refused_at > slack and present:
            well_s = now_s - weather.last_refused_at
            self.violated("R-04", f"the disk has been well for {well_s:.1f} s and is still called failing")

    # --- the journal ------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Read what is new on the disk; without a commit since the last time there is nothing."""
        commits = 1 + self._world.weather.commits
        if self._db is not None and self._seen["commits"] != commits:
            self._seen["commits"] = commits
            if self._touched("reading"):
                self._pull_readings(self._db)
            if self._touched("quarantine"):
                self._pull_quarantine(self._db)
            if self._touched("outcome"):
                self._pull_outcomes(self._db)

    def _touched(self, table: str) -> bool:
        """Say whether anything was committed into a table since this was asked last, or since a start."""
        count = 1 + self._world.weather.touched[table]
        news, self._seen[table] = self._seen[table] != count, count
        return news

    def _pull_readings(self, db: sqlite3.Connection) -> None:
        rows = db.execute(READINGS, (self._reading_id,)).fetchall()
        for number, device, boot, sequence, at, *values in rows:
            self._reading_id = number
            if sequence is None or boot is None:
                continue
            key = (self._name(db, device), self._name(db, boot), sequence)
            if key[0] == "self-check":
                continue
            if key in self.stored:
                self.violated("P-27", f"{key} is in the journal twice")
            self.stored[key] = tuple(values)
            said = {pair for pair in zip(COLUMNS, values, strict=True) if pair[1] is not None}
            known = self._content.get((key[0], at))
            self._content[key[0], at] = known | said if known else said
            sent = self.sent.get(key)
            if sent is None:
                self.violated("R-15", f"{key} is in the journal and was never sent")
            elif not (said <= sent.values.items() and self._complete(sent, at)):
                self.violated("R-01", f"{key} is in the journal as {values}, sent was {sent.values}")

    def _pull_quarantine(self, db: sqlite3.Connection) -> None:
        for number, payload in db.execute(
            "SELECT id, payload FROM quarantine WHERE id > ?", (self._quarantine_id,)
        ).fetchall():
            self._quarantine_id = number
            self._quarantined.add(bytes(payload))

    def _complete(self, sent: Sent, at: int) -> bool:
        """Say whether every value of a report is on the disk, under the time that the device gave it."""
        return sent.values.items() <= self._content.get((sent.device, at), set())

    def _name(self, db: sqlite3.Connection, number: int) -> str:
        if number not in self._names:
            self._names = dict(db.execute("SELECT id, name FROM name"))
        return self._names[number]

    def _pull_outcomes(self, db: sqlite3.Connection) -> None:
        new: list[Outcome] = []
        for number, body in db.execute(
            "SELECT id, body FROM outcome WHERE id > ? ORDER BY id", (self._outcome_id,)
        ).fetchall():
            self._outcome_id = number
            fields = orjson.loads(body)
            new.append(Outcome(**{**fields, "at": datetime.fromisoformat(fields["at"])}))
        for one in new:
            told = self.told[self._durable_count] if self._durable_count < len(self.told) else None
            if told is None or (told.outcome, told.at, told.alarm_id, told.bed_id) != (
                one.outcome, one.at, one.alarm_id, one.bed_id,
            ):  # fmt: skip
                self.violated("AL-50", f"the journal says {one}, told was {told}")
            self.told[self._durable_count] = one._replace(detail=told.detail) if told else one
            self._durable_count += 1
            self.durable.take(one, self.violated)
        if new:
            self._messages_follow(db, new)

    # --- messages ---------------------------------------------------------------------------------------

    def _messages_follow(self, db: sqlite3.Connection, new: list[Outcome]) -> None:
        """P-02, P-47: a high alarm that signals is a message to every target of its route, in its commit."""
        answered = {one.alarm_id for one in new if one.outcome in ANSWERS}
        for one in new:
            if one.outcome != "AlarmRaised" or one.priority != "high":
                continue
            if (
                one.detail.get("covered_by")
                or one.detail.get("signal", "on") != "on"
                or one.alarm_id in answered
            ):
                continue
            found = {
                row[0]
                for row in db.execute("SELECT target FROM notification WHERE alarm_id=?", (one.alarm_id,))
            }
            wanted = self._world.high_targets
            if one.rule.startswith("channel:"):
                wanted = wanted - {one.rule.removeprefix("channel:")}
            if not wanted <= found:
                self.violated(
                    "P-02", f"{one.rule} of {one.bed_id} ({one.alarm_id}): told {found}, not {wanted}"
                )

    def _rows_hold(self) -> None:
        """P-02, P-36: no message vanishes, and what is settled stays settled."""
        if self._db is None or not self._touched("notification"):
            return
        rows = {
            key: (state, settled_at)
            for key, state, settled_at in self._db.execute("SELECT key, state, settled_at FROM notification")
        }
        if vanished := self._rows.keys() - rows.keys():
            key = min(vanished)
            self.violated("P-02", f"the message {key} has vanished; it was {self._rows[key][0]}")
        for key, after in sorted(rows.items() - self._rows.items()):
            before = self._rows.get(key)
            if before is not None and before[1] is not None:
                self.violated("P-31", f"the message {key} was {before[0]} and is {after[0]}")
            if before is None or before[0] != after[0]:
                self._settled_rightly(Row(*self._db.execute(ROW, (key,)).fetchone()))
        self._rows = rows

    def on_attempt(self, key: str) -> None:
        """P-46: a message whose end is on the disk is not sent once more, by a restart or by anything."""
        if self._db is not None:
            row = self._db.execute("SELECT state FROM notification WHERE key=?", (key,)).fetchone()
            if row is not None and row[0] == "delivered":
                self.violated("P-46", f"{key} is delivered, and is sent again")

    def _settled_rightly(self, row: Row) -> None:
        service = self._world.services.get(row.target)
        mode = self.durable.modes.get(row.session_id)
        said = orjson.loads(row.body)
        if mode is not None and said["mode"] != mode:
            self.violated("S-10", f"the message {row.key} says {said['mode']}, its session is {mode}")
        if row.state == "delivered" and row.key not in service.said_took:
            self.violated("P-31", f"{row.target} never took {row.key}, which is called delivered")
        if row.state == "cancelled" and mode != "drill" and not self._answered(row.alarm_id):
            self.violated("P-35", f"{row.key} was cancelled and nobody has answered")
        if row.state == "expired":
            until = datetime.fromisoformat(said["deadline_at"])
            if self._world.scheduler.clock.now() < until:
                self.violated("P-36", f"{row.key} is called expired before its time")

    def _answered(self, alarm_id: str) -> bool:
        """Say whether anybody has ever answered an alarm."""
        return alarm_id in self.live.answered or alarm_id in self.durable.answered

    # --- the end ----------------------------------------------------------------------------------------

    def left_over(self, monitor: Any) -> tuple[str, str] | None:
        """Return what is still on its way, and the requirement by which it may not be so for ever."""
        self.pull()
        self._rows_hold()
        if self._durable_count != len(self.told):
            return "AL-50", f"{len(self.told) - self._durable_count} outcomes never came to the journal"
        if waiting := self._world.broker.waiting:
            return "R-08", f"{len(waiting)} messages were never confirmed: {next(iter(waiting))}"
        stuck = [f"{key}: {state}" for key, (state, settled_at) in self._rows.items() if settled_at is None]
        if stuck:
            return "AL-38", f"{len(stuck)} messages are neither settled nor given up: {stuck[0]}"
        if running := [bed_id for bed_id, bed in monitor.beds().items() if bed.session is not None]:
            return "P-04", f"{running} are still in session"
        if monitor.recorder.failing or "journal" in monitor.station_bed().alarms:
            return "R-04", "the disk is well and is still called failing"
        return None

    def finish(self, monitor: Any) -> None:
        """Everything has healed and nothing is on its way: nothing may be left over (R-08, AL-38)."""
        if left := self.left_over(monitor):
            self.violated(*left)
