"""One seeded world: the whole monitor, and everything around it that can go wrong.

Law: the monitor is the real one: its loop, beds, writer thread, journal file, messenger and workers run as
they are, on simulated threads and time. Everything else is drawn from the seed, so that seed and step say
exactly what happened.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson

from monitor import config, journal, notify
from monitor.app import inbox, loop, recorder, station
from monitor.app.loop import Monitor
from monitor.app.messenger import Messenger
from monitor.clock import TimeSource
from monitor.config import Clinic, Configuration, Ward
from monitor.core import inputs as given
from monitor.core.outcomes import Outcome
from monitor.core.protocol import Protocol
from monitor.core.turn import Bed
from monitor.journal import Journal
from monitor.mqtt import Will, presence
from monitor.notify import delivery
from monitor.safekeeping import verify
from tests.simulation.bedside import CUFF, OXIMETER, Device, Network, Patient
from tests.simulation.broker import Broker, SimulatedLink
from tests.simulation.disk import Disk, Weather
from tests.simulation.oracle import Oracle
from tests.simulation.story import Found, Violated
from tests.simulation.tasks import PowerCut, Scheduler, stand_ins
from tests.simulation.town import Service, Staff, opener
from tests.simulation.troubles import Swarm, Troubles, draw_swarm

HEALED_S = 420.0  # longer than any message lives, so that each is settled by then
REST_S = 60.0  # how often it is looked whether all is settled already
A_DAY = 120.0  # minutes: so long a world has more beds, and slow devices at them; hours pass in a second


@lru_cache
def protocols() -> dict[str, Protocol]:
    """Return the protocols as they ship."""
    folder = config.default_folder() / "protocols"
    found = [config.load_protocol(file) for file in sorted(folder.glob("*.toml"))]
    return {one.name: one for one in found}


@lru_cache
def ward_of(said: bytes) -> Ward:
    """Return a beds.toml, said as JSON; worlds share what they have in common."""
    return Ward.model_validate(orjson.loads(said))


@lru_cache
def clinic_of(said: bytes) -> Clinic:
    """Return a clinic.toml, said as JSON; where it stores is another matter of each world."""
    return Clinic.model_validate(orjson.loads(said))


@lru_cache
def empty_journal() -> bytes:
    """Return a journal as it is made: making one takes as long as a quarter of a minute of a world."""
    with tempfile.TemporaryDirectory() as folder:
        made = Journal(Path(folder))
        made.close()
        return made.path.read_bytes()


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Leave garbage lie: a world makes little, and looking for it takes a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass
class Figures:
    """What a run came to."""

    seed: int
    simulated_s: float = 0
    bed_s: float = 0
    steps: int = 0
    messages: int = 0
    confirmed: int = 0
    raised: int = 0
    crashes: int = 0
    commits: int = 0
    refused: int = 0
    sent: int = 0
    checks: int = 0
    digest: str = ""


class SimulatedMonitor(Monitor):
    """The monitor, with its link on the simulated network."""

    def __init__(self, world: World, boot_id: str) -> None:
        """Open the journal as the real one does."""
        self._world = world
        self.link: Any
        super().__init__(world.configuration, world.scheduler.clock, boot_id)
        self.journal._db = Disk(self.journal._db, world.weather, world.scheduler)  # type: ignore[assignment]

    def _make_link(self) -> Any:
        status = f"{self.root}/monitor/status"
        will = Will(status, presence("offline", self.boot_id), presence("online", self.boot_id))
        return SimulatedLink(self._world.broker, will, self.inbox, self._world.whats)

    def _do(self, bed_id: str, one: Any, future: Future[Any]) -> None:
        self._world.oracle.doing()
        super()._do(bed_id, one, future)
        self._world.oracle.did(bed_id, one)

    def _tell(self, bed: Bed, outcomes: tuple[Outcome, ...]) -> None:
        self._world.trace(outcomes)
        self._world.oracle.on_told(outcomes)
        super()._tell(bed, outcomes)


class World:
    """Everything, from a seed."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        minutes: float | None = None,
        swarm: Swarm | None = None,
        haste: float = 1.0,
    ) -> None:
        """Draw the world; ``folder`` is where the journal lies, ``haste`` makes faults come more often."""
        self.seed, self.haste = seed, haste
        draw = random.Random(f"world {seed}")
        self.swarm = swarm or draw_swarm(draw)
        drawn = draw.choice((3, 5, 5, 10, 20))
        self.minutes = minutes or drawn
        self.slow = self.minutes >= A_DAY
        self.tick_s = draw.choice((5.0, 10.0) if self.slow else (0.25, 1.0, 1.0, 2.0))
        self.level_every = draw.choice((7, 60, 8000))
        self.scheduler = Scheduler(random.Random(f"order {seed}"), together=draw.random() < 0.7)
        self.configuration = self._configure(draw, folder)
        self.bed_ids = [one.id for one in self.configuration.ward.beds]
        self.weather = Weather(draw=self._meet, stall_s=lambda: self._disk_chance.choice((0.02, 0.5, 3.0)))
        self._disk_chance = random.Random(f"disk {seed}")
        self.broker = Broker(self.scheduler, self.configuration.root)
        self.whats: dict[bytes, Any] = {}
        self.oracle = Oracle(self, self.configuration.store / "journal.db")
        self.broker.on_delivered = self._delivered
        self.broker.on_confirmed = self._confirmed
        self.services = {
            one.id: Service(one.id, self.scheduler, random.Random(f"{one.id} {seed}"), self.oracle.on_attempt)
            for one in self.configuration.clinic.notify.targets
        }
        self.staff = Staff(self, random.Random(f"staff {seed}"), draw.choice((0.05, 0.3, 0.8)))
        self.devices = self._make_devices(draw)
        self.chance = random.Random(f"world goes on {seed}")
        self.monitor: SimulatedMonitor | None = None
        self.boots = 0
        self.linked_at = 0.0
        self.booted_at = 0.0
        self.calm = False
        self.figures = Figures(seed)
        self.log: list[str] | None = None
        self._digest = hashlib.sha256()
        self.fuse = -1

    # --- what there is ----------------------------------------------------------------------------------

    def _configure(self, draw: random.Random, folder: Path) -> Configuration:
        beds = draw.choice((8, 24) if self.slow else (1, 2, 3))
        period = self.period_s = draw.choice((30.0, 60.0) if self.slow else (1.0, 2.0, 5.0))
        devices: list[dict[str, Any]] = [
            {"id": "spare", "metrics": [*OXIMETER], "expected_interval_s": period}
        ]
        for number in range(1, beds + 1):
            bed = f"bed-{number}"
            devices.append(
                {"id": f"ox-{number}", "bed": bed, "metrics": [*OXIMETER], "expected_interval_s": period}
            )
            devices.append(
                {"id": f"cuff-{number}", "bed": bed, "metrics": [*CUFF], "expected_interval_s": 150.0}
            )
        ward = ward_of(
            orjson.dumps({"beds": [{"id": f"bed-{n}"} for n in range(1, beds + 1)], "devices": devices})
        )
        wait_s = draw.choice((30.0, 60.0))
        ladder = [{"to": ["anna"], "wait_s": wait_s}, {"to": ["ben", "chris"], "wait_s": wait_s}]
        notes: dict[str, Any] = {
            "targets": [
                {"id": "desk", "url": "json://desk", "fallback": "mail"},
                {"id": "mail", "url": "json://mail"},
                {"id": "pager", "url": "json://pager", "fallback": "desk"},
            ],
            "routes": [
                {"targets": ["desk", "mail"], "priorities": ["high"]},
                {"targets": ["mail"], "priorities": ["medium"], "follow_up": draw.random() < 0.5},
            ],
            "people": [
                {"id": "anna", "targets": ["pager"]},
                {"id": "ben", "targets": ["desk"]},
                {"id": "chris", "targets": ["mail"]},
            ],
            "ladders": [{"priorities": ["high"], "levels": ladder}] if draw.random() < 0.7 else [],
        }
        self.high_targets = {"desk", "mail"}
        clinic = clinic_of(orjson.dumps({"notify": notes}))
        clinic = clinic.model_copy(
            update={"store": clinic.store.model_copy(update={"path": str(folder / "store")})}
        )
        return Configuration(folder, clinic, ward, protocols())

    def _make_devices(self, draw: random.Random) -> list[Device]:
        seed, found = self.seed, []
        network = Network(
            random.Random(f"network {seed}"),
            self.swarm.loss,
            self.swarm.double,
            self.swarm.late,
            self.swarm.garbage,
            self.swarm.retain,
        )
        whole, in_step = draw.random() < 0.2, draw.random() < 0.7 or self.slow
        patients = {bed: Patient(random.Random(f"{bed} {seed}")) for bed in [*self.bed_ids, ""]}
        for entry in self.configuration.ward.devices:
            chance = random.Random(f"{entry.id} {seed}")
            found.append(
                Device(
                    entry.id,
                    tuple(entry.metrics),
                    entry.expected_interval_s,
                    patients[entry.bed or ""],
                    self.scheduler,
                    self.broker,
                    network,
                    chance,
                    self._sent,
                    whole_seconds=whole,
                    in_step=in_step,
                )
            )
        return found

    # --- hearing ----------------------------------------------------------------------------------------

    def _sent(self, one: Any) -> None:
        self.whats[one.payload] = one
        self.oracle.on_sent(one)

    def _delivered(self, one: Any) -> None:
        self.figures.messages += 1
        self.oracle.on_delivered(one)

    def _confirmed(self, one: Any) -> None:
        self.figures.confirmed += 1
        self.oracle.on_confirmed(one)

    def trace(self, outcomes: tuple[Outcome, ...]) -> None:
        """Write down what happened: the digest of a run is made of it."""
        for one in outcomes:
            self.figures.raised += one.outcome == "AlarmRaised"
            what = f"{one.bed_id} {one.outcome} {one.rule} {one.alarm_id} {one.reason}"
            self._note(f"{self.scheduler.now_s:.6f} {what}")

    def _note(self, line: str) -> None:
        self._digest.update(line.encode())
        if self.log is not None:
            self.log.append(f"step {self.figures.steps:7} {line}")

    def ask(self, bed_id: str, one: Any) -> None:
        """Ask the monitor something, as the pages do."""
        if self.monitor is None:
            return
        self._note(f"{self.scheduler.now_s:.6f} {bed_id} asked {type(one).__name__}")
        self.oracle.asked(bed_id, one.by)
        if isinstance(one, given.StartSession):
            for device in self.devices:
                if self.oracle.live.serves.get(device.name) == bed_id:
                    device.mode = one.mode
        monitor = self.monitor

        def heard(future: Future[Any]) -> None:
            if self.monitor is monitor:
                if fault := future.exception():
                    self.oracle.violated(
                        "DESIGN 5", f"{type(one).__name__} met a mistake of the monitor: {fault!r}"
                    )
                reply = future.result()
                self.oracle.answered(bed_id, reply.outcomes, reply.durable)

        self.monitor.submit(bed_id, one).add_done_callback(heard)

    # --- life and death ---------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the process, as ``Site`` does, unless it runs."""
        if self.monitor is not None:
            return
        self.boots += 1
        if self.boots == 1:
            self.configuration.store.mkdir()
            (self.configuration.store / journal.FILE).write_bytes(empty_journal())
        self._note(f"{self.scheduler.now_s:.6f} boot {self.boots}")
        self.oracle.booting()
        monitor = SimulatedMonitor(self, f"boot-{self.boots}")
        self.oracle.reopen()
        messenger = Messenger(self.configuration, self.scheduler.clock, monitor.settle)
        messenger.remember(monitor.station_bed())
        monitor.messenger = messenger
        self.oracle.booted(monitor)
        self.monitor = monitor
        monitor.start()
        ladder = self.configuration.clinic.notify.ladder()
        for bed_id, bed in monitor.beds().items():
            if bed.ladder != ladder:
                monitor.submit(bed_id, given.SetLadder(ladder))
        messenger.submit(monitor.left_due)
        self.booted_at = self.scheduler.now_s
        self.weather.refusing_since = None

    def crash(self) -> None:
        """End the process where it stands."""
        monitor, self.monitor = self.monitor, None
        if monitor is None:
            return
        self.figures.crashes += 1
        self._note(f"{self.scheduler.now_s:.6f} crash")
        monitor.link.die()
        self.scheduler.kill_all()
        with contextlib.suppress(Exception):
            monitor.journal._db.rollback()
        monitor.journal.close()
        self.oracle.crashed()
        self.fuse = -1
        self.scheduler.after(self.chance.choice((0.5, 3.0, 20.0, 100.0, 700.0)), self.boot)

    def _meet(self) -> str:
        draw = self._disk_chance
        if self.calm:
            return ""
        if self.swarm.power_at_commit and draw.random() < self.swarm.power_at_commit:
            return draw.choice(("cut before", "cut after"))
        if self.swarm.disk_stalls and draw.random() < self.swarm.disk_stalls:
            return draw.choice(("stall before", "stall after", "refuse"))
        return ""

    # --- the run ----------------------------------------------------------------------------------------

    def run(self, until_step: int | None = None) -> Figures:
        """Live through it; raise ``Violated`` with seed and step when something does not hold."""
        with self._machine():
            try:
                self._run(until_step)
            except Found as fault:
                raise Violated(f"{fault}\n{self.where()}") from None
            except Exception as fault:
                raise Violated(f"{type(fault).__name__}: {fault}\n{self.where()}") from fault
            finally:
                self._end()
            if until_step is None:
                self._judge_file()
        self.figures.digest = self._digest.hexdigest()[:16]
        return self.figures

    def where(self) -> str:
        """Return how to see it again."""
        on = {
            one.name: getattr(self.swarm, one.name)
            for one in fields(self.swarm)
            if getattr(self.swarm, one.name)
        }
        return (
            f"seed {self.seed}, step {self.figures.steps}, {self.scheduler.now_s:.3f} s, "
            f"{self.figures.crashes} crashes, faults {on}\n"
            f"again: python -m tests.simulation {self.seed} --minutes {self.minutes:g} --haste {self.haste:g}"
        )

    @contextlib.contextmanager
    def _machine(self) -> Iterator[None]:
        """Put simulated threads, queues and time under the monitor's own code."""
        own = stand_ins(self.scheduler)
        with contextlib.ExitStack() as stack:
            stack.enter_context(no_collection())
            for module in (inbox, loop, recorder, station, delivery):
                for name, instead in own.items():
                    if hasattr(module, name):
                        stack.enter_context(patch.object(module, name, instead))
            stack.enter_context(patch.object(loop, "TICK_S", self.tick_s))
            stack.enter_context(patch.object(loop, "time_source", lambda: TimeSource(True, 0.001)))
            stack.enter_context(patch.object(journal, "LEVEL_EVERY", self.level_every))
            stack.enter_context(patch.object(notify, "connect", opener(self.services)))
            yield

    def _run(self, until_step: int | None) -> None:
        self.boot()
        for device in self.devices:
            if device.name != "spare" or self.swarm.handover:
                device.power_on()
        self._look()
        self._page()
        Troubles(self).plan()
        self._advance(self.minutes * 60, until_step)
        self._heal()
        for rest_s in range(int(REST_S), int(HEALED_S) + 1, int(REST_S)):
            self._advance(self.minutes * 60 + rest_s, until_step)
            if self.monitor is not None and not self.oracle.left_over(self.monitor):
                break
        if until_step is None:
            self._judge_end()

    def _advance(self, until_s: float, until_step: int | None) -> None:
        until_us = round(until_s * 1e6)
        scheduler, figures = self.scheduler, self.figures
        more = True
        scheduler.after(0.0, lambda: None)  # what was asked between two of these is done before time passes
        while more and (until_step is None or figures.steps < until_step):
            switches = scheduler.switches
            try:
                more = scheduler.step(until_us)
                scheduler.run_ready(self.fuse)
            except PowerCut:
                self.crash()
            figures.steps += 1
            if self.monitor is not None and scheduler.switches != switches:
                self._watch_link(self.monitor)
                self.oracle.settled(self.monitor)

    def _watch_link(self, monitor: SimulatedMonitor) -> None:
        now_s = self.scheduler.now_s
        if not monitor.link.carries:
            self.linked_at = now_s

    def _look(self) -> None:
        if self.monitor is not None:
            self.oracle.look(self.monitor)
            if not self.calm:
                self.staff.look()
        spans = (20.0, 50.0, 90.0) if self.slow else (2.0, 5.0, 9.0)
        self.scheduler.after(self.chance.choice(spans), self._look)

    def _page(self) -> None:
        if self.monitor is not None:
            self.monitor.annunciate("wall", sounding=True)
        self.scheduler.after(12.0 if self.slow else 5.0, self._page)  # a lease lasts fifteen (AL-36)

    def _heal(self) -> None:
        """End every fault and every session; then nothing may be left over."""
        self._note("heal")
        loop.TICK_S = self.tick_s = 10.0  # ``_machine`` puts the loop's own back
        self.calm = True
        self.weather.refuses = ""
        self.broker.reachable = True
        self.fuse = -1
        for service in self.services.values():
            service.state = "well"
        for device in self.devices:
            device.period_s = 1e9
        self.boot()
        self._end_sessions()

    def _end_sessions(self) -> None:
        monitor = self.monitor
        if monitor is not None:
            for bed_id, bed in monitor.beds().items():
                if bed.session is not None:
                    self.ask(bed_id, given.EndSession("anna", "the day is over"))
                for alarm in bed.latched.values():
                    self.ask(bed_id, given.ResetAlarm(alarm.alarm_id, "anna"))
        self.scheduler.after(20.0, self._end_sessions)

    def _judge_end(self) -> None:
        if self.monitor is None:
            raise Found("P-01: the world has healed and the monitor is not there")
        self.oracle.finish(self.monitor)
        self.figures.simulated_s = self.scheduler.now_s
        self.figures.bed_s = self.scheduler.now_s * len(self.bed_ids)
        self.figures.commits, self.figures.refused = self.weather.commits, self.weather.refused
        self.figures.checks = self.oracle.checks
        self.figures.sent = sum(sum(one.took.values()) for one in self.services.values())

    def _end(self) -> None:
        self.scheduler.kill_all()
        if self.monitor is not None:
            self.monitor.journal.close()
        self.oracle.close()

    def _judge_file(self) -> None:
        """R-05: what is left on the disk is sound, and is a chain."""
        faults = verify(self.configuration.store).faults
        if faults:
            raise Violated(f"R-05: the journal is not sound: {faults[0]}\n{self.where()}")
