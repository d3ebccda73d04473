"""``drill play``: a recording becomes a device."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.formats.recordings import BadRecording, read
from simulators.play import messages_of, together
from tests.conftest import Mosquitto
from tests.simulators.hands import Heard, drill, ear

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
    payloads = [
        json.loads(message.payload) for message in messages_of(together(read(path).rows), "ox", "clinic")
    ]
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
    messages = list(messages_of(together(read(path).rows), "ox", "clinic", first_at=now))
    assert json.loads(messages[0].payload)["measured_at"] == "2026-11-23T20:00:00.000Z"
    assert messages[-1].at_s == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column measured_at"),
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
        read(path)
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
    rows = list(together(read(shared_data / "series" / name).rows))
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
    words = ("play", str(path), "--device", "ring", "--speed", "max", "--broker", address(broker))
    with ear(broker, "afterwatch/v1/clinic/devices/ring/report") as listener:
        told = json.loads(drill(*words).stdout)
        heard = listener.until(lambda heard: len(heard) >= 3000, "3000 reports")
    assert (told["reports"], told["confirmed"], told["refused"]) == (3000, 3000, 0)
    assert [json.loads(one.payload)["sequence"] for one in heard] == list(range(3000))


def address(broker: Mosquitto) -> str:
    """Return a broker's address for the command."""
    return f"mqtt://127.0.0.1:{broker.port}"


def test_a_broker_that_restarts_in_mid_play_loses_nothing(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """The publisher reconnects and hands over again what was not confirmed."""
    path = tmp_path / "own.csv"
    path.write_text("measured_at,metric,value\n" + "".join(f"{s / 50},spo2,97\n" for s in range(200)))
    broker = mosquitto()
    with ear(broker, "afterwatch/v1/clinic/devices/ring/report", "kept") as listener:

        def restart() -> None:
            listener.until(lambda heard: len(heard) >= 30, "the first reports")
            broker.restart()

        person = threading.Thread(target=restart)
        person.start()
        words = ("play", str(path), "--device", "ring", "--speed", "1", "--broker", address(broker))
        told = json.loads(drill(*words).stdout)
        person.join()
        heard = listener.until(lambda heard: len(_numbers(heard)) >= 200, "all that was sent")
    assert told["confirmed"] >= 200
    assert told["reconnects"] >= 1
    assert _numbers(heard) == set(range(200))


def _numbers(heard: list[Heard]) -> set[int]:
    return {json.loads(one.payload)["sequence"] for one in heard}
