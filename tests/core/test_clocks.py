"""A device's clock and counter by the second: what is live, what is late, what is missing, what came before.

Devices here are plain records; nothing of a bed is needed.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest

from monitor.core.device import (
    GAP_KEPT,
    Device,
    DeviceProfile,
    missing_count,
    note_live,
    place,
    receive,
    skewed,
    with_profile,
)
from monitor.core.vitals import Report
from tests.core.scene import NOON


def at(second: float) -> datetime:
    """Return an instant so many seconds after noon."""
    return NOON + timedelta(seconds=second)


def device(**more: Any) -> Device:
    """Return a device of which nothing is known."""
    return Device(DeviceProfile("d"), **more)


def placed(one: Device, behind: float, now: float = 0) -> tuple[float, str]:
    """Place a reading whose clock is so many seconds behind; return seconds after noon, and liveness."""
    found = place(one, at(now - behind), at(now))
    return (found.at - NOON).total_seconds(), found.liveness


def test_a_device_begins_with_nothing_known() -> None:
    """DESIGN §6: a copy has every field; a new profile keeps what is known."""
    fresh = device()
    known = {f.name: getattr(fresh, f.name) for f in fields(fresh)}
    assert {name for name, value in known.items() if value} == {"profile"}
    assert (fresh.skew, fresh.skew_first) == (timedelta(0), timedelta(0))
    plain = DeviceProfile("d")
    assert (plain.metrics, plain.expected_interval_s, plain.averaging_s, plain.trust_clock) == (
        (),
        1,
        0,
        True,
    )
    full = Device(*(object() for _ in fields(Device)))  # type: ignore[arg-type]
    assert full.copy() == full
    assert full.copy() is not full
    other = DeviceProfile("d", ("spo2",))
    assert with_profile(None, other) == Device(other)
    moved = with_profile(device(sequence=7), other)
    assert (moved.profile, moved.sequence) == (other, 7)


@pytest.mark.parametrize(
    ("behind", "stands_at", "skew"),
    [
        (0, 0, False),
        (5, -5, False),
        (-5, 0, False),  # ahead: nothing is measured in the future
        (5.1, -5.1, True),
        (-5.1, 0, True),
        (60, -60, True),
    ],
)
def test_al_32_up_to_60_s_behind_is_live_and_over_5_s_is_noted(
    behind: float, stands_at: float, skew: bool
) -> None:
    """AL-32: 5 s either way is agreement; up to 60 s a reading is live at its own time."""
    one = device()
    assert placed(one, behind) == (stands_at, "live")
    assert (one.skew_since is not None) is skew
    assert one.skew == timedelta(seconds=behind if skew else 0)


def test_al_32_over_60_s_is_late_until_its_pace_is_proven() -> None:
    """AL-32, AL-13: 5 s at the pace of time; then live now, and from there by the offset taken off."""
    one = device()
    assert [placed(one, 61, second)[1] for second in range(7)] == ["late"] * 5 + ["live"] * 2
    assert one.offset == timedelta(seconds=61)
    assert placed(one, 63, 7) == (5, "live")  # two seconds later than its offset
    assert placed(one, 59, 8) == (8, "live")  # never in the future
    assert placed(one, 61 + 60, 9) == (-51, "live")
    assert placed(one, 61 + 60.5, 10)[1] == "late"
    assert one.offset is None


@pytest.mark.parametrize(
    ("told_s", "live"), [(5, True), (2.5, True), (7.5, True), (2.4, False), (7.6, False)]
)
def test_al_33_a_backlog_outruns_time_and_a_clock_does_not(told_s: float, live: bool) -> None:
    """AL-33: from half the pace of time to one and a half times is a clock; else it is what was kept."""
    one = device()
    place(one, at(-100), at(0))
    found = place(one, at(-100 + told_s), at(5))
    assert (found.liveness == "live") is live
    assert (one.late_first == (at(-100 + told_s), at(5))) is not live


def test_al_33_after_a_silence_the_pace_is_proven_for_two_minutes() -> None:
    """AL-33: who was silent for as long as it is late sends what it kept; 120 s prove a clock too."""
    one = device(silent_until=at(-1))
    assert [placed(one, 100, second)[1] for second in (0, 5, 119, 120)] == ["late", "late", "late", "live"]
    long_ago = device(silent_until=at(-161))
    assert [placed(long_ago, 100, second)[1] for second in (0, 5)] == ["late", "live"]
    just = device(silent_until=at(-155))
    assert [placed(just, 100, second)[1] for second in (0, 5)] == ["late", "late"]


def test_al_32_a_clock_that_agrees_again_forgets_what_it_was() -> None:
    """AL-32: no offset, no skew and no proof are left of it."""
    one = device()
    for second in range(7):
        placed(one, 100, second)
    assert placed(one, 1, 8) == (7, "live")
    assert (one.offset, one.late_first, one.skew_since, one.skew) == (None, None, None, timedelta(0))


def test_al_32_a_skew_is_sure_after_5_steady_seconds() -> None:
    """AL-32: by about the same amount (5 s) for 5 s; one that moves further begins anew."""
    one = device()
    placed(one, 20, 0)
    assert not skewed(one, at(4.9))
    assert skewed(one, at(5))
    placed(one, 25, 3)
    assert (one.skew_since, one.skew_first, one.skew) == (at(0), timedelta(seconds=20), timedelta(seconds=25))
    placed(one, 25.1, 4)
    assert (one.skew_since, one.skew_first) == (at(4), timedelta(seconds=25.1))
    assert not skewed(device(), at(99))


def test_al_13_what_is_older_than_the_newest_live_reading_is_not_at_its_own_time() -> None:
    """AL-13: a clock set back must prove itself; an equal instant goes on."""
    assert placed(device(live_at=at(-30)), 30) == (-30, "live")
    assert placed(device(live_at=at(-29)), 30)[1] == "late"
    one = device()
    for instant, newest in ((at(3), at(3)), (at(2), at(3)), (at(3), at(3)), (at(4), at(4))):
        note_live(one, instant)
        assert one.live_at == newest


# --- what is received --------------------------------------------------------------------------------------


def got(one: Device, second: float = 0, **more: Any) -> tuple[float, str]:
    """Let a device receive a report; return its instant in seconds after noon, and its liveness."""
    found = receive(one, Report("d", at(second), **more), at(second))
    return (found.at - NOON).total_seconds(), found.liveness


def test_p_20_a_report_counts_by_its_own_time_or_its_arrival() -> None:
    """P-20, AL-32: retained and repeated by their own time, never live; an untrusted clock not."""
    assert got(device(), 9, measured_at=at(7), retained=True) == (7, "retained")
    assert got(device(), 9, retained=True) == (9, "retained")
    assert got(device(), 9) == (9, "live")
    assert got(device(), 9, measured_at=at(7)) == (7, "live")
    assert got(device(), 9, measured_at=at(7), faults=("clock_unset",)) == (9, "live")
    assert got(device(), 9, measured_at=at(7), faults=("motion",)) == (7, "live")
    assert got(Device(DeviceProfile("d", trust_clock=False)), 9, measured_at=at(7)) == (9, "live")
    twice = device(boot_id="b", sequence=4)
    assert got(twice, 9, measured_at=at(7), boot_id="b", sequence=4) == (7, "repeated")
    assert got(twice, 9, boot_id="b", sequence=4) == (9, "repeated")
    assert twice.seen_at is None


def test_what_is_heard_of_a_device_is_remembered() -> None:
    """AL-30, AL-33: when it was last seen and last broke a silence; whoever reports is there."""
    one = device(online=False)
    got(one, 0, measured_at=at(-1))
    assert (one.seen_at, one.measured_at, one.silent_until, one.online) == (at(0), at(-1), None, True)
    got(one, 60, measured_at=at(-2))
    assert (one.seen_at, one.measured_at, one.silent_until) == (at(60), at(-1), None)
    got(one, 120.1)
    assert (one.seen_at, one.silent_until) == (at(120.1), at(120.1))
    unknown = device()
    got(unknown)
    assert unknown.online is None
    kept = device()
    got(kept, measured_at=at(-1), retained=True)
    assert (kept.seen_at, kept.measured_at) == (None, None)


def numbered(one: Device, *numbers: int, boot_id: str | None = "b") -> list[str]:
    """Let a device receive messages of these numbers, one a second; return their liveness."""
    return [got(one, second, boot_id=boot_id, sequence=n)[1] for second, n in enumerate(numbers)]


def test_p_28_the_counter_by_example() -> None:
    """P-27, P-28: gaps are kept as ranges, late numbers fill them from any side, a repeat is known."""
    one = device()
    assert numbered(one, 1, 2, 6, 10) == ["live"] * 4
    assert (one.sequence, one.missing, missing_count(one), one.gap_at) == (10, ((3, 5), (7, 9)), 6, at(2))
    assert numbered(one, 4) == ["live"]
    assert one.missing == ((3, 3), (5, 5), (7, 9))
    assert numbered(one, 7, 9) == ["live"] * 2
    assert one.missing == ((3, 3), (5, 5), (8, 8))
    assert (missing_count(one), one.gap_at) == (3, at(2))
    assert numbered(one, 4, 9, 1, 10) == ["repeated"] * 4
    assert numbered(one, 3, 5, 8) == ["live"] * 3
    assert (one.missing, one.gap_at, one.sequence) == ((), None, 10)
    assert missing_count(one) == 0


def test_p_28_another_boot_or_a_fall_begins_a_new_count() -> None:
    """P-28: a new boot id; without any time and boot id a fall of over 64; with times, that time goes on."""
    one = device()
    numbered(one, 5, 9)
    assert numbered(one, 1, boot_id="c") == ["live"]
    assert (one.boot_id, one.sequence, one.missing, one.gap_at) == ("c", 1, (), None)
    for fall, liveness in ((GAP_KEPT, "repeated"), (GAP_KEPT + 1, "live")):
        nameless = device()
        numbered(nameless, 100, boot_id=None)
        assert numbered(nameless, 100 - fall, boot_id=None) == [liveness]
        named = device()
        numbered(named, 100)
        assert numbered(named, 100 - fall) == ["repeated"]
    timed = device(boot_id="b", sequence=9, measured_at=at(0))
    assert got(timed, 1, boot_id="b", sequence=1, measured_at=at(0))[1] == "repeated"
    assert got(timed, 1, boot_id="b", sequence=1, measured_at=at(1))[1] == "live"
    assert timed.sequence == 1
    many = device()
    numbered(many, *range(1, 200, 2))
    assert len(many.missing) == GAP_KEPT
    assert many.missing[-1] == (198, 198)
