"""From the broker to the disk: nothing confirmed is lost, nothing is stored twice."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from monitor import config, mqtt
from monitor.app.site import Site
from tests.conftest import LOOPBACK, REPOSITORY, Mosquitto, Running, wait_for
from tests.soak.publishing import Cable


def ring_night(shared_data: Path) -> list[tuple[datetime, int]]:
    """Read the SpO2 values of the night as it was recorded; on its own, not through our code."""
    found = []
    with gzip.open(shared_data / "series" / "oximeter_ring_night.csv.gz", "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            at = datetime.strptime(row["Time"], "%H:%M:%S %b %d %Y").replace(tzinfo=UTC)
            if row["Oxygen Level"].isdigit():  # "--" where the finger was lost
                found.append((at, int(row["Oxygen Level"])))
    return found


def play(broker: Mosquitto, file: Path, device: str) -> subprocess.Popen[str]:
    """Send a recording at full speed, as a device does."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "simulators", "play", str(file), "--device", device, "--speed", "max"),
            *("--broker", f"mqtt://127.0.0.1:{broker.port}", "--confirm-within", "280"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def stored(monitor: Running, column: str) -> list[tuple[int, float]]:
    """Return what the journal holds of a metric, straight from the file."""
    with sqlite3.connect(f"file:{monitor.store / 'journal.db'}?mode=ro", uri=True) as db:
        return db.execute(f"SELECT at, {column} FROM reading WHERE {column} IS NOT NULL").fetchall()


def await_count(monitor: Running, expected: int, within_s: float) -> int:
    """Wait until the journal holds as many SpO2 values; return how many it holds."""
    deadline = time.monotonic() + within_s
    while (count := len(stored(monitor, "spo2"))) < expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return count


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_p_01_a_night_played_while_the_monitor_is_killed_six_times_is_stored_once_each(
    shared_data: Path, mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], seed: int
) -> None:
    """P-01, P-27, R-02: kill -9 at random instants loses no valid reading and stores none twice."""
    chance = random.Random(seed)
    night = ring_night(shared_data)
    valid = {(at, spo2) for at, spo2 in night if 50 <= spo2 <= 100}
    broker = mosquitto()
    monitor = running(broker.port)
    monitor.start()
    sender = play(broker, shared_data / "series" / "oximeter_ring_night.csv.gz", "oximeter-1")
    kills = []
    for _ in range(6):
        before = kills[-1] if kills else 0
        await_count(monitor, min(before + 1, len(valid)), 60)  # it reads again: the kill falls into the night
        time.sleep(chance.uniform(0.0, 0.3))
        monitor.kill()
        kills.append(len(stored(monitor, "spo2")))
        monitor.start()
    said, _ = sender.communicate(timeout=280)
    count = await_count(monitor, len(valid), 60)
    rows = stored(monitor, "spo2")
    print(f"seed {seed}: sent {json.loads(said)}, valid {len(valid)}, stored {count}, at the kills {kills}")
    instants = [datetime.fromtimestamp(at / 1e6, UTC) for at, _ in rows]
    assert len(rows) == len(set(rows)), f"seed {seed}: {len(rows) - len(set(rows))} rows twice"
    missing = valid - {(at, int(value)) for at, (_, value) in zip(instants, rows, strict=True)}
    assert not missing, f"seed {seed}: {len(missing)} of {len(valid)} readings lost, first {min(missing)}"
    assert len(rows) == len(valid)
    assert any(0 < kill < len(valid) for kill in kills), f"seed {seed}: no kill fell into the night: {kills}"


CUT_READINGS = 1500
LONGEST_LIFE_BYTES = 20_000  # of a connection: about seventy readings and their confirmations


@pytest.mark.slow
@pytest.mark.parametrize("plain", ["0", "1"], ids=["wire", "plain paho"])
@pytest.mark.parametrize("seed", [23])
def test_p_23_a_connection_cut_at_any_byte_loses_no_reading_and_stores_none_twice(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    monkeypatch: pytest.MonkeyPatch,
    plain: str,
    seed: int,
) -> None:
    """P-23: cut within CONNECT, a reading or a PUBACK, again and again, while readings stream."""
    monkeypatch.setenv(mqtt.PLAIN, plain)
    monkeypatch.setattr("monitor.mqtt.FIRST_RETRY_S", 0.02)
    monkeypatch.setattr("monitor.mqtt.LAST_RETRY_S", 0.1)
    chance, broker = random.Random(seed), mosquitto()
    cable = Cable(broker.port)
    site = Site(config.load(running(cable.port).folder))
    site.start()
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    device.max_inflight_messages_set(1000)
    device.connect(LOOPBACK, broker.port)
    device.loop_start()
    try:
        wait_for(lambda: site.monitor.self_check.took_s is not None, "the subscription")
        cable.lives = (chance.randrange(1, LONGEST_LIFE_BYTES) for _ in itertools.count())
        began = datetime.now(UTC) - timedelta(seconds=CUT_READINGS)
        site.monitor.link._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        for number in range(CUT_READINGS):
            said = {
                "measured_at": (began + timedelta(seconds=number)).isoformat(),
                "boot_id": "b1",
                "sequence": number,
                "values": {"spo2": 97, "pulse_rate": 70},
            }
            device.publish("afterwatch/v1/clinic/devices/oximeter-1/report", json.dumps(said), qos=1)
            if number % 5 == 0:
                time.sleep(0.01)  # a stream, not a flood: a connection lives long enough to confirm some
        cable.lives = itertools.repeat(sys.maxsize)
        wait_for(lambda: site.archive.counts()["reading"] >= CUT_READINGS, f"every reading (seed {seed})")
        cuts, repeated = cable.cuts, site.monitor.recorder.repeated
    finally:
        device.disconnect()
        device.loop_stop()
        assert site.stop()
        cable.close()
    with sqlite3.connect(f"file:{site.monitor.journal.path}?mode=ro", uri=True) as db:
        instants = [at for (at,) in db.execute("SELECT at FROM reading")]
    print(f"seed {seed}: {cuts} cuts, {repeated} readings came again")
    assert len(instants) == len(set(instants)) == CUT_READINGS
    assert cuts > 5, "it was hardly cut: the test proves little"
    assert repeated, "nothing came again: no cut fell between a reading and its confirmation"
