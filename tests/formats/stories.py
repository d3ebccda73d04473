"""Whole messages as makers write them, with what each must give: the TOML files in ``stories/``.

The messages are of our own making, from published standards and guides; none is a recording.

Keys of a story: ``name``; ``message`` (text in ``charset``) or ``hex``; ``topic``, ``zone``, ``retained``,
``options``; then what it gives: ``gives`` (metric = value, or "none"), ``device``, ``at``, ``gateway_at``,
``faults``, ``online``, ``mode``, ``doubtful`` (metrics that are questionable), ``says`` (words in a note or
reason), or ``report`` (a list of those, for several); ``unread``; or ``nothing`` (words of the note of a good
message without a reading); or ``refused`` (words of the reason for the quarantine).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.core.vitals import QUESTIONABLE, VALID, Report
from monitor.formats import Context, Undecodable, decode
from tests.formats.speech import NOON

FOLDER = Path(__file__).with_name("stories")
Story = dict[str, Any]


def stories(name: str) -> list[Story]:
    """Return the stories of one format's file."""
    found: list[Story] = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))["story"]
    return [{"format": name, **story} for story in found]


def payload_of(story: Story) -> bytes:
    """Return the bytes of a story's message."""
    if "hex" in story:
        return bytes.fromhex(story["hex"])
    text: str = story["message"]
    return text.strip("\n").encode(story.get("charset", "utf-8"))


def hold(story: Story, payload: bytes | None = None) -> None:
    """Decode a story's message and hold it to what the story says."""
    zone = ZoneInfo(story["zone"]) if "zone" in story else None
    retained, options = story.get("retained", False), story.get("options", {})
    around = Context("dev-1", NOON, story.get("topic", ""), retained, zone, options)
    content = payload_of(story) if payload is None else payload
    if "refused" in story:
        with pytest.raises(Undecodable, match=story["refused"]):
            decode(story["format"], content, around)
        return
    decoded = decode(story["format"], content, around)
    if "nothing" in story:
        assert decoded.reports == (), decoded.reports
        assert story["nothing"] in decoded.note
        return
    expected = story.get("report", [story])
    assert len(decoded.reports) == len(expected), decoded
    for report, one in zip(decoded.reports, expected, strict=True):
        hold_report(report, one, retained)
    if "unread" in story:
        assert list(decoded.unread) == story["unread"]


def hold_report(report: Report, expected: Story, retained: bool) -> None:
    """Hold one report to what is expected of it: nothing is missing and nothing is more."""
    found: dict[str, float | None] = {}
    for observation in report.observations:
        if observation.value is not None or observation.metric not in found:
            found[observation.metric] = observation.value
    gives = expected.get("gives", {})
    assert found == {metric: None if value == "none" else value for metric, value in gives.items()}, report
    assert report.device_id == expected.get("device", "dev-1")
    assert report.mode == expected.get("mode", "real")
    assert report.online == expected.get("online")
    assert report.retained == retained
    for key, instant in (("at", report.measured_at), ("gateway_at", report.gateway_at)):
        if key in expected:
            assert instant == (None if expected[key] == "none" else expected[key]), key
    if "faults" in expected:
        said = None if report.faults is None else list(report.faults)
        assert said == (None if expected["faults"] == "none" else expected["faults"])
    hold_reasons(report, expected)


def hold_reasons(report: Report, expected: Story) -> None:
    """Hold a report to its doubts and reasons: no value is missing without one."""
    for observation in report.observations:
        if observation.value is None:
            assert observation.reason
            continue
        doubted = observation.metric in expected.get("doubtful", ())
        assert observation.validity == (QUESTIONABLE if doubted else VALID), observation
    told = " ".join([*report.notes, *(one.reason for one in report.observations)])
    for words in expected.get("says", ()):
        assert words in told, (words, told)
