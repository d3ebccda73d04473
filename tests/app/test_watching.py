"""The house watches itself: self-check, watchdog, link, sound and channels as technical alarms."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from monitor import formats
from monitor.app.loop import SELF_CHECK_S, TICK_S
from monitor.app.self_check import DEVICE, WITHIN, SelfCheck
from monitor.app.station import LINK_GRACE_S, Station
from monitor.app.watchdog import Watchdog
from monitor.core.bed import Bed
from monitor.core.outcomes import Outcome
from monitor.core.session import Session
from monitor.core.vitals import Report
from monitor.journal import Due
from tests.app.test_running_site import Ear, ear  # noqa: F401  the fixture
from tests.conftest import LOOPBACK, Mosquitto, Running, wait_for

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def decoded(payload: bytes, at: datetime) -> Report:
    """Read a native report as the loop does."""
    return formats.decode("native", payload, formats.Context(DEVICE, at)).reports[0]


def later(seconds: float) -> datetime:
    """Return an instant after the beginning."""
    return NOW + timedelta(seconds=seconds)


# --- self-check (AL-34) -------------------------------------------------------------------------------------


def whole_round(check: SelfCheck, skip: str = "") -> None:
    """Let a round pass every station but one."""
    report = decoded(check.begin(NOW), NOW)
    answer = check.judge(report, later(1)) if skip != "core" else b""
    if skip != "journal":
        check.durable(report.boot_id, report.sequence, later(1))
    if skip not in ("back", "core"):
        check.heard(answer, later(2))


def test_al_34_a_round_that_passes_every_station_is_no_condition() -> None:
    """AL-34: broker, core, journal and back: nothing to say, and the time it took is known."""
    check = SelfCheck("root", "b1")
    assert check.verdict(NOW) is None
    whole_round(check)
    assert check.verdict(later(3)) == ("self-check", None, "")
    assert check.took_s == 2.0


@pytest.mark.parametrize(("skip", "words"), [("core", "core"), ("journal", "journal"), ("back", "way back")])
def test_al_34_a_station_that_is_not_reached_is_named_and_high(skip: str, words: str) -> None:
    """AL-34: a failed check is a high technical alarm that says where it stopped, within 15 s."""
    check = SelfCheck("root", "b1")
    whole_round(check, skip)
    assert check.verdict(later(14)) is None
    verdict = check.verdict(later(15))
    assert verdict is not None
    assert verdict.priority == "high"
    assert words in verdict.text


def test_al_34_each_round_is_judged_before_the_next_begins() -> None:
    """AL-34: a next round that came first would take the place of one that failed, and nobody would hear."""
    assert timedelta(seconds=SELF_CHECK_S - TICK_S) > WITHIN


@pytest.mark.parametrize("forged", [b"", b"{}", b'{"boot_id":"b1","sequence":2,"raised":true}', b"[1]"])
def test_s_07_words_of_others_on_our_topic_prove_nothing(forged: bytes) -> None:
    """S-07: an answer of another round or in another shape does not pass the check."""
    check = SelfCheck("root", "b1")
    whole_round(check, "back")
    check.heard(forged, later(2))
    verdict = check.verdict(later(15))
    assert verdict is not None
    assert verdict.priority == "high"


def test_al_34_it_runs_by_itself_through_the_real_broker_and_disturbs_nobody(
    mosquitto: Callable[..., Mosquitto],
    running: Callable[..., Running],
    ear: Callable[[int], Ear],  # noqa: F811
) -> None:
    """AL-34: the report and its answer pass the broker; no bed, list or alarm speaks of it."""
    broker = mosquitto()
    monitor = running(broker.port)
    one = ear(broker.port)
    monitor.start()
    answer = one.wait(lambda: one.of("monitor/self-check"), "the answer")[0]
    assert answer["raised"] is True
    metrics = f"{monitor.address}/metrics"
    one.wait(lambda: 'name="self_check_s"' in httpx.get(metrics, timeout=60).text, "the end of the round")
    assert not [topic for topic, _, _ in one.heard if "/beds/self-check" in topic]
    assert not [x for x in one.of("station/alarm") if "self-check" in x["rule"]]


# --- watchdog (R-21, AL-49) ---------------------------------------------------------------------------------


class Loop:
    """A loop that can stand still."""

    def __init__(self) -> None:
        """Begin in good health."""
        self.still_s = 0.0
        self.asked: Counter[str] = Counter()

    def stalled_s(self) -> float:
        """Return for how long it stood still."""
        self.asked[threading.current_thread().name] += 1
        return self.still_s

    def station_bed(self) -> Bed:
        """Return the station's bed."""
        return Bed("station")

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC)

    def report_condition(self, key: str, priority: None, text: str) -> None:
        """Take a condition for later."""


def test_r_21_a_loop_that_stands_still_is_told_by_another_thread_once() -> None:
    """R-21: a stall of more than two seconds is a high technical alarm without the loop's help."""
    loop, told = Loop(), list[tuple[Outcome, ...]]()

    def plan(outcomes: tuple[Outcome, ...], bed: Bed, now: datetime) -> list[Due]:
        told.append(outcomes)
        return []

    dog = Watchdog(loop, plan, lambda due: None)
    dog.start()
    try:
        wait_for(lambda: loop.asked["watchdog"] >= 2)
        assert told == []
        loop.still_s = 2.6
        wait_for(lambda: bool(told))
        before = loop.asked["watchdog"]
        wait_for(lambda: loop.asked["watchdog"] >= before + 2)
    finally:
        dog.stop()
    assert len(told) == 1
    assert next((one.outcome, one.priority, one.rule) for one in told[0]) == (
        "AlarmRaised",
        "high",
        "stalled",
    )


def test_al_49_somebody_outside_is_told_while_all_is_well_and_only_then() -> None:
    """AL-49, P-21: the dead-man address is asked in turn, and not while the loop stands still."""
    asked: list[str] = []

    class Outside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer((LOOPBACK, 0), Outside)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    loop = Loop()
    url = f"http://{LOOPBACK}:{server.server_address[1]}/alive"
    dog = Watchdog(loop, lambda *_: [], lambda due: None, url, 0.1)
    dog.start()
    try:
        wait_for(lambda: len(asked) >= 3)
        loop.still_s = 3.0
        turns = loop.asked["dead-man ping"]
        wait_for(lambda: loop.asked["dead-man ping"] >= turns + 2)  # what was on its way has come
        before = len(asked)
        wait_for(lambda: loop.asked["dead-man ping"] >= turns + 6)
        assert len(asked) == before
    finally:
        dog.stop()
        server.shutdown()
        server.server_close()


# --- the station --------------------------------------------------------------------------------------------


def test_p_45_a_lost_broker_is_one_alarm_and_worse_when_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-45, P-41: nothing for three seconds, then medium, then high; one for the whole house."""
    station = Station()
    start = time.monotonic()
    station.link_down_since = start

    def link(after_s: float) -> str | None:
        monkeypatch.setattr("monitor.app.station.time.monotonic", lambda: start + after_s)
        found = [one for one in station.judge([], "refused", {}, []) if one.key == "link"]
        assert len(found) == 1
        return found[0].priority

    assert [link(s) for s in (0.0, LINK_GRACE_S + 0.1, 31.0)] == [None, "medium", "high"]


def in_session(bed_id: str) -> Bed:
    """Return a bed with a session."""
    from pathlib import Path

    from monitor.config import load_protocol

    folder = Path(__file__).parent.parent.parent / "config" / "protocols"
    protocol = load_protocol(folder / "iv-ketamine.toml")
    return Bed(bed_id, Session("s", "p", protocol, "real", NOW, "nina"))


def test_al_36_no_page_with_sound_during_a_session_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """AL-35, AL-36: a page whose sound does not run is no annunciator; a lease lasts fifteen seconds."""
    station = Station()

    def annunciators() -> str | None:
        return {one.key: one.priority for one in station.judge([in_session("bed-1")], "", {}, [])}[
            "no-annunciator"
        ]

    assert annunciators() == "medium"
    station.annunciate("wall", False)
    assert annunciators() == "medium"
    station.annunciate("wall", True)
    assert annunciators() is None
    start = time.monotonic()
    monkeypatch.setattr("monitor.app.station.time.monotonic", lambda: start + 16)
    assert annunciators() == "medium"


def test_al_38_a_dead_channel_is_an_alarm_until_it_delivers_again() -> None:
    """AL-38, AL-48: each dead target by its name; the alarm of one that is back ends."""
    station = Station()
    judged = station.judge([], "", {"pager": "refused"}, ["channel:mail"])
    found = {one.key: one.priority for one in judged}
    assert found["channel:pager"] == "medium"
    assert found["channel:mail"] is None
