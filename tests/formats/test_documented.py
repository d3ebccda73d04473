"""Every example of docs/devices.md is sound configuration, and its message decodes (issue 7)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from monitor.core.vitals import METRICS
from monitor.formats import FORMATS, Context
from monitor.formats.identity import normalise_address, serving
from tests.formats.corpus import sparkplug_payload
from tests.formats.speech import NOON, read

PAGE = Path(__file__).resolve().parents[2] / "docs" / "devices.md"


class Example(NamedTuple):
    """One section of the page."""

    format: str
    device: dict[str, Any]
    payload: bytes
    topic: str


def examples() -> list[Example]:
    """Read the page."""
    found = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        blocks = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        if not blocks or blocks[0][0] != "toml":
            continue
        (device,) = tomllib.loads(blocks[0][2])["devices"]
        payload, topic = b"", str(device.get("topic", ""))
        for _, hint, text in blocks[1:]:
            payload = text.strip().encode()
            topic = hint.strip().removeprefix("topic=") or topic
        if device["format"] == "sparkplug":
            payload = sparkplug_payload({"Vitals/O2": 97})
            topic = topic.replace("+", "DDATA")
        found.append(Example(section.split("\n")[0].strip(), device, payload, topic))
    return found


EXAMPLES = examples()


def test_every_format_has_its_section() -> None:
    """Issue 7: one section for each format, and none that does not exist."""
    assert [example.format for example in EXAMPLES] == list(FORMATS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.format)
def test_the_example_is_sound_and_decodes(example: Example) -> None:
    """Issue 7: the lines are accepted, and the message below them gives the metrics they promise."""
    device = example.device
    assert device["format"] == example.format
    assert set(device["metrics"]) <= METRICS.keys()
    options = device.get("options", {})
    assert FORMATS[example.format].check(options) == ()
    zone = ZoneInfo(device["zone"]) if "zone" in device else None
    around = Context(device["id"], NOON, example.topic.replace("+", "x"), False, zone, options)
    reports = read(example.format, example.payload, around).reports
    assert reports
    addresses = {normalise_address(device["address"]): device["id"]} if "address" in device else {}
    for report in reports:
        assert serving(report.device_id, device["id"], addresses, {device["id"]}) == device["id"]
        assert {one.metric for one in report.observations} <= set(device["metrics"])
        assert any(one.value is not None for one in report.observations)


@pytest.mark.parametrize("name", FORMATS)
def test_unknown_options_are_found_before_the_start(name: str) -> None:
    """Issue 2: every mistake is listed with its key."""
    assert any("options.nonsense" in mistake for mistake in FORMATS[name].check({"nonsense": 1}))


def test_a_stranger_on_a_shared_topic_stays_a_stranger() -> None:
    """DESIGN §4: readings of a device that nobody named never go to a bed."""
    addresses = {"d616f9641622": "cuff-1"}
    assert serving("d616f9641622", "cuff-1", addresses, {"cuff-1"}) == "cuff-1"
    assert serving("ffffffffffff", "cuff-1", addresses, {"cuff-1"}) == "ffffffffffff"
    assert serving("ffffffffffff", "ox-1", addresses, {"cuff-1", "ox-1"}) == "ox-1"
    assert serving("ox-1", "cuff-1", addresses, {"cuff-1", "ox-1"}) == "ox-1"
