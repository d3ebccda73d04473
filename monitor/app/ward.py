"""The beds of one site, and the one way in which anything happens to them.

Law: a bed changes only here, by ``advance``, and what came of it is kept for the commit in the same breath as
it is told to the live surfaces. A device serves one bed at a time (AL-53). Used by the loop's thread alone;
``beds`` may be looked at from any.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from monitor import snapshot
from monitor.config import Configuration
from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.figures import ALARM_LOAD
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.ownership import after_downtime
from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.core.vitals import Report
from monitor.journal import Batch, Journal
from monitor.schema import REFUSED

log = logging.getLogger("afterwatch")

STATION = "station"  # the monitor's own place: conditions that belong to no bed
MICROSECOND = timedelta(microseconds=1)
SNAPSHOT_EVERY = timedelta(seconds=10)
# Of beds to which nothing happened but readings, so many in a turn: a ward whose beds all began in one second
# must not keep an alarm waiting for the state of all. A hundredth: even an idle loop stores all in 25 s.
SNAPSHOTS_LEAST, SNAPSHOTS_SHARE = 5, 100
# Conditions of the station that a start judges anew.
PASSING = ("journal", "no-annunciator", "monitor-fault", "stopping", "stalled", "behind")
JUDGED_ANEW = ("bed-state:", ALARM_LOAD, "flood:")

Told = Callable[[Bed, tuple[Outcome, ...]], None]


class Ward:
    """Every bed, which device serves it, and what is to be committed next."""

    def __init__(self, configuration: Configuration, now: datetime, tell: Told) -> None:
        """Begin with empty beds; ``tell`` hears at once what happens to each."""
        self._configuration, self._tell = configuration, tell
        names = [*(bed.id for bed in configuration.ward.beds), STATION]
        self.beds: dict[str, Bed] = {name: Bed(name) for name in names}
        self.serves: dict[str, str] = {}
        self.batch = Batch()
        self.now = now
        self._unsaved: dict[str, datetime] = {}  # since when, the oldest first
        self._due: list[tuple[datetime, str]] = []  # a heap; what a bed has outlived is skipped
        self._urgent: set[str] = set()
        self._kept: set[str] = set()
        self._observed_at: datetime | None = None

    # --- what happens ---------------------------------------------------------------------------------------

    def advance(self, bed_id: str, one: Input) -> tuple[Outcome, ...]:
        """Give a bed one input now; return what came of it."""
        before = self.beds[bed_id]
        after, outcomes = advance(before, one, self.now)
        self.beds[bed_id] = after
        if after.next_due_at is not before.next_due_at and after.next_due_at is not None:
            heapq.heappush(self._due, (after.next_due_at, bed_id))
        if outcomes:
            self._happened(after, outcomes)
        return outcomes

    def observe(self, report: Report) -> str:
        """Keep a report and give it to the bed that its device serves; return the bed's id, or ``""``."""
        bed_id = self.serves.get(report.device_id, "")
        self._observed_at = self.now
        self.batch.readings.append((bed_id + self._refused(bed_id, report), report))
        if bed_id:
            self.advance(bed_id, given.Observe(report))
            if bed_id not in self._unsaved:
                self._unsaved[bed_id] = self.now
        return bed_id

    def _refused(self, bed_id: str, report: Report) -> str:
        """Return what marks a reading that the bed's session refuses, for its mode is another (S-10)."""
        session = self.beds[bed_id].session if bed_id else None
        return REFUSED if session is not None and report.mode != session.mode else ""

    def do(self, bed_id: str, one: Input) -> tuple[Outcome, ...]:
        """Do what somebody asks of a bed; its state is stored with the next commit.

        Raises:
            LookupError: there is no such bed.
        """
        if bed_id not in self.beds:
            raise LookupError(f"no bed {bed_id!r}; there are {', '.join(self.beds)}")
        outcomes = self._ask(bed_id, one)
        self._urgent.add(bed_id)
        return outcomes

    def _ask(self, bed_id: str, one: Input) -> tuple[Outcome, ...]:
        """Do what is asked of a bed, and keep that it was asked."""
        if isinstance(one, given.Associate):
            self._release(one.profile.device_id, bed_id, one.by)
        if self.now == self._observed_at:
            self.now += MICROSECOND  # so that whoever lives it again knows which came first
        self.batch.inputs.append((self.now, bed_id, snapshot.dump_input(one)))
        return self.advance(bed_id, one)

    def _release(self, device_id: str, bed_id: str, by: str) -> None:
        """Take a device from the bed it serves before another gets it."""
        was = self.serves.get(device_id)
        if was and was != bed_id:
            self.do(was, given.Dissociate(device_id, by))

    def condition(self, key: str, priority: Priority | None, text: str) -> None:
        """Make a condition of the house, a technical alarm of the station, be as it is; ``None`` ends it."""
        key = key[:80]
        present = self.beds[STATION].alarms.get(key)
        if priority is None:
            if present is not None:
                self.advance(STATION, given.ClearCondition(key))
        elif present is None or present.priority != priority or present.text != text:
            self.advance(STATION, given.ReportCondition(key, priority, text))

    def pass_time(self) -> None:
        """Let what has come due by now happen; beds to which nothing does cost nothing."""
        if len(self._due) > 4 * len(self.beds) + 1000:
            self._find_due()
        failed: list[tuple[tuple[datetime, str], Exception]] = []
        while self._due and self._due[0][0] <= self.now:
            due = heapq.heappop(self._due)
            if self.beds[due[1]].next_due_at != due[0]:
                continue
            try:
                self.advance(due[1], given.Tick())
            except Exception as fault:  # noqa: BLE001  it is raised below, when the others have had their turn
                failed.append((due, fault))
        for due, _ in failed:
            heapq.heappush(self._due, due)
        if failed:
            raise failed[0][1]

    def _find_due(self) -> None:
        self._due = [
            (bed.next_due_at, name) for name, bed in self.beds.items() if bed.next_due_at is not None
        ]
        heapq.heapify(self._due)

    def _happened(self, bed: Bed, outcomes: tuple[Outcome, ...]) -> None:
        self.batch.outcomes += outcomes
        self._urgent.add(bed.bed_id)
        for one in outcomes:
            if one.outcome == "DeviceAssociated":
                self.serves[one.reason] = bed.bed_id
            elif one.outcome == "DeviceDissociated" and self.serves.get(one.reason) == bed.bed_id:
                del self.serves[one.reason]
            elif one.outcome == "SessionStarted":
                self._keep_protocol(bed)
        self._tell(bed, outcomes)

    def _keep_protocol(self, bed: Bed) -> None:
        if bed.session is None:
            return
        protocol, digest = bed.session.protocol, bed.session.protocol.digest
        if digest not in self._kept:
            self._kept.add(digest)
            self.batch.protocols[digest] = (protocol.name, snapshot.dump_protocol(protocol))

    # --- what is kept ---------------------------------------------------------------------------------------

    def take_batch(self, *, everything: bool = False) -> Batch:
        """Return what is to be committed, with the state of beds to which something happened."""
        most = len(self._unsaved) if everything else SNAPSHOTS_LEAST + len(self._unsaved) // SNAPSHOTS_SHARE
        for bed_id, since in islice(self._unsaved.items(), most):
            if not everything and self.now - since < SNAPSHOT_EVERY:
                break
            self._urgent.add(bed_id)
        for bed_id in self._urgent:
            self.batch.snapshots[bed_id] = (self.now, snapshot.dump(self.beds[bed_id]))
            self._unsaved.pop(bed_id, None)
        self._urgent.clear()
        batch, self.batch = self.batch, Batch()
        return batch

    def restore(self, journal: Journal) -> None:
        """Bring every bed back: its last state, and the readings that came after it (P-01 to P-06)."""
        kept = {digest: snapshot.load_protocol(body) for digest, body in journal.protocols().items()}
        self._kept = set(kept)
        protocols = {one.digest: one for one in self._configuration.protocols.values()} | kept
        now, damaged = self.now, []
        for bed_id, stored in journal.snapshots().items():
            if bed_id not in self.beds and stored.body:
                log.warning("bed %s is in the journal and no longer in beds.toml; it rests there", bed_id)
                continue
            try:
                bed = self.beds[bed_id] = snapshot.load(stored.body, protocols)
            except (
                LookupError,
                ValueError,
            ) as fault:  # it begins anew, and says so: never a state that may lie
                log.error("the kept state of %s cannot be used: %s", bed_id, fault)
                damaged.append(bed_id)
                continue
            self.serves |= dict.fromkeys(bed.devices, bed_id)
            self._live_again(bed_id, stored.readings, now)
            self.beds[bed_id] = after_downtime(self.beds[bed_id], now)
        self.now = now
        self._find_due()
        self._wire(journal.meta())
        for key in [*PASSING, *(one for one in self.beds[STATION].alarms if one.startswith(JUDGED_ANEW))]:
            self.condition(key, None, "")
        for bed_id in damaged:
            text = f"the kept state of {bed_id} is damaged: start its session again, if one was running"
            self.condition(f"bed-state:{bed_id}", "high", text)
        self._urgent |= self.beds.keys() & damaged

    def _live_again(self, bed_id: str, readings: Iterable[Report], now: datetime) -> None:
        for report in readings:
            self.now = report.received_at
            self.advance(bed_id, given.Observe(report))
        bed = self.beds[bed_id]
        if bed_id != STATION and bed.link_lost_at is None and bed.now is not None:
            self.now = bed.now  # while we were away, silence said nothing of devices
            self._ask(bed_id, given.LoseLink())
            # Its state need not be stored at once with those of all others: without it we come here again.
            self._unsaved[bed_id] = now

    def _wire(self, meta: Mapping[str, str]) -> None:
        """Associate devices as beds.toml says, where it says something else than at the last start."""
        try:
            before = orjson.loads(meta.get("wiring", "{}"))
        except ValueError:  # damaged: as at a first start
            before = {}
        wiring: dict[str, Any] = {}
        for device in self._configuration.ward.devices:
            wiring[device.id] = device.model_dump(mode="json")
            known = device.id in self.serves and before.get(device.id) == wiring[device.id]
            if device.bed is not None and not known:
                self.do(device.bed, given.Associate(device.profile()))
        self.batch.meta["wiring"] = orjson.dumps(wiring).decode()
