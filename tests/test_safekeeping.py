"""Safekeeping: what somebody or something changed is named; a backup is the journal again, or is refused."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from pathlib import Path

import pytest

from monitor.journal import Batch, Journal, JournalError
from monitor.safekeeping import backup, restore, verify
from monitor.schema import FILE
from tests.test_journal import BED, reading, rows, session_batch

# --- what was changed ---------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Give the folder of a closed journal with a session in it."""
    journal = Journal(tmp_path / "store")
    journal.commit([session_batch()])
    journal.close()
    return tmp_path / "store"


CHECKED = ("reading", "outcome", "protocol", "snapshot", "name")


@pytest.mark.parametrize("seed", range(3))
def test_r_05_a_flipped_bit_is_found_or_changed_nothing(kept: Path, tmp_path: Path, seed: int) -> None:
    """R-05: one bit anywhere in the file: `verify` names it, or every checked row is what it was."""
    chance, original = random.Random(seed), (kept / FILE).read_bytes()
    before = {table: rows(kept, table) for table in CHECKED}
    found = 0
    for trial in range(60):
        damaged = bytearray(original)
        place, bit = chance.randrange(len(damaged)), chance.randrange(8)
        damaged[place] ^= 1 << bit
        folder = tmp_path / "flipped"
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_bytes(damaged)
        where = f"seed {seed}, trial {trial}: bit {bit} of byte {place}"
        try:
            if verify(folder).faults:
                found += 1
                continue
        except JournalError:
            found += 1
            continue
        assert {table: rows(folder, table) for table in CHECKED} == before, where
    assert found > 10, f"seed {seed}: only {found} of 60 flips met anything"


TAMPERING = {
    "an outcome changed": (
        "UPDATE outcome SET body = replace(body, 'bed-1', 'bed-9') WHERE id = 5",
        "outcome 5",
    ),
    "an outcome removed": ("DELETE FROM outcome WHERE id = 3", "outcome 4"),
    "an outcome told later": ("UPDATE outcome SET id = id + 1000 WHERE id = 5", "outcome 6"),
    "an alarm hidden from its session": ("UPDATE outcome SET session_id = '' WHERE id = 5", "outcome 5"),
    "a value changed": ("UPDATE reading SET spo2 = 99 WHERE id = 7", "reading 7 of 2026-11-23 12:00:06 UTC"),
    "a time moved": ("UPDATE reading SET at = at + 1 WHERE id = 7", "reading 7"),
    "a reading given to another bed": ("UPDATE reading SET bed = device WHERE id = 8", "reading 8"),
    "a state changed": ("UPDATE snapshot SET body = replace(body, '83', '93')", "the state of bed bed-1"),
    "a patient exchanged": ("UPDATE session SET patient_code = 'P-8'", "session s1"),
    "a protocol loosened": ("UPDATE protocol SET body = replace(body, '180', '190')", "the protocol"),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_s_13_what_was_changed_behind_our_back_is_named(kept: Path, how: str) -> None:
    """S-13, AL-50: whoever edits the file is found out, and the text says where."""
    statement, named = TAMPERING[how]
    db = sqlite3.connect(kept / FILE)
    assert db.execute(statement).rowcount >= 1
    db.commit()
    db.close()
    assert any(named in fault for fault in verify(kept).faults), verify(kept).faults


def test_s_13_an_anchor_kept_elsewhere_shows_that_the_end_was_cut_off(kept: Path) -> None:
    """S-13: a chain cannot show by itself that its last links are gone; its end, kept elsewhere, can."""
    anchor = verify(kept).anchor
    db = sqlite3.connect(kept / FILE)
    db.execute("DELETE FROM outcome WHERE id = (SELECT max(id) FROM outcome)")
    db.commit()
    db.close()
    assert verify(kept).faults == ()
    assert verify(kept).anchor != anchor


# --- as a whole ---------------------------------------------------------------------------------------------


def test_r_19_a_backup_under_load_restores_to_a_verified_journal(tmp_path: Path) -> None:
    """R-19: copied while readings arrive; all that was committed before the copy began is in it."""
    folder, target = tmp_path / "store", tmp_path / "copy.db"
    journal, over, committed = Journal(folder), threading.Event(), [0]
    journal.commit([session_batch()])

    def load() -> None:
        number = 100
        while not over.is_set():
            journal.commit([Batch(readings=[reading(n) for n in range(number, number + 20)])])
            number += 20
            committed[0] += 20

    writer = threading.Thread(target=load)
    writer.start()
    while committed[0] < 200:
        over.wait(0.01)
    at_least = committed[0] + 80
    size = backup(folder, target)
    more = committed[0] + 80
    over.set()
    writer.join()
    journal.close()
    assert size == target.stat().st_size
    replaced = restore(target, folder)
    assert replaced is not None
    assert replaced.is_file()
    found = verify(folder)
    assert found.faults == ()
    assert at_least <= found.readings <= more + 20
    journal = Journal(folder)
    assert BED in journal.snapshots()
    assert journal.commit([Batch(readings=[reading(100_000)])]).stored == 1
    journal.close()


def test_r_19_restore_refuses_while_the_journal_is_in_use(kept: Path, tmp_path: Path) -> None:
    """R-19: nobody's file is exchanged under a running monitor, even one that rests at the moment."""
    backup(kept, tmp_path / "copy.db")
    journal = Journal(kept)
    journal.commit([Batch(readings=[reading(500)])])
    with pytest.raises(JournalError, match="stop the monitor first"):
        restore(tmp_path / "copy.db", kept)
    assert journal.commit([Batch(readings=[reading(501)])]).stored == 1
    journal.close()
    assert len(rows(kept, "reading")) == 82


def test_r_19_a_damaged_backup_is_not_put_in_place(kept: Path, tmp_path: Path) -> None:
    """R-19: what does not verify never takes the place of what is there."""
    copy = tmp_path / "copy.db"
    backup(kept, copy)
    db = sqlite3.connect(copy)
    db.execute("UPDATE reading SET spo2 = 99 WHERE id = 3")
    db.commit()
    db.close()
    with pytest.raises(JournalError, match="not sound"):
        restore(copy, kept)
    assert verify(kept).faults == ()


def test_s_02_a_backup_is_readable_by_its_owner_alone(kept: Path, tmp_path: Path) -> None:
    """S-02: patient codes leave the store's closed folder in it."""
    backup(kept, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_r_19_what_root_restores_belongs_to_the_service(kept: Path, tmp_path: Path) -> None:
    """R-19: a rehearsal as root must not end with a monitor that may not write its own journal."""
    backup(kept, tmp_path / "copy.db")
    os.chown(kept, 65534, 65534)
    before = restore(tmp_path / "copy.db", kept)
    assert before is not None
    assert {file.stat().st_uid for file in (kept / FILE, before)} == {65534}


@pytest.mark.parametrize(
    ("text", "remedy"), [(None, "name one that"), ("no journal", "not a database; use an older backup")]
)
def test_r_19_what_is_no_backup_is_named_with_its_remedy(
    kept: Path, tmp_path: Path, text: str | None, remedy: str
) -> None:
    """R-19: a name mistyped at night says so, and nothing is touched."""
    if text is not None:
        (tmp_path / "copy.db").write_text(text * 100)
    with pytest.raises(JournalError, match=f"copy.db.*{remedy}"):
        restore(tmp_path / "copy.db", kept)
    assert verify(kept).faults == ()


def test_a_backup_never_writes_over_a_file(kept: Path, tmp_path: Path) -> None:
    """R-19: yesterday's backup is not today's."""
    backup(kept, tmp_path / "copy.db")
    with pytest.raises(JournalError, match="is there already"):
        backup(kept, tmp_path / "copy.db")
