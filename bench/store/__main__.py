"""The embedded store beside plain SQLite (a row for each value) and VictoriaMetrics.

`python -m bench.store --days 10` generates a ward (beds by 1 Hz oximeter and 5 min cuff, eight hours a day),
puts the same values into each store, and prints for each: values written a second, bytes for each value on
disk, p50 and p95 of "4 h of 4 metrics of one bed" and of "a month of one bed" at instants drawn from a seed.
Aims (issue 8): 30 ms and 100 ms at p95 with a year of 20 beds.

A year is not generated: it would be 210 million readings. What a chart costs depends on how many pages hold
its rows, and that is the same on every day, because rows lie in order of time; a larger file adds a level to
the index (log n) and leaves less of it in memory. So the chart is asked with the page cache of SQLite empty
(a new connection for every question), and the month is answered from as many days as there are: with fewer
than 30, the printed figure is also scaled to 30 days.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.schema import FILE
from monitor.series.embedded import Embedded

BEGAN = datetime(2026, 1, 1, 8, tzinfo=UTC)
HOURS_A_DAY, CUFF_EVERY_S = 8, 300
CHART_H, CHART_METRICS = 4, ("spo2", "pulse_rate", "nibp_systolic", "nibp_diastolic")
ASKED = 40
EACH_COMMIT = 2000


class Figures(NamedTuple):
    """What was measured of one store."""

    name: str
    written_a_s: float
    bytes_each: float
    chart_ms: list[float]
    month_ms: list[float]


def reports(beds: int, days: int, seed: int) -> Iterator[tuple[str, Report]]:
    """Yield the ward in order of time; a pulse and a saturation wander as people's do."""
    chance = random.Random(seed)
    pulse, spo2 = [72.0] * beds, [97.0] * beds
    for day in range(days):
        for second in range(HOURS_A_DAY * 3600):
            at = BEGAN + timedelta(days=day, seconds=second)
            for bed in range(beds):
                pulse[bed] = min(130.0, max(45.0, pulse[bed] + chance.choice((-1, 0, 0, 0, 1))))
                spo2[bed] = min(100.0, max(84.0, spo2[bed] + chance.choice((-1, 0, 0, 0, 0, 0, 1))))
                values = (Observation("pulse_rate", pulse[bed]), Observation("spo2", spo2[bed]))
                number = day * HOURS_A_DAY * 3600 + second
                yield f"bed-{bed}", Report(f"oximeter-{bed}", at, at, values, (), "b1", number)
                if second % CUFF_EVERY_S == bed:
                    high = 110.0 + chance.randrange(50)
                    cuff = (Observation("nibp_systolic", high), Observation("nibp_diastolic", high - 45))
                    yield f"bed-{bed}", Report(f"cuff-{bed}", at, at, cuff, (), "b1", number)


def batches(found: Iterator[tuple[str, Report]]) -> Iterator[list[tuple[str, Report]]]:
    part: list[tuple[str, Report]] = []
    for one in found:
        part.append(one)
        if len(part) == EACH_COMMIT:
            yield part
            part = []
    if part:
        yield part


def asked(days: int, beds: int, seed: int, ask: Callable[[str, datetime, datetime], int]) -> list[float]:
    """Time a question about CHART_H hours of a bed, at drawn instants; milliseconds."""
    chance, took = random.Random(seed), []
    for _ in range(ASKED):
        bed, day = f"bed-{chance.randrange(beds)}", chance.randrange(days)
        begin = BEGAN + timedelta(days=day, seconds=chance.randrange((HOURS_A_DAY - CHART_H) * 3600 + 1))
        started = time.perf_counter()
        count = ask(bed, begin, begin + timedelta(hours=CHART_H))
        took.append((time.perf_counter() - started) * 1000)
        assert count, "the chart is empty"
    return took


def month(days: int, beds: int, ask: Callable[[str, datetime, datetime], int]) -> list[float]:
    """Time a question about all the days of a bed, up to 30; milliseconds."""
    took = []
    for number in range(ASKED // 2):
        started = time.perf_counter()
        count = ask(f"bed-{number % beds}", BEGAN, BEGAN + timedelta(days=min(days, 30)))
        took.append((time.perf_counter() - started) * 1000)
        assert count, "the overview is empty"
    return took


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- the three stores ---------------------------------------------------------------------------------------


def ours(folder: Path, beds: int, days: int, seed: int) -> tuple[Figures, int]:
    values, spent, journal = 0, 0.0, Journal(folder)
    for part in batches(reports(beds, days, seed)):
        values += sum(len(report.observations) for _, report in part)
        started = time.perf_counter()
        journal.commit([Batch(readings=part)])
        spent += time.perf_counter() - started
    journal.close()
    size = size_of(folder)

    def chart(bed: str, begin: datetime, end: datetime) -> int:
        return sum(
            len(t.at) for t in Embedded(folder).traces(bed, begin, end, metrics=CHART_METRICS, every_s=15)
        )

    def overview(bed: str, begin: datetime, end: datetime) -> int:
        found = Embedded(folder).traces(bed, begin, end, metrics=CHART_METRICS, every_s=3600)
        return sum(len(trace.at) for trace in found)

    took = asked(days, beds, seed, chart), month(days, beds, overview)
    return Figures("afterwatch journal", values / spent, size / values, *took), values


def plain(folder: Path, beds: int, days: int, seed: int, values: int) -> Figures:
    """A row for each value, an index by bed, metric and time: what one would write first."""
    folder.mkdir()
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
        db.execute(line)
    db.execute("CREATE TABLE value (bed TEXT, device TEXT, metric TEXT, at INTEGER, value REAL)")
    db.execute("CREATE INDEX value_by_time ON value (bed, metric, at)")
    spent = 0.0
    for part in batches(reports(beds, days, seed)):
        rows = [
            (bed, report.device_id, one.metric, int(report.at.timestamp() * 1e6), one.value)
            for bed, report in part
            for one in report.observations
        ]
        started = time.perf_counter()
        db.execute("BEGIN")
        db.executemany("INSERT INTO value VALUES (?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
        spent += time.perf_counter() - started
    db.close()

    def ask(every_s: int) -> Callable[[str, datetime, datetime], int]:
        def count(bed: str, begin: datetime, end: datetime) -> int:
            one = sqlite3.connect(f"file:{folder / 'plain.db'}?mode=ro", uri=True)
            query = (
                f"SELECT at / {every_s * 1_000_000}, min(value), max(value) FROM value "
                "WHERE bed=? AND metric=? AND at BETWEEN ? AND ? GROUP BY 1"
            )
            span = [int(edge.timestamp() * 1e6) for edge in (begin, end)]
            found = sum(len(one.execute(query, (bed, metric, *span)).fetchall()) for metric in CHART_METRICS)
            one.close()
            return found

        return count

    took = asked(days, beds, seed, ask(15)), month(days, beds, ask(3600))
    return Figures("SQLite, a row for each value", values / spent, size_of(folder) / values, *took)


@contextmanager
def victoria(folder: Path) -> Iterator[str]:
    """Start VictoriaMetrics on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["victoria-metrics", f"-httpListenAddr={address}", f"-storageDataPath={folder}"]
    # Its cache of answers is off, as SQLite's is: a chart is asked for once.
    command += ["-retentionPeriod=100y", "-search.disableCache"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with suppress(OSError):
                urllib.request.urlopen(f"http://{address}/health", timeout=1).read()
                break
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def beside(folder: Path, beds: int, days: int, seed: int, values: int) -> Figures:
    spent = 0.0
    with victoria(folder) as address:
        for part in batches(reports(beds, days, seed)):
            lines = []
            for bed, report in part:
                fields = ",".join(f"{one.metric}={one.value:g}" for one in report.observations)
                lines.append(
                    f"vitals,bed={bed},device={report.device_id} {fields} {int(report.at.timestamp() * 1e9)}"
                )
            body = "\n".join(lines).encode()
            started = time.perf_counter()
            urllib.request.urlopen(f"{address}/api/v2/write?precision=ns", body, timeout=60).read()
            spent += time.perf_counter() - started
        urllib.request.urlopen(f"{address}/internal/force_flush").read()
        urllib.request.urlopen(f"{address}/internal/force_merge").read()
        time.sleep(3)
        size = size_of(folder / "data") + size_of(folder / "indexdb")

        def ask(every_s: int) -> Callable[[str, datetime, datetime], int]:
            def count(bed: str, begin: datetime, end: datetime) -> int:
                found = 0
                for of in ("min", "max"):
                    names = "|".join(f"vitals_{metric}" for metric in CHART_METRICS)
                    query = f'{of}_over_time({{__name__=~"{names}",bed="{bed}"}}[{every_s}s])'
                    asked = urllib.parse.urlencode(
                        {"query": query, "start": begin.timestamp(), "end": end.timestamp(), "step": every_s}
                    )
                    with urllib.request.urlopen(f"{address}/api/v1/query_range?{asked}", timeout=60) as reply:
                        result = json.load(reply)["data"]["result"]
                    found += sum(len(series["values"]) for series in result)
                return found

            return count

        took = asked(days, beds, seed, ask(15)), month(days, beds, ask(3600))
    return Figures("VictoriaMetrics (over HTTP)", values / spent, size / values, *took)


# --- the table ----------------------------------------------------------------------------------------------


def p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--beds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["ours", "plain", "victoria"], help="one store")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="afterwatch-bench-") as place:
        folder, size = Path(place), (chosen.beds, chosen.days, chosen.seed)
        first, values = ours(folder / "ours", *size)
        found = [first]
        bytes_of_file = (folder / "ours" / FILE).stat().st_size
        if chosen.only in (None, "plain"):
            found.append(plain(folder / "plain", *size, values))
        if chosen.only in (None, "victoria") and shutil.which("victoria-metrics"):
            found.append(beside(folder / "victoria", *size, values))
    show(found, values, bytes_of_file, chosen.days)


def show(found: list[Figures], values: int, size: int, days: int) -> None:
    print(f"{values} values of {days} days; our file {size / 1e6:.0f} MB")
    print(f"{'':32}{'values/s':>10}{'bytes':>8}{'4 h p50':>10}{'p95 ms':>9}{'month p50':>11}{'p95 ms':>9}")
    for one in found:
        month_p95 = p95(one.month_ms)
        print(
            f"{one.name:32}{one.written_a_s:10.0f}{one.bytes_each:8.1f}{statistics.median(one.chart_ms):10.1f}"
            f"{p95(one.chart_ms):9.1f}{statistics.median(one.month_ms):11.1f}{month_p95:9.1f}"
            + (f"  x{30 / days:.1f} for 30 days: {month_p95 * 30 / days:.0f}" if days < 30 else "")
        )
    ours_here, *peers = found
    for peer in peers:
        print(
            f"ratio to {peer.name}: bytes {ours_here.bytes_each / peer.bytes_each:.2f}, "
            f"chart p95 {p95(ours_here.chart_ms) / p95(peer.chart_ms):.2f}, "
            f"month p95 {p95(ours_here.month_ms) / p95(peer.month_ms):.2f}"
        )
    year = values / days * 365
    gigabytes = year * ours_here.bytes_each / 1e9
    print(f"a year of this ward: {year / 1e6:.0f} million values, {gigabytes:.1f} GB with us")


if __name__ == "__main__":
    main()
