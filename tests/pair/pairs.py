"""Two real monitors, a broker, a pager and people, for the tests of the pair."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.app.test_running_site import Ear, begin_session, ear, report  # noqa: F401  fixtures and words
from tests.conftest import LOOPBACK, PASSWORD, Mosquitto, Running, wait_for

SECRET = "a secret for tests that is long enough"


class Pager:
    """Where messages go: a small server that remembers what came, and when (monotonic seconds)."""

    def __init__(self, host: str = LOOPBACK) -> None:
        """Listen."""
        self.got: list[tuple[float, str]] = []
        pager = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                pager.got.append((time.monotonic(), json.loads(body)["title"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Answering)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, words: str) -> list[tuple[float, str]]:
        """Return what came with some words in the title."""
        return [one for one in list(self.got) if words in one[1]]

    def end(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class Patient:
    """An oximeter that reports every half second from a thread of its own."""

    def __init__(self, ear: Ear, device: str) -> None:  # noqa: F811
        """Begin with a healthy patient."""
        self.spo2, self.sent = 97, 0
        self._ear, self._device = ear, device
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(0.5):
            self.sent += 1
            words = report(spo2=self.spo2, pulse_rate=72) | {"boot_id": self._device, "sequence": self.sent}
            self._ear.say(self._device, words)

    def end(self) -> None:
        """Report no more."""
        self._ending.set()
        self._thread.join()


@pytest.fixture
def patients(two: Two) -> Iterator[list[Patient]]:
    """Give two patients."""
    made = [Patient(two.ear, f"oximeter-{number}") for number in (1, 2)]
    yield made
    for one in made:
        one.end()


@pytest.fixture
def pager() -> Iterator[Pager]:
    """Give a pager on loopback."""
    one = Pager()
    yield one
    one.end()


def settings(name: str, pager: Pager, host: str = LOOPBACK) -> str:
    """Return what stands in clinic.toml of one of the two."""
    return (
        f'[pair]\nname = "{name}"\nsecret_env = "AFTERWATCH_TEST_PAIR"\nlease_s = 5.0\n'
        f'[[notify.targets]]\nid = "pager"\nurl = "json://{host}:{pager.port}/"\n'
        '[[notify.routes]]\ntargets = ["pager"]\n'
    )


class Two:
    """A pair of real monitors at one broker."""

    def __init__(self, one: Running, other: Running, ear: Ear, pager: Pager) -> None:  # noqa: F811
        """Start both; the first becomes active."""
        self.one, self.other, self.ear, self.pager = one, other, ear, pager

    def high(self, bed: str) -> list[dict[str, Any]]:
        """Return the physiological high alarms that the bed's newest list tells of."""
        lists = self.ear.of(f"{bed}/alarms")
        alarms = lists[-1]["alarms"] if lists else []
        return [one for one in alarms if (one["kind"], one["priority"]) == ("physiological", "high")]

    def boot(self, bed: str) -> str:
        """Return who spoke last of a bed."""
        return str(self.ear.of(f"{bed}/alarms")[-1]["boot_id"])

    def begin_sessions(self, monitor: Running) -> None:
        """Begin a session on both beds."""
        for number in (1, 2):
            begin_session(monitor, f"bed-{number}").close()

    def acknowledge(self, monitor: Running, bed: str, alarm_id: str) -> None:
        """Acknowledge an alarm as a nurse."""
        with httpx.Client(base_url=monitor.address, timeout=20, headers={"Origin": monitor.address}) as http:
            http.post("/api/v1/sign-in", json={"name": "nina", "password": PASSWORD})
            found = re.search(r'name="csrf" content="([^"]+)"', http.get("/").text)
            assert found
            http.headers["X-CSRF-Token"] = found.group(1)
            way = f"/api/v1/beds/{bed}/alarms/{alarm_id}/acknowledge"
            answer = http.post(way, json={"priority": "high"})
            assert answer.status_code < 300, answer.text
            assert answer.json()["durable"] is True

    def start(self) -> None:
        """Start the first, wait until it is active, then the second until it follows."""
        self.one.people(nina="nurse")
        self.one.start()
        wait_for(lambda: "is active" in said(self.one), "the first to be active")
        self.other.start()
        wait_for(lambda: follows(self.other), "the second to follow")


def said(monitor: Running) -> str:
    """Return a monitor's log."""
    return monitor.log.read_text(errors="replace") if monitor.log.exists() else ""


def follows(monitor: Running) -> bool:
    """Say whether a follower has the state of every bed."""
    try:
        found = httpx.get(f"{monitor.address}/healthz", timeout=5).json().get("says", "")
    except (httpx.HTTPError, ValueError):
        return False
    return str(found).startswith("it follows")


def rows(monitor: Running, query: str) -> list[tuple[Any, ...]]:
    """Ask a journal's file."""
    if not (monitor.store / "journal.db").exists():
        return []
    with sqlite3.connect(f"file:{monitor.store / 'journal.db'}?mode=ro", uri=True, timeout=5) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def two(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    ear: Callable[[int], Ear],  # noqa: F811
    pager: Pager,
    monkeypatch: pytest.MonkeyPatch,
) -> Two:
    """Give two monitors that are not started."""
    monkeypatch.setenv("AFTERWATCH_TEST_PAIR", SECRET)
    broker = mosquitto()
    one, other = (running(broker.port, 2, settings(name, pager)) for name in ("a", "b"))
    return Two(one, other, ear(broker.port), pager)


def stop(monitor: Running) -> None:
    """Freeze a monitor."""
    assert monitor._process is not None
    os.kill(monitor._process.pid, signal.SIGSTOP)


def go_on(monitor: Running) -> None:
    """Let a frozen monitor go on."""
    assert monitor._process is not None
    os.kill(monitor._process.pid, signal.SIGCONT)
