"""A restart sends what was due, invents nothing, and does not page twice for what is settled."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from monitor.config import Target
from monitor.journal import Batch, Due, Journal, Settled
from monitor.notify import Notification, Notifier, Result, dump, load
from tests.notify.places import WITHIN_S, HttpPlace


def message(key: str, **changes: object) -> Notification:
    """Return a high notification made now."""
    now = datetime.now(UTC)
    until = now + timedelta(minutes=5)
    made = Notification(key, f"alarm-{key}", "bed-4", "s1", "phone", "high", "real", key, key, now, until)
    return made._replace(**changes)  # type: ignore[arg-type]


def due(one: Notification) -> Due:
    """Return the row that the journal keeps of a notification."""
    return Due(one.key, one.alarm_id, one.session_id, one.target, one.created_at, dump(one))


KILLS = 250


class House:
    """A journal and a notifier that can lose power at any moment."""

    def __init__(self, folder: Path, port: int) -> None:
        """Start as a fresh process does: what the journal has as due is sent."""
        self.journal = Journal(folder)
        self.results: list[Result] = []
        target = Target(id="phone", url=f"json://127.0.0.1:{port}/")
        self.notifier = Notifier([target], self.results.append, SystemClock())
        self.notifier.submit(load(row.body) for row in self.journal.due())

    def decide(self, one: Notification, *, submitted: bool = True) -> None:
        """Commit a notification with its alarm, and hand it over unless the power fails first."""
        self.journal.commit([Batch(due=[due(one)])])
        if submitted:
            self.notifier.submit([one])

    def write_down(self) -> None:
        """Commit the results so far."""
        found, self.results[:] = list(self.results), []
        rows = [Settled(r.key, r.state, r.attempts, r.text, r.at, r.final) for r in found]
        self.journal.commit([Batch(settled=rows)])

    def lose_power(self) -> None:
        """End at once; what was not committed is gone."""
        self.notifier.stop()
        self.journal.close()


@pytest.mark.slow
def test_kills_lose_no_message_and_page_nobody_twice_for_what_is_settled(
    http_place: Callable[..., HttpPlace], tmp_path: Path
) -> None:
    """P-09, P-46: one repeat a kill at most, never none, none once the result is written.

    (Of the notifier alone; tests/crash/test_delivery_kills.py kills the whole process, a thousand times in
    `make prove`.)
    """
    dice, place = random.Random(7), http_place()
    house, known, repeatable = House(tmp_path, place.port), set(), set()
    for number in range(KILLS):
        key = f"m{number}"
        step = dice.choice(("committed", "submitted", "sent", "settled", "cancelled"))
        house.decide(message(key), submitted=step != "committed")
        if step in ("sent", "settled", "cancelled"):
            assert house.notifier.flush(WITHIN_S), f"kill {number}"
        if step == "settled":
            house.write_down()
        elif step == "cancelled":
            answered = (f"alarm-{key}", "AlarmAccepted anna", datetime.now(UTC))
            house.journal.commit([Batch(cancelled=[answered])])
        else:
            repeatable.add(key)
        known |= {key} - repeatable
        house.lose_power()
        house = House(tmp_path, place.port)
        assert {row.key for row in house.journal.due()} <= repeatable
        if number % 10 == 9:
            assert house.notifier.flush(WITHIN_S)
            house.write_down()
            assert house.journal.due() == []
            repeatable.clear()
    house.lose_power()
    counts: dict[str, int] = {}
    for one in place.arrived:
        counts[one.body["title"]] = counts.get(one.body["title"], 0) + 1
    assert len(counts) == KILLS, "a message was lost"
    assert {counts[key] for key in known} == {1}, "a message was sent again although its end was written"
    assert max(counts.values()) <= 11  # of those that lost the power up to ten times before it was written


def test_what_expired_while_down_is_written_down_and_not_sent(
    http_place: Callable[..., HttpPlace], tmp_path: Path
) -> None:
    """P-36: after a night without power nobody is paged for yesterday."""
    place = http_place()
    first = House(tmp_path, place.port)
    past = datetime.now(UTC) - timedelta(hours=8)
    old = message("old", created_at=past, deadline_at=past + timedelta(minutes=5))
    first.decide(old, submitted=False)
    first.lose_power()
    second = House(tmp_path, place.port)
    assert second.notifier.flush(WITHIN_S)
    assert [one.state for one in second.results] == ["expired"]
    second.write_down()
    assert second.journal.due() == []
    second.lose_power()
    assert place.arrived == []
