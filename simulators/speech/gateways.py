"""The JSON of gateways and fleets: Theengs, ThingsBoard, Tasmota, Zigbee2MQTT, ESPHome, AVA4, any by key map.

All but ESPHome, which sends bare numbers, say that they are simulated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from monitor.core.vitals import FAULTS, METRICS
from simulators.speech.contract import ALL_FAULTS, MODE, Language, Reading, Said, Speaker, epoch_ms, stamp

# Keys that can mean one metric only.
_KEYS = {
    "heart_rate": "heart_rate",
    "pulse_rate": "spo2_pulse",
    "spo2": "spo2",
    "nibp_systolic": "systolic",
    "nibp_diastolic": "diastolic",
    "nibp_mean": "map",
    "nibp_pulse_rate": "cuff_pulse",
    "respiration_rate": "respiration_rate",
    "etco2": "etco2",
    "temperature": "body_temperature",
    "perfusion_index": "perfusion_index",
}
_FLEET_KEYS = {**_KEYS, "nibp_systolic": "bp_high", "nibp_diastolic": "bp_low", "nibp_pulse_rate": "bp_pulse"}
_FLAGS = {
    "probe_off": "probe_off",
    "searching": "searching",
    "low_perfusion": "low_perfusion",
    "lead_off": "lead_off",
    "cuff_error": "cuff_error",
    "cuff_motion": "body_movement",
    "cuff_leak": "cuff_loose",
    "battery_low": "battery_low",
}
_FLAGGED = frozenset(_FLAGS)


def theengs(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as Theengs Gateway: one flat advertisement."""
    time = {} if reading.measured_at is None else {"UTCtime": stamp(reading.measured_at)}
    body = {"id": speaker.device_id, "type": "BODY", "rssi": -60, **time, **_flat(reading)}
    return _said(f"home/sim/BTtoMQTT/{speaker.device_id}", body, reading)


def openmqttgateway(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as OpenMQTTGateway, which counts seconds."""
    time = {} if reading.measured_at is None else {"unixtime": epoch_ms(reading.measured_at) // 1000}
    body = {"id": speaker.device_id, "type": "BODY", **time, **_flat(reading)}
    return _said(f"home/OMG/BTtoMQTT/{speaker.device_id}", body, reading)


def thingsboard(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it by ThingsBoard's gateway API."""
    time = {} if reading.measured_at is None else {"ts": epoch_ms(reading.measured_at)}
    body = {speaker.device_id: [{**time, "values": _flat(reading)}]}
    return _said(f"thingsboard/{speaker.device_id}/telemetry", body, reading)


def tasmota(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as a Tasmota sensor: local time without an offset."""
    at = reading.measured_at
    time = {} if at is None else {"Time": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"}
    return _said(f"tele/{speaker.device_id}/SENSOR", {**time, "SIM": _flat(reading)}, reading)


def zigbee2mqtt(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as Zigbee2MQTT: one flat object."""
    time = {} if reading.measured_at is None else {"last_seen": stamp(reading.measured_at)}
    return _said(f"zigbee2mqtt/{speaker.device_id}", {**_flat(reading), "linkquality": 80, **time}, reading)


def esphome(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as ESPHome: one bare number a topic, and a binary sensor for the probe."""
    node = speaker.device_id
    said = [
        Said(f"{node}/sensor/{_KEYS[metric]}/state", b"nan" if value is None else f"{value:g}".encode())
        for metric, value in reading.values.items()
    ]
    if reading.faults is not None and "spo2" in reading.values:
        off = b"ON" if "probe_off" in reading.faults else b"OFF"
        said.append(Said(f"{node}/binary_sensor/probe_off/state", off))
    return said


def ava4(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as an AVA4 gateway with one device behind it; it counts seconds."""
    time = {} if reading.measured_at is None else {"scan_time": epoch_ms(reading.measured_at) // 1000}
    device = {**time, "ble_addr": speaker.device_id, **_flat(reading, _FLEET_KEYS)}
    body = {
        "type": "reportAttribute",
        "mac": "02:00:00:00:00:01",
        "data": {"attribute": "SIM", "value": {"device_list": [device]}},
    }
    return _said(f"ava4/{speaker.device_id}", body, reading)


def keymap(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it in a make's own words, which only the map explains."""
    time = {} if reading.measured_at is None else {"t": epoch_ms(reading.measured_at)}
    values = {_short(metric): value for metric, value in reading.values.items()}
    body: dict[str, Any] = {**time, "m": MODE, "v": values}
    if reading.faults is not None:
        body["f"] = {fault: fault in reading.faults for fault in FAULTS}
    return (Said(f"fleet/{speaker.device_id}", json.dumps(body, separators=(",", ":")).encode()),)


def _short(metric: str) -> str:
    return f"x{list(METRICS).index(metric)}"


KEY_MAP: Mapping[str, Any] = {
    "time": "t",
    "time_format": "epoch_ms",
    "mode": "m",
    "values": {metric: f"v.{_short(metric)}" for metric in METRICS},
    "faults": {fault: f"f.{fault}" for fault in FAULTS},
}


def _flat(reading: Reading, keys: Mapping[str, str] = _KEYS) -> dict[str, Any]:
    body: dict[str, Any] = {"simulated": True}
    body |= {keys[metric]: value for metric, value in reading.values.items()}
    if reading.faults is not None:
        body |= {key: fault in reading.faults for fault, key in _FLAGS.items()}
    return body


def _said(topic: str, body: Mapping[str, Any], reading: Reading) -> Sequence[Said]:
    if not reading.values and reading.faults is None:
        return ()
    return (Said(topic, json.dumps(body, separators=(",", ":")).encode()),)


def _gateway(name: str, speak: Any, topic: str, **more: Any) -> Language:
    return Language(name, speak, topic, faults=_FLAGGED, says_drill=True, gateway_time=True, **more)


THEENGS = _gateway("theengs", theengs, "home/sim/BTtoMQTT/{id}")
OPENMQTTGATEWAY = _gateway("openmqttgateway", openmqttgateway, "home/OMG/BTtoMQTT/{id}", seconds=1.0)
THINGSBOARD = _gateway("thingsboard", thingsboard, "thingsboard/{id}/telemetry")._replace(gateway_time=False)
TASMOTA = _gateway("tasmota", tasmota, "tele/{id}/SENSOR", seconds=1.0, zone="UTC")
ZIGBEE2MQTT = _gateway("zigbee2mqtt", zigbee2mqtt, "zigbee2mqtt/{id}")
ESPHOME = Language("esphome", esphome, "{id}/#", faults=frozenset({"probe_off"}), timed=frozenset())
AVA4 = _gateway("ava4", ava4, "ava4/{id}", seconds=1.0)
KEYMAP = Language("keymap", keymap, "fleet/{id}", KEY_MAP, faults=ALL_FAULTS, says_drill=True)
