"""Instants as people at the site read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clockface import Clockface, duration

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "Australia/Lord_Howe"]


@pytest.mark.parametrize(
    ("zone", "at", "told"),
    [
        ("Asia/Kolkata", datetime(2026, 11, 23, 9, 0, tzinfo=UTC), "2026-11-23 14:30:00 +05:30"),
        ("Pacific/Chatham", datetime(2026, 6, 1, 12, 0, tzinfo=UTC), "2026-06-02 00:45:00 +12:45"),
        ("Pacific/Chatham", datetime(2026, 11, 23, 12, 0, tzinfo=UTC), "2026-11-24 01:45:00 +13:45"),
        ("America/New_York", datetime(2026, 3, 8, 7, 0, tzinfo=UTC), "2026-03-08 03:00:00 -04:00"),
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-25 02:30:00 +02:00"),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25 02:30:00 +01:00"),
    ],
)
def test_an_instant_is_told_with_date_and_offset(zone: str, at: datetime, told: str) -> None:
    """Issue 7: times right on both DST nights, in +05:30 and +12:45."""
    assert Clockface(zone).full(at) == told


def test_times_carry_their_offset_only_when_the_clocks_change() -> None:
    """A time of day can be read in one way only."""
    night = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    plain = Clockface("Europe/Berlin", [night, night + timedelta(minutes=20)])
    shifting = Clockface("Europe/Berlin", [night, night + timedelta(hours=2)])
    assert plain.time(night) == "02:30"
    assert [shifting.time(night), shifting.time(night + timedelta(hours=1))] == ["02:30+02", "02:30+01"]


@given(
    st.sampled_from(ZONES),
    st.integers(0, 729 * 1440).map(
        lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    ),
    st.integers(-11 * 60, 11 * 60),
)
def test_words_told_in_utc_become_the_sites_time_of_the_same_instant(
    zone: str, near: datetime, minutes: int
) -> None:
    """A clinician never has to convert: the nearest instant of that time of day is told in local time."""
    meant = (near + timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    clock = Clockface(zone)
    assert clock.words(f"due {meant:%H:%M} UTC, read", near) == f"due {clock.time(meant)}, read"


def test_words_without_utc_stay_as_they_were_told() -> None:
    """A person's own words are not changed."""
    assert (
        Clockface("Asia/Kolkata").words("at 10:15 by her watch", datetime(2026, 1, 1, tzinfo=UTC))
        == "at 10:15 by her watch"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (185, "3 min 05 s"), (7560, "2 h 06 min"), (3599.6, "1 h 00 min")]
)
def test_durations_are_words(seconds: float, words: str) -> None:
    """Lengths of time are told in the largest two units."""
    assert duration(timedelta(seconds=seconds)) == words
