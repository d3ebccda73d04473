"""`afterwatch run` as other programs meet it: on the broker, on the disk, at its end."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest

from tests.conftest import LOOPBACK, PASSWORD, Mosquitto, Running, find_free_port

ROOT = "afterwatch/v1/clinic"
WITHIN_S = 60.0  # two busy cores


class Ear:
    """Somebody on the broker who hears everything of ours, and may speak as a device."""

    def __init__(self, port: int) -> None:
        """Connect and subscribe."""
        self.heard: list[tuple[str, dict[str, Any], bool]] = []
        self._there = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{ROOT}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._there.set()
        self._client.on_message = self._hear
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        assert self._there.wait(WITHIN_S)

    def _hear(self, _client: Any, _userdata: Any, message: Any) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            self.heard.append((message.topic, json.loads(message.payload), message.retain))

    def of(self, end: str) -> list[dict[str, Any]]:
        """Return what was heard on topics that end so."""
        return [payload for topic, payload, _ in list(self.heard) if topic.endswith(end)]

    def say(self, device: str, payload: bytes | dict[str, Any], *, retain: bool = False) -> None:
        """Publish as a device."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(f"{ROOT}/devices/{device}/report", body, qos=1, retain=retain)

    def wait(self, held: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
        """Wait until something holds, and return it."""
        deadline = time.monotonic() + within_s
        while not (found := held()):
            assert time.monotonic() < deadline, f"{what} did not come within {within_s:g} s"
            time.sleep(0.05)
        return found

    def end(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def ear() -> Iterator[Callable[[int], Ear]]:
    """Give a function that puts an ear on a broker."""
    made: list[Ear] = []

    def begin(port: int) -> Ear:
        made.append(Ear(port))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def report(at: datetime | None = None, **values: float) -> dict[str, Any]:
    """Return a native report."""
    return {"measured_at": (at or datetime.now(UTC)).isoformat(), "values": values}


def rows(monitor: Running, query: str) -> list[tuple[Any, ...]]:
    """Ask the journal's file."""
    with sqlite3.connect(f"file:{monitor.store / 'journal.db'}?mode=ro", uri=True) as db:
        return db.execute(query).fetchall()


def begin_session(monitor: Running, bed: str = "bed-1") -> httpx.Client:
    """Start a session over HTTP as a nurse; return her connection."""
    http = httpx.Client(base_url=monitor.address, timeout=WITHIN_S, headers={"Origin": monitor.address})
    answer = http.post("/api/v1/sign-in", json={"name": "nina", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found = re.search(r'name="csrf" content="([^"]+)"', http.get("/").text)
    assert found
    http.headers["X-CSRF-Token"] = found.group(1)
    answer = http.post(
        f"/api/v1/beds/{bed}/start",
        json={"patient_code": "K-0042", "protocol": "iv-ketamine", "override": "no screen here"},
    )
    assert answer.status_code < 300, answer.text
    return http


def test_p_19_presence_is_spoken_again_on_every_connect_and_the_last_will_when_it_is_killed(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], ear: Callable[[int], Ear]
) -> None:
    """P-19, AL-47: birth on every connect, last will on death, heartbeat with boot id and counter."""
    broker = mosquitto()
    monitor = running(broker.port)
    monitor.start()
    one = ear(broker.port)
    one.wait(lambda: [x for x in one.of("monitor/status") if x["state"] == "online"], "the birth message")
    monitor.kill()
    one.wait(lambda: one.of("monitor/status")[-1]["state"] == "offline", "the last will", 90)
    monitor.start()
    one.wait(lambda: one.of("monitor/status")[-1]["state"] == "online", "the second birth message")
    boots = {x["boot_id"] for x in one.of("monitor/status")}
    assert len(boots) == 2
    broker.restart()
    again = ear(broker.port)
    found = again.wait(lambda: [x for x in again.of("monitor/status") if "counter" in x], "a heartbeat")
    assert found[-1]["boot_id"] in boots


# What a start does without; each comes when it is first needed. Formats are known by what they import:
# Python's list of imports leaves out what `import_module` names itself.
LATER = """
apprise cryptography fhir google hl7 influxdb_client jinja2 numpy PIL prometheus_client reportlab rich serial
monitor.bridge monitor.decode monitor.discover monitor.formats.gatt_values monitor.formats.hl7_observations
monitor.formats.recognise monitor.install monitor.overview monitor.series.mirror
"""
THEENGS = "monitor.formats.json_reports"


def test_a_start_brings_only_what_its_devices_speak(
    running: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 9: a format that beds.toml names is there before the first message; no other, and no library."""
    monitor = running(find_free_port())
    with (monitor.folder / "beds.toml").open("a") as beds:
        beds.write('[[devices]]\nid = "gateway"\nformat = "theengs"\ntopic = "home/#"\n')
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    monitor.start()
    said = monitor.log.read_text()
    brought = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", said, re.MULTILINE))
    assert {"monitor.app.site", "monitor.formats.native", THEENGS} <= brought
    assert not brought & set(LATER.split())


def test_p_25_whatever_a_device_sends_the_loop_goes_on_and_the_quarantine_keeps_it(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], ear: Callable[[int], Ear]
) -> None:
    """P-25, P-26: broken payloads are kept with topic, bytes and reason, and raise a technical alarm."""
    broken = (Path(__file__).parent.parent / "formats" / "broken_native.jsonl").read_text().splitlines()
    payloads = [json.loads(line)[0].encode() for line in broken]
    broker = mosquitto()
    monitor = running(broker.port)
    monitor.start()
    one = ear(broker.port)
    one.wait(lambda: one.of("monitor/status"), "the monitor")
    fixed = [b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"values":' + b"[" * 5000, b"x" * 20_000]
    for payload in [*fixed, *payloads]:
        one.say("oximeter-1", payload)
    one.say("oximeter-1", report(spo2=97, pulse_rate=70))
    one.wait(lambda: rows(monitor, "SELECT 1 FROM reading WHERE spo2 = 97"), "the good reading after them")
    kept = rows(monitor, "SELECT topic, payload, reason FROM quarantine")
    assert {payload for _, payload, _ in kept} >= set(fixed)
    assert all(topic.endswith("oximeter-1/report") and reason for topic, _, reason in kept)
    raised = one.wait(
        lambda: [x for x in one.of("station/alarm") if "quarantine" in x["rule"]], "a technical alarm"
    )
    assert raised[0]["kind"] == "technical"


def test_p_20_a_retained_reading_is_charted_and_does_not_alarm(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], ear: Callable[[int], Ear]
) -> None:
    """P-20, S-06: a retained SpO2 of 70 at every subscribe is no desaturation."""
    broker = mosquitto()
    one = ear(broker.port)
    one.say("oximeter-1", report(spo2=70, pulse_rate=70), retain=True)
    monitor = running(broker.port)
    monitor.people(nina="nurse")
    monitor.start()
    begin_session(monitor).close()
    one.wait(lambda: rows(monitor, "SELECT 1 FROM reading WHERE spo2 = 70"), "the charted reading")
    # An alarm of it would have been written in the same transaction.
    assert rows(monitor, "SELECT body FROM outcome WHERE body LIKE '%physiological%'") == []


def test_al_47_the_retained_list_rebuilds_every_alarm_for_whoever_comes(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], ear: Callable[[int], Ear]
) -> None:
    """AL-46, AL-47: whoever starts at any time has the exact list; after kill -9 the same alarm id."""
    broker = mosquitto()
    monitor = running(broker.port)
    monitor.people(nina="nurse")
    monitor.start()
    http = begin_session(monitor)
    one = ear(broker.port)
    for second in range(25, 0, -1):
        one.say("oximeter-1", report(datetime.now(UTC) - timedelta(seconds=second), spo2=80, pulse_rate=70))
    listed = one.wait(lambda: urgent(one), "the alarm in the list")
    late = ear(broker.port)
    assert late.wait(lambda: urgent(late), "the retained list")[0]["alarm_id"] == listed[0]["alarm_id"]
    answer = http.post(
        f"/api/v1/beds/bed-1/alarms/{listed[0]['alarm_id']}/acknowledge", json={"priority": "high"}
    )
    assert answer.status_code < 300, answer.text
    one.wait(lambda: urgent(one)[0]["acknowledged_by"] == "nina", "the acknowledgement in the list")
    boots = {x["boot_id"] for x in one.of("bed-1/alarms")}
    monitor.kill()
    monitor.start()
    after = ear(broker.port)
    fresh = after.wait(
        lambda: [x for x in after.of("bed-1/alarms") if x["boot_id"] not in boots], "a list of the new boot"
    )
    again = [alarm for alarm in fresh[-1]["alarms"] if alarm["rule"] == "spo2-low-urgent"]
    assert [alarm["alarm_id"] for alarm in again] == [listed[0]["alarm_id"]]
    assert again[0]["acknowledged_by"] == "nina"
    starts = [x["alarm_id"] for x in one.of("bed-1/alarm") if x["phase"] == "start"]
    assert len(starts) == len(set(starts)), "an alarm was raised twice"
    http.close()


def urgent(one: Ear) -> list[dict[str, Any]]:
    """Return the urgent SpO2 alarm in the newest list, if it is there."""
    lists = one.of("bed-1/alarms")
    return [alarm for alarm in (lists[-1]["alarms"] if lists else []) if alarm["rule"] == "spo2-low-urgent"]


def test_al_52_a_planned_stop_during_a_session_tells_before_it_leaves(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running], ear: Callable[[int], Ear]
) -> None:
    """AL-52: SIGTERM with a session running → technical alarm out, all durable, exit code 0."""
    broker = mosquitto()
    monitor = running(broker.port)
    monitor.people(nina="nurse")
    monitor.start()
    begin_session(monitor).close()
    one = ear(broker.port)
    assert monitor.stop() == 0
    told = one.wait(lambda: [x for x in one.of("station/alarm") if x["rule"] == "stopping"], "the alarm")
    assert told[0]["priority"] == "high"
    one.wait(lambda: one.of("monitor/status")[-1]["state"] == "stopped", "the farewell")
