"""A simulator that has lost its mode, or speaks under a wrong name, reaches no patient's session (S-10)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import config
from monitor.app.reader import Reader
from monitor.core.vitals import Report
from monitor.formats import Undecodable
from monitor.mqtt import Envelope
from monitor.series.embedded import Embedded
from simulators.speech import LANGUAGES, Reading, Speaker
from simulators.wiring import beds_toml, device_record
from tests.conftest import LOOPBACK, Mosquitto, Running
from tests.web.test_drill_runs import enter

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = "afterwatch/v1/clinic/devices"
WITHIN_S = 30.0  # two busy cores
LOST = 61  # a saturation that no real device here measures


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Give the monitor's reader for a ward of one real device and a simulated one for each language."""
    folder = tmp_path_factory.mktemp("site")
    devices = [
        device_record(f"sim-{name}", "oximeter", ("spo2", "pulse_rate"), 1.0, name) for name in LANGUAGES
    ]
    (folder / "beds.toml").write_text(
        beds_toml([{"bed_id": "bed-1", "devices": devices}])
        + '[[devices]]\nid = "oximeter-1"\nbed = "bed-1"\n'
        'address = "AA:BB:CC:DD:EE:01"\n'
        '[[devices]]\nid = "gateway-1"\nformat = "theengs"\ntopic = "home/+/BTtoMQTT/#"\n'
    )
    (folder / "clinic.toml").write_text("")
    (folder / "protocols").symlink_to(Path(__file__).resolve().parents[2] / "config" / "protocols")
    return Reader(config.load(folder))


def read(reader: Reader, envelope: Envelope) -> list[Report]:
    """Return what the monitor makes of a message."""
    return reader.read(envelope, reader.source_of(envelope.topic), envelope.received_at)


def without_mode(payload: bytes) -> bytes:
    """Return a message as a simulator would send it that has lost its mode."""
    for marked, bare in (
        (b'"mode":"drill"', b'"mode":"real"'),
        (b'"m":"drill"', b'"m":"real"'),
        (b'"simulated":true,', b""),
        (b"HTEST", b"HUMAN"),
        (b"|T|2.", b"|P|2."),
    ):
        payload = payload.replace(marked, bare)
    return payload


@pytest.mark.parametrize("name", LANGUAGES)
@settings(max_examples=15)
@given(spo2=st.integers(50, 100), named=st.sampled_from(["", "oximeter-1", "AA:BB:CC:DD:EE:01", "stranger"]))
def test_whatever_a_simulated_device_says_is_a_drill(
    reader: Reader, name: str, spo2: int, named: str
) -> None:
    """S-10: mode lost, or a real device's name in the message: it stays a drill's, in every language."""
    own = f"sim-{name}"
    reading = Reading(NOON, {"spo2": spo2, "pulse_rate": 70, **dict.fromkeys(LANGUAGES[name].needs, 3)}, ())
    heard = 0
    for said in LANGUAGES[name].speak(reading, Speaker(own, "b1", 1)):
        payload = without_mode(said.payload).replace(own.encode(), (named or own).encode())
        envelope = Envelope(said.topic or f"{ROOT}/{own}/report", payload, NOON)
        try:
            reports = read(reader, envelope)
        except Undecodable:
            continue
        heard += len(reports)
        assert {report.mode for report in reports} == {"drill"}
    assert heard or named


def test_a_simulated_name_is_enough_even_where_nobody_knows_it(reader: Reader) -> None:
    """S-10: a native report of a simulated device that is not in beds.toml."""
    envelope = Envelope(f"{ROOT}/sim-oximeter-9/report", b'{"values":{"spo2":70}}', NOON)
    assert [one.mode for one in read(reader, envelope)] == ["drill"]


def test_a_real_device_stays_real(reader: Reader) -> None:
    """S-11: the rule takes in no real one, nor a gateway whose filter is wider than a simulated device's."""
    for topic, payload in (
        (f"{ROOT}/oximeter-1/report", b'{"values":{"spo2":97}}'),
        ("home/OMG/BTtoMQTT/AABBCCDDEE01", b'{"id":"AA:BB:CC:DD:EE:01","spo2":97}'),
    ):
        (report,) = read(reader, Envelope(topic, payload, NOON))
        assert (report.device_id, report.mode) == ("oximeter-1", "real")


# --- the monitor, whole -------------------------------------------------------------------------------------

SIMULATED = (
    device_record("sim-oximeter-1", "oximeter", ("spo2", "pulse_rate"), 1.0),
    device_record("sim-finger-1", "oximeter", ("spo2", "pulse_rate"), 1.0, "esphome"),
    device_record("sim-hl7-1", "oximeter", ("spo2", "pulse_rate"), 1.0, "hl7v2"),
)


@pytest.fixture
def site(mosquitto: Callable[..., Mosquitto], running: Callable[..., Running]) -> tuple[Running, Mosquitto]:
    """Give a running monitor whose bed 1 has a real oximeter and simulated devices, and its broker."""
    broker = mosquitto()
    monitor = running(broker.port, beds=1)
    _, mark, simulated = beds_toml([{"bed_id": "bed-1", "devices": SIMULATED}]).partition("[[devices]]")
    with (monitor.folder / "beds.toml").open("a") as beds:
        beds.write(f"\n{mark}{simulated}")
    monitor.people(nina="nurse")
    monitor.start(within_s=120)
    return monitor, broker


def misled(spo2: int, named: str) -> Iterator[tuple[str, bytes]]:
    """Give what broken simulators send: topic and payload; no mode, some under a real device's name."""
    reading = Reading(datetime.now(UTC), {"spo2": spo2, "pulse_rate": 70}, ())
    for device in SIMULATED:
        language = {"native": "native", "esphome": "esphome", "hl7v2": "hl7v2"}[device["format"]]
        own = device["device_id"]
        for who in (own, named):
            for said in LANGUAGES[language].speak(reading, Speaker(own, "b1", 1)):
                payload = without_mode(said.payload).replace(own.encode(), who.encode())
                yield said.topic or f"{ROOT}/{own}/report", payload


def until(held: Callable[[], bool], what: Callable[[], Any]) -> None:
    """Wait until something holds; say what was seen instead."""
    deadline = time.monotonic() + WITHIN_S
    while not held():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def test_a_broken_simulator_reaches_no_patient(site: tuple[Running, Mosquitto]) -> None:
    """S-10: mode lost, wrong name: no number on the tile or the record, no patient alarm; and it is told."""
    monitor, broker = site
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(LOOPBACK, broker.port)
    client.loop_start()
    http = enter(monitor.address, "nina")

    def real() -> None:
        report = {"measured_at": datetime.now(UTC).isoformat(), "values": {"spo2": 97, "pulse_rate": 72}}
        client.publish(f"{ROOT}/oximeter-1/report", json.dumps(report), qos=1)

    def bed() -> Mapping[str, Any]:
        real()
        found: Mapping[str, Any] = http.get("/api/v1/beds/bed-1").json()
        return found

    def rules() -> set[str]:
        return {alarm["key"] for alarm in bed()["alarms"]}

    try:
        body = {"patient_code": "K-1", "protocol": "iv-ketamine", "mode": "real", "override": "test"}
        begun = http.post("/api/v1/beds/bed-1/start", json=body)
        assert begun.status_code == 200, begun.text
        session_id = begun.json()["session_id"]
        until(lambda: "97" in json.dumps(bed()), bed)
        for _ in range(3):
            for topic, payload in misled(LOST, "oximeter-1"):
                client.publish(topic, payload, qos=1).wait_for_publish(WITHIN_S)
        refused = {f"refused:{device['device_id']}" for device in SIMULATED}
        until(lambda: refused <= rules(), bed)
        seen = bed()
        assert not [alarm for alarm in seen["alarms"] if alarm["kind"] == "physiological"], seen["alarms"]
        assert seen["session"]["mode"] == "real"
        assert {number["value"] for number in seen["numbers"].values()} <= {97, 72, None}
        record = http.get(f"/api/v1/sessions/{session_id}/chart").text
        assert f"{LOST}" not in _numbers(json.loads(record)), record
        lived = [one for _, one in Embedded(monitor.store).lived(session_id, timedelta())]
        assert {one.mode for one in lived if isinstance(one, Report)} == {"real", "drill"}, (
            "a replay has both"
        )
    finally:
        http.close()
        client.disconnect()
        client.loop_stop()


def _numbers(found: Any) -> set[str]:
    """Return every number of a JSON document, as text."""
    if isinstance(found, dict):
        return set().union(*map(_numbers, found.values()))
    if isinstance(found, list):
        return set().union(*map(_numbers, found))
    return {f"{found:g}"} if isinstance(found, int | float) else set()
