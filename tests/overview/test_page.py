"""The overview as a person sees it: two clinics with brokers of their own, a bridge each, one page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from playwright.sync_api import Page

from monitor.app import topics
from monitor.config import Broker
from monitor.mqtt import presence
from monitor.overview import Overview
from tests.conftest import LOOPBACK, Mosquitto, PageGuard, find_free_port
from tests.core.scene import Scene

BEAT_S = 0.5


def bridge(site: str, centre: Mosquitto) -> str:
    """Return the bridge of docs/scale.md for a clinic's broker, without TLS."""
    return (
        f"connection centre\naddress {LOOPBACK}:{centre.port}\nremote_clientid {site}\ncleansession false\n"
        f"topic afterwatch/v1/{site}/beds/+/alarms out 1\ntopic afterwatch/v1/{site}/beds/+/alarm out 1\n"
        f"topic afterwatch/v1/{site}/monitor/status out 1\nrestart_timeout 1\n"
    )


class Clinic:
    """A clinic's broker, and a monitor's voice on it: real lists of a real core, and a heartbeat."""

    def __init__(self, site: str, broker: Mosquitto) -> None:
        """Connect."""
        self.root, self.broker = f"afterwatch/v1/{site}", broker
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.connect(LOOPBACK, broker.port)
        self._client.loop_start()

    def say(self, end: str, payload: bytes) -> None:
        """Publish, retained, and wait until the clinic's broker has it."""
        self._client.publish(f"{self.root}/{end}", payload, qos=1, retain=True).wait_for_publish(10)

    def beat(self, state: str = "online") -> None:
        """Say that the monitor is there."""
        self.say("monitor/status", presence(state, "b1", ok=True))

    def leave(self) -> None:
        """Say nothing more."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def overview() -> Iterator[Callable[[int], Overview]]:
    """Give a function that starts an overview of a central broker."""
    made: list[Overview] = []

    def begin(port: int) -> Overview:
        made.append(Overview(Broker(port=port), LOOPBACK, 0))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop()


def falling() -> bytes:
    """Return a bed's list with the alarm of a falling saturation, as the loop publishes it."""
    scene = Scene().start()
    scene.stream(60, spo2=97)
    scene.stream(60, spo2=80)
    assert scene.bed.alarms
    return topics.alarm_list(scene.bed, "b1", 1, scene.now)


def wait_for(held: Callable[[], Any], what: str, again: Callable[[], None] = lambda: None) -> None:
    """Wait until something holds, doing something meanwhile."""
    deadline = time.monotonic() + 60
    while not held():
        assert time.monotonic() < deadline, what
        again()
        time.sleep(BEAT_S)


def test_two_clinics_reach_the_page_over_their_bridges_and_what_is_not_heard_is_said(
    mosquitto: Callable[..., Mosquitto],
    overview: Callable[[int], Overview],
    page: Page,
    guard: PageGuard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 8, item 3: the worst first; a line that is cut is silence, never health; read only."""
    monkeypatch.setattr("monitor.overview.sites.SILENT_AFTER_S", 6.0)
    centre = mosquitto()
    north = Clinic("north", mosquitto(bridge("north", centre)))
    south = Clinic("south", mosquitto(bridge("south", centre)))
    south.say("beds/bed-2/alarms", falling())
    north.say("beds/bed-1/alarms", b'{"boot_id":"b1","seq":1,"mode":"","alarms":[]}')
    shown = overview(centre.port)

    def beats() -> None:
        north.beat()
        south.beat()

    def state(site: str) -> str:
        return next((row["state"] for row in shown.tell()["rows"] if row["site"] == site), "")

    wait_for(lambda: (state("north"), state("south")) == ("live", "live"), "both are heard", beats)
    page.goto(shown.address)
    page.wait_for_selector("tr[data-site=south]")
    rows = page.locator("#rows tr")
    assert [rows.nth(place).get_attribute("data-site") for place in range(2)] == ["south", "north"]
    assert "HIGH bed-2: SpO2" in rows.nth(0).inner_text()
    assert "Secondary notification" in page.inner_text("footer")

    north.broker.kill()  # a line that is cut says no farewell
    north.leave()
    wait_for(lambda: state("north") == "silent", "the silence of north", south.beat)
    page.wait_for_selector("tr[data-site=north][data-state=silent]", timeout=30_000)
    assert "SILENT" in page.inner_text("tr[data-site=north]")
    south.beat("offline")  # the monitor's last will, over the bridge
    page.wait_for_selector("tr[data-site=south][data-state=offline]", timeout=30_000)
    assert "HIGH bed-2" in page.inner_text("tr[data-site=south]"), "an alarm does not end with the voice"

    centre.stop()
    page.wait_for_selector("body.stale", timeout=60_000)
    assert "No line to the central broker" in page.inner_text("#trouble")
    assert httpx.get(f"{shown.address}healthz").status_code == 503
    shown.stop()
    guard.allow("Failed to load resource")
    page.get_by_text("This page hears nothing").wait_for(timeout=60_000)
    south.leave()


def test_what_a_site_says_is_text_and_never_markup(
    mosquitto: Callable[..., Mosquitto], overview: Callable[[int], Overview], page: Page
) -> None:
    """S-16: a site that was taken over can lie, and can run nothing in the overview."""
    centre = mosquitto()
    bad = Clinic("<img src=x onerror=alert(1)>", centre)
    evil = {
        "priority": "high",
        "kind": "physiological",
        "text": "<script>document.title='taken'</script>",
        "rule": "r",
    }
    bad.say("beds/<b>1/alarms", json.dumps({"mode": "real", "alarms": [evil]}).encode())
    shown = overview(centre.port)
    wait_for(lambda: shown.tell()["rows"], "the site")
    page.goto(shown.address)
    page.wait_for_selector("#rows tr")
    assert "<script>" in page.inner_text("#rows")
    assert page.locator("#rows script, #rows img, #rows b").count() == 0
    assert "taken" not in page.title()
    bad.leave()


def test_nothing_can_be_changed_through_it(overview: Callable[[int], Overview]) -> None:
    """Issue 8, item 3: read only; it answers GET for its own pages, and nothing else."""
    shown = overview(find_free_port())
    assert httpx.get(f"{shown.address}overview.json").json()["linked"] is False
    assert httpx.get(f"{shown.address}../../etc/passwd").status_code == 404
    for method in ("POST", "PUT", "DELETE"):
        assert httpx.request(method, shown.address).status_code == 501
    assert "default-src 'none'" in httpx.get(shown.address).headers["Content-Security-Policy"]
