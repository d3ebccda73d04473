"""The cookie: who sits there, and until when they may change things."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.web.seats import IDLE_S, RIGHTS, SEAT_S, SHIFT_S, Doorkeeper
from monitor.web.users import Users

PASSWORD = "correct horse battery"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        """Start at some instant."""
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the instant."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock that seats are judged by."""
    clock = Clock()
    monkeypatch.setattr("monitor.web.seats.time.time", clock)
    return clock


@pytest.fixture
def doors(tmp_path: Path, clock: Clock) -> Doorkeeper:
    """Give a doorkeeper with a nurse and an admin."""
    users = Users(tmp_path / "users.json")
    users.add("Nora", PASSWORD, ("nurse",))
    users.add("Ada", PASSWORD, ("admin",))
    return Doorkeeper(users, b"k" * 32, clock)


def cookie(doors: Doorkeeper, name: str = "Nora") -> str:
    """Return a fresh cookie."""
    account = doors.users.find(name)
    assert account is not None
    return doors.write(doors.seat(account, ("password",)))


def test_a_seat_survives_a_restart(doors: Doorkeeper, clock: Clock) -> None:
    """Issue 2: the cookie alone holds the seat; another process with the same key reads it."""
    kept = cookie(doors)
    again = Doorkeeper(Users(doors.users.path), b"k" * 32, clock).read(kept)
    assert again is not None
    assert (again.name, again.roles) == ("Nora", ("nurse",))


def test_a_forged_seat_is_nobody(doors: Doorkeeper, clock: Clock) -> None:
    """ASVS V7: a changed cookie, or one of another key, opens nothing."""
    kept = cookie(doors)
    assert doors.read(kept[:-2] + ("AA" if kept[-2:] != "AA" else "BB")) is None
    assert Doorkeeper(doors.users, b"x" * 32, clock).read(kept) is None
    assert doors.read("") is None
    assert doors.read("garbage") is None


def test_rights_to_change_end_after_ten_idle_minutes_and_reading_does_not(
    doors: Doorkeeper, clock: Clock
) -> None:
    """164.312(a)(2)(iii): write rights end after 10 min idle; the wall stays live read-only."""
    kept = cookie(doors)
    clock.now += IDLE_S
    seat = doors.read(kept)
    assert seat is not None
    assert seat.awake()
    clock.now += 1
    assert not seat.awake()
    assert seat.may("view")


def test_no_sign_of_life_outlasts_the_shift(doors: Doorkeeper, clock: Clock) -> None:
    """ASVS V7.3.2: an absolute end as well; the wall goes on for reading until the seat ends."""
    kept = cookie(doors)
    clock.now += SHIFT_S + 1
    seat = doors.read(kept)
    assert seat is not None
    assert not doors.touch(seat).awake()
    clock.now += SEAT_S
    assert doors.read(kept) is None


def test_a_seat_ends_with_its_account(doors: Doorkeeper) -> None:
    """Roles count as they are now, not as they were at sign-in."""
    kept = cookie(doors)
    doors.users.set_roles("Nora", ["operator"])
    assert doors.read(kept) is None


def test_a_seat_that_was_left_is_left_for_good(doors: Doorkeeper) -> None:
    """A copied cookie is worth nothing after sign-out."""
    kept = cookie(doors)
    seat = doors.read(kept)
    assert seat is not None
    doors.users.revoke(seat.seat_id, 60)
    assert doors.read(kept) is None


def test_administration_needs_a_second_factor(doors: Doorkeeper) -> None:
    """ASVS V6.3.3: an admin by password alone may look, and administer nothing."""
    account = doors.users.find("Ada")
    assert account is not None
    assert not doors.seat(account, ("password",)).may("admin")
    assert doors.seat(account, ("password", "totp")).may("admin")


def test_an_operator_has_no_business_with_patients() -> None:
    """ASVS V8.2.1: least rights; drills need neither records nor care."""
    assert RIGHTS["operator"].isdisjoint({"care", "record", "limits", "sign", "admin"})
