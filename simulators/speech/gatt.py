"""Bluetooth GATT values as gateways forward them: 2A5F, 2A35, 2A37, 2A1C; bare, or base64 in JSON.

Source: Bluetooth GATT Specification Supplement; IEEE 11073-20601 (SFLOAT, FLOAT).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from simulators.speech.contract import Language, Reading, Said, Speaker, stamp

_NOT_A_NUMBER = 0x07FF
_PRESSURES = ("nibp_systolic", "nibp_diastolic", "nibp_mean")
# Device and Sensor Status of 2A5F: fault, bit.
_STATUS = {
    "searching": 3,
    "low_perfusion": 5,
    "interference": 10,
    "probe_off": 11,
    "probe_fault": 12,
}
_FAULTS = frozenset({*_STATUS, "cuff_motion", "lead_off"})
_METRICS = frozenset(
    {"spo2", "pulse_rate", "perfusion_index", *_PRESSURES, "nibp_pulse_rate", "heart_rate", "temperature"}
)


def hexadecimal(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as a gateway that forwards bare hexadecimal."""
    return [
        Said(f"ble/{speaker.device_id}/{name}", value.hex().encode())
        for name, value in _characteristics(reading)
    ]


def in_json(reading: Reading, speaker: Speaker) -> Sequence[Said]:
    """Say it as a gateway that wraps base64 into JSON, with its own time."""
    time = {} if reading.measured_at is None else {"timestamp": stamp(reading.measured_at)}
    said = []
    for name, value in _characteristics(reading):
        body = {"mac": speaker.device_id, "char": name, "value": base64.b64encode(value).decode(), **time}
        said.append(Said(f"gateway/{speaker.device_id}", json.dumps(body, separators=(",", ":")).encode()))
    return said


def _characteristics(reading: Reading) -> Iterator[tuple[str, bytes]]:
    values = reading.values
    if "spo2" in values or "pulse_rate" in values:
        yield "2A5F", _oximeter(reading)
    if any(metric in values for metric in _PRESSURES):
        yield "2A35", _cuff(reading)
    if "heart_rate" in values:
        yield "2A37", _strap(reading)
    if "temperature" in values:
        yield "2A1C", _thermometer(reading)


def _oximeter(reading: Reading) -> bytes:
    values, flags, tail = reading.values, 0x04, (1 << 10).to_bytes(2, "little")  # status: demonstration data
    if reading.quality:
        tail = (1 << 10 | 1 << 14).to_bytes(2, "little")  # and questionable
    if reading.faults is not None:
        flags |= 0x08
        bits = sum(1 << _STATUS[fault] for fault in reading.faults if fault in _STATUS)
        tail += bits.to_bytes(3, "little")
    if "perfusion_index" in values:
        flags |= 0x10
        tail += _sfloat(values["perfusion_index"], 1)
    return bytes([flags]) + _sfloat(values.get("spo2")) + _sfloat(values.get("pulse_rate")) + tail


def _cuff(reading: Reading) -> bytes:
    values, flags, tail = reading.values, 0, b""
    if reading.measured_at is not None:
        flags |= 0x02
        tail += _moment(reading.measured_at)
    if "nibp_pulse_rate" in values:
        flags |= 0x04
        tail += _sfloat(values["nibp_pulse_rate"])
    if reading.faults is not None:
        flags |= 0x10
        tail += int("cuff_motion" in reading.faults).to_bytes(2, "little")
    return bytes([flags]) + b"".join(_sfloat(values.get(metric)) for metric in _PRESSURES) + tail


def _strap(reading: Reading) -> bytes:
    rate, flags = reading.values["heart_rate"] or 0, 0x01
    if reading.faults is not None:
        flags |= 0x04 if "lead_off" in reading.faults else 0x06
    return bytes([flags]) + int(rate).to_bytes(2, "little")


def _thermometer(reading: Reading) -> bytes:
    value = reading.values["temperature"]
    number = 0x7FFFFF if value is None else (0xFF << 24) | (round(value * 10) & 0xFFFFFF)
    flags, tail = (0x00, b"") if reading.measured_at is None else (0x02, _moment(reading.measured_at))
    return bytes([flags]) + number.to_bytes(4, "little") + tail


def _sfloat(value: float | None, decimals: int = 0) -> bytes:
    if value is None:
        return _NOT_A_NUMBER.to_bytes(2, "little")
    exponent, mantissa = (-decimals & 0x0F) << 12, round(value * 10.0**decimals) & 0x0FFF
    return (exponent | mantissa).to_bytes(2, "little")


def _moment(at: datetime) -> bytes:
    at = at.astimezone(UTC)
    return at.year.to_bytes(2, "little") + bytes([at.month, at.day, at.hour, at.minute, at.second])


_CLOCKED = frozenset({*_PRESSURES, "nibp_pulse_rate", "temperature"})
GATT = Language(
    "gatt",
    hexadecimal,
    "ble/{id}/+",
    {"encoding": "hex"},
    "UTC",
    metrics=_METRICS,
    faults=_FAULTS,
    doubts=True,
    timed=_CLOCKED,
    seconds=1.0,
)
GATT_JSON = GATT._replace(
    speak=in_json, topic="gateway/{id}", options={"encoding": "base64"}, gateway_time=True
)
