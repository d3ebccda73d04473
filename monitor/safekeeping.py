"""Safekeeping of the journal's file: verified, backed up, restored.

Law: nothing here changes a journal that is in use. A copy that was not read back and found sound is no
backup, and never takes a journal's place; what a restore replaces stays beside it under another name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from monitor.journal import GENESIS, JournalError
from monitor.schema import FILE, REPORT, checksum, from_micros, micros

_SESSION_UNLIKE_ITS_START = (
    "SELECT session_id FROM session LEFT JOIN outcome AS o USING (session_id) "
    "WHERE o.outcome = 'SessionStarted' AND (session.bed_id, patient_code, protocol, protocol_digest, mode, "
    "started_by) IS NOT (o.bed_id, o.body ->> '$.detail.patient_code', o.body ->> '$.detail.protocol', "
    "o.body ->> '$.detail.protocol_digest', o.body ->> '$.detail.mode', o.body ->> '$.by')"
)


class Verified(NamedTuple):
    """What a check of the file found; no ``faults``: it is sound.

    ``anchor`` is the end of the chain of outcomes (hex). Kept elsewhere, it shows later that nothing before
    it was cut off (S-13).
    """

    readings: int
    outcomes: int
    faults: tuple[str, ...]
    anchor: str = ""


def verify(folder: Path) -> Verified:
    """Check every page of the journal in ``folder``, and the chain of its outcomes.

    Raises:
        JournalError: there is no journal, or it cannot be read at all.
    """
    path = folder / FILE
    if not path.is_file():
        raise JournalError(f"{path}: there is no journal here; give the folder of a monitor that has run")
    try:
        return _verified(path)
    except JournalError as fault:
        raise JournalError(f"{fault}; restore a backup with `afterwatch restore`") from fault


def _verified(path: Path) -> Verified:
    """Check a journal file, wherever it lies. Raises JournalError when it cannot be read at all."""
    faults: list[str] = []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            said = [row[0] for row in db.execute("PRAGMA integrity_check(20)")]
            faults += [f"{path}: {one}" for one in said if one != "ok"]
            faults += [f"{path}: {one}" for one in _damaged(db)]
            faults += [f"{path}: {one}" for one in _broken(db)]
            readings, count = (
                db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("reading", "outcome")
            )
            last = db.execute("SELECT chain FROM outcome ORDER BY id DESC LIMIT 1").fetchone()
    except (sqlite3.DatabaseError, ValueError) as fault:  # ValueError: a text that is no UTF-8 any more
        raise JournalError(f"{path}: {fault}") from fault
    return Verified(readings, count, tuple(faults), last[0].hex() if last else "")


def _damaged(db: sqlite3.Connection) -> Iterator[str]:
    """Name the rows whose checksum does not fit (R-05)."""
    db.create_function("checksum", -1, checksum, deterministic=True)
    if db.execute("PRAGMA user_version").fetchone()[0] < 2:
        return
    for number, at in db.execute(
        f"SELECT id, at FROM reading WHERE crc IS NOT checksum(bed, at, {REPORT}) LIMIT 20"
    ):
        yield f"reading {number} of {from_micros(at):%Y-%m-%d %H:%M:%S} UTC is not as it was written"
    for (bed_id,) in db.execute(
        "SELECT bed_id FROM snapshot WHERE crc IS NOT checksum(bed_id, at, reading, body)"
    ):
        yield f"the state of bed {bed_id} is not as it was written"
    for (session_id,) in db.execute(_SESSION_UNLIKE_ITS_START):
        yield f"session {session_id} is not as its start in the log says"
    for (digest,) in db.execute("SELECT digest FROM protocol WHERE crc IS NOT checksum(digest, name, body)"):
        yield f"the protocol {digest} is not as it was written"


def _broken(db: sqlite3.Connection) -> Iterator[str]:
    """Name where a chain breaks: of the outcomes, or of the proofs of what was removed (AL-50, S-13)."""
    start = GENESIS
    if db.execute("PRAGMA user_version").fetchone()[0] >= 2:
        chain = GENESIS
        for number, what, body, anchor, kept in db.execute(
            "SELECT id, what, body, anchor, chain FROM removed ORDER BY id"
        ):
            chain = hashlib.sha256(chain + body.encode() + anchor).digest()
            if chain != kept:
                yield f"the proof of removal {number} was changed, or one before it is missing"
                return
            start = anchor if what == "outcome" else start
    for number, *row, body, kept in db.execute(
        "SELECT id, at, bed_id, session_id, outcome, alarm_id, body, chain FROM outcome ORDER BY id"
    ):
        start = hashlib.sha256(start + body.encode()).digest()
        if start != kept or row != _found_by(orjson.loads(body)):
            yield f"outcome {number} was changed, or one before it is missing"
            return


def _found_by(body: dict[str, Any]) -> list[Any]:
    """Return the columns by which an outcome is found, from its body."""
    names = ("bed_id", "session_id", "outcome", "alarm_id")
    return [micros(datetime.fromisoformat(body["at"])), *map(body.get, names)]


def backup(folder: Path, target: Path) -> int:
    """Copy the journal, also while it is in use, and check the copy; return its size in bytes.

    Raises:
        JournalError: there is no journal, the target is there already, or the copy is not sound.
    """
    if target.exists():
        raise JournalError(f"{target}: is there already; give a new name")
    part = target.with_suffix(target.suffix + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)  # it holds what the journal holds, and lies elsewhere
    try:
        with (
            closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy, pages=4096)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as fault:
        raise JournalError(f"{folder / FILE}: cannot be copied: {fault}") from fault
    _must_be_sound(part, "the disk or the journal is damaged: see `afterwatch verify`")
    _put(part, target)
    return target.stat().st_size


def restore(source: Path, folder: Path) -> Path | None:
    """Put a backup in the journal's place; what was there is kept beside it and returned.

    Raises:
        JournalError: the backup is not sound, or the journal is in use.
    """
    if not source.is_file():
        raise JournalError(f"{source}: there is no such file; name one that `afterwatch backup` wrote")
    _must_be_sound(source, "use an older backup")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    kept: Path | None = None
    if path.exists():
        with closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as db:
            try:
                db.execute("PRAGMA locking_mode=EXCLUSIVE")
                db.execute("BEGIN EXCLUSIVE")
                db.execute("COMMIT")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as fault:
                raise JournalError(f"{path}: in use ({fault}); stop the monitor first") from fault
        kept = path.with_name(f"journal-before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}.db")
        shutil.copyfile(path, kept)
        _give_to_owner(kept, folder)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    part = path.with_suffix(".part")
    shutil.copyfile(source, part)
    _give_to_owner(part, folder)
    _put(part, path)
    return kept


def _give_to_owner(file: Path, folder: Path) -> None:
    """Let a file of root's belong to whom its folder belongs: the service could not write it otherwise."""
    file.chmod(0o640)
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def _put(part: Path, path: Path) -> None:
    """Put a whole file in place at once: a power cut leaves the old one or the new one, never none."""
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def _sync(place: Path) -> None:
    number = os.open(place, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _must_be_sound(path: Path, remedy: str) -> None:
    try:
        faults = _verified(path).faults
    except JournalError as fault:
        raise JournalError(f"{fault}; {remedy}") from fault
    if faults:
        raise JournalError(f"{path}: not sound, so it is not used: {faults[0]}; {remedy}")
