"""Fixtures of the notification tests: places that close themselves, and a notifier that stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from monitor.clock import SystemClock
from monitor.config import Target
from monitor.notify import Notifier, Result
from tests.notify.places import HttpPlace, MailPlace


@pytest.fixture
def http_place() -> Iterator[Callable[..., HttpPlace]]:
    """Give a function that opens another web server."""
    opened: list[HttpPlace] = []

    def begin(mood: str = "200", patience: float = 1.0) -> HttpPlace:
        opened.append(HttpPlace(mood, patience))
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
def begin_notifier(results: list[Result]) -> Iterator[Callable[..., Notifier]]:
    """Give a function that starts a notifier on targets."""
    begun: list[Notifier] = []

    def begin(*targets: Target) -> Notifier:
        begun.append(Notifier(targets, results.append, SystemClock()))
        return begun[-1]

    yield begin
    for one in begun:
        one.stop()
