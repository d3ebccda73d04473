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

from bench import promise
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
    """Write the session into a journal of its own, from which the house then reads; return its id."""
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
    house.desk.submit("bed-1", start, began).result(30)  # and it runs: the page is live
    house.site.house.archive = Embedded(folder)
    return start.session_id


def bare_ms(folder: Path) -> float:
    """Return the processor time in which sqlite3 alone hands over every row of readings, in ms."""
    with sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True) as db:
        begun = time.process_time()
        rows = db.execute("SELECT * FROM reading").fetchall()
        took = (time.process_time() - begun) * 1000
    assert len(rows) > HOURS * 3600
    return took


def main() -> int:
    """Measure and print; return 0 if the aim is met.

    Server and client are one process: its processor time holds both, so the API alone is a little less.
    """
    with tempfile.TemporaryDirectory() as scratch:
        house = SmallHouse(Path(scratch), beds=1, history=True)
        store = Path(scratch) / "store"
        session = write(house, store)
        began = house.desk.now() - timedelta(hours=2)
        hour = {"from_at": began.isoformat(), "to_at": (began + timedelta(hours=1)).isoformat()}
        nora = Person(house, "Nora")
        print(f"chart API over the journal: {HOURS} h x 4 series at 1 Hz")
        missed = 0
        for name, path, asked in (("all of it", "chart", {}), ("an hour, closely", "traces", hour)):
            answer, spent, waited = asked_ms(nora, f"/sessions/{session}/{path}", asked)
            assert len(answer.json()["traces"]) == 4
            size = len(answer.content) / 1024
            print(f"  {name:17} {spent:5.0f} ms CPU, {waited:5.0f} ms to the last byte, {size:5.0f} KiB")
            missed |= not promise(f"web: API of a session, {name}", spent, AIM_MS, "ms CPU")
        bare = statistics.median(bare_ms(store) for _ in range(5))
        nora.http.close()
        house.stop()
    print(f"  peer, sqlite3 handing over the bare rows: {bare:.0f} ms CPU")
    return int(missed)


def asked_ms(person: Person, path: str, asked: dict[str, str]) -> tuple[httpx.Response, float, float]:
    """Return the answer, the processor time and the waiting time of one request, in ms; medians."""
    spent, waited = [], []
    for _ in range(TIMES):
        begun, clock = time.process_time(), time.perf_counter()
        answer = person.get(path, params=asked)
        spent.append((time.process_time() - begun) * 1000)
        waited.append((time.perf_counter() - clock) * 1000)
        assert answer.status_code == 200, answer.text
    return answer, statistics.median(spent), statistics.median(waited)


if __name__ == "__main__":
    raise SystemExit(main())
