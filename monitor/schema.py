"""How the journal lies on the disk: its tables, and a report as a row.

Law: ``report_of(row_of(report))`` is the report again (a property test holds it); instants are microseconds
since 1970 (UTC). Whoever reads the file reads it through this page.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from monitor.core.vitals import METRICS, VALID, Observation, Report

FILE = "journal.db"
SCHEMA_VERSION = 3
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
)


def checksum(*columns: Any) -> int:
    """Return the CRC-32 of a row's columns, as the file returns them; SQL may call it by its name."""
    return zlib.crc32(orjson.dumps(columns, default=bytes.hex))


# What plain readings of a range of ids say of each interval (``:us`` microseconds long, named ``:span``);
# what has ``extra`` is read one by one.
LEVELS_OF = (
    "SELECT device, :span, at / :us AS slot, bed, "
    + ", ".join(f"min({name}), max({name})" for name in METRIC_COLUMNS)
    + " FROM reading NOT INDEXED WHERE id > :first AND id <= :last AND extra IS NULL "
    "GROUP BY device, slot, bed"
)
# Lowest and highest may be told twice, and in any order: a late reading finds its interval too.
MERGE_LEVEL = (
    f"INSERT INTO level (device, span, slot, bed, {LOWS_HIGHS}) "
    f"VALUES ({', '.join('?' * (4 + 2 * len(METRIC_COLUMNS)))}) ON CONFLICT DO UPDATE SET "
    + ", ".join(
        f"{name}_{end} = {of}(coalesce({name}_{end}, excluded.{name}_{end}), "
        f"coalesce(excluded.{name}_{end}, {name}_{end}))"
        for name in METRIC_COLUMNS
        for end, of in (("low", "min"), ("high", "max"))
    )
)


def level_of(device: int, at: int, bed: int, extra: str) -> Iterator[tuple[Any, ...]]:
    """Yield what a reading with ``extra`` says of intervals: each value at the time it was measured."""
    for one in orjson.loads(extra)["values"]:
        if one["value"] is None:
            continue
        when = micros(datetime.fromisoformat(one["measured_at"])) if one["measured_at"] else at
        ends: list[float | None] = [None] * (2 * len(METRIC_COLUMNS))
        place = 2 * _PLACE[one["metric"]]
        ends[place] = ends[place + 1] = one["value"]
        for span in LEVELS:
            yield (device, span, when // (span * 1_000_000), bed, *ends)


# Device, span, slot, bed -> lowest and highest of each metric.
Levels = dict[tuple[int, int, int, int], list[float | None]]


def widen(levels: Levels, row: tuple[Any, ...]) -> None:
    """Tell intervals of a reading: of its bed, its time, and then the columns ``REPORT``."""
    bed, at, device = row[:3]
    extra = row[9]
    if extra is not None:
        for told in level_of(device, at, bed, extra):
            ends = levels.setdefault(told[:4], [None] * (2 * len(METRIC_COLUMNS)))
            for place in range(0, len(ends), 2):
                _widen(ends, place, told[4 + place])
        return
    for span in LEVELS:
        key = (device, span, at // (span * 1_000_000), bed)
        found = levels.get(key)
        if found is None:
            found = levels[key] = [None] * (2 * len(METRIC_COLUMNS))
        place = 0
        for value in row[10:]:
            if value is not None:
                _widen(found, place, value)
            place += 2


def _widen(ends: list[float | None], place: int, value: float | None) -> None:
    if value is None:
        return
    low, high = ends[place], ends[place + 1]
    if low is None or value < low:
        ends[place] = value
    if high is None or value > high:
        ends[place + 1] = value


def row_of(report: Report, device: int, boot: int | None) -> tuple[Any, ...]:
    """Return a report as the columns ``REPORT``; ``device`` and ``boot`` are numbers of the names table."""
    flags = (RETAINED if report.retained else 0) | (DRILL if report.mode == "drill" else 0)
    if report.online is not None:
        flags |= ONLINE if report.online else OFFLINE
    if report.faults == ():
        flags |= FAULTLESS
    values: dict[str, float] = {}
    plain, last = not report.faults and not report.notes, -1
    for one in report.observations:
        place = _PLACE[one.metric]
        if (
            one.value is None
            or one.validity != VALID
            or one.reason
            or one.measured_at
            or place <= last  # the columns hold one value of each metric, in their order
        ):
            plain = False
        last = place
        if one.value is not None:
            values[one.metric] = float(one.value)
    return (
        device,
        micros(report.received_at),
        None if report.measured_at is None else micros(report.measured_at),
        None if report.gateway_at is None else micros(report.gateway_at),
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
