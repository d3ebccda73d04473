"""Discovery proposes lines for beds.toml from what it hears, and nothing that it did not."""

from __future__ import annotations

import argparse
import threading
import time
import tomllib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from monitor import discover
from monitor.config import Broker
from monitor.core.vitals import METRICS
from monitor.formats import FORMATS, Context, decode
from monitor.formats.identity import normalise_address
from tests.conftest import LOOPBACK, Mosquitto, find_free_port
from tests.formats.corpus import FHIR, HL7, SAMPLES
from tests.formats.speech import NOON

# Topic and payload as a clinic's broker might carry them.
TRAFFIC = [
    ("afterwatch/v1/clinic/devices/ox-1/report", b'{"values":{"spo2":97,"pulse_rate":66}}'),
    ("afterwatch/v1/clinic/devices/ox-1/status", b'{"state":"online","at":"2026-11-23T12:00:00Z"}'),
    ("hl7/ward", HL7),
    ("fhir/in", FHIR),
    ("home/OMG/BTtoMQTT/A1B2C3D4E5F6", b'{"id":"A1:B2:C3:D4:E5:F6","type":"BODY","bpm":66}'),
    ("home/OMG/BTtoMQTT/111111111111", b'{"id":"11:11:11:11:11:11","rssi":-70}'),
    ("v1/gateway/telemetry", b'{"Device A":[{"ts":1795435200000,"values":{"spo2":97}}]}'),
    ("zigbee2mqtt/kitchen", b'{"temperature":21,"humidity":40}'),
    ("node/sensor/spo2/state", b"96"),
    ("watch/7", b'{"heartRate":71,"time":"2026-11-23T13:00:00"}'),
    ("lights/1", b"ON"),
]


def heard(times: int = 3, gap_s: float = 5.0) -> discover.Findings:
    """Return the findings after the traffic has come several times."""
    findings = discover.Findings()
    for number in range(times):
        for topic, payload in TRAFFIC:
            findings.add(topic, payload, NOON + timedelta(seconds=number * gap_s))
    return findings


def devices(findings: discover.Findings) -> dict[str, dict[str, Any]]:
    """Read the proposal as TOML."""
    return {device["id"]: device for device in tomllib.loads(findings.propose())["devices"]}


def test_each_device_is_proposed_once_with_format_topic_and_metrics() -> None:
    """Issue 7.7: discovery proposes beds.toml lines."""
    found = devices(heard())
    assert {name: device["format"] for name, device in found.items()} == {
        "ox-1": "native",
        "ICU-B7": "hl7v2",
        "cuff-1": "fhir",
        "a1b2c3d4e5f6": "theengs",
        "Device-A": "thingsboard",
        "node-sensor-spo2-state": "esphome",
        "watch-7": "keymap",
    }
    assert "topic" not in found["ox-1"]
    assert found["ICU-B7"]["address"] == "ICU^^B7"
    assert found["ICU-B7"]["metrics"][:3] == ["heart_rate", "pulse_rate", "spo2"]
    assert {device["expected_interval_s"] for device in found.values()} == {5}


def test_the_proposed_lines_decode_what_was_heard() -> None:
    """Issue 7.7: taken over as they are, the lines give the same readings for the same device."""
    found = devices(heard())
    for device in found.values():
        assert device["format"] in FORMATS
        assert set(device["metrics"]) <= METRICS.keys()
        for topic, payload in TRAFFIC:
            if topic == device.get("topic"):
                reports = decode(device["format"], payload, Context(device["id"], NOON, topic)).reports
                names = {report.device_id for report in reports}
                assert names & {device["id"], normalise_address(device.get("address", device["id"]))}


def test_what_is_no_device_is_listed_and_not_proposed() -> None:
    """Issue 7.7: lamps, room thermometers and passing phones stay comments."""
    proposal = heard().propose()
    assert "lights/1" in proposal
    assert "kitchen" in proposal
    assert "111111111111" in proposal
    assert "kitchen" not in "".join(devices(heard()))


def test_keys_that_no_rule_knows_are_shown_so_that_they_can_be_named() -> None:
    """Issue 7.4: by configuration alone: here is what to name."""
    findings = discover.Findings()
    findings.add("fleet/9", b'{"o2_idx": 97, "p_idx": 61}', NOON)
    proposal = findings.propose()
    assert "fleet/9: o2_idx, p_idx" in proposal
    assert "options.metrics" in proposal
    assert tomllib.loads(proposal) == {}


def test_a_device_without_a_zone_is_asked_for_one() -> None:
    """Issue 7.4: a local time without an offset needs the device's zone."""
    assert '# zone = "' in heard().propose().split('id = "watch-7"')[1]


def test_a_retained_message_tells_nothing_of_the_interval() -> None:
    """P-20: a retained reading is old; how often the device speaks is not known from it."""
    findings = discover.Findings()
    for _ in range(5):
        findings.add("watch/7", b'{"heartRate":71}', NOON, True)
    assert "heard once only" in findings.propose()


@pytest.mark.parametrize("name", ['x"y', "a\nb", "\x07", "^^", "ä" * 300])
def test_any_name_gives_sound_toml(name: str) -> None:
    """S-05: what strangers publish never breaks the file."""
    findings = discover.Findings()
    findings.add(f"t/{name}", b'{"spo2":97}', NOON)
    assert len(devices(findings)) == 1


def test_traffic_of_a_hospital_is_bounded() -> None:
    """S-05: neither devices nor topics grow without end."""
    findings = discover.Findings()
    for number in range(discover.MAX_TOPICS + 100):
        findings.add(f"noise/{number}", b"x", NOON)
        findings.add(f"ox/{number}", b'{"spo2":97}', NOON)
    assert len(findings.devices) == discover.MAX_DEVICES
    assert len(findings.unread) == discover.MAX_TOPICS


def test_it_hears_a_real_broker(mosquitto: Callable[..., Mosquitto]) -> None:
    """Issue 7.7: `afterwatch devices discover` listens to a broker."""
    broker = mosquitto()
    ended = threading.Event()

    def speak() -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect(LOOPBACK, broker.port)
        client.loop_start()
        while not ended.wait(0.1):
            for topic, payload in [
                *TRAFFIC,
                *((sample.topic or "any", sample.payload) for sample in SAMPLES),
            ]:
                client.publish(topic, payload)
        client.disconnect()
        client.loop_stop()

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    lines: list[str] = []
    parser = argparse.ArgumentParser()
    discover.add_arguments(parser)
    try:
        asked = parser.parse_args(["--seconds", "1.5"])
        assert discover.run(Broker(host=LOOPBACK, port=broker.port), asked, lines.append) == 0
    finally:
        ended.set()
        thread.join(5)
    names = {device["id"] for device in tomllib.loads(lines[0])["devices"]}
    assert {"ox-1", "ICU-B7", "cuff-1", "a1b2c3d4e5f6"} <= names


def test_no_broker_names_the_remedy() -> None:
    """DESIGN §7: errors name the place and the remedy."""
    port = find_free_port()
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no broker at .*clinic\.toml"):
        discover.listen(Broker(host=LOOPBACK, port=port), 1)
    assert time.monotonic() - started < 5
