"""The session page's API over the real journal: 4 h of two devices at 1 Hz, as stored and read back.

The law: the journal is written by `monitor.journal` and read by `monitor.series.embedded`, through HTTP, with
no cache of ours in between; beside it stands the bare time of reading the same rows with sqlite3.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx

from monitor import snapshot
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.inputs import Associate, Input, Observe, StartSession
from monitor.core.turn import Bed
from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.series.embedded import Embedded
from tests.web.conftest import Person
from tests.web.small_house import SmallHouse

HOURS, TIMES, AIM_MS = 4, 15, 30.0
# In the order of the table, as the reader of messages hands them on: other reports are kept as JSON.
METRICS = {"one": ("pulse_rate", "spo2"), "two": ("heart_rate", "respiration_rate")}
BASE = {"spo2": 97.0, "pulse_rate": 70.0, "heart_rate": 72.0, "respiration_rate": 14.0}


def write(house: SmallHouse, folder: Path) -> str:
    """Write the session into a journal of its own; return its id."""
    protocol = house.configuration.protocols["in-esketamine"]
    ended = house.desk.now()
    began = ended - timedelta(hours=HOURS)
    start = StartSession("s-long", "P-1", protocol, "Nora", started_at=began)
    batch = Batch(protocols={protocol.digest: (protocol.name, snapshot.dump_protocol(protocol))})
    bed = Bed("bed-1")
    first: list[Input] = [*(Associate(DeviceProfile(n, m, 1.0, 0.0)) for n, m in METRICS.items()), start]
    for one in first:
        bed, outcomes = advance(bed, one, began)
        batch.outcomes += outcomes
    journal = Journal(folder)
    for second in range(1, HOURS * 3600):
        at = began + timedelta(seconds=second)
        for name, metrics in METRICS.items():
            seen = tuple(Observation(metric, BASE[metric] + second % 5 / 2) for metric in metrics)
            report = Report(name, at, at, seen)
            batch.readings.append(("bed-1", report))
            bed, outcomes = advance(bed, Observe(report), at)
            batch.outcomes += outcomes
        if second % 600 == 0:
            journal.commit([batch])
            batch = Batch()
    journal.commit([batch])
    journal.close()
    return "s-long"


def bare_ms(folder: Path) -> float:
    """Return the time in which sqlite3 alone hands over every row of readings, in ms."""
    with sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True) as db:
        begun = time.perf_counter()
        rows = db.execute("SELECT * FROM reading").fetchall()
        took = (time.perf_counter() - begun) * 1000
    assert len(rows) > HOURS * 3600
    return took


def main() -> int:
    """Measure and print; return 0 if the aim is met."""
    with tempfile.TemporaryDirectory() as scratch:
        house = SmallHouse(Path(scratch), beds=1)
        store = Path(scratch) / "store"
        session = write(house, store)
        house.site.house.archive = Embedded(store)
        nora = Person(house, "Nora")
        found: list[float] = []
        answer = httpx.Response(500)
        for _ in range(TIMES):
            begun = time.perf_counter()
            answer = nora.get(f"/sessions/{session}/chart")
            found.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["traces"]) == 4
        bare = statistics.median(bare_ms(store) for _ in range(5))
        nora.http.close()
        house.stop()
    middle = statistics.median(found)
    print(f"chart API over the journal: {HOURS} h x 4 series at 1 Hz, {len(answer.content) / 1024:.0f} KiB")
    print(f"  HTTP to the last byte {middle:5.0f} ms median, {max(found):.0f} ms most (aim {AIM_MS:.0f} ms)")
    print(f"  peer, sqlite3 rows    {bare:5.0f} ms for reading alone: ours is {middle / bare:.1f} x")
    return int(middle > AIM_MS)


if __name__ == "__main__":
    raise SystemExit(main())
