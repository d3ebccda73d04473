"""The mirror: everything once, whatever breaks, and nobody's name."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.core.vitals import Observation, Report
from monitor.journal import Batch, Journal
from monitor.safekeeping import backup, restore
from monitor.schema import FILE
from monitor.series import cursor
from monitor.series import mirror as module
from monitor.series.cursor import CURSOR, Cursor, read_cursor
from monitor.series.embedded import Embedded
from monitor.series.influx import Influx, Unreachable
from monitor.series.mirror import Mirror
from tests.conftest import wait_for
from tests.core.scene import Scene
from tests.series.conftest import Store, Value

BED = "bed-1"
# Whole seconds of today: stores drop what is too old, and some keep milliseconds only.
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)


def reading(number: int, device: str = "oximeter-1") -> tuple[str, Report]:
    """Make the reading of a second; every 50th says why it has no value, every 60th repeats a cuff's."""
    at = BEGAN + timedelta(seconds=number)
    values = [Observation("pulse_rate", 60.0 + number % 50), Observation("spo2", 90.0 + number % 10)]
    if number % 50 == 0:
        values[1] = Observation("spo2", None, "invalid", "probe off")
    if number % 60 < 2:
        values.append(Observation("nibp_systolic", 120.0, measured_at=at - timedelta(seconds=number % 60)))
    return BED, Report(device, at + timedelta(milliseconds=80), at, tuple(values), (), "b1", number)


def fill(folder: Path, numbers: Iterable[int], device: str = "oximeter-1") -> None:
    """Write readings to a journal."""
    journal, each = Journal(folder), [reading(number, device) for number in numbers]
    for first in range(0, len(each), 2000):
        journal.commit([Batch(readings=each[first : first + 2000])])
    journal.close()


def expected(folder: Path) -> list[Value]:
    """Return every value in a journal as a store should have it."""
    traces = Embedded(folder).traces(BED, BEGAN - timedelta(days=1), BEGAN + timedelta(days=3))
    return sorted(
        (trace.metric, trace.device_id, round(at * 1000), value)
        for trace in traces
        for at, value in zip(trace.at, trace.values, strict=True)
        if value is not None
    )


def follow(folder: Path, store: Store, site: str, batch: int = 2000) -> Mirror:
    """Mirror all that waits."""
    mirror = Mirror(folder, store.settings.model_copy(update={"batch": batch}), site)
    while mirror.step():
        pass
    assert mirror.lag() == 0
    mirror.stop()
    return mirror


# --- once each ----------------------------------------------------------------------------------------------


def test_p_54_every_value_is_in_the_store_once(tmp_path: Path, store: Store, site: str) -> None:
    """P-54: what the journal has the store has, at the same instants, and nothing besides."""
    fill(tmp_path, range(300))
    fill(tmp_path, range(100), "oximeter-2")
    mirror = follow(tmp_path, store, site, batch=70)
    assert mirror.refused == 0
    assert store.values(site) == expected(tmp_path)


def test_p_54_a_cursor_that_was_lost_doubles_nothing(tmp_path: Path, store: Store, site: str) -> None:
    """P-54: points are idempotent; starting again from the beginning changes nothing in the store."""
    fill(tmp_path, range(200))
    follow(tmp_path, store, site)
    (tmp_path / CURSOR).write_text("{not JSON")
    follow(tmp_path, store, site)
    assert store.values(site) == expected(tmp_path)


@pytest.mark.slow
def test_r_18_a_mirror_that_was_stopped_for_a_day_under_load_catches_up(
    tmp_path: Path, influx_store: Store, site: str
) -> None:
    """R-18: 24 h of readings while it was away; after catching up the counts are equal, value for value."""
    store = influx_store
    fill(tmp_path, range(60))
    follow(tmp_path, store, site)
    fill(tmp_path, range(60, 86_400, 2))
    started = time.monotonic()
    mirror = follow(tmp_path, store, site, batch=5000)
    print(f"{mirror.written} points in {time.monotonic() - started:.1f} s")
    assert store.values(site) == expected(tmp_path)


# --- killed -------------------------------------------------------------------------------------------------

PLACES = ("before a write", "after a write", "before the cursor is kept", "after the cursor is kept")


def _kill_at(place: str, turn: int) -> None:
    """Arrange that this process dies at a place, at its n-th passing."""
    passed = 0

    def die(here: str) -> None:
        nonlocal passed
        passed += here == place
        if passed == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    write, save, fsync = Influx.write, cursor.keep_cursor, os.fsync

    def writing(self: Influx, lines: list[str]) -> list[str]:
        die("before a write")
        said = write(self, lines)
        die("after a write")
        return said

    def saving(folder: Path, reached: Cursor) -> None:
        save(folder, reached)
        die("after the cursor is kept")

    def syncing(number: int) -> None:
        die("before the cursor is kept")
        fsync(number)

    Influx.write, module.keep_cursor, cursor.os.fsync = writing, saving, syncing  # type: ignore[method-assign, assignment]


def _child(folder: Path, store: Store, site: str, place: str, turn: int) -> bool:
    """Mirror in a process that dies at a place; say whether it did."""
    number = os.fork()
    if number == 0:
        try:
            _kill_at(place, turn)
            follow(folder, store, site, batch=40)
        except BaseException:  # noqa: BLE001  a child must never go on into the test run
            os._exit(99)
        os._exit(0)
    _, ended = os.waitpid(number, 0)
    code = os.waitstatus_to_exitcode(ended)
    assert code in (0, -signal.SIGKILL), f"the mirror failed {place}, turn {turn}"
    return code != 0


@pytest.mark.parametrize("seed", [1])
def test_r_18_killed_at_any_point_it_loses_nothing_and_doubles_nothing(
    tmp_path: Path, store: Store, site: str, seed: int
) -> None:
    """R-18, P-54: kill -9 before and after every write and every move of the cursor, again and again."""
    chance = random.Random(seed)
    kills, number = 0, 0
    for place in PLACES * 2:
        fill(tmp_path, range(number, number + 120))
        number += 120
        kills += _child(tmp_path, store, site, place, chance.randint(1, 3))
    follow(tmp_path, store, site)
    assert store.values(site) == expected(tmp_path), f"seed {seed}"
    assert kills >= len(PLACES), f"seed {seed}: only {kills} kills"


# --- a bad way ----------------------------------------------------------------------------------------------


def test_p_54_an_answer_that_was_lost_doubles_nothing(tmp_path: Path, influx_store: Store, site: str) -> None:
    """P-54: stored, but the answer never came: written again, and there once."""
    fill(tmp_path, range(200))
    mirror = Mirror(tmp_path, influx_store.settings.model_copy(update={"batch": 50}), site)
    influx_store.passage.moods = ["pass", "lost", "pass", "cut", "pass", "busy", "pass", "lost"]
    failures = 0
    for _ in range(40):
        try:
            if not mirror.step():
                break
        except Unreachable:
            failures += 1
    assert failures == 4
    assert influx_store.values(site) == expected(tmp_path)


def test_r_18_a_store_that_is_down_is_a_number_and_then_a_reason(
    tmp_path: Path, influx_store: Store, site: str
) -> None:
    """R-18: Influx down is not monitor down: a lag, told once, over when it has caught up."""
    told: list[tuple[float, str]] = []
    heard = threading.Event()

    def hear(lag: float, why: str) -> None:
        told.append((lag, why))
        heard.set()

    fill(tmp_path, range(100))
    influx_store.passage.always = "busy"
    mirror = Mirror(tmp_path, influx_store.settings, site, hear)
    mirror.start()
    assert heard.wait(20)
    wait_for(lambda: influx_store.passage.seen["write"] >= 3)
    assert mirror.lag() > 3600
    assert len(told) == 1
    assert "503" in told[0][1]
    assert "more than 300 s behind" in told[0][1]
    influx_store.passage.always = "pass"
    wait_for(lambda: mirror.lag() == 0)
    wait_for(lambda: len(told) == 2)
    assert told[1] == (0.0, "")
    fill(tmp_path, range(100, 130))  # while it follows
    wait_for(lambda: influx_store.values(site) == expected(tmp_path))
    mirror.stop()
    assert len(told) == 2


def test_p_54_nobody_listening_is_told_and_costs_nothing(tmp_path: Path, site: str) -> None:
    """P-54: the wrong port is a reason in words, and the cursor stays."""
    from monitor.config import Series
    from tests.conftest import find_free_port

    fill(tmp_path, range(10))
    mirror = Mirror(tmp_path, Series(url=f"http://127.0.0.1:{find_free_port()}", timeout_s=1.0), site)
    with pytest.raises(Unreachable, match="refused"):
        mirror.step()
    assert mirror.lag() > 3600
    assert read_cursor(tmp_path).reading == 0
    mirror.stop()


def test_a_store_that_answers_ping_but_takes_no_writes_is_not_ready(
    tmp_path: Path, influx_1: str, site: str
) -> None:
    """BLOCKS E: `ping()` says yes where `write` says 404; only a probe write decides."""
    from influxdb_client import InfluxDBClient

    from monitor.config import Series

    with InfluxDBClient(influx_1, "", org="-") as client:
        assert client.ping(), "this is why ping() is never asked"
    with pytest.raises(Unreachable, match=r"404.*health"):
        Influx(Series(url=influx_1)).probe(site, datetime.now(UTC))


def test_p_54_a_refused_point_is_named_and_holds_up_nothing(
    tmp_path: Path, influx_store: Store, site: str
) -> None:
    """P-54: one point that the store will never take costs itself, and is told; never in silence."""
    told: list[str] = []
    journal = Journal(tmp_path)
    at = BEGAN + timedelta(seconds=7)
    odd = Report("odd-1", at, at, (Observation("etco2", 38.0),))
    taken = f'vitals,site=another,device=x etco2="text" {int(at.timestamp()) * 10**9}'
    Influx(influx_store.settings).write([taken])
    journal.commit([Batch(readings=[*[reading(n) for n in range(40)], (BED, odd), reading(41)])])
    journal.close()
    mirror = Mirror(tmp_path, influx_store.settings, site, lambda _, why: told.append(why))
    mirror.start()
    wait_for(lambda: bool(told) and not mirror.lag())
    mirror.stop()
    assert mirror.refused == 1
    assert "refused points for good" in told[-1]
    assert "conflict" in told[-1]
    assert influx_store.values(site) == [one for one in expected(tmp_path) if one[0] != "etco2"]
    assert read_cursor(tmp_path).reading == 42


def test_p_54_a_store_that_refuses_everything_is_not_believed(
    tmp_path: Path, influx_store: Store, site: str
) -> None:
    """P-54: a whole batch refused is the store's fault, so nothing is given up and the cursor stays."""
    fill(tmp_path, range(2, 20))
    Influx(influx_store.settings).write(
        [
            f'vitals,site=x,device=y {name}="text" {int(BEGAN.timestamp()) * 10**9}'
            for name in ("spo2", "pulse_rate")
        ]
    )
    mirror = Mirror(tmp_path, influx_store.settings, site)
    with pytest.raises(Unreachable, match="every point is refused"):
        mirror.step()
    assert read_cursor(tmp_path).reading == 0


# --- the journal changes ------------------------------------------------------------------------------------


def test_r_19_a_restored_journal_is_mirrored_from_its_beginning(
    tmp_path: Path, store: Store, site: str
) -> None:
    """R-19: after a restore the numbers of rows mean other rows; none of these is passed over."""
    folder = tmp_path / "store"
    fill(folder, range(50))
    backup(folder, tmp_path / "copy.db")
    fill(folder, range(50, 100))
    follow(folder, store, site)
    before = expected(folder)
    gc.collect()  # a reader that nobody holds any more still has the file open
    restore(tmp_path / "copy.db", folder)
    fill(folder, range(200, 300))
    follow(folder, store, site)
    assert store.values(site) == sorted({*before, *expected(folder)})


def test_another_store_gets_everything(tmp_path: Path, influx_store: Store, site: str) -> None:
    """Issue 8: a cursor belongs to one store, bucket and site."""
    fill(tmp_path, range(50))
    follow(tmp_path, influx_store, f"{site}-a")
    follow(tmp_path, influx_store, f"{site}-b")
    assert influx_store.values(f"{site}-b") == expected(tmp_path)


def test_the_mirror_never_writes_the_journal(tmp_path: Path, influx_store: Store, site: str) -> None:
    """DESIGN §1.4: a follower reads; one writer writes."""
    fill(tmp_path, range(50))
    before = hashlib.sha256((tmp_path / FILE).read_bytes()).digest()
    mirror = Mirror(tmp_path, influx_store.settings, site)
    mirror.step()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        mirror._reading().execute("DELETE FROM reading")
    mirror.stop()
    assert hashlib.sha256((tmp_path / FILE).read_bytes()).digest() == before


# --- what is said of people ---------------------------------------------------------------------------------


def played() -> Scene:
    """Play a session of a patient with a code that nobody could overlook."""
    from monitor.core import inputs as given

    scene = Scene(now=BEGAN).start(patient_code="SECRET-CODE", by="Nurse Name")
    scene.stream(30, spo2=97)
    scene.stream(60, spo2=83)
    alarm = next(iter(scene.bed.alarms.values()))
    scene.give(given.Acknowledge(alarm.alarm_id, "Nurse Name"))
    scene.give(given.RecordNote("note", "SECRET-CODE is well", "Nurse Name"))
    scene.give(given.RecordDose(35, "iv", "Nurse Name", reason="go"), after_s=1)
    scene.stream(60, spo2=97)
    scene.give(given.EndSession("Nurse Name", "SECRET-CODE went home"), after_s=5)
    return scene


def test_no_patient_code_and_no_name_leaves_by_the_mirror(tmp_path: Path) -> None:
    """Issue 8: neither tag nor field holds the patient's code, a person's name, or what people typed."""
    from monitor.series.points import line_of_outcome

    scene = played()
    lines = [line_of_outcome("clinic", number, one) for number, one in enumerate(scene.told, 1)]
    said = "\n".join(line for line in lines if line)
    assert "AlarmRaised" in said
    assert "PhaseChanged" in said
    assert "SessionEnded" in said
    for secret in ("SECRET", "Nurse", "went home"):
        assert secret not in said


def test_alarms_and_phases_are_in_the_store_once_each(tmp_path: Path, influx_store: Store, site: str) -> None:
    """Issue 8: alarms and phases are mirrored too; two of one instant stay two, written twice or not."""
    from monitor.series.points import MIRRORED

    scene = played()
    journal = Journal(tmp_path)
    twin = scene.of("AlarmRaised")[0]
    outcomes = [*scene.told, twin._replace(alarm_id="another"), twin._replace(alarm_id="a third")]
    journal.commit([Batch(outcomes=outcomes)])
    journal.close()
    follow(tmp_path, influx_store, site)
    (tmp_path / CURSOR).unlink()
    follow(tmp_path, influx_store, site)
    found = Influx(influx_store.settings).query(
        f"SELECT number, alarm_id, outcome, phase FROM outcomes WHERE site = '{site}'"
    )
    rows = sorted((number, outcome, alarm or "") for _, number, alarm, outcome, _ in found[0]["values"])
    wanted = [(n, o.outcome, o.alarm_id) for n, o in enumerate(outcomes, 1) if o.outcome in MIRRORED]
    assert rows == wanted
    assert {"dosing", "observation"} & {phase for *_, phase in found[0]["values"] if phase}
