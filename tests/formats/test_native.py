"""The native format: the JSON of docs/wire.md, and two hundred ways to get it wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.formats import Undecodable
from tests.formats.speech import NOON, context, only, read, values

# Each line: a payload (bytes as latin-1) and all that is said of it. Reviewed by eye, line for line.
BROKEN = [
    tuple(json.loads(line))
    for line in (Path(__file__).parent / "broken_native.jsonl").read_text(encoding="ascii").splitlines()
]


def outcome(payload: bytes) -> str:
    """Say everything that the decoder says of a payload."""
    try:
        report = only(read("native", payload))
    except Undecodable as refusal:
        return f"refused: {refusal}"
    said = [f"{one.metric} {one.validity}: {one.reason}" for one in report.observations if one.reason]
    said += [f"note: {note}" for note in report.notes]
    said += [f"faults: {', '.join(report.faults)}"] if report.faults else []
    said += [f"boot_id: {report.boot_id}"] if report.boot_id else []
    kept = ", ".join(f"{one.metric} {one.value:g}" for one in report.observations if one.value is not None)
    return " | ".join(said) or f"kept: {kept}"


@pytest.mark.parametrize(("payload", "expected"), BROKEN)
def test_each_broken_payload_is_answered_in_words(payload: str, expected: str) -> None:
    """Issue 2, "done when" 6: 200 kinds of broken payload, each with its expected message."""
    assert outcome(payload.encode("latin-1")) == expected


def test_the_table_holds_two_hundred_kinds() -> None:
    """Issue 2, "done when" 6: two hundred at least, none twice."""
    assert len({payload for payload, _ in BROKEN}) == len(BROKEN) >= 200


def test_a_payload_beyond_the_limit_is_refused_unread() -> None:
    """S-05: at most 16 KiB."""
    payload = b'{"values":{"spo2":97},"x":"' + b"y" * 17000 + b'"}'
    assert outcome(payload) == "refused: payload of 17029 bytes; at most 16384 are read (S-05)"


def test_a_whole_report_is_kept_whole() -> None:
    """DESIGN §4: the example of the wire contract."""
    payload = {
        "measured_at": "2026-11-23T10:00:00.123Z",
        "boot_id": "b7f1",
        "sequence": 123,
        "mode": "real",
        "values": {
            "heart_rate": 72,
            "pulse_rate": 71,
            "spo2": 98,
            "nibp_systolic": 121,
            "nibp_diastolic": 78,
        },
        "quality": {"spo2": "questionable"},
        "faults": ["probe_off"],
    }
    report = only(read("native", json.dumps(payload)))
    assert values(report) == payload["values"]
    assert (report.boot_id, report.sequence, report.mode, report.faults) == (
        "b7f1",
        123,
        "real",
        ("probe_off",),
    )
    assert report.measured_at == NOON.replace(hour=10, microsecond=123_000)
    assert report.notes == ()


def test_a_drill_is_a_drill() -> None:
    """DESIGN §5: mode is part of the message."""
    assert only(read("native", '{"mode":"drill","values":{"spo2":97}}')).mode == "drill"


def test_one_bad_part_costs_that_part_only() -> None:
    """P-25: the readings beside a bad one are kept."""
    report = only(read("native", '{"values":{"spo2":"--","heart_rate":72,"x":1}}'))
    assert values(report) == {"spo2": None, "heart_rate": 72}


@pytest.mark.parametrize(
    ("zone", "written", "hour"), [("Asia/Kolkata", "17:30", 12), ("Pacific/Chatham", "23:45", 10)]
)
def test_a_local_time_by_the_devices_zone(zone: str, written: str, hour: int) -> None:
    """Issue 7: +05:30 and +12:45 (summer +13:45) are placed right."""
    payload = json.dumps({"measured_at": f"2026-11-23T{written}:00", "values": {"spo2": 97}})
    assert only(read("native", payload, context(zone=zone))).measured_at == NOON.replace(hour=hour)
