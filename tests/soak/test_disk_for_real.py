"""A disk that refuses under a monitor that watches a patient: full, broken, read-only; and flipped bits."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest

from monitor.__main__ import UNREACHABLE
from monitor.mqtt import RECEIVE_MAXIMUM
from monitor.safekeeping import verify
from tests.app.test_running_site import Ear, begin_session, urgent
from tests.conftest import LOOPBACK, Mosquitto, Running, program, wait_for
from tests.pair.pairs import Pager
from tests.soak.publishing import ROOT, Ward
from tests.soak.test_faults_for_real import stored

TOLD_S = 5.0  # R-04; printed, and not held against a busy machine
DEVICE = "soak-1"


class Disk:
    """Something that makes the journal's disk refuse, and takes it back."""

    def __init__(self, refuse: Callable[[], None], mend: Callable[[], None]) -> None:
        """Keep both ways."""
        self.refuse, self.mend = refuse, mend


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of three MiB, mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("not allowed to mount a small disk here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def filling(place: Path) -> Disk:
    """Fill a real disk to its last byte, as somebody else's log would."""

    def fill() -> None:
        with (place / "ballast").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert os.statvfs(place).f_bavail == 0

    return Disk(fill, (place / "ballast").unlink)


def failing(folder: Path, number: int, environment: pytest.MonkeyPatch) -> Disk:
    """Let each write and sync of the journal fail with an errno, from inside the process."""
    library, said = folder / "disk_fault.so", folder / "fault"
    source = Path(__file__).with_name("disk_fault.c")
    cc = program("cc", "gcc")
    subprocess.run([cc, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    said.write_text("0")
    environment.setenv("LD_PRELOAD", str(library))
    environment.setenv("DISK_FAULT", str(said))
    return Disk(lambda: void(said.write_text(str(number))), lambda: void(said.write_text("0")))


def void(_: object) -> None:
    """Forget a value."""


def committed(ear: Ear) -> int:
    """Return up to which report the monitor said that it is durable."""
    heard = [one["sequence"] for one in ear.of("devices/oximeter-1/committed") if one["boot_id"] == DEVICE]
    return int(heard[-1]) if heard else -1


def durable(http: httpx.Client, alarm: dict[str, Any]) -> httpx.Response:
    """Acknowledge an alarm as a nurse."""
    return http.post(f"/api/v1/beds/bed-1/alarms/{alarm['alarm_id']}/acknowledge", json={"priority": "high"})


@pytest.mark.prove
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["ENOSPC on a full disk", "EIO", "EROFS", "EDQUOT"])
def test_r_04_while_the_disk_refuses_alarms_are_told_and_nothing_is_confirmed(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    tmp_path: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """R-04: alarm and message as ever; a technical alarm at once; all stored, once, when it works again."""
    broker, pager = mosquitto(), Pager()
    more = (
        f'[[notify.targets]]\nid = "p"\nurl = "json://127.0.0.1:{pager.port}/"\n'
        '[[notify.routes]]\ntargets = ["p"]\n'
    )
    monitor = running(broker.port, more=more)
    full = how.startswith("ENOSPC")
    with monkeypatch.context() as environment:
        if full:
            environment.setenv("AFTERWATCH_STORE", str(small_disk))
            monkeypatch.setattr(Running, "store", property(lambda _: small_disk))
        disk = filling(small_disk) if full else failing(tmp_path, getattr(errno, how), environment)
        monitor.people(nina="nurse")
        monitor.start(within_s=60)
    ward, ear = Ward(broker.port, 1), Ear(broker.port)
    with closing(begin_session(monitor)) as http:
        ward.start()
        wait_for(lambda: committed(ear) > 3, "the first durable readings", within_s=30)
        disk.refuse()
        broken_at = time.monotonic()
        wait_for(lambda: station(ear, "start"), "the technical alarm", within_s=30)
        told_s = time.monotonic() - broken_at
        before = committed(ear)
        assert http.get("/healthz").status_code == 503
        ward.ill.add(1)
        fell_at = time.monotonic()
        wait_for(lambda: urgent(ear), "the alarm of a falling saturation", within_s=60)
        wait_for(lambda: pager.of("SpO2"), "the message about it", within_s=30)
        print(f"{how}: told after {told_s:.1f} s; a fall after {time.monotonic() - fell_at:.1f} s")
        answer = durable(http, urgent(ear)[0])
        assert answer.status_code < 300
        assert answer.json()["durable"] is False
        assert committed(ear) == before, "something was confirmed that is on no disk"
        disk.mend()
        wait_for(lambda: station(ear, "end"), "the end of the technical alarm", within_s=30)
        ward.stop()
        wait_for(lambda: stored(monitor) == ward.sent[1], "every reading, once", within_s=30)
        wait_for(lambda: committed(ear) == ward.sent[1] - 1, "all confirmed", within_s=30)
        assert http.get("/healthz").status_code == 200
    ear.end()
    assert monitor.stop() == 0
    pager.end()
    found = verify(monitor.store)
    assert found.faults == ()


def station(ear: Ear, phase: str) -> list[dict[str, Any]]:
    """Return what the station said of the journal's alarm in a phase."""
    return [one for one in ear.of("station/alarm") if one["rule"] == "journal" and one["phase"] == phase]


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_r_04_a_disk_that_refuses_for_long_does_not_stop_the_broker_from_bringing_readings(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R-04: brokers stop at so many unconfirmed messages; the record may be lost then, never the alarm."""
    broker = mosquitto("max_inflight_messages 0\nmax_queued_messages 0")
    monitor = running(broker.port, beds=2)
    with monkeypatch.context() as environment:
        disk = failing(tmp_path, errno.EIO, environment)
        monitor.people(nina="nurse")
        monitor.start(within_s=60)
    ward, ear = Ward(broker.port, 1), Ear(broker.port)
    with closing(begin_session(monitor)):
        ward.start()
        wait_for(lambda: committed(ear) > 3, "the first durable readings", within_s=30)
        disk.refuse()
        wait_for(lambda: station(ear, "start"), "the technical alarm", within_s=30)
        flood(broker.port, "oximeter-2", RECEIVE_MAXIMUM + 1000)
        ward.ill.add(1)
        wait_for(lambda: urgent(ear), "the alarm of a falling saturation", within_s=120)
        disk.mend()
        ward.stop()
        wait_for(
            lambda: stored(monitor) == ward.sent[1] + RECEIVE_MAXIMUM + 1000, "every reading", within_s=120
        )
    ear.end()


def flood(port: int, device: str, count: int) -> None:
    """Publish so many numbered reports, as fast as the broker takes them."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect(LOOPBACK, port)
    client.loop_start()
    begin = datetime.now(UTC) - timedelta(seconds=count // 1000)
    for number in range(count):
        said = {
            "measured_at": (begin + timedelta(milliseconds=number)).isoformat(),
            "boot_id": "soak-flood",
            "sequence": number,
            "values": {"spo2": 97, "pulse_rate": 70},
        }
        client.publish(f"{ROOT}/devices/{device}/report", json.dumps(said), qos=1)
    wait_for(lambda: not client._out_messages, "the broker's word for all of them", within_s=120)
    client.disconnect()
    client.loop_stop()


@pytest.mark.prove
def test_r_04_a_start_on_a_full_disk_is_tried_again_until_there_is_room(
    running: Callable[..., Running], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-04: no exit code after which systemd rests; no half-written key; with room again it starts."""
    monkeypatch.setenv("AFTERWATCH_STORE", str(small_disk / "store"))
    monitor = running(1)
    disk = filling(small_disk)
    disk.refuse()
    command = [sys.executable, "-m", "monitor", "run", "--config", str(monitor.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == UNREACHABLE
    assert "make room" in done.stderr
    disk.mend()
    monitor.start(within_s=60)
    monitor.stop()
    assert len((small_disk / "store" / "answer.key").read_bytes()) >= 32
