"""The real process, killed at every kind of call to the disk and the broker, with and without the power.

The shim `crash.c` counts the calls, kills the process at a chosen one, and for a power cut takes back what
was written and not synced: all of it, or any part, so that writes are lost, torn and out of order. Whatever
the point, each reading that a device sent is stored once, each alarm raised once, and the journal is sound.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from bench.ingest import load
from monitor import config
from monitor.app.loop import Monitor
from monitor.clock import SystemClock
from monitor.core import inputs as given
from monitor.safekeeping import verify
from monitor.wire import cut
from tests.conftest import REPOSITORY, Mosquitto, program

BEDS, ROUNDS, PAUSE_S = 4, 30, 0.008
URGENT = "systolic-high-urgent"  # one cuff reading of 190 raises it at once
WEAK = "battery_low"  # a technical alarm of the device, raised at once
WITHIN_S = 90.0  # two busy cores


class Point(NamedTuple):
    """Where a process dies: see `crash.c`."""

    kind: str
    how: str
    power: str
    most: int  # the last call of that kind at which it dies

    def __str__(self) -> str:
        """Name it in a test's id."""
        power = "the kernel lives" if self.power == "no" else f"power cut, {self.power} % kept"
        return f"{self.kind}, {self.how}, {power}"


AT_THE_END = ("db-write", "db-sync")  # calls of the checkpoint of an orderly end
POINTS = [
    Point(kind, how, power, most)
    for kind, most, ways in (
        ("wal-write", 300, ("before", "torn", "after")),
        ("wal-sync", 50, ("before", "after")),
        ("send", 50, ("before", "after")),
        ("db-write", 5, ("before", "torn", "after")),
        ("db-sync", 1, ("before", "after")),
    )
    for how in ways
    for power in ("no", "0", "50")
]
FEW = [point for number, point in enumerate(POINTS) if number % 4 == 1]


class Scene(NamedTuple):
    """What all runs share: a broker, the shim, and a configuration with a session on every bed."""

    broker: Mosquitto
    shim: Path
    template: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give one broker for all runs; each has a site of its own on it."""
    folder = tmp_path_factory.mktemp("crash")
    shim = folder / "crash.so"
    source = Path(__file__).with_name("crash.c")
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(shim), str(source), "-ldl", "-lpthread"]
    subprocess.run([program("gcc", "gcc"), *flags], check=True)
    template = folder / "template"
    configure(template, 1, "template")
    read = config.load(template)
    monitor = Monitor(read, SystemClock(), "template")
    monitor.recorder.start()
    for bed in range(BEDS):
        start = given.StartSession(f"s-{bed}", "P", read.protocols["iv-ketamine"], "test")
        monitor.ward.do(f"bed-{bed}", start)
    monitor._hand_over(everything=True)
    assert monitor.recorder.stop()
    monitor.journal.close()
    broker = Mosquitto(program("mosquitto", "mosquitto"), folder / "broker", "log_type error")
    yield Scene(broker, shim, template)
    broker.stop()


def configure(folder: Path, port: int, name: str) -> None:
    """Write the configuration of a site."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(REPOSITORY / "config" / "protocols", folder / "protocols", dirs_exist_ok=True)
    (folder / "clinic.toml").write_text(
        f'[site]\nid = "{name}"\nname = "{name}"\n[store]\npath = "store"\n'
        f'[broker]\nport = {port}\nclient_id = "{name}"\n'
    )
    (folder / "beds.toml").write_text(
        "".join(
            f'[[beds]]\nid = "bed-{bed}"\nlabel = "{bed}"\n[[devices]]\nid = "m-{bed}"\nbed = "bed-{bed}"\n'
            'metrics = ["spo2", "pulse_rate", "nibp_systolic", "nibp_diastolic"]\n'
            for bed in range(BEDS)
        )
    )


class Devices:
    """Monitors at the beds: what they sent, and which alarms a pager has heard of."""

    def __init__(self, port: int, root: str, seed: int, goes_on: Callable[[], bool]) -> None:
        """Connect; nothing is sent yet. After the last round they send another while ``goes_on`` says so."""
        self._goes_on = goes_on
        self.sent: set[tuple[str, int]] = set()
        self.heard: Counter[str] = Counter()
        chance = random.Random(seed)
        self._urgent, self._weak = (
            {bed: chance.randrange(3, ROUNDS - 3) for bed in range(BEDS)} for _ in range(2)
        )
        self._root, self._line = root, load.connect(port, f"{root}-devices")
        self._pager = load.connect(port, f"{root}-pager", f"{root}/beds/+/alarm")
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._listen)]

    def start(self) -> None:
        """Begin to send and to listen."""
        for one in self._threads:
            one.start()

    def finish(self) -> None:
        """Wait until everything is sent and the broker has it."""
        self._threads[0].join(WITHIN_S)
        assert not self._threads[0].is_alive()

    def close(self) -> None:
        """Listen no more."""
        self._pager.shutdown(socket.SHUT_RDWR)
        self._threads[1].join(WITHIN_S)
        self._pager.close()
        self._line.close()

    def _send(self) -> None:
        mid = number = count = 0
        while number < ROUNDS or self._goes_on():
            for bed in range(BEDS):
                mid = mid % 65_535 + 1
                count += 1
                at = datetime.now(UTC)
                values = {"spo2": 97, "pulse_rate": 70 + number % 9}
                if number == self._urgent[bed]:
                    values |= {"nibp_systolic": 190, "nibp_diastolic": 100}
                faults = [WEAK] if number >= self._weak[bed] else []
                body = {"measured_at": at.isoformat(), "boot_id": "b", "sequence": number, "values": values}
                body["faults"] = faults
                topic = f"{self._root}/devices/m-{bed}/report"
                self.sent.add((f"m-{bed}", int(at.timestamp() * 1e6)))
                self._line.sendall(load.publish(topic, orjson.dumps(body), mid))
                time.sleep(PAUSE_S)
            number += 1
        confirmed = 0
        while confirmed < 4 * count:
            confirmed += len(self._line.recv(65_536))

    def _listen(self) -> None:
        rest = b""
        while fresh := self._pager.recv(65_536):
            messages, end, foreign = cut(rest + fresh, v5=False, now=datetime.now(UTC))
            rest = (rest + fresh)[end + foreign :]
            for one in messages:
                said = orjson.loads(one.payload)
                if said["phase"] == "start" and said["rule"].endswith((URGENT, WEAK)):
                    self.heard[said["alarm_id"]] += 1


def run(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the monitor; return when it is connected, or has died before."""
    command = [sys.executable, "-m", "tests.crash.process", str(folder)]
    log = folder / "run.log"
    before = log.read_text().count("ready") if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=REPOSITORY, env={**os.environ, **environment}
        )
    deadline = time.monotonic() + WITHIN_S
    while process.poll() is None and log.read_text().count("ready") == before:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.02)
    return process


def stored(folder: Path) -> list[tuple[str, int]]:
    """Return device and time of every reading."""
    with closing(sqlite3.connect(f"file:{folder}/store/journal.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT n.name, r.at FROM reading r JOIN name n ON n.id = r.device").fetchall()


def raised(folder: Path) -> list[tuple[str, str, str]]:
    """Return bed, rule and id of every alarm of a pressure or of a device's battery in the journal."""
    with closing(sqlite3.connect(f"file:{folder}/store/journal.db?mode=ro", uri=True)) as db:
        return db.execute(
            "SELECT bed_id, body ->> '$.rule' AS rule, alarm_id FROM outcome "
            f"WHERE outcome='AlarmRaised' AND (rule = '{URGENT}' OR rule LIKE 'fault:%{WEAK}')"
        ).fetchall()


def crash(scene: Scene, folder: Path, point: Point, seed: int) -> tuple[bool, Devices]:
    """Let a monitor die while devices send, and another one finish; return whether it died at the point."""
    name = f"c{POINTS.index(point)}-{seed}"
    configure(folder, scene.broker.port, name)
    shutil.copytree(scene.template / "store", folder / "store")
    root = f"afterwatch/v1/{name}"
    subscribe(scene.broker.port, name, f"{root}/devices/+/report")
    at = random.Random(seed).randint(1, point.most)
    dying = run(
        folder,
        {
            "LD_PRELOAD": str(scene.shim),
            "CRASH_KIND": point.kind,
            "CRASH_HOW": point.how,
            "CRASH_POWER": point.power,
            "CRASH_AT": str(at),
            "CRASH_SEED": str(seed),
        },
    )
    limit = time.monotonic() + WITHIN_S / 2
    endless = point.kind not in AT_THE_END
    devices = Devices(
        scene.broker.port,
        root,
        seed,
        # However busy the machine, and however few commits that makes: until the point is reached.
        goes_on=lambda: endless and dying.poll() is None and time.monotonic() < limit,
    )
    devices.start()
    devices.finish()
    dying.terminate()
    died = dying.wait(WITHIN_S) == -signal.SIGKILL
    again = run(folder, {})
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and len(stored(folder)) < len(devices.sent):
        time.sleep(0.05)
    again.terminate()
    assert again.wait(WITHIN_S) == 0, (folder / "run.log").read_text()[-2000:]
    devices.close()
    return died, devices


def subscribe(port: int, name: str, topic: str) -> None:
    """Make the monitor's session on the broker, as its first connection would: all is kept from now on."""
    line = socket.create_connection((load.HOST, port))
    line.sendall(load.packet(0x10, load.text("MQTT") + bytes([4, 0, 0, 0]) + load.text(name)))
    assert line.recv(4)[3] == 0
    line.sendall(load.packet(0x82, b"\0\1" + load.text(topic) + b"\1"))
    assert line.recv(5)[0] == 0x90
    line.sendall(b"\xe0\0")
    line.close()


def check(scene: Scene, folder: Path, point: Point, seed: int) -> bool:
    """Run one point, hold what must hold; return whether the process died there."""
    died, devices = crash(scene, folder, point, seed)
    where = f"{point}, seed {seed}"
    rows, alarms = stored(folder), raised(folder)
    lost, twice = devices.sent - set(rows), len(rows) - len(set(rows))
    print(f"{where}: died {died}, sent {len(devices.sent)}, stored {len(rows)}, alarms {len(alarms)}")
    assert not lost, f"{where}: {len(lost)} readings lost, as {min(lost)}"
    assert not twice, f"{where}: {twice} readings twice"
    wanted = [(f"bed-{bed}", rule) for bed in range(BEDS) for rule in (f"fault:m-{bed}:{WEAK}", URGENT)]
    assert sorted((bed, rule) for bed, rule, _ in alarms) == wanted, f"{where}: {alarms}"
    news = set(devices.heard) - {alarm_id for *_, alarm_id in alarms}
    assert not news, (
        f"{where}: {news} were told and are not in the journal: a restart made new alarms of them"
    )
    assert verify(folder / "store").faults == (), where
    return died


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", FEW, ids=str)
def test_r_02_a_death_at_a_call_to_disk_or_broker_costs_nothing(
    scene: Scene, tmp_path: Path, point: Point
) -> None:
    """R-02, R-03: no reading is lost or stored twice, no alarm is lost or new again."""
    assert check(scene, tmp_path, point, 1), f"{point}: the process did not reach the point"


@pytest.mark.prove
@pytest.mark.broker
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_r_02_every_point_and_many_seeds(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, point: Point
) -> None:
    """R-02, R-03: the whole matrix; `AFTERWATCH_SEEDS` says how many seeds."""
    seeds = range(1, 1 + int(os.environ.get("AFTERWATCH_SEEDS", "20")))
    deaths = sum(check(scene, tmp_path_factory.mktemp("run"), point, seed) for seed in seeds)
    print(f"{point}: {deaths} deaths in {len(seeds)} runs")
    assert deaths
