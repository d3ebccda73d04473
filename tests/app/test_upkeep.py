"""Upkeep: what the night finds is an alarm of the station; a disk that fills is said while there is time."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from monitor import config
from monitor.app.upkeep import NIGHT, Upkeep, next_time
from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.notify import Trial
from monitor.schema import FILE
from monitor.series.embedded import Embedded
from tests.conftest import REPOSITORY

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


class House(NamedTuple):
    """A site's upkeep, its journal's folder, and the conditions that it reported, by key."""

    upkeep: Upkeep
    store: Path
    told: dict[str, tuple[str | None, str]]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Give a site that keeps readings for thirty days, with forty days of them, one a day."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text('[store]\npath = "store"\nkeep_readings_days = 30\n')
    journal = Journal(tmp_path / "store")
    for day in range(40):
        at = NOW - timedelta(days=39 - day)
        seen = Report("oximeter-1", at, at, (Observation("spo2", 97.0),), (), "b1", day)
        journal.commit([Batch(readings=[("bed-1", seen)])])
    journal.close()
    monkeypatch.setattr("monitor.app.upkeep.GENTLY", ())  # beside other tests it would wait for minutes
    told: dict[str, tuple[str | None, str]] = {}

    def report(key: str, priority: str | None, text: str) -> None:
        told[key] = (priority, text)

    return House(Upkeep(config.load(tmp_path), lambda: NOW, report), tmp_path / "store", told)


def test_s_13_a_sound_journal_is_said_so_and_what_is_too_old_goes(house: House) -> None:
    """S-13: verified by a process of its own; then the policy's removal."""
    journal = Journal(house.store)  # it runs meanwhile
    before = Embedded(house.store).counts()["reading"]
    house.upkeep.check()
    journal.close()
    assert house.told == {"journal-check": (None, "")}
    assert before == 40
    assert Embedded(house.store).counts()["reading"] < before


def test_r_05_a_journal_that_is_not_sound_is_a_high_alarm_and_nothing_is_removed(house: House) -> None:
    """R-05: within one night; the alarm names the row, and evidence stays."""
    with sqlite3.connect(house.store / FILE) as db:
        db.execute("UPDATE reading SET spo2 = 40 WHERE id = 7")
    house.upkeep.check()
    priority, text = house.told["journal-check"]
    assert priority == "high"
    assert "not sound" in text
    assert "reading 7" in text
    assert Embedded(house.store).counts()["reading"] == 40


def test_a_check_that_cannot_be_done_is_told_as_that(house: House) -> None:
    """S-13: not looked at is not sound, and not damaged either."""
    (house.store / FILE).write_bytes(b"this was a journal" * 1000)
    house.upkeep.check()
    priority, text = house.told["journal-check"]
    assert (priority, "could not be done" in text) == ("medium", True)


@pytest.mark.parametrize(("free", "priority"), [(50, None), (9, "low"), (3, "medium"), (0, "medium")])
def test_r_04_a_disk_that_fills_is_said_before_it_is_full(
    house: House, monkeypatch: pytest.MonkeyPatch, free: int, priority: str | None
) -> None:
    """R-04: first low, while weeks are left; then medium; and it ends with the want of room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100 - free, free))
    house.upkeep.look_for_room()
    assert house.told["disk-room"][0] == priority


def test_a_stop_gives_up_a_check_on_its_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """AL-52: a year of readings is minutes of work, and a stop does not wait for it; it reports nothing."""
    plain, begun = subprocess.Popen, threading.Event()

    class Slow(plain):  # type: ignore[type-arg]
        def __init__(self, _words: list[str], **more: object) -> None:
            super().__init__([sys.executable, "-c", "import time; time.sleep(600)"], **more)
            begun.set()

    monkeypatch.setattr(subprocess, "Popen", Slow)
    checking = threading.Thread(target=house.upkeep.check, daemon=True)
    checking.start()
    assert begun.wait(20)
    while house.upkeep._checking is None:
        assert checking.is_alive()
    house.upkeep.stop()
    checking.join(20)
    assert not checking.is_alive()
    assert house.told == {}


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-23T10:00+01:00", "2026-11-24T03:00+01:00"),
        ("2026-11-23T02:59+01:00", "2026-11-23T03:00+01:00"),
        ("2026-11-23T03:00+01:00", "2026-11-24T03:00+01:00"),
        ("2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),  # the hour from two to three is left out
        ("2026-10-24T12:00+02:00", "2026-10-25T03:00+01:00"),  # and comes twice
    ],
)
def test_night_is_the_clinics(now: str, night: str) -> None:
    """P-49: three o'clock where the clinic is, also in the nights in which clocks change."""
    found = next_time(datetime.fromisoformat(now).astimezone(UTC), ZoneInfo("Europe/Berlin"), NIGHT)
    assert found == datetime.fromisoformat(night)


@pytest.mark.parametrize(
    ("delivered", "priority"), [((True, True), None), ((True, False), "high"), ((), None)]
)
def test_al_34_the_days_test_message_that_a_target_does_not_take_is_a_high_alarm(
    house: House, delivered: tuple[bool, ...], priority: str | None
) -> None:
    """AL-34: every 24 h to every channel; the alarm says which, and ends with a good test."""
    trials = [Trial(f"pager-{n}", ok, "refused: 401", 0.1) for n, ok in enumerate(delivered)]
    house.upkeep._try_targets = lambda: trials
    house.upkeep.test_messages()
    said, text = house.told["message-test"]
    assert said == priority
    assert priority is None or text == "the test message did not reach pager-1 (refused: 401)"


def test_al_34_it_is_sent_once_a_day_at_the_clinics_time(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AL-34: by the site's clock; a start after it waits for the next day, and no look sends it twice."""
    (tmp_path / "clinic.toml").write_text(
        '[site]\nzone = "Europe/Vienna"\n[store]\npath = "store"\n[notify]\ntest_at = "07:30"\n'
    )
    sent: list[datetime] = []
    clock = [NOW]  # eleven in the morning in Vienna

    def send() -> list[Trial]:
        sent.append(clock[0])
        return []

    upkeep = Upkeep(config.load(tmp_path), lambda: clock[0], lambda *_: None, try_targets=send)
    monkeypatch.setattr(upkeep, "check", lambda: None)
    for minute in range(3 * 24 * 60):
        clock[0] = NOW + timedelta(minutes=minute)
        upkeep.look()
    assert sent == [datetime(2026, 11, day, 6, 30, tzinfo=UTC) for day in (24, 25, 26)]
