"""The main job, whole: from a monitor's reading to a nurse who knows, with every part real."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from aiosmtpd.controller import Controller

from tests.conftest import LOOPBACK, PASSWORD, Mosquitto, PageGuard, Running, find_free_port, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Oximeter:
    """A device on the broker that reports once a second, whatever it is told to measure."""

    def __init__(self, broker_port: int, device_id: str) -> None:
        """Connect and begin with a healthy patient."""
        self.spo2, self.pulse = 97, 72
        self._topic = f"afterwatch/v1/clinic/devices/{device_id}/report"
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=device_id, protocol=paho.MQTTv5
        )
        self._client.connect(LOOPBACK, broker_port)
        self._client.loop_start()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sequence = 0
        while not self._ended.wait(1.0):
            sequence += 1
            report = {
                "measured_at": datetime.now(UTC).isoformat(),
                "boot_id": "b1",
                "sequence": sequence,
                "mode": "real",
                "values": {"spo2": self.spo2, "pulse_rate": self.pulse},
            }
            self._client.publish(self._topic, json.dumps(report), qos=1)

    def end(self) -> None:
        """Fall silent."""
        self._ended.set()
        self._thread.join()
        self._client.loop_stop()


class Post:
    """A place that takes messages over HTTP, and one over SMTP."""

    def __init__(self) -> None:
        """Listen on two free loopback ports."""
        self.posted: list[dict[str, Any]] = []
        self.mailed: list[str] = []
        posted = self.posted

        class Taker(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Taker)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.mail_port = find_free_port()
        self._mail = Controller(self, hostname=LOOPBACK, port=self.mail_port)
        self._mail.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail."""
        self.mailed.append(envelope.content.decode(errors="replace"))
        return "250 taken"

    def end(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._mail.stop()

    def targets(self) -> str:
        """Return the targets and the route for clinic.toml."""
        mail = (
            f"mailto://{LOOPBACK}?smtp={LOOPBACK}&port={self.mail_port}&from=a@clinic.test&to=n@clinic.test"
        )
        return (
            f'[[notify.targets]]\nid = "pager"\nurl = "json://{LOOPBACK}:{self.port}/"\n'
            f'[[notify.targets]]\nid = "mail"\nurl = "{mail}"\n'
            '[[notify.routes]]\ntargets = ["pager", "mail"]\n'
        )


@pytest.fixture
def post() -> Iterator[Post]:
    """Give a place that takes messages."""
    one = Post()
    yield one
    one.end()


def sign_in(page: Page, address: str, name: str) -> None:
    """Sign in as a person does."""
    page.goto(address)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    await_page(page, f"{address}/")


def await_page(page: Page, begins: str) -> None:
    """Wait until the address begins so; a navigation that another one overtakes is no mistake."""
    from playwright.sync_api import expect

    expect(page).to_have_url(re.compile(re.escape(begins)))


def picture(page: Page, name: str) -> None:
    """Keep a picture where AFTERWATCH_PICTURES says, for those who look."""
    folder = os.environ.get("AFTERWATCH_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def start_session(page: Page, address: str) -> None:
    """Start a session on bed 1 as a nurse does."""
    page.goto(f"{address}/beds/bed-1/start")
    page.get_by_label("Patient code").fill("K-0042")
    page.get_by_label("IV ketamine").check()
    page.get_by_label("Start all the same").fill("nobody listens to this machine")
    page.get_by_role("button", name="Start the session").click()
    await_page(page, f"{address}/sessions/")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_al_25_from_a_falling_saturation_to_a_nurse_and_through_a_crash(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    open_page: Callable[..., Page],
    guard: PageGuard,
    post: Post,
) -> None:
    """AL-25, AL-37, P-01: word and shape, message out, acknowledged everywhere; kill -9; broker gone."""
    from playwright.sync_api import expect

    broker = mosquitto()
    monitor = running(broker.port, 2, post.targets())
    monitor.people(nina="nurse", noor="nurse")
    monitor.start()
    guard.allow(
        r"WebSocket|ERR_CONNECTION|net::|Failed to (load|fetch)|NetworkError"
    )  # we kill the server below
    wall, second = open_page(viewport={"width": 1920, "height": 1080}), open_page()
    sign_in(wall, monitor.address, "nina")
    sign_in(second, monitor.address, "noor")
    oximeter = Oximeter(broker.port, "oximeter-1")
    try:
        start_session(wall, monitor.address)
        wall.goto(f"{monitor.address}/")
        tile = wall.locator('[data-bed="bed-1"]')
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("97")

        oximeter.spo2 = 82
        expect(tile.locator(".word")).to_have_text("HIGH")
        expect(tile).to_have_attribute("data-colour", "high")
        expect(tile.locator(".shape svg")).to_be_visible()
        expect(tile.locator(".text")).to_contain_text("SpO2")
        picture(wall, "wall-high")
        wait_for(lambda: any("SpO2" in json.dumps(one) for one in post.posted), "a message over HTTP")
        wait_for(lambda: any("SpO2" in mail or "HIGH" in mail for mail in post.mailed), "a mail")
        assert not any("K-0042" in json.dumps(one) for one in post.posted), "a patient code left the house"

        tile.get_by_role("button", name="Ack").click()
        there = second.locator('[data-bed="bed-1"]')
        expect(there).to_have_attribute("data-signal", "acknowledged")
        expect(tile).to_have_attribute("data-signal", "acknowledged")

        monitor.kill()
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("--")
        picture(wall, "wall-monitor-dead")
        monitor.start()
        expect(tile).to_have_attribute("data-signal", "acknowledged")
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("82")

        broker.stop()
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("--")
        expect(wall.locator("#alarms")).to_contain_text("no link to the broker")
        picture(wall, "wall-broker-gone")
        broker.start()
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("82")
        expect(wall.locator("#alarms")).not_to_contain_text("no link to the broker")

        oximeter.spo2 = 97
        expect(tile.locator(".numeric.spo2 .value")).to_have_text("97")
        tile.locator("a.title").click()
        await_page(wall, f"{monitor.address}/sessions/")
        expect(wall.locator("canvas").first).to_be_visible()
        picture(wall, "session")
    finally:
        oximeter.end()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demonstration_alarms_tells_and_ends_with_a_summary() -> None:
    """Issue 2: `afterwatch demo --no-browser --for` runs unattended and ends with 0 and a summary."""
    import subprocess
    import sys

    from tests.conftest import REPOSITORY

    said = subprocess.run(
        [sys.executable, "-m", "monitor", "demo", "--port", "0", "--no-browser", "--for", "50"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=360,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert "claims no" in said.stdout
    assert re.search(r"http://127\.0\.0\.1:\d+/enter\?token=", said.stdout)
    counts = [int(number) for number in re.findall(r"\d+", said.stdout.splitlines()[-1])]
    received, stored, raised, delivered = counts
    assert stored > 300, said.stdout
    assert received >= stored
    assert raised >= 1, said.stdout
    assert delivered >= 1, said.stdout
