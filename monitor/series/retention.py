"""Retention: what the site's policy no longer keeps is removed, and the proof of it stays.

Law: removed is a beginning of the journal in its own order, never a gap. The proof says what, how many, of
which time and with which digest, and is chained to the proof before it; the chain of outcomes goes on from
the last one removed. Nothing goes that the mirror does not have yet.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from monitor.schema import FILE, REPORT, from_micros, micros
from monitor.series.cursor import read_cursor

AT_ONCE = 2000  # rows in one transaction, so that the writer never waits long
GENESIS = b"\0" * 32


class Removal(NamedTuple):
    """One removal, as its proof says it. ``what`` is ``reading`` or ``outcome``; instants are ISO 8601."""

    what: str
    rows: int
    first: int
    last: int
    first_at: str
    last_at: str
    policy_days: int
    digest: str


def retain(
    folder: Path, now: datetime, *, readings_days: int = 0, records_days: int = 0, mirrored: bool = False
) -> list[Removal]:
    """Remove what is older than the policy says, also while the monitor runs.

    Args:
        folder: of the journal.
        now: aware UTC.
        readings_days: readings received longer ago than this go; 0 keeps them for ever.
        records_days: outcomes, and the sessions that ended before, likewise.
        mirrored: the site has a mirror, so keep what it does not have yet.

    Returns:
        The proofs, one for each kind of thing of which any was removed.

    Raises:
        FileNotFoundError: there is no journal.
        sqlite3.Error: it cannot be written now; what was removed so far has its proof.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no journal here; give the folder of a monitor that has run"
        )
    cursor = read_cursor(folder)
    made: list[Removal] = []
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10.0)) as db:
        db.execute("PRAGMA secure_delete=ON")  # what is gone is not left lying in the file
        db.execute("PRAGMA synchronous=FULL")
        if readings_days:
            before = micros(now - timedelta(days=readings_days))
            made += _remove_readings(db, before, readings_days, cursor.reading if mirrored else None, now)
        if records_days:
            before = micros(now - timedelta(days=records_days))
            made += _remove_records(db, before, records_days, cursor.outcome if mirrored else None, now)
    return made


def proofs(folder: Path) -> list[dict[str, Any]]:
    """Return every proof of removal in a journal, oldest first, with its place in the chain (hex)."""
    with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT at, body, anchor, chain FROM removed ORDER BY id").fetchall()
    return [
        {
            "removed_at": from_micros(at).isoformat(),
            **orjson.loads(body),
            "anchor": anchor.hex(),
            "chain": chain.hex(),
        }
        for at, body, anchor, chain in rows
    ]


def _remove_readings(
    db: sqlite3.Connection, before: int, days: int, mirrored: int | None, now: datetime
) -> list[Removal]:
    # The newest reading stays: numbers go on from it. A bed's state needs the last seconds only.
    limit = "SELECT max(id) - 1 FROM reading"
    query = f"SELECT id, received_at, bed, at, {REPORT} FROM reading WHERE id <= ? ORDER BY id LIMIT ?"
    made: list[Removal] = []
    while True:
        db.execute("BEGIN IMMEDIATE")
        last = db.execute(limit).fetchone()[0] or 0
        last = last if mirrored is None else min(last, mirrored)
        rows = _beginning(db.execute(query, (last, AT_ONCE)).fetchall(), before)
        if rows:
            db.execute("DELETE FROM reading WHERE id <= ?", (rows[-1][0],))
            made.append(_prove(db, "reading", rows, days, _anchor(db), now))
        db.execute("COMMIT")
        if len(rows) < AT_ONCE:
            return _joined(made)


def _remove_records(
    db: sqlite3.Connection, before: int, days: int, mirrored: int | None, now: datetime
) -> list[Removal]:
    db.execute("BEGIN IMMEDIATE")
    # A session goes whole or not at all: from the first outcome of one that is young or open all is kept.
    young = db.execute(
        "SELECT min(o.id) FROM outcome o JOIN session s USING (session_id) WHERE s.ended_at IS NULL "
        "OR s.ended_at >= ?",
        (before,),
    ).fetchone()[0]
    last = (db.execute("SELECT max(id) FROM outcome").fetchone()[0] or 0) - 1
    last = min(last, young - 1 if young else last, last if mirrored is None else mirrored)
    rows = db.execute("SELECT id, at, body, chain FROM outcome WHERE id <= ? ORDER BY id", (last,)).fetchall()
    rows = _beginning(rows, before)
    made: list[Removal] = []
    if rows:
        end = rows[-1][0]
        gone = "SELECT DISTINCT session_id FROM outcome WHERE id <= ? AND session_id != ''"
        kept = "SELECT session_id FROM outcome WHERE id > ?"
        which = f"session_id IN ({gone}) AND session_id NOT IN ({kept})"
        for table in ("notification", "session"):
            db.execute(f"DELETE FROM {table} WHERE {which}", (end, end))
        db.execute("DELETE FROM outcome WHERE id <= ?", (end,))
        db.execute("DELETE FROM quarantine WHERE at < ?", (before,))
        db.execute("DELETE FROM input WHERE at < ?", (before,))
        db.execute("DELETE FROM level WHERE (slot + 1) * span * 1000000 < ?", (before,))
        made.append(_prove(db, "outcome", rows, days, rows[-1][3], now))
    db.execute("COMMIT")
    return made


def _beginning(rows: list[tuple[Any, ...]], before: int) -> list[tuple[Any, ...]]:
    """Return the rows up to the first that is to be kept; the second column is the instant that counts."""
    for place, row in enumerate(rows):
        if row[1] >= before:
            return rows[:place]
    return rows


def _prove(
    db: sqlite3.Connection, what: str, rows: list[tuple[Any, ...]], days: int, anchor: bytes, now: datetime
) -> Removal:
    """Write what is being removed into the chain of proofs."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(orjson.dumps(row, default=bytes.hex))
    edges = [from_micros(edge(row[1] for row in rows)).isoformat() for edge in (min, max)]
    removal = Removal(what, len(rows), rows[0][0], rows[-1][0], edges[0], edges[1], days, digest.hexdigest())
    body = orjson.dumps(removal._asdict())
    last = db.execute("SELECT chain FROM removed ORDER BY id DESC LIMIT 1").fetchone()
    chain = hashlib.sha256((last[0] if last else GENESIS) + body + anchor).digest()
    db.execute(
        "INSERT INTO removed (at, what, first, last, body, anchor, chain) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (micros(now), what, removal.first, removal.last, body.decode(), anchor, chain),
    )
    return removal


def _anchor(db: sqlite3.Connection) -> bytes:
    """Return where the chain of outcomes begins now."""
    row = db.execute("SELECT anchor FROM removed ORDER BY id DESC LIMIT 1").fetchone()
    return row[0] if row else GENESIS


def _joined(made: list[Removal]) -> list[Removal]:
    """Tell the removals of one run as one; the file keeps a proof for each."""
    if len(made) < 2:
        return made
    digest = hashlib.sha256("".join(one.digest for one in made).encode()).hexdigest()
    total, last = sum(one.rows for one in made), made[-1]
    return [made[0]._replace(rows=total, last=last.last, last_at=last.last_at, digest=digest)]
