"""Fixtures of the notification tests: places that close themselves, time that stands still, a notifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from monitor.clock import SteppedClock
from monitor.config import Target
from monitor.notify import Notifier, Result
from tests.notify.places import HttpPlace, MailPlace

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Hand(SteppedClock):
    """Time that a test moves: however busy the machine, nothing is late that the test did not make late."""

    def __init__(self) -> None:
        """Begin at noon."""
        super().__init__(NOW)
        self.notifiers: list[Notifier] = []

    def advance(self, seconds: float) -> datetime:
        """Move forward, and let every worker look at the clock again."""
        now = super().advance(seconds)
        for one in self.notifiers:
            one.cancel("no alarm of that name")
        return now


@pytest.fixture
def http_place() -> Iterator[Callable[..., HttpPlace]]:
    """Give a function that opens another web server."""
    opened: list[HttpPlace] = []

    def begin(mood: str = "200") -> HttpPlace:
        opened.append(HttpPlace(mood))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def mail_place(free_port: Callable[[], int]) -> Iterator[MailPlace]:
    """Give a mail server."""
    place = MailPlace(free_port())
    yield place
    place.close()


@pytest.fixture
def results() -> list[Result]:
    """Give the list in which the notifier's results end."""
    return []


@pytest.fixture
def hand() -> Hand:
    """Give the clock of the notifiers of this test."""
    return Hand()


@pytest.fixture
def begin_notifier(results: list[Result], hand: Hand) -> Iterator[Callable[..., Notifier]]:
    """Give a function that starts a notifier on targets, in time that the test moves by ``hand``."""

    def begin(*targets: Target) -> Notifier:
        hand.notifiers.append(Notifier(targets, results.append, hand))
        return hand.notifiers[-1]

    yield begin
    for one in hand.notifiers:
        one.stop()
