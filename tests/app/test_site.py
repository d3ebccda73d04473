"""A site put together: what it tells machines and who leads, and what it notices at its own doors."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from starlette.testclient import TestClient

from monitor import config
from monitor.app.loop import STATION
from monitor.app.site import Site
from monitor.clock import SystemClock, time_source
from monitor.journal import Batch
from tests.app.test_running_site import Ear, report
from tests.conftest import LOOPBACK, REPOSITORY, Mosquitto, Running, wait_for
from tests.core.scene import NOON
from tests.core.test_figures import useless

RUNBOOK = (REPOSITORY / "docs" / "operating.md").read_text(encoding="utf-8")


def test_r_18_every_figure_of_the_runbook_is_there_and_none_is_secret(tmp_path: Path) -> None:
    """R-18, issue 8: queues, lag, disk, clock and delivery, by the names that docs/operating.md gives."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text(
        '[series]\nurl = "http://127.0.0.1:9"\n'
        '[[notify.targets]]\nid = "pager"\nurl = "json://127.0.0.1:9/hidden"\n'
        '[[notify.routes]]\ntargets = ["pager"]\n'
    )
    site = Site(config.load(tmp_path))
    site.monitor.self_check.took_s = 0.1  # as after the first round
    try:
        reply = TestClient(site.application, base_url="http://127.0.0.1").get("/metrics")
        text = reply.text
    finally:
        site.messenger.stop()
        site.monitor.journal.close()
    rows = [row for row in RUNBOOK.splitlines() if row.startswith("  | ") and "`" in row]
    named = [name for row in rows for name in re.findall(r"`(\w+)(?:\{[^`]*\})?`", row.split("|")[1])]
    named += [re.sub("^_", "afterwatch_", name) for name in named if name.startswith("_")]
    wanted = [name for name in named if not name.startswith("_")]
    assert len(wanted) > 20
    given = {
        *re.findall(r"^(\w+)", text, re.MULTILINE),
        *re.findall(r'^afterwatch_health\{name="(\w+)"', text, re.MULTILINE),
    }
    assert [name for name in wanted if name not in given] == []
    assert "hidden" not in text
    assert re.search(r"^afterwatch_mirror_lag_seconds 0\.0$", text, re.MULTILINE)


def test_af_15_who_leads_is_told_by_a_low_alarm_of_the_station_that_ends_with_its_cause(
    tmp_path: Path,
) -> None:
    """AF-15: from the journal's own words of two hours."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text("")
    site = Site(config.load(tmp_path))

    def look() -> dict[str, str]:
        site.upkeep.look_at_load()
        site.monitor.turn(0.0)
        present = site.monitor.station_bed().alarms.values()
        return {one.key: f"{one.priority}: {one.text}" for one in present if one.key.startswith("alarm-load")}

    try:
        assert look() == {}
        moved = site.clock.now() - timedelta(minutes=10) - NOON
        told = [one._replace(at=one.at + moved) for one in useless(30, "nora")]
        site.monitor.journal.commit([Batch(outcomes=told)])
        words = "low: nora had 30 alarms in 120 min that needed no action"
        assert look() == {"alarm-load:nora": words}
        site.upkeep._now = lambda: site.clock.now() + timedelta(hours=2)
        assert look() == {}
    finally:
        site.messenger.stop()
        site.monitor.journal.close()


# --- at the doors of the house ------------------------------------------------------------------------------


@pytest.fixture
def still_site(tmp_path: Path) -> Iterator[Site]:
    """Give a site whose loop turns only when a test turns it, and whose broker is not there."""
    (tmp_path / "protocols").symlink_to(REPOSITORY / "config" / "protocols")
    (tmp_path / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
    (tmp_path / "clinic.toml").write_text("[broker]\nport = 9\n")
    site = Site(config.load(tmp_path))
    yield site
    site.messenger.stop()
    site.monitor.journal.close()


def told(site: Site, key: str) -> tuple[str, str] | None:
    """Let the house be judged; return priority and text of a condition of the station."""
    site.monitor._due_at.clear()
    site.monitor.turn(0)
    found = site.monitor.beds()[STATION].alarms.get(key)
    return None if found is None or found.condition != "present" else (found.priority, found.text)


def test_s_09_more_than_five_refused_sign_ins_a_minute_are_told_at_the_station(
    still_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-09: five are nothing, the sixth is a low technical alarm that names nobody and ends by itself."""
    pages = TestClient(still_site.application, base_url=f"http://{LOOPBACK}")

    def try_once(number: int) -> None:
        wrong = {"name": f"Nobody{number}", "password": "guessed"}
        assert pages.post("/api/v1/sign-in", json=wrong).status_code in (401, 429)

    for number in range(5):
        try_once(number)
    assert told(still_site, "sign-in") is None
    try_once(5)
    found = told(still_site, "sign-in")
    assert found is not None
    assert found[0] == "low"
    assert "Nobody" not in found[1]
    assert still_site.monitor.health()["sign_ins_refused"] == 6
    later = time.monotonic() + 61
    monkeypatch.setattr("monitor.app.station.time.monotonic", lambda: later)
    assert told(still_site, "sign-in") is None


class Set(SystemClock):
    """A clock whose machine was set by some seconds after the start."""

    by_s = 0.0

    def drift_s(self) -> float:
        """Return how far the wall clock has left ours."""
        return super().drift_s() + self.by_s


def test_s_17_a_clock_that_is_set_is_told_and_ends_when_it_is_set_back(
    still_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-17: more than two seconds either way is a low technical alarm; two are none; its size is told."""
    clock = Set()
    still_site.monitor.clock = clock
    clock.by_s = 1.9
    assert told(still_site, "clock") is None
    clock.by_s = 3600.0
    assert told(still_site, "clock") == (
        "low",
        "the clock of this machine is 3600 s ahead of the monitor's: it was set",
    )
    assert still_site.monitor.health()["clock_drift_s"] == pytest.approx(3600, abs=1)
    clock.by_s = -7.0
    assert told(still_site, "clock") == (
        "low",
        "the clock of this machine is 7 s behind the monitor's: it was set",
    )
    clock.by_s = 0.0
    assert told(still_site, "clock") is None


def test_s_17_a_time_server_that_is_lost_is_told_and_one_that_never_was_is_shown() -> None:
    """S-17: the alarm is for the change; a machine without a time server says so on its page of health."""
    from monitor.app.station import Station
    from monitor.clock import TimeSource

    station = Station()
    kept, alone = TimeSource(True, 0.01), TimeSource(False, 16.0)
    found = [
        station.judge_clock(0.0, source).priority for source in (None, alone, kept, None, alone, alone, kept)
    ]
    assert found == [None, None, None, None, "low", "low", None]


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex(2) is Linux's")
def test_s_17_the_kernel_is_asked_about_its_time_source(still_site: Site) -> None:
    """S-17: what the kernel says is on the page of health; from 16 s of possible error it is not kept."""
    found = time_source()
    assert found is not None
    assert found.error_s >= 0
    assert not found.synchronised or found.error_s <= 16
    health = still_site.monitor.health()
    assert health["clock_synchronised"] is found.synchronised
    assert health["clock_error_s"] == pytest.approx(found.error_s, abs=1)


@pytest.fixture
def linked_site(
    mosquitto: Callable[..., Mosquitto], running: Callable[..., Running]
) -> Iterator[tuple[Site, Mosquitto]]:
    """Give a whole site, running, and its broker."""
    broker = mosquitto()
    site = Site(config.load(running(broker.port).folder))
    site.start()
    wait_for(lambda: site.monitor.link.connected, "the link")
    yield site, broker
    site.stop()


def alarm(site: Site, key: str) -> Any:
    """Return a present alarm of the running station."""
    found = site.monitor.beds()[STATION].alarms.get(key)
    return found if found is not None and found.condition == "present" else None


def test_p_18_a_client_that_takes_our_place_again_and_again_is_told(
    linked_site: tuple[Site, Mosquitto],
) -> None:
    """P-18, S-04: each takeover is counted; more than three a minute are a medium technical alarm."""
    site, broker = linked_site
    for number in range(4):
        assert alarm(site, "unsteady-link") is None
        thief = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            site.configuration.clinic.broker.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        thief.connect(LOOPBACK, broker.port, clean_start=False)
        thief.loop_start()
        wait_for(lambda many=number: site.monitor.station.losses.total > many, "the loss")  # type: ignore[misc]
        wait_for(lambda: site.monitor.link.connected, "the link")
        thief.disconnect()
        thief.loop_stop()
    wait_for(lambda: alarm(site, "unsteady-link"), "the alarm")
    assert alarm(site, "unsteady-link").priority == "medium"
    assert site.monitor.health()["links_lost"] >= 4


@pytest.mark.parametrize("store", [b"", b"no store of Mosquitto's" * 100], ids=["empty", "damaged"])
def test_p_29_a_broker_that_lost_its_store_is_found_again_and_told(
    linked_site: tuple[Site, Mosquitto], store: bytes
) -> None:
    """P-29, AL-47: the link comes back by itself, says what may be missing, and all streams go on.

    Mosquitto does not start on a store it cannot read: `link` tells, and a person moves the file away.
    """
    site, broker = linked_site
    kept = broker.folder / "mosquitto.db"
    broker.stop()
    assert kept.stat().st_size, "it kept nothing: the test proves nothing"
    kept.write_bytes(store)
    if store:
        with pytest.raises(RuntimeError, match="Couldn't open database"):
            broker.start()
        wait_for(lambda: alarm(site, "link"), "the alarm of the link")
        kept.rename(kept.with_suffix(".damaged"))
    assert alarm(site, "broker-memory") is None
    broker.start()
    wait_for(lambda: alarm(site, "broker-memory"), "the alarm of what may be missing")
    wait_for(lambda: alarm(site, "link") is None, "the end of the alarm of the link")
    assert alarm(site, "broker-memory").priority == "low"
    ear = Ear(broker.port)
    ear.wait(lambda: ear.of("bed-1/alarms") and ear.of("monitor/status"), "what the broker keeps of us")
    ear.say("oximeter-1", report(spo2=97, pulse_rate=70))
    wait_for(lambda: site.archive.counts()["reading"], "a reading on the disk")
    ear.end()


def test_p_29_a_broker_that_kept_everything_is_no_condition(linked_site: tuple[Site, Mosquitto]) -> None:
    """P-29: after a restart with its store whole, the broker has lost nothing and nothing is said."""
    site, broker = linked_site
    broker.restart()
    wait_for(lambda: site.monitor.station.losses.total, "the loss")
    wait_for(lambda: site.monitor.link.connected, "the link")
    assert site.monitor.station.forgotten.total == 0
