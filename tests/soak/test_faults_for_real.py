"""Faults that only the real machine can make: a connection that is half open, a wall clock that jumps."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.app.test_running_site import Ear, begin_session, rows
from tests.conftest import Mosquitto, Running, program, wait_for
from tests.soak.publishing import Cable, Ward

NOTICED_S = 45.0  # 1.5 × the keepalive of 20 s, and the retries


def stored(monitor: Running) -> int:
    """Return how many readings of ours are on the disk."""
    try:
        query = "SELECT count(*) FROM reading r JOIN name n ON n.id = r.boot WHERE n.name LIKE 'soak-%'"
        return int(rows(monitor, query)[0][0])
    except sqlite3.OperationalError:
        return 0


@pytest.fixture
def cable() -> Iterator[Callable[[int], Cable]]:
    """Give a function that lays a cable to a port."""
    laid: list[Cable] = []

    def lay(port: int) -> Cable:
        laid.append(Cable(port))
        return laid[-1]

    yield lay
    for one in laid:
        one.close()


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_r_08_a_half_open_connection_is_noticed_and_costs_no_reading(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], cable: Callable[[int], Cable]
) -> None:
    """R-08, P-18, P-45: nothing comes and nobody closes: one alarm of the house; no reading is lost."""
    broker = mosquitto()
    between = cable(broker.port)
    monitor = running(between.port, beds=3)
    monitor.people(nina="nurse")
    monitor.start()
    with closing(begin_session(monitor)) as http:
        wait_for(lambda: http.get("/healthz").status_code == 200, "the link to the broker", within_s=30)
        time.sleep(2)  # until the subscription is there too
        ward, ear = Ward(broker.port, 3), Ear(broker.port)
        ward.start()
        wait_for(lambda: stored(monitor) > 10, "the first readings", within_s=20)
        between.carries.clear()
        raised = "SELECT 1 FROM outcome WHERE outcome='AlarmRaised' AND body LIKE '%\"link\"%'"
        wait_for(lambda: rows(monitor, raised), "the alarm `link`", NOTICED_S)
        between.carries.set()
        over = "SELECT 1 FROM outcome WHERE outcome='AlarmEnded' AND body LIKE '%\"link\"%'"
        wait_for(lambda: rows(monitor, over), "the end of the alarm `link`", within_s=30)
        ward.stop()
        wait_for(lambda: stored(monitor) == sum(ward.sent), "every reading", within_s=30)
        ear.end()


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_r_08_a_slow_network_delays_and_loses_nothing(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], cable: Callable[[int], Cable]
) -> None:
    """R-08: half a second on each way: no alarm of silence, no reading lost."""
    broker = mosquitto()
    between = cable(broker.port)
    between.delay_s = 0.5
    monitor = running(between.port, beds=2)
    monitor.people(nina="nurse")
    monitor.start()
    with closing(begin_session(monitor)) as http:
        wait_for(lambda: http.get("/healthz").status_code == 200, "the link to the broker", within_s=30)
        time.sleep(2)  # until the subscription is there too
        ward = Ward(broker.port, 2)
        ward.start()
        time.sleep(20)
        ward.stop()
        wait_for(lambda: stored(monitor) == sum(ward.sent), "every reading", within_s=30)
    silent = rows(
        monitor, "SELECT body FROM outcome WHERE outcome='AlarmRaised' AND body LIKE '%\"no-data:%'"
    )
    assert not silent


def stepping_clock(folder: Path) -> Path:
    """Build what moves a program's wall clock; libfaketime breaks Python's sleep."""
    library = folder / "clock_step.so"
    source = Path(__file__).with_name("clock_step.c")
    subprocess.run(
        [program("cc", "gcc"), "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True
    )
    return library


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_al_13_a_wall_clock_that_jumps_moves_no_timer(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AL-13, R-09, S-17: an hour forward, two back: no alarm of the patient moves; the station tells."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    broker = mosquitto()
    monitor = running(broker.port, beds=1)
    monitor.people(nina="nurse")
    with monkeypatch.context() as only_the_monitor:
        only_the_monitor.setenv("LD_PRELOAD", str(stepping_clock(tmp_path)))
        only_the_monitor.setenv("CLOCK_STEP", str(clock))
        monitor.start()
    with closing(begin_session(monitor)) as http:
        ward, ear = Ward(broker.port, 1), Ear(broker.port)
        ward.start()
        wait_for(lambda: stored(monitor) > 12, "the first readings", within_s=20)
        drifts = []
        before = len(rows(monitor, "SELECT 1 FROM outcome WHERE outcome LIKE 'Alarm%' AND bed_id='bed-1'"))
        for step in ("3600", "-3600"):
            clock.write_text(step)
            time.sleep(14)  # longer than a channel may be silent, and than the heartbeat
            found = [one for one in http.get("/metrics").text.splitlines() if "clock_drift_s" in one]
            drifts.append(float(found[0].rsplit(" ", 1)[1]))
        ward.stop()
        wait_for(lambda: stored(monitor) == sum(ward.sent), "every reading", within_s=20)
        after = rows(monitor, "SELECT body FROM outcome WHERE outcome LIKE 'Alarm%' AND bed_id='bed-1'")
        beat = ear.of("monitor/status")[-1]
        said = [one["text"] for one in ear.of("station/alarm") if one["rule"] == "clock"]
        ear.end()
    assert drifts[0] > 3500, "the fake clock was not felt: the test proves nothing"
    assert drifts[1] < -3500, "the fake clock was not felt: the test proves nothing"
    assert len(after) == before, after[before:]
    assert {way for text in said for way in ("ahead of", "behind") if way in text} == {"ahead of", "behind"}
    off = abs((datetime.now(UTC) - datetime.fromisoformat(beat["at"])).total_seconds())
    assert off < 30, f"the heartbeat tells a time that is {off:.0f} s off"
