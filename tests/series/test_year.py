"""The year that is measured (`bench.store`) is what the journal itself would have written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.store.year import Clinic, a_day, build, write
from monitor.safekeeping import verify
from monitor.schema import FILE

SMALL = Clinic(beds=2, days=3, starts_h=(0.0, 0.5), session_s=650)


def test_a_copied_day_is_written_as_the_journal_writes_it(tmp_path: Path) -> None:
    """Issue 8: a figure of a generated year counts only if its rows, checksums and intervals are real."""
    assert build(tmp_path / "copied", SMALL) == 3 * 2 * 2 * (650 + 3)
    days = [one for day in range(SMALL.days) for one in a_day(SMALL, day)]
    write(tmp_path / "written", days)
    for table in ("name", "reading", "level"):
        copied, written = (rows(tmp_path / folder, table) for folder in ("copied", "written"))
        assert copied == written, table
    assert verify(tmp_path / "copied").faults == ()
    assert levelled(tmp_path / "copied") == levelled(tmp_path / "written") == len(days)


def rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    """Return a table of a journal, in order."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        return db.execute(
            f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4" if table == "level" else f"SELECT * FROM {table}"
        ).fetchall()


def levelled(folder: Path) -> int:
    """Return up to which reading the intervals know everything."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        return int(db.execute("SELECT value FROM meta WHERE key='levelled'").fetchone()[0])
