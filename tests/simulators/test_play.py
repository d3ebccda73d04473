"""``drill play``: a recording becomes a device."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.play import BadRecording, messages_of, read_recording
from tests.conftest import Mosquitto
from tests.simulators.test_ward import drill, heard

OURS = """measured_at,metric,value
0,spo2,97
0,pulse_rate,64
1,spo2,--
2026-01-01T00:00:02Z,spo2,96
"""


def test_rows_of_one_time_are_one_report_and_no_value_is_sent_as_none(tmp_path: Path) -> None:
    """What the file writes for "no value" is sent as no value, never dropped and never guessed."""
    path = tmp_path / "own.csv"
    path.write_text(OURS)
    payloads = [json.loads(message.payload) for message in messages_of(read_recording(path), "ox", "clinic")]
    assert [payload["values"] for payload in payloads] == [
        {"spo2": 97, "pulse_rate": 64},
        {"spo2": None},
        {"spo2": 96},
    ]
    assert [payload["sequence"] for payload in payloads] == [0, 1, 2]
    assert {payload["mode"] for payload in payloads} == {"drill"}


def test_a_recording_can_begin_now(tmp_path: Path) -> None:
    """A night of last year is played as if it were tonight."""
    path = tmp_path / "own.csv.gz"
    path.write_bytes(gzip.compress(OURS.encode()))
    now = datetime(2026, 11, 23, 20, tzinfo=UTC)
    messages = list(messages_of(read_recording(path), "ox", "clinic", first_at=now))
    assert json.loads(messages[0].payload)["measured_at"] == "2026-11-23T20:00:00.000Z"
    assert messages[-1].at_s == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fits no known layout"),
        ("a,b\n1,2\n", "measured_at,metric,value"),
        ("measured_at,metric,value\n0,spo3,97\n", "metric 'spo3' is unknown"),
        ("measured_at,metric,value\nyesterday,spo2,97\n", "cannot be read"),
    ],
)
def test_a_bad_recording_names_file_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    """Errors name the place and the remedy."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadRecording, match=said) as caught:
        list(read_recording(path))
    assert "bad.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("oximeter_ring_night.csv.gz", 5000),
        ("oximeter_fingertip_night.csv.gz", 5000),
        ("bedside_trend_72min.csv", 50),
        ("ambulatory_bp.csv", 30),
        ("home_cuff_bp.csv", 50),
    ],
)
def test_every_real_recording_can_be_read(shared_data: Path, name: str, least: int) -> None:
    """The layouts of the recordings that we have."""
    rows = list(read_recording(shared_data / "series" / name))
    assert len(rows) >= least
    assert any(value is not None for row in rows for value in row.values.values())


def test_a_recording_is_confirmed_to_the_last_row(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """Issue 2: `drill play FILE --device ID --speed max` sends all, and tells what the broker confirmed."""
    path = tmp_path / "own.csv"
    rows = "".join(f"{second},spo2,{90 + second % 9}\n" for second in range(3000))
    path.write_text("measured_at,metric,value\n" + rows)
    broker = mosquitto()
    listener = heard(broker, 8, "afterwatch/v1/clinic/devices/ring/report")
    words = (
        "play",
        str(path),
        "--device",
        "ring",
        "--speed",
        "max",
        "--broker",
        f"mqtt://127.0.0.1:{broker.port}",
    )
    told = json.loads(drill(*words).stdout)
    text, _ = listener.communicate(timeout=20)
    assert (told["reports"], told["confirmed"], told["refused"]) == (3000, 3000, 0)
    assert [json.loads(line.split(" ", 2)[2])["sequence"] for line in text.splitlines()] == list(range(3000))


def test_a_broker_that_restarts_in_mid_play_loses_nothing(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """The publisher reconnects and hands over again what was not confirmed."""
    path = tmp_path / "own.csv"
    path.write_text("measured_at,metric,value\n" + "".join(f"{s / 100},spo2,97\n" for s in range(600)))
    broker = mosquitto()
    subscriber = subprocess.Popen(
        [
            *("mosquitto_sub", "-p", str(broker.port), "-q", "1", "-c", "-i", "kept", "-W", "14"),
            *("-t", "afterwatch/v1/clinic/devices/ring/report"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    words = (
        "play",
        str(path),
        "--device",
        "ring",
        "--speed",
        "1",
        "--broker",
        f"mqtt://127.0.0.1:{broker.port}",
    )
    threading.Timer(2.0, broker.restart).start()
    told = json.loads(drill(*words).stdout)
    text, _ = subscriber.communicate(timeout=40)
    assert told["confirmed"] >= 600
    assert told["reconnects"] >= 1
    assert {json.loads(line)["sequence"] for line in text.splitlines()} == set(range(600))
