"""A small real monitor for the pages: one thread that runs `monitor.core.bed.advance`, and what it kept.

The law: nothing of the alarm logic is imitated. Inputs wait in a queue, one thread takes them, the core
decides, the archive keeps what came of it. Only the disk is missing.
"""

from __future__ import annotations

import functools
import queue
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitor import config
from monitor.app.station import Station
from monitor.clock import SystemClock
from monitor.config import BedEntry, Configuration, DeviceEntry, Ward
from monitor.core.bed import advance
from monitor.core.inputs import Associate, Input, Observe, RecordManual, StartSession, Tick
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.record import Delivery, Entry, SessionSummary, Trace
from monitor.core.turn import Bed
from monitor.core.vitals import Mode, Observation, Report
from monitor.web import Server, Users, build
from monitor.web.desk import Reply

CONFIG = Path(__file__).resolve().parents[2] / "config"
PASSWORD = "correct horse battery"
WITHIN_S = 30.0  # what may be slow on a busy machine


class SmallArchive:
    """What was kept, in lists; fed by the desk with what `advance` returned."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: list[Entry] = []
        self.summaries: dict[str, SessionSummary] = {}
        self.protocols: dict[str, Protocol] = {}
        self.points: dict[tuple[str, str, str], list[tuple[float, float | None, str]]] = {}
        self.lock = threading.RLock()

    def keep(self, bed_id: str, one: Input, outcomes: Sequence[Outcome]) -> None:
        """Keep what an input brought: its readings and its outcomes."""
        with self.lock:
            if isinstance(one, Observe):
                self._readings(bed_id, one.report)
            if isinstance(one, RecordManual) and outcomes and outcomes[0].outcome == "ManualRecorded":
                at = (one.at or outcomes[0].at).timestamp()
                for metric, value in one.values.items():
                    self._point(bed_id, metric, f"manual:{one.by}", at, value, "")
            for outcome in outcomes:
                self.entries.append(Entry(len(self.entries) + 1, outcome))
                self._summarise(one, outcome)

    def _readings(self, bed_id: str, report: Report) -> None:
        for seen in report.observations:
            at = (seen.measured_at or report.at).timestamp()
            self._point(bed_id, seen.metric, report.device_id, at, seen.value, seen.reason)

    def _point(self, bed: str, metric: str, device: str, at: float, value: float | None, why: str) -> None:
        self.points.setdefault((bed, metric, device), []).append((at, value, why))

    def _summarise(self, one: Input, outcome: Outcome) -> None:
        name = outcome.session_id
        if outcome.outcome == "SessionStarted" and isinstance(one, StartSession):
            self.protocols[name] = one.protocol
            started = datetime.fromisoformat(outcome.detail["started_at"])
            self.summaries[name] = SessionSummary(
                name,
                outcome.bed_id,
                one.patient_code,
                one.protocol.name,
                one.protocol.digest,
                one.mode,
                started,
                one.by,
            )
        found = self.summaries.get(name)
        if found is None:
            return
        changes: dict[str, Any] = {}
        if outcome.outcome == "SessionEnded":
            changes = {"ended_at": outcome.at, "ended_by": outcome.by}
        elif outcome.outcome == "RecordSigned":
            changes = {"signed_at": outcome.at, "signed_by": outcome.by}
        elif outcome.outcome == "AlarmRaised" and outcome.kind == "physiological":
            changes = {"alarms": found.alarms + 1, "high": found.high + (outcome.priority == "high")}
        if changes:
            self.change(name, **changes)

    def change(self, session_id: str, **changes: Any) -> None:
        """Change a session's line."""
        fields = {name: getattr(self.summaries[session_id], name) for name in SessionSummary.__slots__}
        self.summaries[session_id] = SessionSummary(**{**fields, **changes})

    # --- Archive --------------------------------------------------------------------------------------

    def sessions(
        self,
        *,
        patient_code: str = "",
        bed_id: str = "",
        protocol: str = "",
        mode: str = "",
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        had_alarms: bool | None = None,
        limit: int = 100,
    ) -> list[SessionSummary]:
        """Return sessions that match, the newest first."""
        with self.lock:
            found = [
                one
                for one in self.summaries.values()
                if patient_code.lower() in one.patient_code.lower()
                and bed_id in ("", one.bed_id)
                and protocol in ("", one.protocol)
                and mode in ("", one.mode)
                and (from_at is None or one.started_at >= from_at)
                and (to_at is None or one.started_at <= to_at)
                and (had_alarms is None or bool(one.alarms) == had_alarms)
            ]
        return sorted(found, key=lambda one: one.started_at, reverse=True)[:limit]

    def summary(self, session_id: str) -> SessionSummary | None:
        """Return one session's line."""
        return self.summaries.get(session_id)

    def protocol_of(self, session_id: str) -> Protocol:
        """Return the protocol the session started from."""
        return self.protocols[session_id]

    def log(
        self,
        *,
        session_id: str = "",
        bed_id: str = "",
        names: Sequence[str] = (),
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        after_id: int = 0,
        limit: int = 5000,
    ) -> list[Entry]:
        """Return outcomes that match, oldest first."""
        with self.lock:
            return [
                entry
                for entry in self.entries
                if entry.id > after_id
                and session_id in ("", entry.outcome.session_id)
                and bed_id in ("", entry.outcome.bed_id)
                and (not names or entry.outcome.outcome in names)
                and (from_at is None or entry.outcome.at >= from_at)
                and (to_at is None or entry.outcome.at <= to_at)
            ][:limit]

    def traces(
        self,
        bed_id: str,
        from_at: datetime,
        to_at: datetime,
        *,
        metrics: Sequence[str] = (),
        every_s: float = 0.0,
    ) -> list[Trace]:
        """Return what was measured on a bed; thinning is left out here."""
        first, last = from_at.timestamp(), to_at.timestamp()
        found = []
        with self.lock:
            for (bed, metric, device), points in self.points.items():
                if bed != bed_id or (metrics and metric not in metrics):
                    continue
                kept = sorted(point for point in points if first <= point[0] <= last)
                marks = {place: why for place, (_, _, why) in enumerate(kept) if why}
                found.append(Trace(metric, device, [p[0] for p in kept], [p[1] for p in kept], marks))
        return found

    def deliveries(self, session_id: str) -> list[Delivery]:
        """Return nothing: nobody is notified here."""
        return []

    def quarantine(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return nothing: nothing is decoded here."""
        return []


class SmallDesk:
    """The loop: one thread, one queue, the real core."""

    def __init__(self, configuration: Configuration, archive: SmallArchive) -> None:
        """Put every device at its bed, some hours ago, and begin."""
        self.archive = archive
        self.clock = SystemClock()
        self.hub: Any = None
        self.leases: dict[str, tuple[bool, float]] = {}
        self.well = True
        self.broker = "connected"
        self.station = Station()
        self.dead_channels: list[str] = []
        self.ticking = True
        self._inbox: queue.Queue[tuple[str, Input, datetime | None, Future[Reply]] | None] = queue.Queue()
        self._beds = {entry.id: Bed(entry.id) for entry in configuration.ward.beds}
        self._beds["station"] = Bed("station")
        self._thread = threading.Thread(target=self._run, name="small-desk", daemon=True)
        self.ticking = False
        self._thread.start()
        long_ago = self.now() - timedelta(hours=6)
        for device in configuration.ward.devices:
            if device.bed:
                self.submit(device.bed, Associate(device.profile()), long_ago).result(WITHIN_S)

    def _run(self) -> None:
        while True:
            try:
                taken = self._inbox.get(timeout=0.5)
            except queue.Empty:
                if self.ticking:
                    for name in self._beds:
                        self._advance(name, Tick(), self.clock.now())
                continue
            if taken is None:
                return
            bed_id, one, at, future = taken
            try:
                future.set_result(Reply(self._advance(bed_id, one, at or self.clock.now()), durable=True))
            except Exception as fault:  # noqa: BLE001 - whoever asked gets it
                future.set_exception(fault)

    def _advance(self, bed_id: str, one: Input, at: datetime) -> tuple[Outcome, ...]:
        bed, outcomes = advance(self._beds[bed_id], one, at)
        self._beds[bed_id] = bed
        self.archive.keep(bed_id, one, outcomes)
        if self.hub is not None:
            self.hub.changed()
        return outcomes

    def submit(self, bed_id: str, one: Input, at: datetime | None = None) -> Future[Reply]:
        """Put an input in line; ``at`` lets a test tell of the past."""
        future: Future[Reply] = Future()
        self._inbox.put((bed_id, one, at, future))
        return future

    def beds(self) -> Mapping[str, Bed]:
        """Return every bed as it is now."""
        return dict(self._beds)

    def now(self) -> datetime:
        """Return the present instant."""
        return self.clock.now()

    def health(self) -> Mapping[str, Any]:
        """Return a self-check."""
        return {
            "ok": self.well,
            "broker": self.broker,
            "journal": "durable",
            "boot_id": "b1",
            "lag_s": 0.0,
            "annunciators": self.station.sounding(),
            "dead_channels": self.dead_channels,
        }

    def annunciate(self, page_id: str, sounding: bool) -> None:
        """Note a page's lease."""
        self.leases[page_id] = (sounding, time.monotonic())
        self.station.annunciate(page_id, sounding)

    def stop(self) -> None:
        """End the thread."""
        self._inbox.put(None)
        self._thread.join(5)


@functools.cache
def shipped() -> Configuration:
    """Return the configuration that ships; it is a value, so it is read once."""
    return config.load(CONFIG)


def ward(beds: int, zone: str) -> Configuration:
    """Return the shipped configuration with so many beds, each with an oximeter, an ECG-less cuff."""
    found = shipped()
    entries, devices = [], []
    for number in range(1, beds + 1):
        bed = f"bed-{number}"
        entries.append(BedEntry(id=bed, label=f"Room {number}", room=f"R{number}"))
        devices += [
            DeviceEntry(id=f"oximeter-{number}", bed=bed, metrics=["spo2", "pulse_rate"]),
            DeviceEntry(
                id=f"cuff-{number}",
                bed=bed,
                metrics=["nibp_systolic", "nibp_diastolic", "nibp_mean"],
                expected_interval_s=300,
            ),
        ]
    site = found.clinic.site.model_copy(update={"zone": zone})
    clinic = found.clinic.model_copy(update={"site": site})
    return Configuration(found.folder, clinic, Ward(beds=entries, devices=devices), found.protocols)


class SmallHouse:
    """Desk, archive, people and server together."""

    def __init__(
        self,
        folder: Path,
        beds: int = 4,
        port: int = 0,
        history: bool = False,
        zone: str = "UTC",
        **options: Any,
    ) -> None:
        """Start everything on a free port, with one person for each role.

        ``history``: time stands still until ``desk.ticking`` is set, so that a past can be told.
        """
        self.folder = folder
        self.configuration = ward(beds, zone)
        self.archive = SmallArchive()
        self.desk = SmallDesk(self.configuration, self.archive)
        self.users = Users(folder / "users.json")
        if not self.users.path.exists():
            self.users.path.write_bytes(_people())
        self.site = build(self.desk, self.archive, self.configuration, self.users, **options)
        self.desk.hub = self.site.hub
        self.desk.ticking = not history
        self.server = Server(self.site, port=port)
        self.server.start()

    @property
    def url(self) -> str:
        """Return where the pages are."""
        return self.server.url

    def stop(self) -> None:
        """Stop everything."""
        self.server.stop()
        self.desk.stop()

    def stop_buckets(self) -> None:
        """Let no bucket fill again: on a slow machine a flood would else be a trickle."""
        house = self.site.house
        for bucket in (house.writes, house.acknowledgements, house.entries, house.links):
            bucket._clock = lambda: 0.0
            bucket._left.clear()

    # --- a patient ------------------------------------------------------------------------------------

    def start(self, bed: str, *, minutes_ago: float = 0, code: str = "P-001", mode: Mode = "real") -> str:
        """Begin a session on a bed, now or in the past; return its id."""
        at = self.desk.now() - timedelta(minutes=minutes_ago)
        name = f"s-{bed}-{code}"
        protocol = self.configuration.protocols["in-esketamine"]
        one = StartSession(name, code, protocol, "Nora", mode, started_at=at)
        self.desk.submit(bed, one, at if minutes_ago else None).result(WITHIN_S)
        return name

    def tell(
        self, bed: str, at: datetime | None = None, mode: Mode = "real", device: str = "", **values: float
    ) -> tuple[Outcome, ...]:
        """Let a bed's device report values."""
        cuff = any(name.startswith("nibp") for name in values)
        number = bed.removeprefix("bed-")
        name = device or (f"cuff-{number}" if cuff else f"oximeter-{number}")
        now = at or self.desk.now()
        seen = tuple(Observation(metric, value) for metric, value in values.items())
        report = Report(name, now, now, seen, mode=mode)
        return self.desk.submit(bed, Observe(report), now).result(WITHIN_S).outcomes

    def desaturate(self, bed: str, mode: Mode = "real") -> None:
        """Let SpO2 be 80 for eight seconds, told at once: longer than the floor's delay of six."""
        start = self.desk.now()
        for second in range(9):
            self.tell(bed, start + timedelta(seconds=second), mode=mode, spo2=80.0, pulse_rate=88.0)


@functools.cache
def _people() -> bytes:
    """Return the file of PEOPLE; hashing five passwords for every test would take longer than the tests."""
    with tempfile.TemporaryDirectory() as folder:
        users = Users(Path(folder) / "users.json")
        for name, roles in PEOPLE.items():
            users.add(name, PASSWORD, roles)
        return users.path.read_bytes()


PEOPLE: dict[str, tuple[str, ...]] = {
    "Nora": ("nurse",),
    "Carla": ("clinician",),
    "Otto": ("operator",),
    "Ada": ("admin",),
    "Demo": ("nurse", "clinician", "operator", "admin"),
}
