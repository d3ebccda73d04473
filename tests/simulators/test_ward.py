"""A simulated ward: from the seed, to a real broker, and what the monitor's core makes of its stories."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from simulators.plan import build_ward, plan_ward
from tests.conftest import Mosquitto
from tests.simulators.hands import REPOSITORY, by_core, drill, ear

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
# Of the stream of `drill ward --print --beds 6 --seed 7 --for 300` from START, on CPython 3.11 and x86-64.
PINNED = "3794c833bdbd47d0c82b13a9370b1dce48e4dedb4445b3ce2759e115b3176a02"
# Of eighteen beds for 60 s, in all languages.
PINNED_MIXED = "95e936f4da999657f59d244486de2c1850e9fd425eaf4fee5c4eba22eecffb89"


@cache
def stream(seed: int, seconds: float = 60, *more: str) -> str:
    """Return the stream of a ward of six, made once."""
    words = ("ward", "--print", "--beds", "6", "--seed", str(seed), "--for", f"{seconds:g}")
    return drill(*words, "--start-at", START.isoformat(), *more).stdout


def test_the_same_seed_makes_the_same_bytes() -> None:
    """Issue 6: same seed, byte-identical payload stream, with the network's chances too."""
    bad = (
        "--delay-s",
        "0.2",
        "--jitter-s",
        "0.5",
        "--loss",
        "0.05",
        "--duplication",
        "0.1",
        "--reordering",
        "0.1",
    )
    assert stream(7, 60, *bad) == stream.__wrapped__(7, 60, *bad)


def test_the_stream_is_the_one_of_every_machine() -> None:
    """Issue 6: on any machine and Python version; a change of the stream is a change on purpose."""
    assert hashlib.sha256(stream(7, 300).encode()).hexdigest() == PINNED


def test_the_stream_of_every_language_is_the_one_of_every_machine() -> None:
    """Issue 6: the same, for a ward whose beds speak all the formats there are."""
    words = ("ward", "--print", "--beds", "18", "--speak", "mixed", "--seed", "7", "--for", "60")
    told = drill(*words, "--start-at", START.isoformat()).stdout
    assert hashlib.sha256(told.encode()).hexdigest() == PINNED_MIXED


def test_no_hash_seed_changes_the_stream() -> None:
    """Issue 6: another process, whose sets and dictionaries lie otherwise, makes the same bytes."""
    words = ("ward", "--print", "--beds", "6", "--seed", "7", "--for", "60", "--start-at", START.isoformat())
    done = subprocess.run(
        [sys.executable, "-m", "simulators", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "20261123"},
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert done.stdout == stream(7)


def test_another_seed_makes_another_stream() -> None:
    """Issue 6: a different seed differs."""
    assert stream(7) != stream(8)


def test_more_beds_do_not_change_a_bed() -> None:
    """What one bed does never changes another: the first three are the same in a ward of three and of six."""
    six = [
        line for line in stream(7).splitlines() if json.loads(line)["topic"].rpartition("/")[0][-1] in "123"
    ]
    three = drill(
        "ward", "--print", "--beds", "3", "--seed", "7", "--for", "60", "--start-at", START.isoformat()
    )
    assert three.stdout.splitlines() == six


def test_everything_that_is_sent_says_drill() -> None:
    """S-10: simulated traffic is marked from the device on."""
    for line in stream(3, 120, "--backlog").splitlines():
        assert json.loads(json.loads(line)["payload"])["mode"] == "drill"


def test_the_plan_is_what_the_demo_reads() -> None:
    """The contract with the demo: beds, devices, codes, doses counted back from going live."""
    plan = json.loads(drill("ward", "--plan", "--beds", "6", "--seed", "7").stdout)
    assert [bed["bed_id"] for bed in plan] == [f"bed-{number}" for number in range(1, 7)]
    for number, bed in enumerate(plan, 1):
        assert [device["device_id"] for device in bed["devices"]] == [
            f"sim-oximeter-{number}",
            f"sim-cuff-{number}",
        ]
        assert set(bed["devices"][0]) == {"device_id", "kind", "metrics", "expected_interval_s", "format"}
        assert {"patient_code", "protocol", "minutes_since_start", "doses", "story"} <= set(bed)
        for dose in bed["doses"]:
            assert 0 <= dose["minutes_since"] <= bed["minutes_since_start"]
            assert (
                dose["route"]
                == {"iv-ketamine": "iv", "im-ketamine": "im", "in-esketamine": "in"}[bed["protocol"]]
            )


@cache
def raised(seed: int, seconds: float) -> list[dict[str, Any]]:
    """Return the alarms that the core raises on a ward of six, with seconds since going live."""
    plan = plan_ward(6, seed)
    ward = build_ward(plan, seed, START)
    records = [bed.record() for bed in plan]
    rows: list[tuple[datetime, dict[str, Any]]] = []
    for bed in records:
        begin = START - timedelta(minutes=bed["minutes_since_start"])
        session = {
            "patient_code": bed["patient_code"],
            "protocol": bed["protocol"],
            "mode": "drill",
            "by": "test",
        }
        rows.append((begin, {"action": "start_session", "bed": bed["bed_id"], **session}))
        for dose in bed["doses"]:
            given = {"amount_mg": dose["amount_mg"], "route": dose["route"], "by": "test", "reason": "test"}
            at = START - timedelta(minutes=dose["minutes_since"])
            rows.append((at, {"action": "dose", "bed": bed["bed_id"], **given}))
    messages = [(message, message.at_s) for message in ward.history(-600.0, 2.0)]
    for message, at_s in [*messages, *((message, message.at_s) for message in ward.run(seconds))]:
        # The backlog was received when it was measured: the monitor was there all along.
        measured = json.loads(message.payload).get("measured_at")
        at = datetime.fromisoformat(measured) if measured else START + timedelta(seconds=at_s)
        rows.append((at, {"topic": message.topic, "payload": message.payload.decode()}))
    rows.sort(key=lambda row: row[0])
    lines = [json.dumps({"at": rows[0][0].isoformat(), "plan": records})]
    lines += [json.dumps({"at": at.isoformat(), **row}) for at, row in rows]
    outcomes = [json.loads(line) for line in by_core(lines)]
    return [
        {**one, "after_s": (datetime.fromisoformat(one["at"]) - START).total_seconds()}
        for one in outcomes
        if one["outcome"] == "AlarmRaised"
    ]


@pytest.mark.parametrize(("seed", "seconds"), [(7, 260), (11, 60)])
def test_a_high_patient_alarm_comes_soon_after_going_live(seed: int, seconds: float) -> None:
    """The demo shows a live alarm within a minute, whatever the seed: two beds cross a red limit."""
    alarms = [alarm for alarm in raised(seed, seconds) if 0 < alarm["after_s"] <= 60]
    high = [a for a in alarms if a["priority"] == "high" and a["kind"] == "physiological"]
    assert {"spo2-low-urgent", "systolic-high-urgent"} <= {alarm["rule"] for alarm in high}, (seed, alarms)
    assert 10 <= min(alarm["after_s"] for alarm in high) <= 40, (seed, high)


def test_the_three_stories_of_issue_two_come_true() -> None:
    """Issue 2: a hypertensive peak, a desaturation, and a probe off; the quiet beds stay quiet."""
    alarms = raised(7, 260)
    of_bed = {
        bed: {a["rule"] for a in alarms if a["bed_id"] == bed} for bed in ("bed-1", "bed-3", "bed-4", "bed-6")
    }
    assert "systolic-high-urgent" in of_bed["bed-1"]
    assert "spo2-low-urgent" in of_bed["bed-3"]
    assert "no-data:oximeter" in of_bed["bed-4"]
    assert not [a for a in alarms if a["bed_id"] == "bed-6" and a["kind"] == "physiological"], of_bed["bed-6"]


# --- a real broker ------------------------------------------------------------------------------------------


def address(broker: Mosquitto) -> str:
    """Return a broker's address for the command."""
    return f"mqtt://127.0.0.1:{broker.port}"


def test_a_ward_reaches_a_real_broker(mosquitto: Callable[..., Mosquitto]) -> None:
    """Issue 2: everything that was sent is confirmed; presence is retained; the backlog comes first."""
    broker = mosquitto()
    with ear(broker) as listener:
        told = drill("ward", "--beds", "2", "--broker", address(broker), "--backlog", "--for", "3").stderr
        sent, confirmed = told.split("sent ")[-1].split(", ")[:2]
        heard = listener.until(lambda heard: len(heard) >= int(sent), f"{sent} messages")
    backlog = int(told.split("backlog: ")[1].split()[0])
    assert len(heard) == int(sent) > backlog
    assert confirmed == f"confirmed {sent}"
    times = [
        json.loads(one.payload)["measured_at"] for one in heard if one.topic.endswith("sim-oximeter-1/report")
    ]
    assert times == sorted(times)
    last = [one.payload for one in heard if one.topic.endswith("sim-oximeter-1/status")][-1]
    assert '"offline"' in last


def test_a_sequence_has_no_hole(mosquitto: Callable[..., Mosquitto]) -> None:
    """P-28: a device counts its messages; from the backlog into the live stream none is missing."""
    broker = mosquitto()
    with ear(broker, "afterwatch/v1/clinic/devices/sim-oximeter-1/+") as listener:
        drill(
            *("ward", "--beds", "1", "--broker", address(broker), "--backlog", "--for", "2", "--quiet"),
        )
        heard = listener.until(lambda heard: any('"offline"' in one.payload for one in heard), "the end")
    numbers = [json.loads(one.payload)["sequence"] for one in heard if one.topic.endswith("/report")]
    assert len(numbers) > 100
    assert all(after == before + 1 for before, after in pairwise(numbers))


def test_no_broker_is_said_plainly() -> None:
    """Errors name the place and the remedy, and the exit code is the documented one."""
    told = drill("ward", "--broker", "mqtt://127.0.0.1:9", "--for", "1", code=4).stderr
    assert "mqtt://127.0.0.1:9" in told
    assert "--broker" in told


def test_the_last_will_speaks_for_a_killed_device(mosquitto: Callable[..., Mosquitto]) -> None:
    """P-19: with a connection of its own each device is offline as soon as its process dies."""
    broker = mosquitto()
    ward = subprocess.Popen(
        [
            *(sys.executable, "-m", "simulators", "ward", "--beds", "1", "--quiet", "--client-per-device"),
            *("--broker", f"mqtt://127.0.0.1:{broker.port}"),
        ],
        cwd=REPOSITORY,
    )
    try:
        with ear(broker, "afterwatch/v1/clinic/devices/sim-oximeter-1/status") as listener:
            listener.until(lambda heard: any('"online"' in one.payload for one in heard), "presence")
            ward.kill()
            listener.until(lambda heard: any('"offline"' in one.payload for one in heard), "the last will")
    finally:
        ward.kill()
        ward.wait(10)
