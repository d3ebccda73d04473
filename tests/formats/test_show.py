"""What ``afterwatch decode`` prints: everything, with its reason."""

from __future__ import annotations

import json

import pytest

from monitor.formats.recognise import recognise
from monitor.formats.show import rows
from tests.formats.corpus import SAMPLES, Sample
from tests.formats.speech import context, read

KEYS = {"device_id", "metric", "value", "unit", "measured_at", "validity", "reason"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.format}-{len(sample.payload)}")
def test_each_observation_is_a_row(sample: Sample) -> None:
    """Issue 2: JSON lines with at least these keys, for every format."""
    around = context(sample.topic, **sample.options)
    decoded = read(sample.format, sample.payload, around)
    found = rows(decoded, around)
    assert len(found) == sum(max(1, len(report.observations)) for report in decoded.reports)
    for row in found:
        assert row.keys() >= KEYS
        json.dumps(row)


def test_a_message_without_a_reading_is_one_row_with_its_reason() -> None:
    """Issue 7: nothing is dropped in silence."""
    around = context("home/x/BTtoMQTT/A")
    (row,) = rows(read("theengs", '{"id":"45:F6:8A:76:86:C5","rssi":-55}', around), around)
    assert row["metric"] is None
    assert "no vital sign" in row["reason"]


def test_times_say_whose_they_are() -> None:
    """Issue 7: device time, gateway time and arrival are kept apart."""
    around = context()
    body = '{"measured_at":"2026-11-23T11:00:00+05:30","values":{"spo2":97}}'
    (row,) = rows(read("native", body, around), around)
    assert (row["measured_at"], row["time_source"]) == ("2026-11-23T05:30:00Z", "device")
    (row,) = rows(read("native", '{"values":{"spo2":97}}', around), around)
    assert (row["measured_at"], row["time_source"], row["received_at"]) == (
        None,
        "received",
        "2026-11-23T12:00:00Z",
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.format}-{len(sample.payload)}")
def test_formats_are_recognised(sample: Sample) -> None:
    """Issue 7.7: discovery finds the format by topic and bytes, where no key map is needed."""
    found = recognise(sample.payload, context(sample.topic))
    alike = {
        "openmqttgateway": "theengs",
        "thingsboard": "keymap",
        "tasmota": "keymap",
        "zigbee2mqtt": "keymap",
    }
    if sample.options.get("values") or sample.options.get("protocol") == "nonin8":
        return
    assert found is not None
    assert found.format in {sample.format, alike.get(sample.format)}


@pytest.mark.parametrize("payload", [b"", b"hello", b"{}", b"[]", b'{"temperature":21}', b"12", b"\x00\x01"])
def test_what_is_no_device_is_not_recognised(payload: bytes) -> None:
    """Issue 7.7: nothing is guessed."""
    assert recognise(payload, context("some/topic")) is None
