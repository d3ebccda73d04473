"""Drills and wards live: a real Mosquitto, the real monitor, the real wall, the simulators as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from monitor.series.embedded import Embedded
from simulators.drill import find, load, on_beds
from simulators.plan import plan_ward
from simulators.speech import LANGUAGES
from simulators.stage import SECOND_0, set_stage
from simulators.wiring import beds_toml
from tests.conftest import LOOPBACK, PASSWORD, Mosquitto, PageGuard, Running
from tests.simulators.hands import REPOSITORY, WITHIN_S, Ear, ear
from tests.web.test_drill_runs import enter

if TYPE_CHECKING:
    from playwright.sync_api import Page

WITHIN_MS = 1000 * WITHIN_S
BEDS = 21  # more than there are languages; more than twenty live their past in coarse steps
# Three drills, each from a moment before what it teaches: saturation, pressure, a device. In real time.
PIECES = {
    "bed-1": ("short-and-long-dip", 24.9, 28.0, "spo2-low-urgent"),
    "bed-2": ("hypertensive-peak-at-40", 39.48, 43.0, "systolic-high-urgent"),
    "bed-3": ("sentinel-stream", 19.97, 22.9, "no-data:oximeter"),
}


def with_beds(
    running: Callable[..., Running], broker: Mosquitto, records: list[Mapping[str, Any]]
) -> Running:
    """Return a running monitor of simulated beds, with an operator."""
    monitor = running(broker.port, beds=1)
    (monitor.folder / "beds.toml").write_text(beds_toml(records))
    monitor.people(otto="operator")
    monitor.start(within_s=120)
    return monitor


def start(http: httpx.Client, bed: Mapping[str, Any]) -> str:
    """Begin a drill session on a bed and record its doses, as the operator is told to; return its id."""
    body = {"patient_code": bed["patient_code"], "protocol": bed["protocol"], "mode": "drill"}
    begun = http.post(f"/api/v1/beds/{bed['bed_id']}/start", json=body)
    begun.raise_for_status()
    for dose in bed["doses"]:
        at = datetime.now(UTC) - timedelta(minutes=dose["minutes_since"])
        given = {"amount_mg": dose["amount_mg"], "route": dose["route"], "at": at.isoformat()}
        http.post(f"/api/v1/beds/{bed['bed_id']}/dose", json={**given, "reason": "drill"}).raise_for_status()
    session: str = begun.json()["session_id"]
    return session


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the simulators as a process; it is ended with the test."""
    pipe = subprocess.PIPE
    one = subprocess.Popen(
        [sys.executable, "-m", "simulators", *words],
        cwd=REPOSITORY,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    try:
        yield one
    finally:
        one.kill()
        one.communicate(timeout=WITHIN_S)


def wait_for_line(one: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it says these words."""
    assert one.stderr is not None
    said = []
    for line in one.stderr:
        said.append(line)
        if words in line:
            return
    raise AssertionError(f"{words!r} was not said: {said}")


def drill_words(bed: str, broker: Mosquitto, folder: Path) -> tuple[str, ...]:
    """Return the words that play a piece of a drill on a bed."""
    name, begin, end, _ = PIECES[bed]
    where = ("--broker", f"mqtt://{LOOPBACK}:{broker.port}", "--runs", str(folder), "--json")
    return ("run", name, "--bed", bed, "--from", str(begin), "--to", str(end), "--no-keyboard", *where)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_drills_run_live_before_the_wall(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    open_page: Callable[..., Page],
    guard: PageGuard,
    tmp_path: Path,
) -> None:
    """Issue 6, S-10: DRILL on the tiles, each alarm seen and acknowledged there, each run scored for it."""
    from playwright.sync_api import expect

    del guard
    broker = mosquitto()
    stages = {
        bed: set_stage(on_beds(load(find(name)), [bed]), SECOND_0, "clinic", live_min=begin).plan[0]
        for bed, (name, begin, _, _) in PIECES.items()
    }
    monitor = with_beds(running, broker, list(stages.values()))
    http = enter(monitor.address, "otto")
    wall = open_page(viewport={"width": 1920, "height": 1080})
    sign_in(wall, monitor.address)
    with (
        ear(broker, "afterwatch/v1/clinic/beds/+/alarm") as listener,
        command(*drill_words("bed-1", broker, tmp_path)) as one,
        command(*drill_words("bed-2", broker, tmp_path)) as two,
        command(*drill_words("bed-3", broker, tmp_path)) as three,
    ):
        for each in (one, two, three):
            wait_for_line(each, "Start on the wall")
        for bed in stages.values():
            start(http, bed)
        for bed, (_, _, _, rule) in PIECES.items():
            tile = wall.locator(f'[data-bed="{bed}"]')
            expect(tile.locator(".drill")).to_be_visible(timeout=WITHIN_MS)
            listener.until(lambda heard, rule=rule: _raised(heard, rule), f"{rule} on {bed}")
        picture(wall, "drill-wall")
        for bed in PIECES:
            _acknowledge_all(wall, bed)
        for bed, (_, _, _, rule) in PIECES.items():
            listener.until(lambda heard, rule=rule: _raised(heard, rule, "AlarmAcknowledged"), f"{bed}: seen")
        stop = Ear(broker)
        stop.say("afterwatch/v1/clinic/drills/inject", "stop")
        cards = [json.loads(each.communicate(timeout=WITHIN_S)[0])[0] for each in (one, two, three)]
        stop.close()
    http.close()
    for card, (name, _, _, rule) in zip(cards, PIECES.values(), strict=True):
        assert card["drill"] == name
        assert card["passed"], json.dumps(card, indent=1)
        own = next(check for check in card["raised"] if rule in check["what"])
        assert own["met"], own
        assert next(check for check in card["met"] if check["what"] == rule)["met"], card["met"]
        first = next(check for check in card["staff"] if check["seconds"] is not None)
        assert first["met"], card["staff"]


def _raised(heard: list[Any], rule: str, outcome: str = "AlarmRaised") -> bool:
    told = (json.loads(one.payload) for one in heard)
    return any((one["outcome"], one["rule"]) == (outcome, rule) for one in told if "outcome" in one)


def _acknowledge_all(wall: Page, bed: str) -> None:
    """Press Ack on a tile until nothing is left to acknowledge there."""
    button = wall.locator(f'[data-bed="{bed}"]').get_by_role("button", name="Ack")
    for _ in range(6):
        if not button.first.is_visible():
            return
        button.first.click(timeout=WITHIN_MS)
        wall.wait_for_timeout(500)


def sign_in(page: Page, address: str) -> None:
    """Sign in as the operator does."""
    page.goto(address)
    page.get_by_label("Name").fill("otto")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/", timeout=WITHIN_MS)


def picture(page: Page, name: str) -> None:
    """Keep a picture where AFTERWATCH_PICTURES says, for those who look."""
    if folder := os.environ.get("AFTERWATCH_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_ward_of_all_formats_reaches_the_monitor(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running]
) -> None:
    """Issue 6: beds whose devices speak different formats, as `drill ward --devices` says: all are read."""
    broker = mosquitto()
    beds = [plan.record() for plan in plan_ward(BEDS, 7, "mixed")]
    assert {device["format"] for bed in beds for device in bed["devices"]} == {
        language.format for language in LANGUAGES.values()
    }
    monitor = with_beds(running, broker, beds)
    http = enter(monitor.address, "otto")
    began = datetime.now(UTC)
    for bed in beds:
        start(http, {**bed, "doses": []})
    where = ("--broker", f"mqtt://{LOOPBACK}:{broker.port}", "--beds", str(len(beds)), "--speak", "mixed")
    # A minute and a half within six seconds, in which each cuff measures once.
    with command("ward", *where, "--start-cuffs", "--speed", "15", "--for", "6") as ward:
        _, told = ward.communicate(timeout=4 * WITHIN_S)
    assert ward.returncode == 0, told
    status = http.get("/api/v1/beds").json()
    http.close()
    monitor.stop()
    kept = Embedded(monitor.store)
    refused = [one for one in kept.quarantine(1000) if "/status" not in one["topic"]]
    assert not refused, refused[:3]
    for bed in beds:
        seen = {
            (trace.device_id, trace.metric)
            for trace in kept.traces(bed["bed_id"], began, datetime.now(UTC))
            if any(value is not None for value in trace.values)
        }
        said = {(device["device_id"], metric) for device in bed["devices"] for metric in device["metrics"]}
        assert said <= seen, (bed["bed_id"], sorted(said - seen), status)
