"""A hundred devices for as long as ``make prove`` is given: memory, completeness, decisions (R-11, R-22)."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_running_site import Ear, begin_session, rows
from tests.conftest import Mosquitto, Running
from tests.soak.publishing import Ward

DEVICES = 100
SECONDS = float(os.environ.get("AFTERWATCH_SOAK_S", "60"))
WARM_UP_S = min(20.0, SECONDS / 3)
SESSIONS = 20
ILL_EVERY_S, ILL_FOR_S = 28.0, 9.0  # SpO2 80 for longer than the six seconds of the floor
SEEN_AFTER_S = 45.0  # from an alarm's begin, when the fall is over, to the nurse who has seen it


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError(f"process {pid} is gone")


class Watch(Ear):
    """Hears alarms, and from the last report of their device how long each took; keeps nothing else."""

    def __init__(self, port: int, ward: Ward) -> None:
        """Connect; ``ward`` says when each device reported last."""
        self.took: dict[str, float] = {}
        self.unseen: deque[tuple[float, int, str]] = deque()  # since when, of which bed, which alarm
        self._ward = ward
        super().__init__(port)

    def _hear(self, _client: Any, _userdata: Any, message: Any) -> None:
        now = time.monotonic()
        if message.topic.endswith("/alarm"):
            said = json.loads(message.payload)
            if said["phase"] == "start" and said["rule"] == "spo2-low-urgent":
                number = int(message.topic.split("/")[-2].removeprefix("bed-"))
                self.took.setdefault(said["alarm_id"], now - self._ward.last_at[number])
                self.unseen.append((now, number, said["alarm_id"]))


def gaps(monitor: Running) -> list[str]:
    """Return where a device's readings in the journal lie more than 2.5 periods apart, the longest first."""
    found = rows(
        monitor,
        "SELECT device, at, at - before FROM (SELECT n.name AS device, r.at AS at, "
        "lag(r.at) OVER (PARTITION BY r.device ORDER BY r.at) AS before FROM reading r "
        "JOIN name n ON n.id = r.device JOIN name b ON b.id = r.boot WHERE b.name LIKE 'soak-%') "
        "WHERE at - before > 2500000 ORDER BY 3 DESC LIMIT 20",
    )
    return [f"{device} before {at / 1e6:.0f}: {gap / 1e6:.1f} s" for device, at, gap in found]


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_r_11_a_hundred_devices_cost_no_memory_no_reading_and_no_time(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    """R-11, R-22: AFTERWATCH_SOAK_S seconds of 100 devices at 1 Hz: RSS < +5 %, all kept, p99 <= 250 ms."""
    broker = mosquitto()
    monitor = running(broker.port, beds=DEVICES)
    monitor.people(nina="nurse")
    monitor.start()
    http = begin_session(monitor)
    for number in range(2, SESSIONS + 1):
        body = {"patient_code": f"K-{number:04}", "protocol": "iv-ketamine", "override": "soak"}
        assert http.post(f"/api/v1/beds/bed-{number}/start", json=body).status_code < 300
    ward = Ward(broker.port, DEVICES)
    ear = Watch(broker.port, ward)
    ward.start()
    memory: list[int] = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < WARM_UP_S + SECONDS:
        ward.ill = set(range(1, SESSIONS + 1)) if passed % ILL_EVERY_S < ILL_FOR_S else set()
        if passed > WARM_UP_S and len(memory) < passed - WARM_UP_S:
            memory.append(resident_kib(monitor._process.pid))  # type: ignore[union-attr]
        while ear.unseen and ear.unseen[0][0] < time.monotonic() - SEEN_AFTER_S:
            _, number, alarm_id = ear.unseen.popleft()
            answer = http.post(f"/api/v1/beds/bed-{number}/alarms/{alarm_id}/reset")
            assert answer.status_code < 300, answer.text
        time.sleep(0.05)
    ward.stop()
    http.close()
    wanted = sum(ward.sent)
    deadline = time.monotonic() + 30
    kept = 0
    while kept < wanted and time.monotonic() < deadline:
        time.sleep(0.5)
        kept = rows(
            monitor, "SELECT count(*) FROM reading r JOIN name n ON n.id = r.boot WHERE n.name LIKE 'soak-%'"
        )[0][0]
    ear.end()
    missed, quarter = gaps(monitor) or "none", max(1, len(memory) // 4)
    first, last = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
    late = sorted(ear.took.values())
    p99 = late[int(len(late) * 0.99)] if late else float("nan")
    with capsys.disabled():
        print(
            f"\nsoak {SECONDS:.0f} s, {DEVICES} devices: {kept} of {wanted} readings kept; "
            f"RSS {first / 1024:.1f} to {last / 1024:.1f} MiB ({(last / first - 1) * 100:+.1f} %); "
            f"{len(late)} alarms, p50 {statistics.median(late) * 1000:.1f}, p99 {p99 * 1000:.1f} ms; "
            f"gaps over 2.5 s: {missed}"
        )
    assert kept == wanted, f"{wanted - kept} readings are missing"
    assert last <= first * 1.05, "the memory grows"
    assert len(late) >= SESSIONS, "the falls of SpO2 were not raised"
    assert p99 <= 0.25, late[-20:]
