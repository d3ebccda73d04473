"""Two monitors in one thread, on one stepped clock: the real loop, core, journal, lease and replica.

What is made up: the broker (queues by client id, in order, at least once), the people's pager, and how long a
start takes. Everything else is the product. One seed, one story.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor import config, notify
from monitor.app import loop, pair
from monitor.clock import SteppedClock
from monitor.config import Configuration
from monitor.core import inputs as given
from monitor.core.bed import Bed
from monitor.core.outcomes import Outcome
from monitor.journal import Due, Settled
from monitor.mqtt import Envelope

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEP_S = 0.25
KEEPALIVE_S = 30.0
ROOT = "afterwatch/v1/clinic"


class Died(BaseException):
    """The power of a monitor went out at this instruction."""


class Broker:
    """Keeps what was published for every client id until it is confirmed, in order."""

    def __init__(self) -> None:
        """Begin empty."""
        self.queues: dict[str, deque[tuple[int, str, bytes]]] = {}
        self.wants: dict[str, tuple[str, ...]] = {}
        self.online: dict[str, Link] = {}
        self._mid = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """Take a message for everybody who wants it."""
        self._mid += 1
        for client, wants in self.wants.items():
            if any(topic == one or _fits(one, topic) for one in wants):
                self.queues[client].append((self._mid, topic, payload))

    def connect(self, link: Link) -> None:
        """Let a client in; whoever had its id is put out, and what was not confirmed comes again."""
        before = self.online.get(link.client_id)
        if before is not None and before is not link:
            before.drop("session taken over")
            before.taken_over += 1
        self.online[link.client_id] = link
        self.wants[link.client_id] = link.wants
        self.queues.setdefault(link.client_id, deque())


def _fits(wish: str, topic: str) -> bool:
    ours, theirs = wish.split("/"), topic.split("/")
    return len(ours) == len(theirs) and all(a in ("+", b) for a, b in zip(ours, theirs, strict=True))


class Link:
    """A link as the loop and the pair see it; ``machine`` says whether its cable and its power are there."""

    def __init__(
        self, broker: config.Broker, subscriptions: Iterable[str], _will: Any, inbox: Any, clock: Any
    ) -> None:
        """Prepare."""
        self.machine = Machine.current
        self.client_id, self.wants = broker.client_id, tuple(subscriptions)
        self.may_connect: Callable[[], bool] = lambda: True
        self.connected, self.reason, self.connection = False, "not yet", 0
        self._inbox, self._clock, self._started = inbox, clock, False
        self._sent: set[int] = set()
        self.taken_over = 0
        self._out: list[tuple[str, bytes]] = []
        self._cut_at: float | None = None
        self.machine.links.append(self)

    def start(self) -> None:
        """Connect as soon as it can."""
        self._started = True

    def stop(self, farewell: bytes | None = None) -> None:
        """Connect no more."""
        self._started = self.connected = False

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1: what the cable does not take now, it takes later."""
        if self.connected:
            self._out.append((topic, payload))

    def confirm(self, envelopes: Iterable[Envelope]) -> None:
        """Take messages out of the broker's queue."""
        if not self.connected or self.machine.cut:
            return
        mids = {one.mid for one in envelopes if one.connection == self.connection}
        queue = self.machine.world.broker.queues[self.client_id]
        kept = [one for one in queue if one[0] not in mids]
        queue.clear()
        queue.extend(kept)

    def drop(self, why: str) -> None:
        """Lose the connection; what was on its way is gone."""
        if self.connected:
            self.connected, self.reason = False, why
            self._out.clear()
            self._inbox.link_changed(False, why)

    def carry(self, now: float) -> None:
        """Move what the cable can move."""
        broker = self.machine.world.broker
        if self.machine.cut:
            self._cut_at = self._cut_at or now
            if now - self._cut_at > KEEPALIVE_S:
                self.drop("keepalive")
            return
        self._cut_at = None
        if not self.connected and self._started and self.may_connect():
            self.connection += 1
            self._sent.clear()
            broker.connect(self)
            self.connected, self.reason = True, ""
            self._inbox.link_changed(True, "MQTT 5")
        if self.connected and broker.online.get(self.client_id) is self:
            for topic, payload in self._out:
                broker.publish(topic, payload)
            self._out.clear()

    def deliver(self) -> None:
        """Bring what waits at the broker."""
        broker = self.machine.world.broker
        if self.machine.cut or not self.connected or broker.online.get(self.client_id) is not self:
            return
        fresh = [one for one in broker.queues[self.client_id] if one[0] not in self._sent]
        self._sent |= {mid for mid, _, _ in fresh}
        now = self._clock.now()
        self._inbox.put(
            [Envelope(topic, body, now, False, mid, self.connection) for mid, topic, body in fresh]
        )


class Messenger:
    """Plans as the product does; sends to a list, when the monitor may speak."""

    def __init__(self, machine: Machine, configuration: Configuration, monitor: loop.Monitor) -> None:
        """Begin with nothing to send."""
        self._machine, self._configuration, self._monitor = machine, configuration, monitor
        self.may_speak: Callable[[], bool] = lambda: True
        self._waiting: dict[str, tuple[float, Due]] = {}

    def plan(self, outcomes: Iterable[Outcome], bed: Bed, now: datetime) -> list[Due]:
        """Return what is due."""
        found = [n for o in outcomes for n in notify.plan(o, bed, self._configuration, now)]
        return [Due(n.key, n.alarm_id, n.session_id, n.target, n.created_at, notify.dump(n)) for n in found]

    def cancels(self, outcomes: Iterable[Outcome], bed: Bed) -> list[tuple[str, str]]:
        """Return what is not to be sent any more."""
        return [(alarm_id, o.outcome) for o in outcomes for alarm_id in notify.cancels(o, bed)]

    def digests(self, now: datetime) -> list[Due]:
        """No floods here."""
        return []

    def submit(self, due: Iterable[Due]) -> None:
        """Take what is to be sent."""
        for one in due:
            ready_at = self._machine.world.now_s + self._machine.world.chance.choice((0.0, 0.0, 3.0, 12.0))
            self._waiting.setdefault(one.key, (ready_at, one))

    def cancel(self, alarm_id: str) -> None:
        """Forget an alarm."""
        self._waiting = {key: one for key, one in self._waiting.items() if one[1].alarm_id != alarm_id}

    def dead_channels(self) -> Mapping[str, str]:
        """Every channel works."""
        return {}

    def stop(self) -> None:
        """Nothing to end."""

    def work(self) -> None:
        """Send what waits, if we may; the service is slow at times."""
        for key, (ready_at, _) in list(self._waiting.items()):
            if ready_at > self._machine.world.now_s or not self.may_speak():
                continue
            del self._waiting[key]
            self._machine.world.told.append((self._machine.world.now_s, self._machine.name, key))
            self._monitor.settle(Settled(key, "delivered", 1, "", self._machine.world.clock.now()))


class Site:
    """What takes over: the loop without threads, pages and services."""

    def __init__(self, configuration: Configuration, _version: str) -> None:
        """Open the journal and bring every bed back."""
        self.machine = Machine.current
        clock = self.machine.world.clock
        self.monitor = loop.Monitor(configuration, clock, f"{self.machine.name}{self.machine.world.now_s}")
        self.messenger = Messenger(self.machine, configuration, self.monitor)
        self.monitor.messenger = self.messenger  # type: ignore[assignment]
        self.monitor.recorder = Writer(self.machine, self.monitor)  # type: ignore[assignment]

    def start(self) -> None:
        """Begin to listen."""
        self.monitor.link.start()
        self.messenger.submit(self.monitor.left_due)
        self.machine.site = self
        self.machine.world.took_over.append((self.machine.world.now_s, self.machine.name))


class Writer:
    """Commits at once; this is where the power may go out."""

    failing, slowest_s, stored, repeated, commits = "", 0.0, 0, 0, 0

    def __init__(self, machine: Machine, monitor: loop.Monitor) -> None:
        """Write into the monitor's journal."""
        self._machine, self._monitor = machine, monitor

    def put(self, job: Any) -> None:
        """Commit a batch and say so."""
        if self._machine.doom == "before the commit":
            raise Died
        self._monitor.journal.commit([job.batch])
        if self._machine.doom == "after the commit":
            raise Died
        job.settle(True)
        if self._machine.doom == "before the replica left":
            raise Died

    def waiting(self) -> int:
        """Nothing waits."""
        return 0


class SteppingDown(BaseException):
    """Another program takes this one's place."""


class Machine:
    """One of the two: its program, its cable, its power."""

    current: Machine

    def __init__(self, world: World, name: str, configuration: Configuration) -> None:
        """Switch it on."""
        self.world, self.name, self.configuration = world, name, configuration
        self.cut = self.frozen = False
        self.dead = False
        self.doom = ""
        self.boot()

    def boot(self) -> None:
        """Start the program as a follower."""
        Machine.current = self
        self.links: list[Link] = []
        self.site: Site | None = None
        self.ready_at: float | None = None
        self.pair = pair.Pair(self.configuration)
        self.pair._step_down = self._stepped_down  # type: ignore[method-assign]
        self.pair._tell_people = lambda text: None  # type: ignore[method-assign]
        self.pair._link.start()

    def _stepped_down(self) -> None:
        raise SteppingDown

    def end(self) -> None:
        """Take the power away; the disk keeps what was committed."""
        for link in self.links:
            link.connected = False
            for client, online in list(self.world.broker.online.items()):
                if online is link:
                    del self.world.broker.online[client]
        for journal in [self.pair._journal, *([self.site.monitor.journal] if self.site else [])]:
            journal._db.close()
        self.links, self.site = [], None

    def step(self) -> None:
        """Live a quarter of a second; whoever wakes speaks first, before the pair has looked."""
        if self.dead or self.frozen:
            return
        Machine.current = self
        try:
            self._live()
        except Died:
            self.dead = True
            self.end()
        except SteppingDown:
            self.world.stepped_down.append((self.world.now_s, self.name))
            self.end()
            self.boot()

    def _live(self) -> None:
        if self.site is not None:
            self.site.messenger.work()
        for link in self.links:
            link.carry(self.world.now_s)
            link.deliver()
        self.pair._listen()
        (self.pair._hold if self.pair._is_ours else self.pair._follow)()
        if self.pair._is_ours and self.site is None:
            self._start_site()
        elif self.site is not None:
            self.site.monitor.turn(0.0)
            self.site.messenger.work()
        for link in self.links:
            link.carry(self.world.now_s)

    def _start_site(self) -> None:
        if self.ready_at is None:
            self.ready_at = self.world.now_s + self.world.chance.uniform(1.0, 4.5)
        elif self.world.now_s >= self.ready_at:
            self.pair._journal.close()
            self.pair._take_over()


class World:
    """The broker, two machines, two patients, and what people were told."""

    def __init__(self, seed: int, folder: Path, configuration: Configuration) -> None:
        """Switch both on."""
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.clock = SteppedClock(NOW)
        self.broker = Broker()
        self.told: list[tuple[float, str, str]] = []
        self.took_over: list[tuple[float, str]] = []
        self.stepped_down: list[tuple[float, str]] = []
        self.spo2 = {1: 97, 2: 97}
        self.sent = 0
        self.machines = {
            name: Machine(self, name, _own(configuration, folder / name, name)) for name in ("a", "b")
        }

    def active(self) -> Machine | None:
        """Return the machine that holds the lease and has started, if one does."""
        for one in self.machines.values():
            alive = not one.dead and not one.frozen and not one.cut
            if alive and one.site is not None and one.pair.standing() == "holds":
                return one
        return None

    def step(self) -> None:
        """Let a quarter of a second pass."""
        self.now_s += STEP_S
        self.clock.advance(STEP_S)
        if self.now_s % 1.0 == 0.0:
            self._measure()
        machines = list(self.machines.values())
        self.chance.shuffle(machines)
        for one in machines:
            one.step()

    def _measure(self) -> None:
        self.sent += 1
        for number, spo2 in self.spo2.items():
            body = {
                "measured_at": self.clock.now().isoformat(),
                "boot_id": "d",
                "sequence": self.sent,
                "values": {"spo2": spo2, "pulse_rate": 72},
            }
            self.broker.publish(f"{ROOT}/devices/oximeter-{number}/report", orjson.dumps(body))

    def until(self, held: Callable[[], Any], most_s: float) -> float:
        """Step until something holds; return how many seconds that took."""
        began = self.now_s
        while not held():
            assert self.now_s - began < most_s, f"not within {most_s} s"
            self.step()
        return self.now_s - began

    def run(self, for_s: float) -> None:
        """Step for some seconds."""
        for _ in range(round(for_s / STEP_S)):
            self.step()

    def begin_sessions(self, protocol: Any) -> None:
        """Start a session on both beds, at the active."""
        active = self.active()
        assert active is not None
        assert active.site is not None
        for number in (1, 2):
            start = given.StartSession(f"s-{number}", "K-1", protocol, "nina", phase="observation")
            future = active.site.monitor.submit(f"bed-{number}", start)
            self.until(future.done, 5)
            assert future.result().durable

    def end(self) -> None:
        """Switch both off."""
        for one in self.machines.values():
            if not one.dead:
                one.end()


def _own(configuration: Configuration, store: Path, name: str) -> Configuration:
    clinic = configuration.clinic
    mine = clinic.model_copy(
        update={
            "store": clinic.store.model_copy(update={"path": str(store)}),
            "pair": clinic.pair.model_copy(update={"name": name}),
        }
    )
    return dataclasses.replace(configuration, clinic=mine)


def furnish(folder: Path) -> Configuration:
    """Write and read the configuration of both."""
    from tests.conftest import REPOSITORY

    shutil.copytree(REPOSITORY / "config" / "protocols", folder / "protocols")
    (folder / "clinic.toml").write_text(
        '[pair]\nname = "a"\nsecret_env = "AFTERWATCH_TEST_PAIR"\n'
        '[[notify.targets]]\nid = "pager"\nurl = "json://127.0.0.1:9/"\n'
        '[[notify.routes]]\ntargets = ["pager"]\n'
    )
    beds = "".join(
        f'[[beds]]\nid = "bed-{n}"\n[[devices]]\nid = "oximeter-{n}"\nbed = "bed-{n}"\n'
        'metrics = ["spo2", "pulse_rate"]\n'
        for n in (1, 2)
    )
    (folder / "beds.toml").write_text(beds)
    return config.load(folder)


def enter(patch: pytest.MonkeyPatch) -> None:
    """Put the small world in the place of threads, sockets and the system's clock."""
    patch.setattr(pair, "seconds", lambda: Machine.current.world.now_s)
    patch.setattr(pair, "LOOK_S", 0.0)
    patch.setattr(pair, "SystemClock", lambda: Machine.current.world.clock)
    patch.setattr(pair, "Link", Link)
    patch.setattr(pair, "Site", Site)
    patch.setattr(loop, "Link", Link)
