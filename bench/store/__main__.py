"""The embedded store beside plain SQLite (a row for each value) and VictoriaMetrics.

`python -m bench.store --days 21` puts the same days of a clinic into each store and prints for each: values
written a second, bytes for each value on disk, and what three questions take at instants drawn from a seed: a
chart (4 h of 4 metrics of one bed, drawn in intervals of 15 s), a session (3 h of them, every reading), and a
month's overview. `python -m bench.store --year` writes a year of 20 beds for ours alone (10 GB;
`bench/store/year.py` says how many readings that is, and makes most of them in SQL) and asks the same of it.
Aims (issue 8): chart 30 ms, month 100 ms at p95 with a year in the store.

A question comes by a new connection, so SQLite's own cache is empty; `--cold` also drops the system's cache
of the file before each. CPU is of the asking thread: on a machine with other work, wall time says more about
the others.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench import promise
from bench.store.year import BEGAN, DAY, EACH_COMMIT, Clinic, a_day, build, this_morning
from monitor.core.vitals import Report
from monitor.journal import Batch, Journal
from monitor.schema import FILE
from monitor.series.embedded import Embedded

METRICS = ("spo2", "pulse_rate", "nibp_systolic", "nibp_diastolic")
ASKED = 60
YEAR = Clinic()


class Question(NamedTuple):
    """What is asked: a span of one bed that begins early in a day; length of intervals, s; aim at p95."""

    name: str
    span: timedelta
    every_s: int
    within: timedelta
    aim_ms: float | None


QUESTIONS = (
    Question("4 h chart", timedelta(hours=4), 15, timedelta(hours=3.5), 30.0),
    Question("session", timedelta(hours=3), 0, timedelta(0), None),
    Question("month", timedelta(days=30), 3600, timedelta(0), 100.0),
)
Ask = Callable[[str, datetime, datetime, int], int]  # bed, from, to, intervals of so many seconds


class Took(NamedTuple):
    """How long each answer took, in ms of wall time and of CPU."""

    wall: list[float]
    cpu: list[float]


class Figures(NamedTuple):
    """What was measured of one store; ``took`` has one entry for each of ``QUESTIONS``."""

    name: str
    written_a_s: float
    bytes_each: float
    took: list[Took]


def all_days(clinic: Clinic) -> Iterator[list[tuple[str, Report]]]:
    """Yield the clinic's reports in order of time, so many as make one commit."""
    for day in range(clinic.days):
        reports = a_day(clinic, day)
        while part := list(islice(reports, EACH_COMMIT)):
            yield part


def asked(clinic: Clinic, ask: Ask, before: Callable[[], None] = lambda: None) -> list[Took]:
    """Ask each question, of drawn beds and instants."""
    found = []
    for question in QUESTIONS:
        chance, took = random.Random(clinic.seed), Took([], [])
        for _ in range(ASKED):
            bed = f"bed-{chance.randrange(clinic.beds)}"
            last_day = max(1, clinic.days - question.span.days)
            begin = BEGAN + chance.randrange(last_day) * DAY + chance.random() * question.within
            before()
            started, cpu = time.perf_counter(), time.thread_time()
            count = ask(bed, begin, begin + question.span, question.every_s)
            took.cpu.append((time.thread_time() - cpu) * 1000)
            took.wall.append((time.perf_counter() - started) * 1000)
            assert count, f"the {question.name} is empty"
        found.append(took)
    return found


def forget(path: Path) -> None:
    """Drop what the system holds of a file in memory."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- the three stores ---------------------------------------------------------------------------------------


def ask_us(folder: Path) -> Ask:
    """Return how our store is asked: by a new connection each time."""

    def ask(bed: str, begin: datetime, end: datetime, every_s: int) -> int:
        found = Embedded(folder).traces(bed, begin, end, metrics=METRICS, every_s=every_s)
        return sum(len(trace.at) for trace in found)

    return ask


def ours(folder: Path, clinic: Clinic, before: Callable[[], None]) -> tuple[Figures, int]:
    """Write the days through the journal; return the figures and how many values there are."""
    values, spent, journal = 0, 0.0, Journal(folder)
    for part in all_days(clinic):
        values += sum(len(report.observations) for _, report in part)
        started = time.perf_counter()
        journal.commit([Batch(readings=part)])
        spent += time.perf_counter() - started
    journal.close()
    took = asked(clinic, ask_us(folder), before)
    return Figures("afterwatch journal", values / spent, size_of(folder) / values, took), values


def ours_of_a_year(folder: Path, clinic: Clinic, before: Callable[[], None]) -> tuple[Figures, int]:
    """Write the year in bulk, and this morning's readings as they come; return figures and values."""
    started = time.perf_counter()
    values = 2 * build(folder, clinic)
    spent = time.perf_counter() - started
    this_morning(folder, clinic)
    took = asked(clinic, ask_us(folder), before)
    return Figures("afterwatch, in bulk", values / spent, size_of(folder) / values, took), values


def plain(folder: Path, clinic: Clinic, values: int, before: Callable[[], None]) -> Figures:
    """A row for each value, an index by bed, metric and time: what one would write first."""
    folder.mkdir()
    db = sqlite3.connect(folder / FILE, isolation_level=None)
    for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
        db.execute(line)
    db.execute("CREATE TABLE value (bed TEXT, device TEXT, metric TEXT, at INTEGER, value REAL)")
    db.execute("CREATE INDEX value_by_time ON value (bed, metric, at)")
    spent = 0.0
    for part in all_days(clinic):
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

    def ask(bed: str, begin: datetime, end: datetime, every_s: int) -> int:
        joined = f"SELECT at / {every_s * 1_000_000 or 1}, min(value), max(value)"
        query = (joined if every_s else "SELECT at, value") + (
            " FROM value WHERE bed=? AND metric=? AND at BETWEEN ? AND ?" + " GROUP BY 1" * bool(every_s)
        )
        span = [int(edge.timestamp() * 1e6) for edge in (begin, end)]
        with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as one:
            return sum(len(one.execute(query, (bed, metric, *span)).fetchall()) for metric in METRICS)

    took = asked(clinic, ask, before)
    return Figures("SQLite, a row for each value", values / spent, size_of(folder) / values, took)


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


def beside(folder: Path, clinic: Clinic, values: int) -> Figures:
    """The same in VictoriaMetrics, over HTTP on loopback; its CPU is not that of the asking thread."""
    spent = 0.0
    with victoria(folder) as address:
        for part in all_days(clinic):
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
        took = asked(clinic, ask_victoria(address))
    return Figures("VictoriaMetrics (over HTTP)", values / spent, size / values, took)


def ask_victoria(address: str) -> Ask:
    """Return how VictoriaMetrics is asked: the lowest and highest of intervals, or every sample."""

    def ask(bed: str, begin: datetime, end: datetime, every_s: int) -> int:
        named = f'{{__name__=~"{"|".join(f"vitals_{one}" for one in METRICS)}",bed="{bed}"}}'
        span = {"start": begin.timestamp(), "end": end.timestamp()}
        if not every_s:
            words = urllib.parse.urlencode({"match[]": named, **span})
            with urllib.request.urlopen(f"{address}/api/v1/export?{words}", timeout=60) as reply:
                return sum(len(json.loads(line)["values"]) for line in reply)
        found = 0
        for of in ("min", "max"):
            words = urllib.parse.urlencode(
                {"query": f"{of}_over_time({named}[{every_s}s])", **span, "step": every_s}
            )
            with urllib.request.urlopen(f"{address}/api/v1/query_range?{words}", timeout=60) as reply:
                found += sum(len(series["values"]) for series in json.load(reply)["data"]["result"])
        return found

    return ask


# --- the table ----------------------------------------------------------------------------------------------


def p95(took: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(took, n=20)[-1]


def main() -> int:
    """Measure and print; return 0 if the aims are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--beds", type=int, default=20)
    parser.add_argument("--year", action="store_true", help="a year of 20 beds, ours alone")
    parser.add_argument("--cold", action="store_true", help="drop the system's cache before each question")
    parser.add_argument("--only", choices=["ours", "plain", "victoria"], help="one store")
    chosen = parser.parse_args()
    clinic = YEAR if chosen.year else Clinic(chosen.beds, chosen.days)
    with tempfile.TemporaryDirectory(prefix="afterwatch-bench-") as place:
        folder = Path(place)

        def before(name: str) -> Callable[[], None]:
            return (lambda: forget(folder / name / FILE)) if chosen.cold else (lambda: None)

        make = ours_of_a_year if chosen.year else ours
        first, values = make(folder / "ours", clinic, before("ours"))
        found, size = [first], (folder / "ours" / FILE).stat().st_size
        if not chosen.year and chosen.only in (None, "plain"):
            found.append(plain(folder / "plain", clinic, values, before("plain")))
        if not chosen.year and chosen.only in (None, "victoria") and shutil.which("victoria-metrics"):
            found.append(beside(folder / "victoria", clinic, values))
    show(found, values, size, clinic)
    walls = [(one, p95(took.wall)) for one, took in zip(QUESTIONS, first.took, strict=True)]
    held = [(f"store: {one.name}, {clinic.days} days", wall, one.aim_ms) for one, wall in walls if one.aim_ms]
    kept = [promise(name, wall, aim, "ms at p95") for name, wall, aim in held]
    return int(not all(kept))


def show(found: list[Figures], values: int, size: int, clinic: Clinic) -> None:
    """Print the table, and the ratios to each peer."""
    print(f"{values:,} values of {clinic.days} days of {clinic.beds} beds; our file {size / 1e6:,.0f} MB")
    heads = "".join(f"{f'{one.name}: p50 p95 cpu95':>30}" for one in QUESTIONS)
    print(f"{'':30}{'values/s':>9}{'bytes':>7}{heads}")
    for one in found:
        cells = "".join(
            f"{f'{statistics.median(took.wall):.1f} {p95(took.wall):.1f} {p95(took.cpu):.1f}':>30}"
            for took in one.took
        )
        print(f"{one.name:30}{one.written_a_s:9.0f}{one.bytes_each:7.1f}{cells}")
    first, *peers = found
    for peer in peers:
        ratios = ", ".join(
            f"{question.name} {p95(us.wall) / p95(them.wall):.2f}"
            for question, us, them in zip(QUESTIONS, first.took, peer.took, strict=True)
        )
        print(
            f"ratio to {peer.name}: bytes {first.bytes_each / peer.bytes_each:.2f}; p95 of wall time {ratios}"
        )


if __name__ == "__main__":
    sys.exit(main())
