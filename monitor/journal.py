"""The journal: what must survive. One file, one writer, one transaction for a batch.

Law: what ``commit`` returned from is on the disk (WAL, ``synchronous=FULL``); what it raised from is not
there at all. Readings are appended once each; outcomes form a chain of hashes; the state of a bed is stored
with the number of the last reading it knows, so that a restart is that state and the readings since.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, compress, groupby
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from monitor.core.outcomes import Outcome, as_json
from monitor.core.vitals import Report
from monitor.schema import (
    FILE,
    LEVELS,
    LEVELS_OF,
    METRIC_COLUMNS,
    MIGRATIONS,
    REFUSED,
    REPORT,
    SCHEMA_VERSION,
    VALUES,
    Levels,
    checksum,
    filled,
    from_micros,
    insert_readings,
    level_of,
    merge_level,
    micros,
    report_of,
    row_of,
)

# The intervals of charts are told of readings every so many: telling one costs as much as ten readings, and
# what they do not know yet a chart has to look through.
LEVEL_EVERY = 8000
SEQUENCES_SEARCHED = 5000  # of one device's newest readings, for a message that has no time of its own
GENESIS = b"\0" * 32

# Readings that one statement appends: at every statement SQLite's driver lets other threads run, and then has
# to wait for its turn.
TOGETHER = (64, 8, 1)
_INSERT_SESSION = (
    "INSERT OR IGNORE INTO session (session_id, bed_id, patient_code, protocol, protocol_digest, mode, "
    "started_at, started_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SESSION_UPDATES = {
    "SessionEnded": "UPDATE session SET ended_at=?, ended_by=? WHERE session_id=?",
    "RecordSigned": "UPDATE session SET signed_at=?, signed_by=? WHERE session_id=?",
}
_COUNT_ALARM = "UPDATE session SET alarms=alarms+1, high=high+? WHERE session_id=?"
_OPEN = "settled_at IS NULL"


class JournalError(Exception):
    """The journal cannot be used; the text names the file and the remedy."""


class Due(NamedTuple):
    """One notification to be sent; ``body`` is JSON for its sender, ``late`` what a restart finds of it."""

    key: str
    alarm_id: str
    session_id: str
    target: str
    created_at: datetime
    body: str
    late: bool = False


class Settled(NamedTuple):
    """What became of a notification; without ``final`` it will be tried again."""

    key: str
    state: str
    attempts: int
    result: str
    at: datetime
    final: bool = True


class Refused(NamedTuple):
    """One payload that could not be decoded."""

    at: datetime
    topic: str
    payload: bytes
    reason: str


@dataclass(slots=True)
class Batch:
    """What is committed together. ``readings`` pair a bed id (empty: no bed) with a report."""

    readings: list[tuple[str, Report]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    snapshots: dict[str, tuple[datetime, bytes]] = field(default_factory=dict)
    protocols: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    cancelled: list[tuple[str, str, datetime]] = field(default_factory=list)  # alarm, why, when
    quarantined: list[Refused] = field(default_factory=list)
    inputs: list[tuple[datetime, str, bytes]] = field(default_factory=list)  # when, which bed, what
    meta: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Say whether there is anything to commit."""
        return bool(
            self.readings
            or self.outcomes
            or self.snapshots
            or self.due
            or self.settled
            or self.cancelled
            or self.quarantined
            or self.inputs
            or self.meta
        )


class Counts(NamedTuple):
    """What a commit wrote: new readings, and messages that were there already (P-27)."""

    stored: int
    repeated: int


class Stored(NamedTuple):
    """A bed's last state, and the readings that came after it, oldest first."""

    body: bytes
    readings: list[Report]


class Journal:
    """The one writer. Not shared between threads: whoever made it, or took it over, uses it alone."""

    def __init__(self, folder: Path) -> None:
        """Open or make the journal in ``folder``.

        Raises:
            JournalError: the file cannot be opened, is newer than this program, or is in use.
        """
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=2.0)
            self._prepare()
        except (OSError, sqlite3.Error) as fault:
            raise JournalError(
                f"{self.path}: {fault}; make room, make the folder writable, or restore a backup"
            ) from fault
        self._names: dict[str, int] = dict(self._db.execute("SELECT name, id FROM name"))
        self._newest: dict[str, tuple[int, str | None, int | None]] = {}
        last = self._db.execute("SELECT chain FROM outcome ORDER BY id DESC LIMIT 1").fetchone()
        self._chain: bytes = last[0] if last else self._anchor()
        self._unlevelled = LEVEL_EVERY  # what a crash left; the next commit but one finds out
        self._numbers: dict[int, set[tuple[str, int]]] = {}  # of devices that repeat, see _numbers_of
        self._levels = Levels()  # what the intervals are still to be told of readings written here
        self._ahead: set[str] | None = None  # beds of which readings are newer than their state
        self._caught_up = False  # what was written by an earlier process is in the intervals

    def _prepare(self) -> None:
        db = self._db
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=2000",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.create_function("checksum", -1, checksum, deterministic=True)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path}: schema {version} is newer than this program; use a newer Afterwatch"
            )
        for number in range(version, SCHEMA_VERSION):
            db.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version={number + 1}; COMMIT;"
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- writing ------------------------------------------------------------------------------------

    def commit(self, batches: Iterable[Batch]) -> Counts:
        """Write batches, in their order, as one transaction.

        Returns:
            How many readings were new and how many were there already.

        Raises:
            JournalError: the disk refused; nothing of it was written, and trying again may help.
        """
        every = list(batches)
        names, ends_at = len(self._names), self._chain
        stored = repeated = 0
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if self._unlevelled > LEVEL_EVERY:
                self._raise_levels()
            for batch in every:
                new, old = self._write(batch)
                stored, repeated = stored + new, repeated + old
            self._db.execute("COMMIT")
        except BaseException as fault:
            self._undo(names, ends_at)
            if isinstance(fault, sqlite3.Error | OSError):
                raise JournalError(f"{self.path.name}: {fault}") from fault
            raise
        if self._ahead is not None:
            for batch in every:
                self._ahead.update(bed_id for bed_id, _ in batch.readings)
                self._ahead.difference_update(batch.snapshots)
        self._unlevelled += stored
        self._numbers.clear()
        return Counts(stored, repeated)

    def _undo(self, names: int, ends_at: bytes) -> None:
        """Forget what a transaction that failed had made known; the file says the rest again."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._chain = ends_at
        for name in list(self._names)[names:]:
            del self._names[name]
        self._newest.clear()
        self._numbers.clear()
        self._levels, self._caught_up, self._unlevelled = Levels(), False, LEVEL_EVERY

    def _write(self, batch: Batch) -> tuple[int, int]:
        db = self._db
        stored = self._write_readings(batch.readings)
        db.executemany(
            "INSERT OR IGNORE INTO protocol VALUES (?, ?, ?, ?)",
            [(one, name, body, checksum(one, name, body)) for one, (name, body) in batch.protocols.items()],
        )
        for outcome in batch.outcomes:
            self._append(outcome)
        if batch.snapshots:
            last = self._last_reading()
            db.executemany(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)",
                [
                    (bed_id, micros(at), last, body, checksum(bed_id, micros(at), last, body))
                    for bed_id, (at, body) in batch.snapshots.items()
                ],
            )
        self._write_notifications(batch)
        db.executemany(
            "INSERT INTO quarantine (at, topic, payload, reason) VALUES (?, ?, ?, ?)",
            [(micros(one.at), one.topic, one.payload, one.reason) for one in batch.quarantined],
        )
        db.executemany(
            "INSERT INTO input (at, bed_id, body) VALUES (?, ?, ?)",
            [(micros(at), bed_id, body) for at, bed_id, body in batch.inputs],
        )
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(batch.meta.items()))
        return stored, len(batch.readings) - stored

    def _write_notifications(self, batch: Batch) -> None:
        db = self._db
        db.executemany(
            f"UPDATE notification SET state='cancelled', result=?, settled_at=? WHERE alarm_id=? AND {_OPEN}",
            [(why, micros(at), alarm_id) for alarm_id, why, at in batch.cancelled],
        )
        db.executemany(
            "INSERT OR IGNORE INTO notification VALUES (?, ?, ?, ?, ?, 'due', 0, '', NULL, ?)",
            [(d.key, d.alarm_id, d.session_id, d.target, micros(d.created_at), d.body) for d in batch.due],
        )
        db.executemany(
            # Once late it stays late until it is settled: the next channel is told once, over restarts too.
            "UPDATE notification SET state=iif(state='late' AND ?1='retrying', state, ?1), attempts=?2, "
            f"result=?3, settled_at=?4 WHERE key=?5 AND {_OPEN}",
            [
                (s.state, s.attempts, s.result, micros(s.at) if s.final else None, s.key)
                for s in batch.settled
            ],
        )

    def _append(self, outcome: Outcome) -> None:
        """Add an outcome to the chain, and to the list of sessions what it says of one (AL-50)."""
        body = orjson.dumps(as_json(outcome), option=orjson.OPT_SORT_KEYS)
        self._chain = hashlib.sha256(self._chain + body).digest()
        at, name, session_id = micros(outcome.at), outcome.outcome, outcome.session_id
        self._db.execute(
            "INSERT INTO outcome (at, bed_id, session_id, outcome, alarm_id, body, chain) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (at, outcome.bed_id, session_id, name, outcome.alarm_id, body.decode(), self._chain),
        )
        if name == "SessionStarted":
            said = [outcome.detail[key] for key in ("patient_code", "protocol", "protocol_digest", "mode")]
            began = micros(datetime.fromisoformat(outcome.detail["started_at"]))
            self._db.execute(_INSERT_SESSION, (session_id, outcome.bed_id, *said, began, outcome.by))
        elif name in _SESSION_UPDATES:
            self._db.execute(_SESSION_UPDATES[name], (at, outcome.by, session_id))
        elif name == "AlarmRaised" and outcome.kind == "physiological" and session_id:
            self._db.execute(_COUNT_ALARM, (int(outcome.priority == "high"), session_id))

    # --- readings -----------------------------------------------------------------------------------

    def _write_readings(self, readings: Iterable[tuple[str, Report]]) -> int:
        """Append what is not there yet; return how many rows that made."""
        rows: list[tuple[Any, ...]] = []
        written, known, name = 0, self._names.get, self._name
        for bed_id, report in readings:
            device_id, sequence, boot_id = report.device_id, report.sequence, report.boot_id
            boot = (known(boot_id) or name(boot_id)) if boot_id else None
            places = (known(bed_id) or name(bed_id), known(device_id) or name(device_id), boot)
            fresh, row = report, row_of(report, *places)
            at = row[1]
            newest_at, last_boot, last = self._newest.get(device_id) or self._newest_of(device_id)
            counted = sequence is None or last is None or boot_id != last_boot or sequence > last
            if at <= newest_at or not counted:
                written += self._flush(rows)  # what this batch brought must be found too
                rest = self._without_known(report, at)
                if rest is None:
                    continue
                fresh, row = rest, row_of(rest, *places)
            if counted:
                last_boot, last = boot_id, sequence
            self._newest[device_id] = (max(at, newest_at), last_boot, last)
            rows.append((*row, checksum(*row)))
            self._levels.add(row, fresh)
            if row[2] in self._numbers and boot_id and sequence is not None:
                self._numbers[row[2]].add((boot_id, sequence))
        return written + self._flush(rows)

    def _flush(self, rows: list[tuple[Any, ...]]) -> int:
        for columns, alike in groupby(rows, key=filled):
            left = list(alike)
            while left:
                count = next(count for count in TOGETHER if count <= len(left))
                cells = chain.from_iterable(compress(row, columns) for row in left[:count])
                self._db.execute(insert_readings(columns, count), [*cells])
                del left[:count]
        count = len(rows)
        rows.clear()
        return count

    def _name(self, name: str) -> int:
        known = self._names.get(name)
        if known is None:
            known = self._db.execute("INSERT INTO name (name) VALUES (?)", (name,)).lastrowid or 0
            self._names[name] = known
        return known

    def _newest_of(self, device_id: str) -> tuple[int, str | None, int | None]:
        """Return the newest time of a device (microseconds), and its last boot and sequence."""
        found = self._db.execute(
            "SELECT r.at, n.name, r.sequence FROM reading r LEFT JOIN name n ON n.id = r.boot "
            "WHERE r.device=? ORDER BY r.at DESC LIMIT 1",
            (self._name(device_id),),
        ).fetchone()
        known = self._newest[device_id] = found or (-(2**62), None, None)
        return known

    def _without_known(self, report: Report, at: int) -> Report | None:
        """Take out of a report what is stored already; ``None`` when nothing is left (P-27)."""
        device = self._name(report.device_id)
        same_time = self._db.execute(
            f"SELECT extra, {VALUES} FROM reading WHERE device=? AND at=?",
            (device, at),
        ).fetchall()
        known = {
            (name, value)
            for row in same_time
            for name, value in zip(METRIC_COLUMNS, row[1:], strict=True)
            if value is not None
        }
        for row in same_time:
            known |= {(one["metric"], one["value"]) for one in orjson.loads(row[0] or "{}").get("values", ())}
        # Another value of the same instant is no repeat: a device whose clock was set back says it again.
        rest = tuple(one for one in report.observations if (one.metric, one.value) not in known)
        if same_time and report.observations and not rest:
            return None
        number = (report.boot_id or "", report.sequence or 0)
        if report.boot_id and report.sequence is not None and number in self._numbers_of(device):
            return None
        return report._replace(observations=rest)

    def _numbers_of(self, device: int) -> set[tuple[str, int]]:
        """Return boot and sequence of a device's newest messages; read once for each transaction."""
        known = self._numbers.get(device)
        if known is None:
            rows = self._db.execute(
                "SELECT name, sequence FROM (SELECT boot, sequence FROM reading WHERE device=? "
                "ORDER BY at DESC LIMIT ?) JOIN name ON name.id = boot WHERE sequence IS NOT NULL",
                (device, SEQUENCES_SEARCHED),
            )
            known = self._numbers[device] = set(rows)
        return known

    def _raise_levels(self) -> None:
        """Tell the intervals what the readings since the last time say of them; twice is no harm."""
        db, last = self._db, self._last_reading()
        if not self._caught_up:
            self._look_up_levels(last)
        for columns, alike in groupby(sorted(self._levels.rows(), key=filled), key=filled):
            db.executemany(merge_level(columns), [[*compress(row, columns)] for row in alike])
        db.execute("INSERT OR REPLACE INTO meta VALUES ('levelled', ?)", (str(last),))
        self._spare_restart(last)
        self._levels, self._caught_up, self._unlevelled = Levels(), True, 0

    def _look_up_levels(self, last: int) -> None:
        """Take in what was written by an earlier process, or before a transaction that failed."""
        db, self._levels = self._db, Levels()
        known = db.execute("SELECT value FROM meta WHERE key='levelled'").fetchone()
        of = {"first": int(known[0]) if known else 0, "last": last, "us": LEVELS[0] * 1_000_000}
        for device, slot, bed, *ends in db.execute(LEVELS_OF, of):
            self._levels.widen((device, slot, bed), ends)
        more = (
            "SELECT device, at, bed, extra FROM reading "
            "WHERE id > :first AND id <= :last AND extra IS NOT NULL"
        )
        for row in db.execute(more, of):
            for device, span, slot, bed, *ends in level_of(*row):
                if span == LEVELS[0]:
                    self._levels.widen((device, slot, bed), ends)

    def _spare_restart(self, last: int) -> None:
        """Note of beds that rest that their state knows all readings, so that a restart need not look."""
        if self._ahead is not None:
            resting = f"bed_id NOT IN ({', '.join('?' * len(self._ahead))})"
            self._db.execute(
                f"UPDATE snapshot SET reading=?1, crc=checksum(bed_id, at, ?1, body) WHERE {resting}",
                (last, *sorted(self._ahead)),
            )

    def _last_reading(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM reading").fetchone()[0])

    def _anchor(self) -> bytes:
        """Return where the chain of outcomes goes on when all of them were removed by policy."""
        row = self._db.execute(
            "SELECT anchor FROM removed WHERE what='outcome' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return row[0] if row else GENESIS

    # --- reading back -------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, Stored]:
        """Return each bed's last state (no bytes of a damaged one, R-05), and what was read since."""
        sound = "CASE WHEN crc IS checksum(bed_id, at, reading, body) THEN body ELSE x'' END"
        found = {
            bed_id: (reading, body)
            for bed_id, reading, body in self._db.execute(f"SELECT bed_id, reading, {sound} FROM snapshot")
        }
        since: dict[str, list[Report]] = {bed_id: [] for bed_id in found}
        first = min((reading for reading, _ in found.values()), default=0)
        for number, kept_for, report in self._reports_after(first):
            bed_id = kept_for.removesuffix(REFUSED)
            if bed_id in found and number > found[bed_id][0]:
                since[bed_id].append(report)
        self._ahead = {bed_id for bed_id, readings in since.items() if readings}
        return {bed_id: Stored(body, since[bed_id]) for bed_id, (_, body) in found.items()}

    def _reports_after(self, number: int) -> Iterator[tuple[int, str, Report]]:
        names = {number: name for name, number in self._names.items()}
        sound = f"crc IS checksum(bed, at, {REPORT})"
        select = f"SELECT id, bed, {REPORT} FROM reading WHERE id > ? AND {sound} ORDER BY id"
        for row in self._db.execute(select, (number,)):
            yield row[0], names[row[1]], report_of(row[2:], names)

    def protocols(self) -> dict[str, bytes]:
        """Return every protocol a session ever started from, by digest; a damaged one is not given (R-05)."""
        sound = "crc IS checksum(digest, name, body)"
        return dict(self._db.execute(f"SELECT digest, body FROM protocol WHERE {sound}"))

    def due(self) -> list[Due]:
        """Return the notifications that are not settled, oldest first (the sender drops the late, P-36)."""
        return [
            Due(key, alarm_id, session_id, target, from_micros(at), body, bool(late))
            for key, alarm_id, session_id, target, at, body, late in self._db.execute(
                "SELECT key, alarm_id, session_id, target, created_at, body, state='late' FROM notification "
                "WHERE settled_at IS NULL ORDER BY created_at"
            )
        ]

    def meta(self) -> Mapping[str, str]:
        """Return the small facts that are kept by key."""
        return dict(self._db.execute("SELECT key, value FROM meta"))
