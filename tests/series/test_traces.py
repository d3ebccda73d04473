"""Charts: the same from either store, no extreme lost, at any length, and soon."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Series
from monitor.core.record import Trace
from monitor.core.vitals import Observation, Report
from monitor.journal import LEVEL_EVERY, Batch, Journal
from monitor.safekeeping import verify
from monitor.schema import FILE
from monitor.series.embedded import Embedded
from monitor.series.influx import Influx
from monitor.series.remembered import Remembered
from monitor.series.retention import retain
from tests.conftest import find_free_port
from tests.series.conftest import Store
from tests.series.test_mirror import BED, BEGAN, fill, follow, reading

SPAN = (BEGAN - timedelta(hours=1), BEGAN + timedelta(days=2))


def values_by_slot(trace: Trace, every_s: float) -> dict[int, tuple[float, float]]:
    """Return the lowest and highest value of each interval."""
    found: dict[int, list[float]] = {}
    for at, value in zip(trace.at, trace.values, strict=True):
        if value is not None:
            found.setdefault(int(at // every_s), []).append(value)
    return {slot: (min(values), max(values)) for slot, values in found.items()}


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Give a journal long enough that most of it is in intervals, and the newest is not."""
    fill(tmp_path, range(LEVEL_EVERY + 4500))
    fill(tmp_path, range(200), "oximeter-2")
    return tmp_path


@pytest.mark.parametrize("every_s", [10.0, 15.0, 60.0, 300.0, 3600.0])
def test_no_extreme_is_lost_in_a_long_chart(long: Path, every_s: float) -> None:
    """Issue 8: of every interval the lowest and the highest of the readings themselves are drawn."""
    shop = Embedded(long)
    exact = {(t.metric, t.device_id): t for t in shop.traces(BED, *SPAN)}
    thinned = {(t.metric, t.device_id): t for t in shop.traces(BED, *SPAN, every_s=every_s)}
    width = every_s // 10 * 10 if every_s < 300 else every_s // 300 * 300
    assert thinned.keys() == exact.keys()
    for key, trace in thinned.items():
        assert trace.at == sorted(trace.at)
        assert values_by_slot(trace, width) == values_by_slot(exact[key], width), key


def test_every_gap_with_a_reason_is_in_a_chart_of_hours(long: Path) -> None:
    """DESIGN §5: thinning never draws over a "no value"."""
    shop = Embedded(long)
    exact = next(t for t in shop.traces(BED, *SPAN, metrics=["spo2"]) if t.device_id == "oximeter-1")
    thinned = next(
        t for t in shop.traces(BED, *SPAN, metrics=["spo2"], every_s=30) if t.device_id == "oximeter-1"
    )
    gaps = [{t.at[place]: why for place, why in t.marks.items()} for t in (exact, thinned)]
    assert gaps[0] == gaps[1]
    assert len(gaps[0]) > 200


@settings(max_examples=25)
@given(st.data())
def test_intervals_know_late_readings_and_restarts(data: st.DataObject) -> None:
    """Issue 8: in whatever order readings come, over restarts, intervals say what the readings say."""
    import tempfile

    order = data.draw(st.permutations(range(40)))
    cuts = data.draw(st.sets(st.integers(0, 39)))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as place:
        patch.setattr("monitor.journal.LEVEL_EVERY", data.draw(st.integers(0, 15)))
        journal = Journal(Path(place))
        for number in order:
            at = BEGAN + timedelta(seconds=7 * number)
            one = Report("d", at, at, (Observation("spo2", 70.0 + number * 17 % 30),))
            journal.commit([Batch(readings=[(BED, one)])])
            if number in cuts:
                journal.close()
                journal = Journal(Path(place))
        journal.close()
        exact, thinned = (Embedded(Path(place)).traces(BED, *SPAN, every_s=every)[0] for every in (0, 20))
    assert values_by_slot(thinned, 20) == values_by_slot(exact, 20)


@pytest.mark.parametrize("every_s", [0.0, 15.0, 300.0])
def test_a_metric_that_only_just_began_is_in_the_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    """Issue 8: a device's first value of a metric is drawn before any interval knows that it measures it."""
    monkeypatch.setattr("monitor.journal.LEVEL_EVERY", 10)
    journal = Journal(tmp_path)
    for number in range(22):  # intervals are told of the first dozen
        at = BEGAN + timedelta(seconds=number)
        begun = (Observation("pulse_rate", 71.0),) if number == 21 else ()
        journal.commit([Batch(readings=[(BED, Report("d", at, at, (*begun, Observation("spo2", 97.0))))])])
    journal.close()
    found = {trace.metric: trace for trace in Embedded(tmp_path).traces(BED, *SPAN, every_s=every_s)}
    assert found.keys() == {"spo2", "pulse_rate"}
    assert found["pulse_rate"].values == [71.0]


def steps(folder: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Embedded], object]) -> int:
    """Return how much SQLite did for a question, in hundreds of its instructions."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        db = plain(*arguments, **more)
        db.set_progress_handler(count, 100)
        return db

    plain = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        assert ask(Embedded(folder))
    return counted


def test_a_chart_costs_what_its_own_bed_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN §1: the cost of a chart does not grow with the readings of other beds that intervals know."""
    monkeypatch.setattr("monitor.journal.LEVEL_EVERY", 100)
    cost: dict[tuple[int, float], int] = {}
    for beds in (1, 8):
        folder = tmp_path / str(beds)
        journal = Journal(folder)
        for first in range(0, 600, 300):
            numbers, each = range(first, first + 300), range(beds)
            ward = [(f"bed-{bed}", reading(n, f"oximeter-{bed}")[1]) for n in numbers for bed in each]
            journal.commit([Batch(readings=ward)])
        journal.commit([Batch(readings=[("bed-0", reading(600, "oximeter-0")[1])])])  # now intervals know
        journal.close()
        for every_s in (0.0, 15.0, 300.0):

            def chart(shop: Embedded, every_s: float = every_s) -> object:
                return shop.traces("bed-0", *SPAN, every_s=every_s)

            cost[beds, every_s] = steps(folder, monkeypatch, chart)
    for every_s in (0.0, 15.0, 300.0):
        assert cost[8, every_s] < 1.3 * cost[1, every_s] + 5, cost


# --- the other store ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_s", [0.0, 5.0, 300.0, 3600.0])
def test_the_page_cannot_tell_which_store_answered(
    tmp_path: Path, influx_store: Store, site: str, every_s: float
) -> None:
    """Issue 8: InfluxQL gives the traces that the journal gives, with gaps and their reasons."""
    fill(tmp_path, range(1500))
    fill(tmp_path, range(200), "oximeter-2")
    follow(tmp_path, influx_store, site)
    ours = Embedded(tmp_path).traces(BED, *SPAN, every_s=every_s)
    theirs = Influx(influx_store.settings).traces(site, BED, *SPAN, every_s=every_s)
    assert theirs == ours
    assert any(trace.marks for trace in ours) or every_s >= 300


def test_what_retention_removed_is_read_from_the_mirror(
    tmp_path: Path, influx_store: Store, site: str
) -> None:
    """Issue 8: the chart of a time that the journal no longer holds is the chart it was."""
    fill(tmp_path, range(0, 86_400, 60))
    follow(tmp_path, influx_store, site)
    settings = influx_store.settings.model_copy(update={"read": True})
    before = Embedded(tmp_path).traces(BED, *SPAN)
    removed = retain(tmp_path, BEGAN + timedelta(days=1, hours=12), readings_days=1, mirrored=True)
    assert removed[0].rows == 720
    shop = Remembered(tmp_path, settings, site)
    assert len(Embedded(tmp_path).traces(BED, *SPAN)[0].at) < len(before[0].at)
    assert shop.traces(BED, *SPAN) == before
    away = Remembered(tmp_path, Series(url=f"http://127.0.0.1:{find_free_port()}"), site)
    assert away.traces(BED, *SPAN) == Embedded(tmp_path).traces(BED, *SPAN)
    assert "refused" in away.trouble


def test_a_name_cannot_break_out_of_a_question(tmp_path: Path, influx_store: Store, site: str) -> None:
    """S-06: a bed's id is data in InfluxQL, whatever stands in it."""
    fill(tmp_path, range(30))
    follow(tmp_path, influx_store, site)
    for odd in ("x' OR bed = 'bed-1", "\\' OR '1'='1", "'; DROP DATABASE x; --"):
        assert Influx(influx_store.settings).traces(site, odd, *SPAN) == []


# --- damage -----------------------------------------------------------------------------------------------


def test_r_05_a_record_never_shows_a_damaged_value(tmp_path: Path) -> None:
    """R-05: what was changed on the disk is a gap with that reason in the record, not a number."""
    fill(tmp_path, range(10, 20))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE reading SET spo2 = 55 WHERE id = 3")
    shop = Embedded(tmp_path)
    checked = shop.checked(shop.traces(BED, *SPAN), BED, *SPAN)
    for trace in checked:
        assert trace.values[2] is None
        assert "damaged" in trace.marks[2]
        assert sum(value is None for value in trace.values) == 1


# --- a restart ----------------------------------------------------------------------------------------------


def test_a_bed_that_rests_does_not_make_a_restart_long(tmp_path: Path) -> None:
    """R-21: a restart looks through the readings since the states were stored, not since a bed last moved."""
    journal = Journal(tmp_path)
    journal.commit([Batch(snapshots={"rests": (BEGAN, b"{}"), BED: (BEGAN, b"{}")})])
    journal.snapshots()
    for first in range(0, 2 * LEVEL_EVERY + 4000, 1000):
        each = [
            (BED, Report("d", at, at, (Observation("spo2", 97.0),)))
            for number in range(first, first + 1000)
            for at in [BEGAN + timedelta(seconds=number)]
        ]
        journal.commit([Batch(readings=each)])
    journal.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        kept = dict(db.execute("SELECT bed_id, reading FROM snapshot"))
    assert kept["rests"] > LEVEL_EVERY
    assert kept[BED] == 0, "what this bed's state does not know yet is still looked at"
    assert verify(tmp_path).faults == ()
