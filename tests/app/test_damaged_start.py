"""A start on a journal that a disk has damaged: what may lie is not used, and everything else goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor import config, snapshot
from monitor.app.loop import Monitor
from monitor.app.messenger import Messenger
from monitor.clock import SteppedClock
from monitor.core import inputs as given
from monitor.core.bed import advance
from monitor.core.device import DeviceProfile
from monitor.core.turn import Bed
from monitor.journal import Batch, Due, Journal, Settled
from monitor.schema import FILE
from tests.conftest import REPOSITORY
from tests.core.scene import NOON
from tests.test_journal import BED, reading, session_batch

Start = Callable[[str], Monitor]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that changes a journal with a session behind our back, and starts a monitor on it."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text(f'[[beds]]\nid = "{BED}"\n[[beds]]\nid = "bed-2"\n')
    (tmp_path / "clinic.toml").write_text('[store]\npath = "store"\n')
    journal = Journal(tmp_path / "store")
    journal.commit([session_batch(), Batch(readings=[reading(200)])])
    journal.close()
    made: list[Monitor] = []

    def begin(statement: str) -> Monitor:
        with sqlite3.connect(tmp_path / "store" / FILE) as db:
            assert db.execute(statement).rowcount >= 1
        made.append(Monitor(config.load(tmp_path), SteppedClock(NOON), "boot"))
        return made[-1]

    yield begin
    for one in made:
        one.journal.close()


def told(monitor: Monitor) -> dict[str, str]:
    """Return the damaged states that the station tells of, with their priority."""
    return {
        key: one.priority for key, one in monitor.station_bed().alarms.items() if key.startswith("bed-state")
    }


def newest_spo2(monitor: Monitor) -> float | None:
    """Return the saturation that the bed shows."""
    return monitor.beds()[BED].latest["spo2"].value


def test_a_sound_journal_brings_the_session_back(start: Start) -> None:
    """P-01: the other stories here are about damage, so this one is about none."""
    monitor = start("UPDATE meta SET value = value")
    assert monitor.beds()[BED].session is not None
    assert newest_spo2(monitor) == 90
    assert told(monitor) == {}


def test_p_01_a_start_that_ends_before_it_stored_a_state_changes_nothing(
    start: Start, tmp_path: Path
) -> None:
    """P-01: that the link was lost is stored by and by, not of all beds at once, and found again."""
    calm, _ = advance(Bed(BED), given.Associate(DeviceProfile("oximeter", ("spo2",))), NOON)
    journal = Journal(tmp_path / "store")
    journal.commit([Batch(snapshots={BED: (NOON, snapshot.dump(calm))})])
    journal.close()
    first = start("UPDATE meta SET value = value")
    assert first.beds()[BED].link_lost_at is not None
    assert BED not in first.ward.take_batch().snapshots
    second = start("UPDATE meta SET value = value")
    assert second.beds()[BED] == first.beds()[BED]
    assert BED in second.ward.take_batch(everything=True).snapshots


DAMAGE = {
    "a limit in it": "UPDATE snapshot SET body = CAST(replace(CAST(body AS TEXT), '83', '93') AS BLOB)",
    "its end is missing": "UPDATE snapshot SET body = substr(body, 1, 200)",
    "its number": "UPDATE snapshot SET reading = reading - 1",
    "its sum": "UPDATE snapshot SET crc = crc + 1",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_r_05_a_damaged_state_is_not_used_and_is_told(start: Start, what: str) -> None:
    """R-05: the bed begins anew with a high alarm that says so; the other beds are watched as before."""
    monitor = start(DAMAGE[what])
    assert told(monitor) == {f"bed-state:{BED}": "high"}
    assert monitor.beds()[BED].session is None
    assert list(monitor.beds()) == [BED, "bed-2", "station"]


def test_r_05_what_was_told_of_damage_ends_with_the_next_sound_start(start: Start) -> None:
    """R-05: the state that was begun anew is sound; nobody is told of the old one for ever."""
    first = start(DAMAGE["its sum"])
    first.journal.commit([first.ward.take_batch(everything=True)])
    again = start("UPDATE meta SET value = value")
    assert told(first) != {}
    assert told(again) == {}


def test_r_05_damaged_wiring_is_made_anew(start: Start) -> None:
    """R-05: what device serves which bed comes from beds.toml, whatever the journal remembers."""
    start("INSERT OR REPLACE INTO meta VALUES ('wiring', '{\"oximeter')")


def test_r_05_a_damaged_state_of_nobody_is_told_too(start: Start) -> None:
    """R-05: when the damage hit the name of the bed, somebody must still look."""
    monitor = start("UPDATE snapshot SET bed_id = 'bed-q'")
    assert told(monitor) == {"bed-state:bed-q": "high"}


def test_r_05_a_damaged_protocol_is_replaced_by_the_same_one_of_the_configuration(start: Start) -> None:
    """R-05: a session never goes on with limits that a disk has changed."""
    monitor = start("UPDATE protocol SET body = CAST(replace(CAST(body AS TEXT), '180', '280') AS BLOB)")
    session = monitor.beds()[BED].session
    assert session is not None
    assert session.protocol == monitor.configuration.protocols["iv-ketamine"]


def test_r_05_a_damaged_reading_is_not_lived_again(start: Start) -> None:
    """R-05: an extreme that a disk made up raises no alarm at the start."""
    monitor = start("UPDATE reading SET spo2 = 40 WHERE id = (SELECT max(id) FROM reading)")
    assert newest_spo2(monitor) != 40


def test_r_05_a_damaged_message_is_settled_as_that_and_the_others_go(start: Start) -> None:
    """R-05: one message that cannot be read keeps no other from being sent, and no monitor from starting."""
    monitor = start("UPDATE notification SET body = substr(body, 2) WHERE key = 'k1'")
    settled: list[Settled] = []
    messenger = Messenger(monitor.configuration, SteppedClock(NOON), lambda one, _: settled.append(one))
    messenger.submit([*monitor.left_due, Due("k9", "a", "s", "mail", NOON, "[1]")])
    messenger.stop()
    assert {one.key: one.state for one in settled} == {"k1": "failed", "k2": "failed", "k9": "failed"}
