"""The loop: one thread that takes what waits, advances beds, and hands on what happened.

Law: everything that happens to a bed happens here, in one order. The wall and the alarm topics hear an
outcome at once; the broker's confirmation and people's messages follow the commit; when the disk refuses,
only the confirmation waits. One bad input costs itself, never the loop (P-25).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import orjson

from monitor import formats, snapshot, topics
from monitor.clock import Clock
from monitor.config import Configuration, DeviceEntry
from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.core.vitals import METRICS, Report
from monitor.inbox import Ask, Inbox
from monitor.journal import Batch, Due, Journal, Refused, Settled
from monitor.mqtt import Envelope, Link, Routes, Will, presence
from monitor.recorder import Job, Recorder
from monitor.web.desk import Reply

log = logging.getLogger("afterwatch")

STATION = "station"  # the monitor's own place: conditions that belong to no bed
BATCH_MOST = 500
TICK_S = 0.25
SNAPSHOT_EVERY = timedelta(seconds=10)
LINK_GRACE_S = 3.0  # a broker that restarts quickly is no alarm
LINK_HIGH_S = 30.0
HEARTBEAT_S = 10.0
CONTINUE_S = 30.0
COMMITTED_S = 1.0
LEASE_S = 15.0  # AL-36
STALL_S = 2.0
_ORDER = {name: place for place, name in enumerate(METRICS)}


class Messenger(Protocol):
    """Who tells people: what is due is planned in the loop, sent after the commit, and reported back."""

    def plan(self, outcomes: Iterable[Outcome], bed: Bed, now: datetime) -> list[Due]:
        """Return the notifications that outcomes make due."""
        ...

    def cancels(self, outcomes: Iterable[Outcome], bed: Bed) -> list[tuple[str, str]]:
        """Return the alarms of which nothing more is to be sent, with the reason."""
        ...

    def submit(self, due: Iterable[Due]) -> None:
        """Send them; a key that was submitted before is ignored."""
        ...

    def cancel(self, alarm_id: str) -> None:
        """Send nothing more about an alarm."""
        ...

    def dead_channels(self) -> Mapping[str, str]:
        """Return the targets that do not answer, with the reason."""
        ...

    def stop(self) -> None:
        """End every worker."""
        ...


class Lease(NamedTuple):
    """What a page said last: whether its sound runs, and when."""

    sounding: bool
    at: float


class Monitor:
    """One site's monitor: journal, link, loop and followers."""

    def __init__(
        self, configuration: Configuration, clock: Clock, boot_id: str, *, version: str = ""
    ) -> None:
        """Open the journal and bring every bed back as it was.

        Raises:
            JournalError: the journal cannot be used.
        """
        self.configuration, self.clock, self.boot_id, self.version = configuration, clock, boot_id, version
        self.journal = Journal(configuration.store)
        self.recorder = Recorder(self.journal, self._disk_trouble)
        self.inbox = Inbox(self._link_changed)
        root = configuration.root
        status = f"{root}/monitor/status"
        will = Will(status, presence("offline", boot_id), presence("online", boot_id))
        self._devices = {device.id: device for device in configuration.ward.devices}
        self._routes = Routes(
            {configuration.report_topic(d): d.id for d in configuration.ward.devices if d.topic}
        )
        subscriptions = [f"{root}/devices/+/report", f"{root}/devices/+/status"]
        subscriptions += [device.topic for device in configuration.ward.devices if device.topic]
        self.link = Link(configuration.clinic.broker, subscriptions, will, self.inbox, clock)
        self.messenger: Messenger | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.on_outcomes: Callable[[Iterable[Outcome]], None] = lambda _: None
        self._beds: dict[str, Bed] = {}
        self._serves: dict[str, str] = {}
        self._unsaved: dict[str, datetime] = {}
        self._urgent: set[str] = set()
        self._protocols_kept: set[str] = set()
        self._leases: dict[str, Lease] = {}
        self._durable: dict[str, tuple[str | None, int | None]] = {}
        self._committed: queue.SimpleQueue[dict[str, tuple[str | None, int | None]]] = queue.SimpleQueue()
        self._due_at: dict[str, float] = {}
        self._link_down_since: float | None = time.monotonic()
        self._list_seq = self._beats = 0
        self._changed = False
        self._batch = Batch()
        self._envelopes: list[Envelope] = []
        self._replies: list[tuple[Future[Reply], tuple[Outcome, ...]]] = []
        self._now = clock.now()
        self._turned_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self.received = self.raised = self.quarantined = 0
        self.left_due = self.journal.due()
        self._restore()

    # --- what others may ask, from any thread ------------------------------------------------------------

    def submit(self, bed_id: str, one: Input) -> Future[Reply]:
        """Put an input in line for a bed; the answer comes after the commit, or says it is not durable."""
        future: Future[Reply] = Future()
        self.inbox.ask(lambda: self._do(bed_id, one, future))
        return future

    def beds(self) -> Mapping[str, Bed]:
        """Return every bed as it is now, in wall order, the station last."""
        return self._beds

    def now(self) -> datetime:
        """Return the present instant on the monitor's clock."""
        return self.clock.now()

    def annunciate(self, page_id: str, sounding: bool) -> None:
        """Renew a page's lease as a live annunciator (AL-35, AL-36)."""
        self._leases[page_id] = Lease(sounding, time.monotonic())

    def health(self) -> Mapping[str, Any]:
        """Return the self-check as JSON values."""
        recorder = self.recorder
        stalled_s = time.monotonic() - self._turned_at
        return {
            "ok": self.link.connected and not recorder.failing and stalled_s < STALL_S,
            "boot_id": self.boot_id,
            "version": self.version,
            "broker": {"connected": self.link.connected, "reason": self.link.reason},
            "journal": {
                "failing": recorder.failing,
                "stored": recorder.stored,
                "repeated": recorder.repeated,
                "commits": recorder.commits,
                "waiting": recorder.waiting(),
                "slowest_s": round(recorder.slowest_s, 4),
            },
            "loop": {"waiting": self.inbox.waiting(), "since_turn_s": round(stalled_s, 3)},
            "received": self.received,
            "quarantined": self.quarantined,
            "alarms_raised": self.raised,
            "annunciators": self._sounding(),
            "dead_channels": dict(self.messenger.dead_channels()) if self.messenger else {},
            "clock_drift_s": round(getattr(self.clock, "drift_s", lambda: 0.0)(), 3),
        }

    def report_condition(self, key: str, priority: Priority | None, text: str) -> None:
        """Make a condition of the house, a technical alarm of the station, be as it is; ``None`` ends it."""
        self.inbox.ask(lambda: self._condition(key, priority, text))

    def settle(self, settled: Settled) -> None:
        """Take note of what became of a notification."""
        self.inbox.ask(lambda: self._batch.settled.append(settled))

    def send_also(self, due: list[Due]) -> None:
        """Keep and send notifications that no outcome made due (another channel for one that failed)."""
        self.inbox.ask(lambda: self._batch.due.extend(due))

    # --- life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the writer, the loop, the link."""
        self.recorder.start()
        self._thread.start()
        self.link.start()

    def stop(self) -> bool:
        """End in order; return whether everything became durable."""
        self.link.stop(presence("stopped", self.boot_id))
        self._stopping.set()
        self.inbox.ask(lambda: None)
        self._thread.join(5.0)
        durable = self.recorder.stop()
        if self.messenger:
            self.messenger.stop()
        self.journal.close()
        return durable

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn(TICK_S)
            except Exception:  # the loop outlives any mistake of ours; what it cost is in the log
                log.exception("the loop met a mistake of its own and goes on")
                time.sleep(0.05)
        self._save_all()
        self._hand_over()

    def turn(self, timeout_s: float) -> None:
        """Take what waits, do it, hand it on."""
        envelopes = self.inbox.take(BATCH_MOST, timeout_s)
        for ask in self.inbox.asks():
            self._guard(ask)
        for envelope in envelopes:
            self._take(envelope)
        self._tick()
        self._hand_over()
        self._turned_at = time.monotonic()

    def _guard(self, ask: Ask) -> None:
        try:
            ask()
        except Exception as fault:
            log.exception("an input failed")
            self._condition(
                "monitor-fault", "medium", f"a mistake inside the monitor: {type(fault).__name__}"
            )

    # --- devices --------------------------------------------------------------------------------------------

    def _take(self, envelope: Envelope) -> None:
        """Decode one message and give each of its reports to the bed it serves."""
        self.received += 1
        self._envelopes.append(envelope)
        self._now = max(self._now, envelope.received_at)
        device_id, entry = self._device_of(envelope.topic)
        context = formats.Context(device_id, self._now, envelope.topic, envelope.retained, *_settings(entry))
        try:
            decoded = formats.decode(entry.format if entry else "native", envelope.payload, context)
        except formats.Undecodable as fault:
            self._quarantine(envelope, device_id, str(fault))
            return
        for report in decoded.reports:
            self._observe(report, envelope)

    def _device_of(self, topic: str) -> tuple[str, DeviceEntry | None]:
        head = f"{self.configuration.root}/devices/"
        if topic.startswith(head) and topic.count("/") == head.count("/") + 1:
            name = topic[len(head) : topic.rindex("/")]
        else:
            name = self._routes.device_of(topic) or topic
        return name, self._devices.get(name)

    def _observe(self, report: Report, envelope: Envelope) -> None:
        report = _in_order(report)
        bed_id = self._serves.get(report.device_id, "")
        self._batch.readings.append((bed_id, report))
        if report.boot_id is not None or report.sequence is not None:
            self._durable[report.device_id] = (report.boot_id, report.sequence)
        if not bed_id:
            if report.device_id not in self._devices:
                self._condition(
                    f"unknown-device:{report.device_id}"[:80],
                    "low",
                    f"{report.device_id} reports and is in no beds.toml; its readings are kept, for no bed",
                )
            return
        try:
            self._advance(bed_id, given.Observe(report))
        except Exception as fault:  # the old bed stands (DESIGN §5)
            log.exception("advance failed on a report of %s", report.device_id)
            self._quarantine(envelope, report.device_id, f"monitor: {type(fault).__name__}: {fault}")
            self._condition(
                "monitor-fault", "medium", f"a mistake inside the monitor: {type(fault).__name__}"
            )
            return
        if bed_id not in self._unsaved:
            self._unsaved[bed_id] = self._now

    def _quarantine(self, envelope: Envelope, device_id: str, reason: str) -> None:
        self.quarantined += 1
        self._batch.quarantined.append(Refused(self._now, envelope.topic, envelope.payload, reason))
        bed_id = self._serves.get(device_id)
        if bed_id:
            self._advance(bed_id, given.RefuseReport(device_id, reason))
            self._urgent.add(bed_id)
        else:
            self._condition(f"quarantine:{device_id}"[:80], "low", f"{device_id}: {reason}"[:200])

    # --- beds -----------------------------------------------------------------------------------------------

    def _do(self, bed_id: str, one: Input, future: Future[Reply]) -> None:
        """Do what a person asks."""
        self._now = max(self._now, self.clock.now())
        try:
            if bed_id not in self._beds:
                raise LookupError(f"no bed {bed_id!r}")
            if isinstance(one, given.Associate):
                self._hand_device_over(bed_id, one)
            outcomes = self._advance(bed_id, one)
            self._urgent.add(bed_id)
        except Exception as fault:  # noqa: BLE001  the asker hears of it; the bed stands
            future.set_exception(fault)
            return
        self._replies.append((future, outcomes))

    def _hand_device_over(self, bed_id: str, one: given.Associate) -> None:
        """Take a device from the bed it serves before another gets it (AL-53)."""
        was = self._serves.get(one.profile.device_id)
        if was and was != bed_id:
            self._advance(was, given.Dissociate(one.profile.device_id, one.by))
            self._urgent.add(was)

    def _advance(self, bed_id: str, one: Input) -> tuple[Outcome, ...]:
        after, outcomes = advance(self._beds[bed_id], one, self._now)
        self._beds[bed_id] = after
        if outcomes:
            self._happened(after, outcomes)
        return outcomes

    def _happened(self, bed: Bed, outcomes: tuple[Outcome, ...]) -> None:
        """Let everyone who lives in the moment hear of it at once; keep the rest for the commit."""
        batch = self._batch
        batch.outcomes += outcomes
        self._urgent.add(bed.bed_id)
        self._changed = True
        for one in outcomes:
            if one.outcome == "DeviceAssociated":
                self._serves[one.reason] = bed.bed_id
            elif one.outcome == "DeviceDissociated":
                if self._serves.get(one.reason) == bed.bed_id:
                    del self._serves[one.reason]
            elif one.outcome == "SessionStarted":
                self._keep_protocol(bed)
            elif one.outcome == "AlarmRaised":
                self.raised += 1
        self._speak(bed, outcomes)
        if self.messenger is not None:
            batch.due += self.messenger.plan(outcomes, bed, self._now)
            for alarm_id, why in self.messenger.cancels(outcomes, bed):
                batch.cancelled.append((alarm_id, why, self._now))
        self.on_outcomes(outcomes)
        self.on_change()

    def _speak(self, bed: Bed, outcomes: Iterable[Outcome]) -> None:
        """Tell the broker: each phase, then the complete list."""
        mode = bed.session.mode if bed.session else ""
        spoken = topics.phases(outcomes, self.boot_id, mode)
        for payload in spoken:
            self.link.publish(topics.phase_topic(self.configuration.root, bed.bed_id), payload)
        self._list_seq += 1
        payload = topics.alarm_list(bed, self.boot_id, self._list_seq, self._now)
        self.link.publish(topics.list_topic(self.configuration.root, bed.bed_id), payload, retain=True)

    def _keep_protocol(self, bed: Bed) -> None:
        if bed.session is None:
            return
        protocol = bed.session.protocol
        digest = protocol.digest
        if digest not in self._protocols_kept:
            self._protocols_kept.add(digest)
            self._batch.protocols[digest] = (protocol.name, snapshot.dump_protocol(protocol))

    def _condition(self, key: str, priority: Priority | None, text: str) -> None:
        """Make a condition of the house be as it is."""
        present = self._beds[STATION].alarms.get(key)
        if priority is None:
            if present is not None:
                self._advance(STATION, given.ClearCondition(key))
        elif present is None or present.priority != priority or present.text != text:
            self._advance(STATION, given.ReportCondition(key, priority, text))

    # --- time -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Let what is due happen: on beds, and in the house."""
        self._now = max(self._now, self.clock.now())
        for bed_id, bed in list(self._beds.items()):
            if bed.next_due_at is not None and bed.next_due_at <= self._now:
                self._guard(partial(self._advance, bed_id, given.Tick()))
        clock = time.monotonic()
        for name, every_s, act in (
            ("house", TICK_S, self._judge_house),
            ("committed", COMMITTED_S, self._say_committed),
            ("heartbeat", HEARTBEAT_S, self._beat),
            ("continue", CONTINUE_S, self._continue),
        ):
            if clock >= self._due_at.get(name, 0.0):
                self._due_at[name] = clock + every_s
                act()

    def _judge_house(self) -> None:
        self._judge_link()
        running = any(bed.session is not None for bed in self._beds.values())
        if running and not self._sounding():
            self._condition("no-annunciator", "medium", "no wall with working sound is open (AL-36)")
        else:
            self._condition("no-annunciator", None, "")
        dead = self.messenger.dead_channels() if self.messenger else {}
        for key in [key for key in self._beds[STATION].alarms if key.startswith("channel:")]:
            if key.removeprefix("channel:") not in dead:
                self._condition(key, None, "")
        for target, reason in dead.items():
            self._condition(f"channel:{target}", "medium", f"messages to {target} do not arrive: {reason}")

    def _judge_link(self) -> None:
        if self._link_down_since is None:
            return
        down_s = time.monotonic() - self._link_down_since
        if down_s > LINK_GRACE_S:
            priority: Priority = "high" if down_s > LINK_HIGH_S else "medium"
            self._condition("link", priority, f"no link to the broker: {self.link.reason or 'lost'}")

    def _sounding(self) -> int:
        now = time.monotonic()
        for page in [page for page, lease in self._leases.items() if now - lease.at > LEASE_S]:
            self._leases.pop(page, None)
        return sum(lease.sounding for lease in list(self._leases.values()))

    def _say_committed(self) -> None:
        newest: dict[str, tuple[str | None, int | None]] = {}
        while not self._committed.empty():
            newest |= self._committed.get()
        for device_id, (boot_id, sequence) in newest.items():
            payload = orjson.dumps({"boot_id": boot_id, "sequence": sequence})
            topic = topics.committed_topic(self.configuration.root, device_id)
            self.link.publish(topic, payload, retain=True)

    def _beat(self) -> None:
        self._beats += 1
        payload = presence(
            "online",
            self.boot_id,
            counter=self._beats,
            at=self._now.isoformat(),
            ok=self.health()["ok"],
        )
        self.link.publish(f"{self.configuration.root}/monitor/status", payload, retain=True)

    def _continue(self) -> None:
        for bed in self._beds.values():
            for payload in topics.continuing(bed, self.boot_id, self._now):
                self.link.publish(topics.phase_topic(self.configuration.root, bed.bed_id), payload)

    # --- the link and the disk ------------------------------------------------------------------------------

    def _link_changed(self, connected: bool, reason: str) -> None:
        self._link_down_since = None if connected else time.monotonic()
        log.info("broker: %s", f"connected, {reason}" if connected else reason)
        self._now = max(self._now, self.clock.now())
        for bed_id in list(self._beds):
            if bed_id != STATION:
                self._advance(bed_id, given.RestoreLink() if connected else given.LoseLink())
                self._urgent.add(bed_id)
        if connected:
            self._condition("link", None, "")
        self._changed = True

    def _disk_trouble(self, reason: str) -> None:
        """Hear from the writer that the disk refuses, or (empty) that it works again."""
        if reason:
            self.report_condition("journal", "high", f"the record is not durable: {reason}")
        else:
            self.report_condition("journal", None, "")

    # --- the commit -----------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give the writer what happened in this turn, with what must follow its commit."""
        self._save()
        batch, envelopes, replies = self._batch, self._envelopes, self._replies
        if not (batch or envelopes or replies):
            return
        durable, self._durable = self._durable, {}
        self._batch, self._envelopes, self._replies = Batch(), [], []
        told: list[bool] = []

        def settle(is_durable: bool) -> None:
            if is_durable:
                self.link.confirm(envelopes)
                self._committed.put(durable)
            if not told:  # what people must hear goes out once, durable or not
                told.append(is_durable)
                if self.messenger is not None:
                    self.messenger.submit(batch.due)
                    for alarm_id, _, _ in batch.cancelled:
                        self.messenger.cancel(alarm_id)
                for future, outcomes in replies:
                    future.set_result(Reply(outcomes, is_durable))

        self.recorder.put(Job(batch, settle))

    def _save(self) -> None:
        """Store the state of beds to which something happened, and of the others now and then."""
        for bed_id, since in self._unsaved.items():
            if self._now - since >= SNAPSHOT_EVERY:
                self._urgent.add(bed_id)
        for bed_id in self._urgent:
            self._batch.snapshots[bed_id] = (self._now, snapshot.dump(self._beds[bed_id]))
            self._unsaved.pop(bed_id, None)
        self._urgent.clear()

    def _save_all(self) -> None:
        self._urgent |= set(self._unsaved)

    # --- coming back ----------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Bring every bed back: its last state, and the readings that came after it."""
        protocols = {
            digest: snapshot.load_protocol(body) for digest, body in self.journal.protocols().items()
        }
        self._protocols_kept = set(protocols)
        stored = self.journal.snapshots()
        for bed_id in [*(bed.id for bed in self.configuration.ward.beds), STATION]:
            self._beds[bed_id] = Bed(bed_id)
        for bed_id, one in stored.items():
            if bed_id not in self._beds:
                log.warning("bed %s is in the journal and no longer in beds.toml; it rests there", bed_id)
                continue
            bed = snapshot.load(one.body, protocols)
            self._beds[bed_id] = bed
            for device_id in bed.devices:
                self._serves[device_id] = bed_id
            for report in one.readings:
                self._now = report.received_at
                self._advance(bed_id, given.Observe(report))
            if bed_id != STATION and bed.link_lost_at is None:
                self._now = self._beds[bed_id].now or self._now
                self._advance(bed_id, given.LoseLink())
        self._now = self.clock.now()
        self._wire()
        for key in list(self._beds[STATION].alarms):
            if key in ("journal", "no-annunciator", "monitor-fault"):
                self._condition(key, None, "")

    def _wire(self) -> None:
        """Associate devices as beds.toml says, where it says something else than at the last start."""
        before = orjson.loads(self.journal.meta().get("wiring", "{}"))
        wiring: dict[str, Any] = {}
        for device in self.configuration.ward.devices:
            wiring[device.id] = device.model_dump(mode="json")
            known = device.id in self._serves and before.get(device.id) == wiring[device.id]
            if device.bed is None or known:
                continue
            self._hand_device_over(device.bed, given.Associate(device.profile()))
            self._advance(device.bed, given.Associate(device.profile()))
        self._batch.meta["wiring"] = orjson.dumps(wiring).decode()


def _settings(entry: DeviceEntry | None) -> tuple[Any, Mapping[str, Any]]:
    return (entry.zoneinfo(), entry.options) if entry else (None, {})


def _in_order(report: Report) -> Report:
    """Return the report with its values in the order of the table, as the journal keeps them."""
    values = report.observations
    if len(values) > 1 and any(_ORDER[a.metric] > _ORDER[b.metric] for a, b in pairwise(values)):
        return report._replace(observations=tuple(sorted(values, key=lambda one: _ORDER[one.metric])))
    return report


__all__ = ["STATION", "DeviceProfile", "Messenger", "Monitor"]
