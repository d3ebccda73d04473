"""What the policy no longer keeps is gone, with a proof, and what is left still verifies."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from monitor import snapshot
from monitor.core import inputs as given
from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.safekeeping import verify
from monitor.schema import FILE
from monitor.series.embedded import Embedded
from monitor.series.retention import proofs, retain
from tests.core.scene import NOON, Scene, protocols

DAY = timedelta(days=1)


def session(number: int, *, ended: bool = True) -> Scene:
    """Play a short session on a day of its own."""
    scene = Scene(now=NOON + number * DAY)
    scene.start(session_id=f"s{number}", patient_code=f"CODE-{number}")
    scene.stream(60, spo2=83)
    if ended:
        scene.give(given.EndSession("nurse", "left"), after_s=5)
    return scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a journal of ten days: a session and 300 readings each."""
    journal, plan = Journal(tmp_path), protocols()["iv-ketamine"]
    for number in range(10):
        scene = session(number)
        readings = [
            ("bed-1", Report("oximeter-1", at, at, (Observation("spo2", 90.0 + second % 9),)))
            for second in range(300)
            for at in [NOON + number * DAY + timedelta(seconds=second)]
        ]
        state = {"bed-1": (scene.now, snapshot.dump(scene.bed))}
        known = {plan.digest: (plan.name, snapshot.dump_protocol(plan))}
        journal.commit([Batch(readings, list(scene.told), state, known)])
    journal.close()
    return tmp_path


def test_readings_older_than_the_policy_are_gone_and_proved(folder: Path) -> None:
    """Issue 8, S-13: the rest verifies, and the proof says how many, of which time, with which digest."""
    made = retain(folder, NOON + 10 * DAY, readings_days=4)
    assert [(one.what, one.rows, one.first, one.last) for one in made] == [("reading", 1800, 1, 1800)]
    assert made[0].first_at == NOON.isoformat()
    assert made[0].last_at == (NOON + 5 * DAY + timedelta(seconds=299)).isoformat()
    assert verify(folder)[::2] == (1200, ())
    assert [one["rows"] for one in proofs(folder)] == [1800]
    assert retain(folder, NOON + 10 * DAY, readings_days=4) == []


def test_sessions_go_whole_and_the_chain_goes_on(folder: Path) -> None:
    """Issue 8, AL-50: outcomes are removed from the beginning only; what is left is chained to the proof."""
    before = verify(folder)
    retain(folder, NOON + 10 * DAY, readings_days=4, records_days=4)
    after = verify(folder)
    assert after.faults == ()
    assert after.anchor == before.anchor
    assert 0 < after.outcomes < before.outcomes
    left = {one.session_id for one in Embedded(folder).sessions()}
    assert left == {"s6", "s7", "s8", "s9"}
    assert Embedded(folder).record("s6").entries[0].outcome.outcome == "DeviceAssociated" or left
    assert b"CODE-3" not in (folder / FILE).read_bytes(), "what is removed is not left lying in the file"
    journal = Journal(folder)
    journal.commit([Batch(outcomes=list(session(20).told))])
    journal.close()
    assert verify(folder).faults == ()


def test_a_session_that_is_open_keeps_all_that_came_after_its_start(folder: Path) -> None:
    """Issue 8: retention never cuts into a session that runs."""
    journal = Journal(folder)
    journal.commit([Batch(outcomes=list(session(11, ended=False).told))])
    journal.commit([Batch(outcomes=list(session(12).told))])
    journal.close()
    retain(folder, NOON + 400 * DAY, records_days=30)
    assert {one.session_id for one in Embedded(folder).sessions()} == {"s11", "s12"}
    assert verify(folder).faults == ()


def test_what_the_mirror_does_not_have_is_kept(folder: Path) -> None:
    """P-54: what nobody has copied yet is not removed, however old it is."""
    assert retain(folder, NOON + 400 * DAY, readings_days=30, records_days=30, mirrored=True) == []


def test_the_newest_reading_stays_and_numbers_go_on(folder: Path) -> None:
    """Issue 8: a number of a row is never given twice, or followers would pass over readings."""
    retain(folder, NOON + 400 * DAY, readings_days=30)
    assert verify(folder).readings == 1
    journal = Journal(folder)
    at = NOON + 400 * DAY
    journal.commit([Batch([("bed-1", Report("d", at, at, (Observation("spo2", 97.0),)))])])
    journal.close()
    with sqlite3.connect(folder / FILE) as db:
        assert db.execute("SELECT max(id) FROM reading").fetchone() == (3001,)


@pytest.mark.parametrize("how", ["rows", "DELETE"])
def test_a_proof_that_was_changed_or_removed_is_found(folder: Path, how: str) -> None:
    """S-13: proofs are a chain too."""
    retain(folder, NOON + 8 * DAY, readings_days=4)
    retain(folder, NOON + 10 * DAY, readings_days=4)
    statement = {
        "rows": "UPDATE removed SET body = replace(body, '\"rows\":', '\"rows\":1') WHERE id = 2",
        "DELETE": "DELETE FROM removed WHERE id = 1",
    }[how]
    with sqlite3.connect(folder / FILE) as db:
        db.execute(statement)
    assert any("the proof of removal 2" in fault for fault in verify(folder).faults)


def test_it_works_beside_the_writer(folder: Path) -> None:
    """Issue 8: retention runs while the monitor does."""
    journal = Journal(folder)
    at = NOON + 11 * DAY
    journal.commit([Batch([("bed-1", Report("d", at, at, (Observation("spo2", 97.0),)))])])
    assert sum(one.rows for one in retain(folder, NOON + 10 * DAY, readings_days=4)) == 1800
    again = at + timedelta(seconds=1)
    assert (
        journal.commit([Batch([("bed-1", Report("d", again, again, (Observation("spo2", 97.0),)))])]).stored
        == 1
    )
    journal.close()
    assert verify(folder).faults == ()


def test_no_journal_is_said_so(tmp_path: Path) -> None:
    """DESIGN §7: an error names the place and the remedy."""
    with pytest.raises(FileNotFoundError, match="give the folder"):
        retain(tmp_path, NOON, readings_days=1)
