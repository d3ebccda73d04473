"""Twenty devices come back after six hours and send all they kept, while another bed is watched (R-13)."""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.app.test_running_site import ROOT, Ear, begin_session, rows
from tests.conftest import LOOPBACK, Mosquitto, Running

DEVICES, HOURS = 20, 6
KEPT = HOURS * 3600  # readings of each device, one a second
PACE_PER_S = 50.0  # of a device that empties its memory (docs/wire.md)
DRAINED_S, LATENCY_S = 600.0, 1.0
CHECKED_S = 60.0 + 15.0  # a self-check begins each minute and has fifteen seconds (AL-34)
PROBE_S = 0.25
LIVE = DEVICES + 1  # the bed that is watched meanwhile


def pour(port: int, first_at: float, each_per_s: float) -> None:
    """Send what the oximeters kept, oldest first, each at a pace; a pace of 0 is as fast as it goes."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "backlog", protocol=paho.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect(LOOPBACK, port)
    client.loop_start()
    first, began = datetime.fromtimestamp(first_at, UTC), time.monotonic()
    for second in range(KEPT):
        said = {
            "measured_at": (first + timedelta(seconds=second)).isoformat(),
            "sequence": second,
            "values": {"spo2": 80 if second % 600 < 30 else 97, "pulse_rate": 70},
        }
        for number in range(1, DEVICES + 1):
            body = json.dumps({**said, "boot_id": f"kept-{number}"})
            sent = client.publish(f"{ROOT}/devices/oximeter-{number}/report", body, qos=1)
        if second % 10 == 9:
            sent.wait_for_publish()
        if each_per_s:
            time.sleep(max(0.0, began + second / each_per_s - time.monotonic()))
    client.disconnect()
    client.loop_stop()


class Probe(Ear):
    """A device that goes and comes on the live bed; hears how long each going took to become an alarm."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self.took: list[float] = []
        self._gone_at = math.inf
        super().__init__(port)

    def _hear(self, _client: Any, _userdata: Any, message: Any) -> None:
        now = time.monotonic()
        if message.topic == f"{ROOT}/beds/bed-{LIVE}/alarm" and self._gone_at < now:
            said = json.loads(message.payload)
            if said["phase"] == "start":
                self.took.append(now - self._gone_at)
                self._gone_at = math.inf

    def measure(self, until: Callable[[], bool]) -> list[float]:
        """Go and come until something holds; return how long each alarm took, in seconds, sorted."""
        self.took = []
        while not until():
            self._gone_at = time.monotonic()
            self._presence("offline")
            while self._gone_at < math.inf:
                time.sleep(0.005)
            self._presence("online")
            self.say(f"oximeter-{LIVE}", {"values": {"spo2": 97, "pulse_rate": 70}})
            time.sleep(PROBE_S)
        return sorted(self.took)

    def _presence(self, state: str) -> None:
        said = json.dumps({"state": state, "at": datetime.now(UTC).isoformat()})
        self._client.publish(f"{ROOT}/devices/oximeter-{LIVE}/status", said, qos=1)


@pytest.mark.prove
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "each_per_s", [PACE_PER_S, 0.0], ids=["at the documented pace", "as fast as it goes"]
)
def test_r_13_a_backlog_of_six_hours_from_twenty_devices_drains_and_delays_no_alarm(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    capsys: pytest.CaptureFixture[str],
    each_per_s: float,
) -> None:
    """R-13: 432,000 kept readings are on the disk within 10 min; an alarm of another bed comes as before.

    A broker hands on what it has in the order in which it came: an alarm waits behind a flood that is faster
    than we are. That must be told: the self-check, which waits too, is a high alarm of the station.
    """
    broker = mosquitto("log_type error")
    monitor = running(broker.port, beds=LIVE)
    monitor.people(nina="nurse")
    monitor.start()
    with closing(begin_session(monitor)) as http:
        for number in range(2, LIVE + 1):
            body = {"patient_code": f"K-{number:04}", "protocol": "iv-ketamine"}
            assert http.post(f"/api/v1/beds/bed-{number}/start", json=body).status_code < 300
    probe = Probe(broker.port)
    calm_until = time.monotonic() + 20
    calm = probe.measure(lambda: time.monotonic() > calm_until)
    kept = "SELECT count(*) FROM reading r JOIN name n ON n.id = r.boot WHERE n.name LIKE 'kept-%'"
    looked = [0.0, 0]

    def drained() -> bool:
        if time.monotonic() > looked[0] + 1:
            looked[:] = [time.monotonic(), rows(monitor, kept)[0][0]]
        assert time.monotonic() < began + 2 * DRAINED_S, f"{looked[1]} of {DEVICES * KEPT} are on the disk"
        return looked[1] >= DEVICES * KEPT

    spawn = multiprocessing.get_context("spawn")
    sender = spawn.Process(target=pour, args=(broker.port, time.time() - KEPT - 60, each_per_s))
    began = time.monotonic()
    sender.start()
    busy = probe.measure(drained)
    took_s = time.monotonic() - began
    sender.join(60)
    checked = [one for one in probe.of("station/alarm") if one["rule"] == "self-check"]
    probe.end()
    with capsys.disabled():
        print(f"\nbacklog: {DEVICES * KEPT} readings in {took_s:.0f} s ({DEVICES * KEPT / took_s:.0f}/s)")
        print(f"  before: {words(calm)}")
        print(f"  during: {words(busy)}; self-check {'failed' if checked else 'passed'}")
    assert rows(monitor, kept) == [(DEVICES * KEPT,)]
    assert took_s <= DRAINED_S
    if each_per_s:
        assert busy[int(len(busy) * 0.99)] <= LATENCY_S
        assert not checked
    else:
        assert checked or busy[-1] <= CHECKED_S, "alarms were late and nobody was told"


def words(found: list[float]) -> str:
    """Return what latencies are, for people."""
    p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
    return f"{len(found)} alarms, p50 {p50 * 1000:.0f}, p99 {p99 * 1000:.0f}, most {found[-1] * 1000:.0f} ms"
