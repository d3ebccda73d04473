"""The writer thread: durable in order, and what it does while the disk refuses."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.app.recorder import Job, Recorder
from monitor.core.vitals import Report, screen
from monitor.journal import Batch, Journal
from tests.conftest import wait_for

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def batch(number: int) -> Batch:
    """Return a batch with one reading."""
    at = NOW + timedelta(seconds=number)
    return Batch(
        readings=[("bed-1", Report("d1", at, at, (screen("spo2", 97),), boot_id="b", sequence=number))]
    )


def test_r_04_while_the_disk_refuses_nothing_is_confirmed_and_nothing_waits_for_it(tmp_path: Path) -> None:
    """R-04: each batch is handed on once as not durable; afterwards all become durable, in order."""
    recorder_said: list[str] = []
    settled: list[tuple[int, bool]] = []
    recorder = Recorder(Journal(tmp_path), recorder_said.append)
    recorder.start()
    recorder.put(Job(batch(0), lambda durable: settled.append((0, durable))))
    wait_for(lambda: settled == [(0, True)])

    # Another program holds the file: a real refusal, as a backup tool or a full disk makes it.
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in (1, 2, 3):
        recorder.put(Job(batch(number), lambda durable, n=number: settled.append((n, durable))))  # type: ignore[misc]
    wait_for(lambda: {(1, False), (2, False), (3, False)} <= set(settled))
    assert not any(durable for number, durable in settled if number)
    assert recorder.failing
    assert recorder_said[0]

    other.execute("COMMIT")
    other.close()
    wait_for(lambda: (3, True) in settled)
    assert [number for number, durable in settled if durable] == [0, 1, 2, 3]
    assert [settled.count((number, False)) for number in (1, 2, 3)] == [1, 1, 1]
    assert recorder_said[-1] == ""
    assert recorder.stop()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        assert db.execute("SELECT count(*) FROM reading").fetchone() == (4,)
    db.close()


def test_r_02_what_was_put_before_the_stop_is_written_before_it_ends(tmp_path: Path) -> None:
    """R-02: an orderly end loses nothing that was handed over."""
    journal = Journal(tmp_path)
    recorder = Recorder(journal, lambda _: None)
    recorder.start()
    durable: list[bool] = []
    for number in range(300):
        recorder.put(Job(batch(number), durable.append))
    assert recorder.stop()
    assert durable == [True] * 300
    journal.close()
