"""A drill from the console, whole: `afterwatch run`, a real Mosquitto, and the simulators as a process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import PASSWORD, Mosquitto, Running

pytestmark = pytest.mark.slow

DRILL = """
title = "Saturation is low for half a minute"
teaches = "Look at the patient."
starts_at_min = 20
ends_at_min = 20.75
may = ["*"]
[[beds]]
protocol = "in-esketamine"
patient = "42 years."
[beds.course]
spo2 = [[20.1, 97], [20.15, 80], [22, 80]]
[[expect]]
rule = "spo2-low-urgent"
priority = "high"
from_min = 20
to_min = 20.75
"""
DEVICES = """
[[devices]]
id = "sim-oximeter-2"
metrics = ["spo2", "pulse_rate"]
expected_interval_s = 1.0
[[devices]]
id = "sim-cuff-2"
metrics = ["nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate"]
expected_interval_s = 300.0
"""


@pytest.fixture
def otto(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[httpx.Client]:
    """Give an operator at a running monitor of two beds, whose simulated devices serve none of them yet."""
    drills = tmp_path / "drills"
    drills.mkdir()
    (drills / "low.toml").write_text(DRILL)
    monkeypatch.setenv("AFTERWATCH_DRILLS", str(drills))
    monitor = running(mosquitto().port, beds=2)
    with (monitor.folder / "beds.toml").open("a") as file:
        file.write(DEVICES)
    monitor.people(otto="operator")
    monitor.start()
    http = enter(monitor.address, "otto")
    yield http
    http.close()


def enter(address: str, name: str) -> httpx.Client:
    """Sign in."""
    http = httpx.Client(base_url=address, timeout=60, headers={"Origin": address})
    http.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD}).raise_for_status()
    found = re.search(r'name="csrf" content="([^"]+)"', http.get("/").text)
    assert found
    http.headers["X-CSRF-Token"] = found.group(1)
    return http


def the_run(otto: httpx.Client) -> dict[str, Any]:
    """Return the newest run."""
    found: dict[str, Any] = otto.get("/api/v1/drills").json()["runs"][0]
    return found


def until(otto: httpx.Client, done: Callable[[], bool], within_s: float = 120.0) -> None:
    """Wait until something is so; say how the run stands if it never is."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, the_run(otto)
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_an_operator_plays_a_drill_on_a_free_bed_and_reads_its_score(otto: httpx.Client) -> None:
    """Issue 5.5, S-10: real broker, real simulators; the bed says DRILL meanwhile and is free afterwards."""
    begun = otto.post("/api/v1/drills/runs", json={"name": "low", "beds": ["bed-2"]})
    assert begun.status_code == 200, begun.text
    again = otto.post("/api/v1/drills/runs", json={"name": "low", "beds": ["bed-2"]})
    assert (again.status_code, "not free" in again.text) == (409, True)
    session = otto.get("/api/v1/beds/bed-2").json()["session"]
    assert (session["mode"], session["code"], session["by"]) == ("drill", "DRILL-bed-2", "otto")
    run = begun.json()["run_id"]
    answer = otto.post(f"/api/v1/drills/runs/{run}/inject", json={"what": "probe_off", "seconds": 2})
    assert answer.status_code == 200
    until(otto, lambda: the_run(otto)["state"] != "running")
    done = the_run(otto)
    assert done["state"] == "as it should be", done
    assert [one["met"] for one in done["score"]["raised"]] == [True]
    assert any("probe_off" in line for line in done["steps"])
    until(otto, lambda: otto.get("/api/v1/beds/bed-2").json()["session"] is None)
    assert otto.post(f"/api/v1/drills/runs/{run}/stop", json={}).status_code == 409


@pytest.mark.timeout(300)
def test_a_drill_is_stopped_and_one_that_cannot_begin_says_why(otto: httpx.Client) -> None:
    """Issue 5.5: stop ends it with a score as far as it went; a bed without simulated devices is refused."""
    refused = otto.post("/api/v1/drills/runs", json={"name": "low", "beds": ["bed-1"]})
    assert refused.status_code == 409
    assert "sim-oximeter-1" in refused.text
    assert otto.post("/api/v1/drills/runs", json={"name": "none", "beds": ["bed-2"]}).status_code == 409
    run = otto.post("/api/v1/drills/runs", json={"name": "low", "beds": ["bed-2"]}).json()["run_id"]
    until(otto, lambda: any("begins" in line for line in the_run(otto)["steps"]))
    assert otto.post(f"/api/v1/drills/runs/{run}/stop", json={}).status_code == 200
    until(otto, lambda: the_run(otto)["state"] != "running")
    assert len(the_run(otto)["score"]["raised"]) == 1
