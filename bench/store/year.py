"""A year of a clinic in a journal: one day through the journal itself, the other days copied in SQL.

The law: what is copied is what the journal would have written, row for row, checksum for checksum, interval
for interval (`tests/series/test_year.py` holds it), in the order in which it would have written it.

The reckoning: 20 beds, 250 workdays, two sessions of 3 h for each bed and day, an oximeter every second and a
cuff every 5 minutes: 20 x 250 x 2 x (10,800 + 36) = 108 million reports of two values, 217 million values;
and 10,000 sessions in the log.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from monitor import snapshot
from monitor.core.inputs import EndSession
from monitor.core.outcomes import Outcome
from monitor.core.vitals import Observation, Report
from monitor.journal import LEVEL_EVERY, Batch, Journal
from monitor.schema import FILE, LOWS_HIGHS, REPORT, VALUES, checksum
from tests.core.scene import NOON, Scene, protocols

BEGAN = datetime(2025, 12, 1, 8, tzinfo=UTC)  # the first session of the first day
DAY = timedelta(days=1)
CUFF_EVERY_S = 300
EACH_COMMIT = 2000


class Clinic(NamedTuple):
    """How large a clinic, and for how many workdays (which follow one another here)."""

    beds: int = 20
    days: int = 250
    starts_h: tuple[float, ...] = (0.0, 4.5)  # of the day's sessions, hours after the first
    session_s: int = 3 * 3600
    seed: int = 1

    @property
    def each_day(self) -> int:
        """Return how many reports a device that reports every second sends a day."""
        return len(self.starts_h) * self.session_s


def build(folder: Path, clinic: Clinic) -> int:
    """Write the journal of all the days, with a log of sessions; return how many readings it holds."""
    first = list(a_day(clinic, 0))
    write(folder, first)
    rows = copy_days(folder, clinic, len(first))
    write_log(folder, clinic)
    return rows


def a_day(clinic: Clinic, day: int) -> Iterator[tuple[str, Report]]:
    """Yield a day of every bed in order of time; a pulse and a saturation wander as people's do."""
    chance = random.Random(clinic.seed)  # every day is alike: the file does not compress
    pulse, spo2, number = [72.0] * clinic.beds, [97.0] * clinic.beds, day * clinic.each_day
    for start_h in clinic.starts_h:
        begin = BEGAN + day * DAY + timedelta(hours=start_h)
        for second in range(clinic.session_s):
            number += 1
            at = begin + timedelta(seconds=second)
            received_at = at + timedelta(milliseconds=40)
            for bed in range(clinic.beds):
                pulse[bed] = min(130.0, max(45.0, pulse[bed] + chance.choice((-1, 0, 0, 0, 1))))
                spo2[bed] = min(100.0, max(84.0, spo2[bed] + chance.choice((-1, 0, 0, 0, 0, 0, 1))))
                seen = (Observation("pulse_rate", pulse[bed]), Observation("spo2", spo2[bed]))
                yield f"bed-{bed}", Report(f"oximeter-{bed}", received_at, at, seen, (), "b1", number)
                if second % CUFF_EVERY_S == bed % CUFF_EVERY_S:
                    high = 110.0 + chance.randrange(50)
                    cuff = (Observation("nibp_systolic", high), Observation("nibp_diastolic", high - 45))
                    yield f"bed-{bed}", Report(f"cuff-{bed}", received_at, at, cuff, (), "b1", number)


def write(folder: Path, readings: list[tuple[str, Report]]) -> None:
    """Write readings through the journal, and let a restart tell the intervals of the last of them."""
    journal = Journal(folder)
    for start in range(0, len(readings) - 2, EACH_COMMIT):
        journal.commit([Batch(readings=readings[start : min(start + EACH_COMMIT, len(readings) - 2)])])
    journal.close()
    journal = Journal(folder)
    journal.commit([Batch(readings=readings[-2:])])
    journal.commit([Batch()])  # tells the intervals of all before it
    journal.close()


def copy_days(folder: Path, clinic: Clinic, rows: int) -> int:
    """Copy the first day to all others, as the journal would have written them; return the rows of all."""
    columns = f"id, bed, at, {REPORT}, crc"
    moved = (
        "bed, at + :us, device, received_at + :us, measured_at + :us, gateway_at, boot, sequence + :more, "
        f"flags, extra, {VALUES}"
    )
    reading = (
        f"INSERT INTO reading ({columns}) SELECT id + :ids, {moved}, checksum({moved}) "
        "FROM reading WHERE id <= :rows ORDER BY id"
    )
    level = (
        f"INSERT INTO level (device, span, slot, bed, {LOWS_HIGHS}) "
        f"SELECT device, span, slot + :us / (span * 1000000), bed, {LOWS_HIGHS} "
        "FROM level WHERE slot < :end / (span * 1000000)"
    )
    day_us = int(DAY.total_seconds() * 1e6)
    end = int((BEGAN + DAY).timestamp() * 1e6)
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.create_function("checksum", -1, checksum, deterministic=True)
        for day in range(1, clinic.days):
            of = {
                "us": day * day_us,
                "ids": day * rows,
                "rows": rows,
                "more": day * clinic.each_day,
                "end": end,
            }
            db.execute("BEGIN")
            db.execute(reading, of)
            db.execute(level, of)
            db.execute("COMMIT")
        db.execute("UPDATE meta SET value = ? WHERE key = 'levelled'", (str(rows * clinic.days),))
    return rows * clinic.days


def this_morning(folder: Path, clinic: Clinic) -> None:
    """Write the beginning of the day after the last, as a monitor that runs: no interval knows it yet."""
    journal = Journal(folder)
    readings = islice(a_day(clinic, clinic.days), LEVEL_EVERY - EACH_COMMIT)
    while part := list(islice(readings, EACH_COMMIT)):
        journal.commit([Batch(readings=part)])
    journal.close()


# --- the log ------------------------------------------------------------------------------------------------


def write_log(folder: Path, clinic: Clinic) -> None:
    """Write what a session says, for every bed and day, and the beds' last states."""
    played = a_session()
    protocol = protocols()["in-esketamine"]
    journal = Journal(folder)
    known = {protocol.digest: (protocol.name, snapshot.dump_protocol(protocol))}
    for day in range(clinic.days):
        batch = Batch(protocols=known)
        for start_h in clinic.starts_h:
            begin = BEGAN + day * DAY + timedelta(hours=start_h)
            for bed in range(clinic.beds):
                batch.outcomes += moved(played.told, f"bed-{bed}", begin)
        journal.commit([batch])
    states = {f"bed-{bed}": (played.now, snapshot.dump(played.bed)) for bed in range(clinic.beds)}
    journal.commit([Batch(snapshots=states)])
    journal.close()


def a_session() -> Scene:
    """Play a session with some excursions to its end."""
    played = Scene().start("in-esketamine")
    for systolic in (138, 152, 171, 149, 141, 136):
        played.stream(40, spo2=96)
        played.stream(30, spo2=87)
        played.cuff(systolic, 84, after_s=5)
    played.give(EndSession("nurse"))
    return played


def moved(told: list[Outcome], bed_id: str, begin: datetime) -> list[Outcome]:
    """Return the outcomes of a session as those of another bed and time."""
    by, name = begin - NOON, f"{begin:%Y%m%dT%H%M%S}-{bed_id}"
    found = []
    for one in told:
        detail = dict(one.detail)
        if "started_at" in detail:
            detail["started_at"] = (datetime.fromisoformat(detail["started_at"]) + by).isoformat()
        session_id = one.session_id and name
        alarm_id = one.alarm_id and f"{one.alarm_id}-{name}"
        found.append(
            one._replace(
                at=one.at + by, bed_id=bed_id, session_id=session_id, alarm_id=alarm_id, detail=detail
            )
        )
    return found
