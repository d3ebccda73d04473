"""A report as a row and a bed as bytes: what comes back is what was put in."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import snapshot
from monitor.core.vitals import FAULTS, METRICS, Observation, Report
from monitor.schema import (
    LEVELS,
    METRIC_COLUMNS,
    MIGRATIONS,
    REPORT,
    SCHEMA_VERSION,
    checksum,
    filled,
    from_micros,
    insert_readings,
    level_of,
    micros,
    report_of,
    row_of,
)
from tests.core.scene import NOON, protocols
from tests.core.stories import perform, seeded, stories

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.floats(0, 511, allow_nan=False) | st.integers(0, 511)
OBSERVATIONS = st.builds(
    Observation,
    st.sampled_from(list(METRICS)),
    st.none() | NUMBERS,
    st.sampled_from(["valid", "questionable", "invalid"]),
    st.just("") | TEXTS,
    st.none() | INSTANTS,
)
REPORTS = st.builds(
    Report,
    device_id=TEXTS.filter(bool),
    received_at=INSTANTS,
    measured_at=st.none() | INSTANTS,
    observations=st.lists(OBSERVATIONS, max_size=6).map(tuple),
    faults=st.none() | st.lists(st.sampled_from(list(FAULTS)), max_size=3).map(tuple),
    boot_id=st.none() | TEXTS.filter(bool),
    sequence=st.none() | st.integers(0, 2**63 - 1),
    mode=st.sampled_from(["real", "drill"]),
    retained=st.booleans(),
    gateway_at=st.none() | INSTANTS,
    online=st.none() | st.booleans(),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
)
NAMES = {1: "device", 2: "boot"}


def through_the_file(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write a row to SQLite as the journal does, and read what makes a report again."""
    db = sqlite3.connect(":memory:")
    db.create_function("checksum", -1, checksum, deterministic=True)
    for step in MIGRATIONS:
        db.executescript(step)
    row = (*row, checksum(*row))
    db.execute(insert_readings(filled(row), 2), [*compress(row, filled(row))] * 2)
    own = db.execute(f"SELECT crc = checksum(bed, at, {REPORT}) FROM reading").fetchall()
    assert own == [(1,), (1,)], "the checksum before writing is the one after reading"
    back = db.execute(f"SELECT {REPORT} FROM reading").fetchone()
    db.close()
    return tuple(back)


@given(REPORTS)
def test_p_01_a_report_comes_back_from_its_row_as_it_was(report: Report) -> None:
    """P-01: no value, reason, time, fault or note is lost or changed between the wire and the disk."""
    row = row_of(report, 1, 1, 2 if report.boot_id else None)
    back = report_of(through_the_file(row), {1: report.device_id, 2: report.boot_id or ""})
    assert back == report


@given(INSTANTS)
def test_an_instant_comes_back_to_the_microsecond(at: datetime) -> None:
    """P-49: instants are UTC numbers; no zone and no rounding touches them."""
    assert from_micros(micros(at)) == at


def test_plain_values_need_no_json() -> None:
    """BLOCKS H: the common reading is columns alone; only what they cannot hold costs more."""
    plain = Report("d", NOON, NOON, (Observation("pulse_rate", 72.0), Observation("spo2", 97.0)))
    turned = plain._replace(observations=plain.observations[::-1])
    assert row_of(plain, 7, 1, None)[9] is None
    assert row_of(turned, 7, 1, None)[9] is not None


@given(st.lists(OBSERVATIONS, max_size=5))
def test_the_levels_of_a_report_are_its_values_at_their_own_times(observations: list[Observation]) -> None:
    """Issue 8: an overview shows a repeated cuff value when it was measured, not when it was repeated."""
    report = Report("d", NOON, NOON, tuple(observations), faults=("motion",))
    extra = row_of(report, 7, 1, None)[9]
    found = [
        (*row[1:3], {v for v in row[4:] if v is not None}) for row in level_of(1, micros(NOON), 7, extra)
    ]
    expected: list[tuple[int, int, set[float]]] = [
        (span, micros(NOON) // (span * 1_000_000), set()) for span in LEVELS
    ]
    expected += [
        (span, micros(one.measured_at or NOON) // (span * 1_000_000), {one.value})
        for one in observations
        if one.value is not None
        for span in LEVELS
    ]
    assert found == expected


def test_every_migration_has_its_number() -> None:
    """R-19: the version in the file is the number of steps done."""
    assert len(MIGRATIONS) == SCHEMA_VERSION
    assert list(METRIC_COLUMNS) == list(METRICS)


# --- a bed as bytes -----------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(stories(25))
def test_p_02_a_bed_comes_back_as_it_was(story: list[Any]) -> None:
    """P-02, P-03: phases, filters, alarms, acknowledgements and pauses outlive a restart unchanged."""
    played = perform(story)
    known = {one.digest: one for one in protocols().values()}
    assert snapshot.load(snapshot.dump(played.bed), known) == played.bed


@pytest.mark.parametrize("seed", range(4))
def test_p_02_a_long_session_comes_back_at_every_step(seed: int) -> None:
    """P-02: there is no instant of a session at which a restart would forget something."""
    played = perform(seeded(seed, 60))
    known = {one.digest: one for one in protocols().values()}
    chance = random.Random(seed)
    for bed in chance.sample(played.beds, min(150, len(played.beds))):
        assert snapshot.load(snapshot.dump(bed), known) == bed, f"seed {seed} at {bed.now}"


def test_p_02_what_comes_back_is_compared_as_fast_as_what_was_there() -> None:
    """P-02, DESIGN §1: every instant is in ``datetime.UTC`` itself; to compare others costs dearly."""
    back = snapshot.load(
        snapshot.dump(perform(seeded(3, 60)).bed), {one.digest: one for one in protocols().values()}
    )
    zones = [at.tzinfo for at in _instants(back)]
    assert len(zones) > 5
    assert all(zone is UTC for zone in zones)


def _instants(value: Any) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _instants(getattr(value, one.name))
    elif isinstance(value, dict):
        yield from _instants(tuple(value.values()))
    elif isinstance(value, tuple):
        for one in value:
            yield from _instants(one)


def test_a_bed_whose_protocol_is_gone_says_so() -> None:
    """P-04: a state is never brought back with other limits than it was stored with."""
    played = perform([])
    with pytest.raises(LookupError, match="no protocol with digest"):
        snapshot.load(snapshot.dump(played.bed), {})


def test_a_protocol_comes_back_with_its_digest() -> None:
    """R-19: what a session started from is kept whole, and its name proves it."""
    for one in protocols().values():
        back = snapshot.load_protocol(snapshot.dump_protocol(one))
        assert back == one
        assert back.digest == one.digest


def test_bytes_that_are_no_bed_are_refused() -> None:
    """R-05: half a state is no state."""
    stored = snapshot.dump(perform([]).bed)
    with pytest.raises(ValueError, match=r"\w"):
        snapshot.load(stored[: len(stored) // 2], protocols())


def test_a_late_instant_is_after_an_early_one_as_numbers_too() -> None:
    """P-49: order on the disk is order in time, before 1970 too."""
    early = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert micros(early) == -1
    assert from_micros(-1) == early
    assert micros(early + timedelta(microseconds=1)) == 0
