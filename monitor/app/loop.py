"""The loop: one thread that takes what waits, gives it to the beds, and hands on what happened.

Law: everything that happens to a bed happens here, in one order. The wall and the alarm topics hear an
outcome at once; the broker's confirmation and people's messages follow the commit; when the disk refuses,
only the confirmation waits. One bad input costs itself, never the loop (P-25).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Protocol

import orjson

from monitor import formats
from monitor.app import topics
from monitor.app.inbox import Ask, Inbox
from monitor.app.reader import Reader
from monitor.app.recorder import Job, Recorder
from monitor.app.self_check import DEVICE, SelfCheck
from monitor.app.station import Station
from monitor.app.traffic import Traffic
from monitor.app.ward import STATION, Ward
from monitor.clock import Clock, time_source
from monitor.config import Configuration
from monitor.core import inputs as given
from monitor.core.inputs import Input
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Priority
from monitor.core.turn import Bed
from monitor.core.vitals import Report
from monitor.journal import Batch, Due, Journal, Refused, Settled
from monitor.mqtt import RECEIVE_MAXIMUM, Envelope, Link, Will, presence
from monitor.web.desk import Reply

__all__ = ["STATION", "Messenger", "Monitor"]
log = logging.getLogger("afterwatch")

BATCH_MOST = 500
TICK_S = 0.25
HEARTBEAT_S = 10.0
CONTINUE_S = 30.0
COMMITTED_S = 1.0
COMMITTED_MOST, COMMITTED_STEP_S = (
    25,
    0.05,
)  # devices at a time: hundreds at once kept alarms waiting for 50 ms
SELF_CHECK_S = 20.0  # AL-34 asks for 60; longer than a round may take, so that each is judged before the next
STALL_S = 2.0

Counter = tuple[str | None, int | None]  # boot id and sequence of a device
Ship = Callable[[Batch, Callable[[bool], None]], None]  # hands on what was committed; says when it is there


class Messenger(Protocol):
    """Who tells people: what is due is planned in the loop, sent after the commit, and reported back."""

    def plan(self, outcomes: Iterable[Outcome], bed: Bed, now: datetime) -> list[Due]:
        """Return the notifications that outcomes make due."""
        ...

    def cancels(self, outcomes: Iterable[Outcome], bed: Bed) -> list[tuple[str, str]]:
        """Return the alarms of which nothing more is to be sent, with the reason."""
        ...

    def digests(self, now: datetime) -> list[Due]:
        """Return the words for what was told together in a flood."""
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


class Monitor:
    """One site's loop, with its journal and its link. What pages ask of it may come from any thread."""

    def __init__(self, configuration: Configuration, clock: Clock, boot_id: str, version: str = "") -> None:
        """Open the journal and bring every bed back as it was.

        Raises:
            JournalError: the journal cannot be used.
        """
        self.configuration, self.clock, self.boot_id, self.version = configuration, clock, boot_id, version
        self.root = configuration.root
        self.journal = Journal(configuration.store)
        self.recorder = Recorder(self.journal, self._disk_trouble)
        self.inbox = Inbox(self._link_changed)
        self.station = Station()
        self.self_check = SelfCheck(self.root, boot_id)
        self.link = self._make_link()
        self.link.on_forgotten = self.station.forgotten.count
        self._sign_key = configuration.clinic.broker.sign_key()
        self.messenger: Messenger | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.ship: Ship = lambda _batch, shipped: shipped(True)  # nobody follows (``monitor.app.pair``)
        self.received = self.raised = self.quarantined = 0
        self.reader = Reader(configuration)
        self.traffic = Traffic(lambda topic: self.reader.source_of(topic).device_id)
        self._envelopes: list[Envelope] = []
        self._withheld: deque[list[Envelope]] = deque()
        self._replies: list[tuple[Future[Reply], tuple[Outcome, ...]]] = []
        self._counters: dict[str, Counter] = {}
        self._durable: queue.SimpleQueue[dict[str, Counter]] = queue.SimpleQueue()
        self._unsaid: dict[str, Counter] = {}
        self._saying: list[str] = []
        self._said_at = 0.0
        self._due_at: dict[str, float] = {}
        self._list_seq = self._beats = 0
        self._turned_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self.left_due = self.journal.due()
        self.ward = Ward(configuration, clock.now(), self._tell)
        self.ward.restore(self.journal)

    def _make_link(self) -> Link:
        status = f"{self.root}/monitor/status"
        will = Will(status, presence("offline", self.boot_id), presence("online", self.boot_id))
        subscriptions = [f"{self.root}/devices/+/report", f"{self.root}/devices/+/status"]
        subscriptions += [device.topic for device in self.configuration.ward.devices if device.topic]
        subscriptions.append(self.self_check.answer_topic)
        return Link(self.configuration.clinic.broker, subscriptions, will, self.inbox, self.clock)

    # --- what others may ask, from any thread ---------------------------------------------------------------

    def submit(self, bed_id: str, one: Input) -> Future[Reply]:
        """Put an input in line for a bed; the answer comes after the commit, or says it is not durable."""
        future: Future[Reply] = Future()
        self.inbox.ask(lambda: self._do(bed_id, one, future))
        return future

    def beds(self) -> Mapping[str, Bed]:
        """Return every bed as it is now, in wall order, the station last."""
        return self.ward.beds

    def station_bed(self) -> Bed:
        """Return the station's bed as it is."""
        return self.ward.beds[STATION]

    def now(self) -> datetime:
        """Return the present instant on the monitor's clock."""
        return self.clock.now()

    def annunciate(self, page_id: str, sounding: bool) -> None:
        """Renew a page's lease as a live annunciator (AL-35, AL-36)."""
        self.station.annunciate(page_id, sounding)

    def stalled_s(self) -> float:
        """Return for how long the loop has not come round, in seconds (R-21)."""
        return time.monotonic() - self._turned_at

    def health(self) -> Mapping[str, Any]:
        """Return the self-check as JSON values."""
        link, recorder, source = self.link, self.recorder, time_source()
        return {
            "ok": link.connected and not recorder.failing and self.stalled_s() < STALL_S,
            "broker": "connected" if link.connected else link.reason or "lost",
            "journal": recorder.failing or "durable",
            "version": self.version,
            "boot_id": self.boot_id,
            "received": self.received,
            "stored": recorder.stored,
            "repeated": recorder.repeated,
            "quarantined": self.quarantined,
            "alarms_raised": self.raised,
            "commits": recorder.commits,
            "slowest_commit_s": round(recorder.slowest_s, 4),
            "batches_waiting": recorder.waiting(),
            "messages_waiting": self.inbox.waiting(),
            "loop_age_s": round(self.stalled_s(), 3),
            "annunciators": self.station.sounding(),
            "dead_channels": sorted(self.messenger.dead_channels()) if self.messenger else [],
            "self_check_s": self.self_check.took_s,
            "sign_ins_refused": self.station.refusals.total,
            "links_lost": self.station.losses.total,
            "clock_drift_s": round(self._drift_s(), 3),
            "clock_synchronised": source and source.synchronised,
            "clock_error_s": source and source.error_s,
        }

    def _drift_s(self) -> float:
        """Return how far the wall clock has left the monitor's, in seconds; a stepped clock has none."""
        drift_s: Callable[[], float] = getattr(self.clock, "drift_s", lambda: 0.0)
        return drift_s()

    def report_condition(self, key: str, priority: Priority | None, text: str) -> None:
        """Make a condition of the house, a technical alarm of the station, be as it is; ``None`` ends it."""
        self.inbox.ask(lambda: self.ward.condition(key, priority, text))

    def settle(self, settled: Settled, instead: Sequence[Due] = ()) -> None:
        """Take note of what became of a notification; in the same transaction, of what goes out instead."""

        def note() -> None:
            self.ward.batch.settled.append(settled)
            self.ward.batch.due += instead

        self.inbox.ask(note)

    # --- life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the writer, the loop, the link; every bed's list is spoken anew, with this boot's id."""
        for bed in self.ward.beds.values():
            self._list(bed)
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
        self._hand_over(everything=True)

    def turn(self, timeout_s: float) -> None:
        """Take what waits, do it, let time pass, hand on what happened."""
        envelopes = self.inbox.take(BATCH_MOST, timeout_s)
        for ask in self.inbox.asks():
            self._guard(ask)
        for envelope in envelopes:
            try:
                self._take(envelope)
            except Exception as fault:  # noqa: BLE001  it costs itself
                self._met(fault)
        self._pass_time()
        self._hand_over()
        self._turned_at = time.monotonic()

    def _guard(self, ask: Ask) -> None:
        """Do something that must not end the loop; a mistake in it is a technical alarm."""
        try:
            ask()
        except Exception as fault:  # noqa: BLE001  it costs itself
            self._met(fault)

    def _met(self, fault: Exception) -> None:
        log.error("an input failed", exc_info=fault)
        text = f"a mistake inside the monitor: {type(fault).__name__}; see its log"
        self.ward.condition("monitor-fault", "medium", text)

    # --- devices --------------------------------------------------------------------------------------------

    def _take(self, envelope: Envelope) -> None:
        """Decode one message and give each of its reports to the bed it serves."""
        self.received += 1
        self._envelopes.append(envelope)
        ward = self.ward
        now = ward.now = max(envelope.received_at, ward.now)
        if envelope.topic == self.self_check.answer_topic:
            self.self_check.heard(envelope.payload, now)
            return
        source = self.reader.source_of(envelope.topic)
        try:
            reports = self.reader.read(envelope, source, now)
        except formats.Undecodable as fault:
            self._quarantine(envelope, source.device_id, str(fault))
            return
        for report in reports:
            self._observe(report, envelope)

    def _observe(self, report: Report, envelope: Envelope) -> None:
        if report.sequence is not None:
            self._counters[report.device_id] = (report.boot_id, report.sequence)
        if report.device_id == DEVICE and not report.retained:
            self.link.publish(self.self_check.answer_topic, self.self_check.judge(report, self.ward.now))
            self.ward.batch.meta[DEVICE] = str(report.sequence)  # its commit is the proof of the journal
            return
        try:
            bed_id = self.ward.observe(report)
        except Exception as fault:  # the old bed stands (DESIGN §5)
            log.exception("advance failed on a report of %s", report.device_id)
            why = f"monitor: {type(fault).__name__}: {fault}"
            self.ward.batch.quarantined.append(Refused(self.ward.now, envelope.topic, envelope.payload, why))
            text = f"a mistake inside the monitor: {type(fault).__name__}; see its log"
            self.ward.condition("monitor-fault", "medium", text)
            return
        if not bed_id and report.device_id not in self.reader.devices:
            self.ward.condition(
                f"unknown-device:{report.device_id}",
                "low",
                f"{report.device_id} reports and is in no beds.toml; its readings are kept, for no bed",
            )

    def _quarantine(self, envelope: Envelope, device_id: str, reason: str) -> None:
        self.quarantined += 1
        ward = self.ward
        ward.batch.quarantined.append(Refused(ward.now, envelope.topic, envelope.payload, reason))
        bed_id = ward.serves.get(device_id)
        if bed_id and ward.beds[bed_id].session is not None:
            self._guard(lambda: ward.do(bed_id, given.RefuseReport(device_id, reason)))
        else:
            text = f"{device_id}: message refused: {reason}"[:200]
            ward.condition(f"quarantine:{device_id}", "low", text)

    # --- people ---------------------------------------------------------------------------------------------

    def _do(self, bed_id: str, one: Input, future: Future[Reply]) -> None:
        """Do what a person asks."""
        self.ward.now = max(self.ward.now, self.clock.now())
        try:
            outcomes = self.ward.do(bed_id, one)
        except Exception as fault:  # noqa: BLE001  the asker hears of it; the bed stands
            future.set_exception(fault)
            return
        self._replies.append((future, outcomes))

    # --- what happened --------------------------------------------------------------------------------------

    def _tell(self, bed: Bed, outcomes: tuple[Outcome, ...]) -> None:
        """Let everyone who lives in the moment hear of it at once; plan what people are to be told."""
        self.raised += sum(one.outcome == "AlarmRaised" for one in outcomes)
        for payload in topics.phases(outcomes, self.boot_id):
            self._speak(topics.phase_topic(self.root, bed.bed_id), payload)
        if bed.session is not None and bed.session.mode == "drill":
            for payload in topics.rehearsed(outcomes, self.boot_id):
                self._speak(topics.drill_topic(self.root, bed.bed_id), payload)
        self._list(bed)
        self.on_change()
        if self.messenger is not None:
            batch, now = self.ward.batch, self.ward.now
            cancelled = self.messenger.cancels(outcomes, bed)
            names = {name for name, _ in cancelled}
            batch.due = [one for one in batch.due if one.alarm_id not in names]
            batch.cancelled += [(name, why, now) for name, why in cancelled]
            batch.due += self.messenger.plan(outcomes, bed, now)

    def _list(self, bed: Bed) -> None:
        """Publish the complete list of a bed's alarms (AL-47)."""
        self._list_seq += 1
        payload = topics.alarm_list(bed, self.boot_id, self._list_seq, self.ward.now)
        self._speak(topics.list_topic(self.root, bed.bed_id), payload, retain=True)

    def _speak(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish what lamps and pagers act on, signed where the site has a key (S-07)."""
        if self._sign_key:
            payload = topics.signed(topic, payload, self._sign_key)
        self.link.publish(topic, payload, retain=retain)

    # --- time -----------------------------------------------------------------------------------------------

    def _pass_time(self) -> None:
        """Let what is due happen: on beds, and in the house."""
        self.ward.now = max(self.ward.now, self.clock.now())
        self._guard(self.ward.pass_time)
        clock = time.monotonic()
        for every_s, act in (
            (TICK_S, self._judge_house),
            (COMMITTED_STEP_S, self._say_committed),
            (HEARTBEAT_S, self._beat),
            (CONTINUE_S, self._continue),
            (SELF_CHECK_S, self._check_self),
        ):
            if clock >= self._due_at.get(act.__name__, 0.0):
                self._due_at[act.__name__] = clock + every_s
                self._guard(act)

    def _judge_house(self) -> None:
        if self.messenger is not None:
            self.ward.batch.due += self.messenger.digests(self.ward.now)
        dead = self.messenger.dead_channels() if self.messenger else {}
        present = list(self.ward.beds[STATION].alarms)
        for one in self.station.judge(self.ward.beds.values(), self.link.reason, dead, present):
            self.ward.condition(*one)
        for one in self.traffic.judge(self.inbox.waiting()):
            self.ward.condition(*one)
        self.ward.condition(*self.station.judge_clock(self._drift_s(), time_source()))
        verdict = self.self_check.verdict(self.ward.now) if self.link.connected else None
        if verdict is not None:
            self.ward.condition(*verdict)

    def _say_committed(self) -> None:
        """Say what of each device is durable: at most once a second, and a few devices at a time."""
        while not self._durable.empty():
            self._unsaid |= self._durable.get()
        self.self_check.durable(*self._unsaid.pop(DEVICE, (None, None)), self.ward.now)
        if not self._saying and time.monotonic() >= self._said_at + COMMITTED_S:
            self._saying, self._said_at = list(self._unsaid), time.monotonic()
        for device_id in self._saying[:COMMITTED_MOST]:
            boot_id, sequence = self._unsaid.pop(device_id)
            payload = orjson.dumps({"boot_id": boot_id, "sequence": sequence})
            self.link.publish(topics.committed_topic(self.root, device_id), payload, retain=True)
        del self._saying[:COMMITTED_MOST]

    def _beat(self) -> None:
        self._beats += 1
        at, ok = self.ward.now.isoformat(), self.health()["ok"]
        payload = presence("online", self.boot_id, counter=self._beats, at=at, ok=ok)
        self.link.publish(f"{self.root}/monitor/status", payload, retain=True)

    def _continue(self) -> None:
        for bed in self.ward.beds.values():
            for payload in topics.continuing(bed, self.boot_id, self.ward.now):
                self._speak(topics.phase_topic(self.root, bed.bed_id), payload)

    def _check_self(self) -> None:
        if not self.link.connected:  # then the link is what is wrong; look again soon
            self._due_at[self._check_self.__name__] = time.monotonic() + COMMITTED_S
            return
        self.link.publish(self.self_check.report_topic, self.self_check.begin(self.ward.now))

    # --- the link and the disk ------------------------------------------------------------------------------

    def _link_changed(self, connected: bool, reason: str) -> None:
        if not connected:
            self.station.losses.count()
        log.info("broker: %s", f"connected, {reason}" if connected else reason)
        self.station.link_down_since = None if connected else time.monotonic()
        self.ward.now = max(self.ward.now, self.clock.now())
        for bed_id in self.ward.beds:
            if bed_id != STATION:
                self.ward.do(bed_id, given.RestoreLink() if connected else given.LoseLink())

    def _disk_trouble(self, reason: str) -> None:
        """Hear from the writer that the disk refuses, or (empty) that it works again."""
        text = f"the record is not durable: {reason}"
        self.report_condition("journal", "high" if reason else None, text)

    # --- the commit -----------------------------------------------------------------------------------------

    def _hand_over(self, *, everything: bool = False) -> None:
        """Give the writer what happened in this turn, with what must follow its commit."""
        batch = self.ward.take_batch(everything=everything)
        if not (batch or self._envelopes or self._replies):
            return
        envelopes, self._envelopes = self._envelopes, []
        self.traffic.take(envelopes)
        replies, self._replies = self._replies, []
        counters, self._counters = self._counters, {}
        told = False

        def settle(durable: bool) -> None:
            nonlocal told
            first, told = not told, True
            self._withhold(envelopes, durable)

            def shipped(followed: bool) -> None:
                if durable:
                    self.link.confirm(envelopes)
                    self._durable.put(counters)
                for future, outcomes in replies if first else ():
                    future.set_result(Reply(outcomes, durable and followed))

            if first:  # what people must hear goes out once, durable or not
                self._send(batch)
            self.ship(batch if first else Batch(), shipped)

        self.recorder.put(Job(batch, settle))

    def _withhold(self, envelopes: list[Envelope], durable: bool) -> None:
        """Keep the confirmation of what is not durable back, but never so many that the broker falls silent.

        A disk that refuses may cost the record, not the alarm: at half of what a broker sends unconfirmed the
        oldest are confirmed all the same. They are in memory, and written if the disk comes back.
        """
        if durable:
            if self._withheld and self._withheld[0] is envelopes:
                self._withheld.popleft()
            return
        self._withheld.append(envelopes)
        while sum(map(len, self._withheld)) > RECEIVE_MAXIMUM // 2:
            oldest = self._withheld.popleft()
            self.link.confirm([*oldest])
            oldest.clear()

    def _send(self, batch: Batch) -> None:
        if self.messenger is not None:
            for alarm_id, _, _ in batch.cancelled:  # first: what is due after it is meant to be said
                self.messenger.cancel(alarm_id)
            self.messenger.submit(batch.due)
