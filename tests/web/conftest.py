"""A small real monitor for each test, and people who sign in to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.small_house import PASSWORD, SmallHouse

REQUEST_S = 60.0  # how long an answer may take on a busy machine
get, post = partial(httpx.get, timeout=REQUEST_S), partial(httpx.post, timeout=REQUEST_S)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the desk take its time: here a busy machine is no fault of the monitor."""
    monkeypatch.setattr("monitor.web.house.ANSWER_WITHIN_S", REQUEST_S)


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., SmallHouse]]:
    """Give a function that starts a small house; all are stopped at the end."""
    running: list[SmallHouse] = []

    def begin(**options: Any) -> SmallHouse:
        house = SmallHouse(tmp_path, **options)
        running.append(house)
        return house

    yield begin
    for house in running:
        house.stop()


@pytest.fixture
def house(open_house: Callable[..., SmallHouse]) -> SmallHouse:
    """Give a small house of four beds."""
    return open_house()


class Person:
    """Someone signed in over HTTP."""

    def __init__(self, house: SmallHouse, name: str) -> None:
        """Sign in with the password, and prove the second factor where the role needs one."""
        self.http = httpx.Client(base_url=house.url, timeout=REQUEST_S)
        if name == "Ada":  # administration needs a second factor; her one-time link counts as one
            assert self.http.get(house.users.sign_in_link(name)).status_code == 303
        elif name:
            answer = self.http.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
        if name:
            seat = house.site.house.doors.read(self.http.cookies["afterwatch_seat"])
            assert seat is not None
            self.http.headers["X-CSRF-Token"] = house.site.house.doors.csrf(seat)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask."""
        return self.http.get(f"/api/v1{path}", **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Change."""
        return self.http.post(f"/api/v1{path}", json={} if body is None else body, **options)


@pytest.fixture
def enter() -> Iterator[Callable[[SmallHouse, str], Person]]:
    """Give a function that signs a person in to a house; an empty name is nobody."""
    people: list[Person] = []

    def begin(house: SmallHouse, name: str) -> Person:
        people.append(Person(house, name))
        return people[-1]

    yield begin
    for person in people:
        person.http.close()


@pytest.fixture
def sign_in(house: SmallHouse, enter: Callable[[SmallHouse, str], Person]) -> Callable[[str], Person]:
    """Give a function that signs a person in to `house`."""
    return lambda name: enter(house, name)
