"""How the journal lies on the disk: its tables, and a report as a row.

Law: ``report_of(row_of(report))`` is the report again (a property test holds it); instants are microseconds
since 1970 (UTC). Whoever reads the file reads it through this page.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import compress
from operator import is_not
from typing import Any

import orjson

from monitor.core.vitals import METRICS, VALID, Observation, Report

FILE = "journal.db"
SCHEMA_VERSION = 4
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
METRIC_COLUMNS = tuple(METRICS)
VALUES = ", ".join(METRIC_COLUMNS)
REPORT = f"device, received_at, measured_at, gateway_at, boot, sequence, flags, extra, {VALUES}"
# Seconds of an interval of the table ``level``: four hours are 1440 rows of one, a month 8640 of the other.
LEVELS = (10, 300)
LOWS_HIGHS = ", ".join(f"{name}_low, {name}_high" for name in METRIC_COLUMNS)
# Behind a bed's name: a reading of another mode than the session's is kept, and stands in no record (S-10).
REFUSED = "#refused"
RETAINED, DRILL, ONLINE, OFFLINE, FAULTLESS = 1, 2, 4, 8, 16

_PLACE = {name: place for place, name in enumerate(METRIC_COLUMNS)}

# Each entry brings the file from one version to the next; entry 0 makes a new one.
MIGRATIONS: tuple[str, ...] = (
    f"""
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE reading (
        id INTEGER PRIMARY KEY, bed INTEGER NOT NULL, at INTEGER NOT NULL, device INTEGER NOT NULL,
        received_at INTEGER NOT NULL, measured_at INTEGER, gateway_at INTEGER, boot INTEGER, sequence INTEGER,
        flags INTEGER NOT NULL, extra TEXT, {", ".join(f"{name} REAL" for name in METRIC_COLUMNS)});
    CREATE INDEX reading_of_device ON reading (device, at);
    CREATE TABLE outcome (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, bed_id TEXT NOT NULL, session_id TEXT NOT NULL,
        outcome TEXT NOT NULL, alarm_id TEXT NOT NULL, body TEXT NOT NULL, chain BLOB NOT NULL);
    CREATE INDEX outcome_of_session ON outcome (session_id, id);
    CREATE INDEX outcome_of_bed ON outcome (bed_id, at);
    CREATE TABLE session (
        session_id TEXT PRIMARY KEY, bed_id TEXT NOT NULL, patient_code TEXT NOT NULL, protocol TEXT NOT NULL,
        protocol_digest TEXT NOT NULL, mode TEXT NOT NULL, started_at INTEGER NOT NULL,
        started_by TEXT NOT NULL, ended_at INTEGER, ended_by TEXT NOT NULL DEFAULT '',
        alarms INTEGER NOT NULL DEFAULT 0, high INTEGER NOT NULL DEFAULT 0,
        signed_by TEXT NOT NULL DEFAULT '', signed_at INTEGER) WITHOUT ROWID;
    CREATE INDEX session_by_start ON session (started_at);
    CREATE TABLE protocol (digest TEXT PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE snapshot (
        bed_id TEXT PRIMARY KEY, at INTEGER NOT NULL, reading INTEGER NOT NULL,
        body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE notification (
        key TEXT PRIMARY KEY, alarm_id TEXT NOT NULL, session_id TEXT NOT NULL, target TEXT NOT NULL,
        created_at INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, result TEXT NOT NULL,
        settled_at INTEGER, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX notification_open ON notification (alarm_id) WHERE settled_at IS NULL;
    CREATE INDEX notification_of_session ON notification (session_id);
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
        reason TEXT NOT NULL);
    """,
    # 2: a checksum on every reading and every state, lowest and highest of intervals, what was removed.
    f"""
    ALTER TABLE reading ADD COLUMN crc INTEGER;
    UPDATE reading SET crc = checksum(bed, at, {REPORT});
    ALTER TABLE snapshot ADD COLUMN crc INTEGER;
    UPDATE snapshot SET crc = checksum(bed_id, at, reading, body);
    ALTER TABLE protocol ADD COLUMN crc INTEGER;
    UPDATE protocol SET crc = checksum(digest, name, body);
    CREATE TABLE level (
        device INTEGER NOT NULL, span INTEGER NOT NULL, slot INTEGER NOT NULL, bed INTEGER NOT NULL,
        {", ".join(f"{name}_low REAL, {name}_high REAL" for name in METRIC_COLUMNS)},
        PRIMARY KEY (device, span, slot, bed)) WITHOUT ROWID;
    CREATE INDEX reading_with_extra ON reading (device, at) WHERE extra IS NOT NULL;
    CREATE TABLE removed (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, body TEXT NOT NULL, anchor BLOB NOT NULL, chain BLOB NOT NULL);
    """,
    # 3: what was asked of a bed besides readings, so that a session can be lived again (AF-01, AF-12).
    """
    CREATE TABLE input (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, bed_id TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX input_of_bed ON input (bed_id, at);
    """,
    # 4: intervals lie by bed: a chart reads its own bed's, and finds the devices that ever served it.
    f"""
    CREATE TABLE level_of_bed (
        bed INTEGER NOT NULL, span INTEGER NOT NULL, device INTEGER NOT NULL, slot INTEGER NOT NULL,
        {", ".join(f"{name}_low REAL, {name}_high REAL" for name in METRIC_COLUMNS)},
        PRIMARY KEY (bed, span, device, slot)) WITHOUT ROWID;
    INSERT INTO level_of_bed (bed, span, device, slot, {LOWS_HIGHS})
        SELECT bed, span, device, slot, {LOWS_HIGHS} FROM level ORDER BY bed, span, device, slot;
    INSERT OR IGNORE INTO level_of_bed (bed, span, device, slot)
        SELECT DISTINCT bed, {LEVELS[-1]}, device, at / {LEVELS[-1] * 1_000_000}
        FROM reading INDEXED BY reading_with_extra WHERE extra IS NOT NULL;
    DROP TABLE level;
    ALTER TABLE level_of_bed RENAME TO level;
    CREATE INDEX outcome_by_time ON outcome (at);
    """,
)


def checksum(*columns: Any) -> int:
    """Return the CRC-32 of a row's columns, as the file returns them; SQL may call it by its name."""
    return zlib.crc32(orjson.dumps(columns, default=bytes.hex))


# What plain readings of a range of ids say of each interval of ``:us`` microseconds; those with ``extra`` are
# read one by one.
LEVELS_OF = (
    "SELECT device, at / :us AS slot, bed, "
    + ", ".join(f"min({name}), max({name})" for name in METRIC_COLUMNS)
    + " FROM reading NOT INDEXED WHERE id > :first AND id <= :last AND extra IS NULL "
    "GROUP BY device, slot, bed"
)
READING_COLUMNS = (*f"bed, at, {REPORT}, crc".split(", "),)
LEVEL_COLUMNS = (*f"device, span, slot, bed, {LOWS_HIGHS}".split(", "),)


_holds_something = partial(is_not, None)


def filled(row: Iterable[Any]) -> bytes:
    """Say which columns of a row hold something.

    Only these are written: SQLite's driver takes as long for one ``None`` as for the rest of a row.
    """
    return bytes(map(_holds_something, row))


@lru_cache(maxsize=256)
def insert_readings(columns: bytes, rows: int) -> str:
    """Return the statement that appends so many readings that have the same ``filled`` columns."""
    names = [*compress(READING_COLUMNS, columns)]
    one = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO reading ({', '.join(names)}) VALUES {', '.join([one] * rows)}"


@lru_cache(maxsize=256)
def merge_level(columns: bytes) -> str:
    """Return the statement that tells an interval lowest and highest, the ``filled`` columns of its row.

    They may be told twice, and in any order: a late reading finds its interval too.
    """
    names = [*compress(LEVEL_COLUMNS, columns)]
    widened = [
        f"{end} = {'min' if end.endswith('_low') else 'max'}"
        f"(coalesce({end}, excluded.{end}), coalesce(excluded.{end}, {end}))"
        for end in names[4:]
    ]
    return (
        f"INSERT INTO level ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT DO {'UPDATE SET ' + ', '.join(widened) if widened else 'NOTHING'}"
    )


def level_of(device: int, at: int, bed: int, extra: str) -> Iterator[tuple[Any, ...]]:
    """Yield what a reading with ``extra`` says of intervals: that it came, and each value at its own time."""
    nothing: list[float | None] = [None] * (2 * len(METRIC_COLUMNS))
    for span in LEVELS:
        yield (device, span, at // (span * 1_000_000), bed, *nothing)
    for one in orjson.loads(extra)["values"]:
        if one["value"] is None:
            continue
        when = micros(datetime.fromisoformat(one["measured_at"])) if one["measured_at"] else at
        ends = list(nothing)
        place = 2 * _PLACE[one["metric"]]
        ends[place] = ends[place + 1] = one["value"]
        for span in LEVELS:
            yield (device, span, when // (span * 1_000_000), bed, *ends)


Ends = list[float | None]  # lowest and highest of each metric


class Levels:
    """What readings say of intervals until the file is told: of the finest, from which the wider follow."""

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._ends: dict[tuple[int, int, int], Ends] = {}  # of device, slot, bed

    def add(self, row: tuple[Any, ...], report: Report) -> None:
        """Take in a report and its row (``row_of``)."""
        bed, at, device = row[:3]
        unit = LEVELS[0] * 1_000_000
        found = self._of((device, at // unit, bed))
        for metric, value, _, _, own_time in report.observations:
            if own_time is None:
                _widen(found, 2 * _PLACE[metric], value)
            else:
                _widen(self._of((device, micros(own_time) // unit, bed)), 2 * _PLACE[metric], value)

    def widen(self, key: tuple[int, int, int], ends: Sequence[float | None]) -> None:
        """Take in lowest and highest of an interval of a device, slot and bed."""
        found = self._of(key)
        for place, value in enumerate(ends):
            _widen(found, place & ~1, value)

    def _of(self, key: tuple[int, int, int]) -> Ends:
        found = self._ends.get(key)
        if found is None:
            found = self._ends[key] = [None] * (2 * len(METRIC_COLUMNS))
        return found

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield what the file is to be told (``LEVEL_COLUMNS``), of every length of interval."""
        finest, *others = LEVELS
        for (device, slot, bed), ends in self._ends.items():
            yield (device, finest, slot, bed, *ends)
        for span in others:
            wider = Levels()
            for (device, slot, bed), ends in self._ends.items():
                wider.widen((device, slot * finest // span, bed), ends)
            for (device, slot, bed), ends in wider._ends.items():
                yield (device, span, slot, bed, *ends)


def _widen(ends: Ends, place: int, value: float | None) -> None:
    if value is None:
        return
    low, high = ends[place], ends[place + 1]
    if low is None or value < low:
        ends[place] = value
    if high is None or value > high:
        ends[place + 1] = value


def row_of(report: Report, bed: int, device: int, boot: int | None) -> tuple[Any, ...]:
    """Return a report as a row of ``reading`` but its checksum; the numbers are those of the names table."""
    flags = (RETAINED if report.retained else 0) | (DRILL if report.mode == "drill" else 0)
    if report.online is not None:
        flags |= ONLINE if report.online else OFFLINE
    if report.faults == ():
        flags |= FAULTLESS
    received_at = micros(report.received_at)
    measured_at = None if report.measured_at is None else micros(report.measured_at)
    gateway_at = None if report.gateway_at is None else micros(report.gateway_at)
    own_clock = gateway_at if measured_at is None else measured_at
    values: dict[str, float] = {}
    plain, last = not report.faults and not report.notes, -1
    for metric, value, validity, reason, own_time in report.observations:
        place = _PLACE[metric]
        if value is not None:
            values[metric] = float(value)
        if value is None or validity != VALID or reason or own_time or place <= last:
            plain = False  # the columns hold one value of each metric, in their order
        last = place
    return (
        bed,
        received_at if own_clock is None else own_clock,
        device,
        received_at,
        measured_at,
        gateway_at,
        boot,
        report.sequence,
        flags,
        None if plain else _extra(report),
        *map(values.get, METRIC_COLUMNS),
    )


def _extra(report: Report) -> str:
    """Return as JSON what the columns cannot hold: reasons, faults, values with a time of their own."""
    found: dict[str, Any] = {
        "values": [
            {
                "metric": one.metric,
                "value": one.value,
                "validity": one.validity,
                "reason": one.reason,
                "measured_at": one.measured_at.isoformat() if one.measured_at else None,
            }
            for one in report.observations
        ]
    }
    if report.faults:
        found["faults"] = report.faults
    if report.notes:
        found["notes"] = report.notes
    return orjson.dumps(found).decode()


def report_of(row: tuple[Any, ...], names: Mapping[int, str]) -> Report:
    """Return the report that ``row_of`` stored."""
    device, received_at, measured_at, gateway_at, boot, sequence, flags, extra, *values = row
    more: dict[str, Any] = orjson.loads(extra) if extra else {}
    if more:
        observations = tuple(
            Observation(
                one["metric"],
                one["value"],
                one["validity"],
                one["reason"],
                datetime.fromisoformat(one["measured_at"]) if one["measured_at"] else None,
            )
            for one in more["values"]
        )
    else:
        observations = tuple(
            Observation(name, value)
            for name, value in zip(METRIC_COLUMNS, values, strict=True)
            if value is not None
        )
    faults = tuple(more["faults"]) if "faults" in more else (() if flags & FAULTLESS else None)
    return Report(
        names[device],
        from_micros(received_at),
        None if measured_at is None else from_micros(measured_at),
        observations,
        faults,
        names[boot] if boot is not None else None,
        sequence,
        "drill" if flags & DRILL else "real",
        bool(flags & RETAINED),
        None if gateway_at is None else from_micros(gateway_at),
        bool(flags & ONLINE) if flags & (ONLINE | OFFLINE) else None,
        tuple(more.get("notes", ())),
    )


_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Return an instant as microseconds since 1970 (UTC)."""
    return (at - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return an instant from microseconds since 1970 (UTC)."""
    return EPOCH + timedelta(microseconds=micros)
