"""The wall's frames: what a bed shows, when a frame goes out, and that no page harms another."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from monitor.core.alarms import Alarm
from monitor.core.inputs import Acknowledge, Observe, PauseAudio, ReportCondition, SetLimit
from monitor.core.turn import Bed
from monitor.core.vitals import Observation, Report
from monitor.web.wall import show_bed, sort_alarms
from tests.web.conftest import Person
from tests.web.small_house import WITHIN_S, SmallHouse

SignIn = Callable[[str], Person]


@contextmanager
def wall(person: Person, house: SmallHouse, **options: Any) -> Iterator[ClientConnection]:
    """Open the wall as a browser does: with cookie and Origin."""
    address = house.url.replace("http", "ws") + "/api/v1/wall"
    cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    given = {"origin": house.url, "additional_headers": {"Cookie": cookies}, "compression": None, **options}
    with connect(address, **given) as live:
        yield live


def frame(live: ClientConnection, within: float = WITHIN_S) -> dict[str, Any]:
    """Return the next frame."""
    found: dict[str, Any] = json.loads(live.recv(within))
    return found


# --- what a bed shows -------------------------------------------------------------------------------------


def test_numbers_carry_unit_limits_source_and_the_instant_they_leave(house: SmallHouse) -> None:
    """AL-07, AL-29: limits beside the value; SpO2 leaves the tile ten seconds after its last sample."""
    house.start("bed-1")
    house.tell("bed-1", spo2=97.0, pulse_rate=70.0)
    shown = show_bed(house.desk.beds()["bed-1"])["numbers"]
    spo2 = shown["spo2"]
    assert (spo2["value"], spo2["unit"], spo2["low"], spo2["source"]) == (97.0, "%", 93.0, "oximeter-1")
    assert spo2["stale"] - spo2["at"] == 10_000
    assert shown["nibp_systolic"]["value"] is None
    assert shown["nibp_systolic"]["why"] == "nothing received yet"


def test_a_cuff_value_that_came_late_is_shown_with_its_own_time(
    open_house: Callable[..., SmallHouse],
) -> None:
    """AL-33, AL-29: the newest cuff value of a backlog stands on the tile with its age, then leaves."""
    house = open_house(history=True)
    house.start("bed-1", minutes_ago=30)
    now = house.desk.now()
    then = now - timedelta(minutes=4)
    seen = tuple(
        Observation(name, value) for name, value in (("nibp_systolic", 142.0), ("nibp_diastolic", 88.0))
    )
    report = Report("cuff-1", now, then, seen)
    house.desk.submit("bed-1", Observe(report), now).result(30)
    bed = house.desk.beds()["bed-1"]
    assert "nibp_systolic" not in bed.latest
    shown = show_bed(bed)["numbers"]
    assert (shown["nibp_systolic"]["value"], shown["nibp_diastolic"]["value"]) == (142.0, 88.0)
    assert shown["nibp_systolic"]["at"] == round(then.timestamp() * 1000)
    assert shown["nibp_systolic"]["stale"] > shown["nibp_systolic"]["at"]
    assert shown["nibp_systolic"]["why"] == "came late"
    house.tell("bed-1", nibp_systolic=131.0, nibp_diastolic=80.0)
    assert show_bed(house.desk.beds()["bed-1"])["numbers"]["nibp_systolic"]["value"] == 131.0


def test_a_limit_that_is_off_is_shown_as_off(house: SmallHouse) -> None:
    """AL-07: off = crossed bell, on the side that is off."""
    house.start("bed-1")
    house.tell("bed-1", spo2=97.0, pulse_rate=70.0)
    one = SetLimit("pulse-rate-high", "Carla", "clinician", "athlete", on=False)
    house.desk.submit("bed-1", one).result(30)
    pulse = show_bed(house.desk.beds()["bed-1"])["numbers"]["pulse_rate"]
    assert pulse["off"] == ["high"]
    assert pulse["high"] == 130.0


def test_alarms_stand_high_before_low_and_newest_first(house: SmallHouse) -> None:
    """AL-05: three at once: H > M > L, then newest; none is left out."""
    for key, priority in (("a", "low"), ("b", "medium"), ("c", "high"), ("d", "medium")):
        house.desk.submit("bed-1", ReportCondition(key, priority, f"test {key}")).result(30)
        time.sleep(0.01)
    keys = [alarm.key for alarm in sort_alarms(house.desk.beds()["bed-1"])]
    assert keys == ["c", "d", "b", "a"]


def test_what_is_shown_depends_on_the_bed_alone(house: SmallHouse) -> None:
    """A bed that did not change costs nothing: its part of the frame is the same bytes."""
    house.start("bed-1")
    house.tell("bed-1", spo2=97.0)
    bed = house.desk.beds()["bed-1"]
    assert show_bed(bed) == show_bed(bed)
    assert json.loads(house.site.hub.build())["beds"][0]["numbers"]["spo2"]["value"] == 97.0


def test_a_bed_that_cannot_be_drawn_leaves_the_others(
    open_house: Callable[..., SmallHouse], enter: Callable[[SmallHouse, str], Person]
) -> None:
    """ASVS V16.5.3: an error in the pages never hides an alarm of another bed."""
    house = open_house(history=True)  # no tick: the core is not asked to go on with such a bed
    house.desk._beds["bed-2"] = Bed("bed-2", alarms={"x": Alarm.__new__(Alarm)})
    house.start("bed-1")
    with wall(enter(house, "Nora"), house) as live:
        assert "cannot be shown" in frame(live)["beds"][1]["fault"]
        house.desaturate("bed-1")
        while not (shown := frame(live)["beds"])[0]["alarms"]:
            pass
    assert shown[0]["alarms"][0]["priority"] == "high"
    assert "cannot be shown" in shown[1]["fault"]


# --- when a frame goes out ----------------------------------------------------------------------------------


def test_frames_are_numbered_and_come_once_a_second(house: SmallHouse, sign_in: SignIn) -> None:
    """Issue 2: one numbered whole-wall frame a second, whatever the readings do."""
    house.start("bed-1")
    numbers: list[int] = []
    with wall(sign_in("Nora"), house) as live, readings(house):
        frame(live)
        begun = house.site.hub.number, time.monotonic()
        while len(numbers) < 3:
            numbers.append(frame(live)["number"])
        made = house.site.hub.number - begun[0]
        assert made <= time.monotonic() - begun[1] + 1, "readings alone made a frame before its second"
    assert numbers == sorted(set(numbers))


@contextmanager
def readings(house: SmallHouse) -> Iterator[None]:
    """Let bed-1 measure twenty times a second meanwhile."""
    ended = threading.Event()

    def measure() -> None:
        while not ended.wait(0.05):
            house.tell("bed-1", spo2=97.0, pulse_rate=70.0)

    thread = threading.Thread(target=measure)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the wall's second an hour: what still comes has not waited for it."""
    monkeypatch.setattr("monitor.web.hub.PERIOD_S", 3600.0)


@pytest.mark.usefixtures("patient")
def test_an_alarm_is_on_the_wall_at_once(house: SmallHouse, sign_in: SignIn) -> None:
    """ALARMS §1.4: decision to page p99 at most 1 s; the frame does not wait for its second."""
    house.start("bed-1")
    with wall(sign_in("Nora"), house) as live:
        frame(live)
        house.desaturate("bed-1")
        while not frame(live)["beds"][0]["alarms"]:
            pass


@pytest.mark.usefixtures("patient")
def test_an_acknowledgement_is_on_another_page_at_once(house: SmallHouse, sign_in: SignIn) -> None:
    """Issue 2: an acknowledgement by one nurse is shown on a second page at once, with the name."""
    house.start("bed-1")
    house.desaturate("bed-1")
    alarm = next(iter(house.desk.beds()["bed-1"].alarms.values()))
    with wall(sign_in("Carla"), house) as live:
        frame(live)
        house.desk.submit("bed-1", Acknowledge(alarm.alarm_id, "Nora")).result(30)
        while (shown := frame(live)["beds"][0]["alarms"][0])["signal"] != "acknowledged":
            pass
        assert shown["by"] == "Nora"


def test_every_client_gets_the_same_end_of_a_pause(house: SmallHouse, sign_in: SignIn) -> None:
    """AL-20: the countdown is equal on every client: it is the same instant in the same bytes."""
    house.start("bed-1")
    house.desk.submit("bed-1", PauseAudio("Nora")).result(30)
    with wall(sign_in("Nora"), house) as one, wall(sign_in("Carla"), house) as other:
        ends = {frame(live)["beds"][0]["pause"]["until"] for live in (one, other)}
    assert len(ends) == 1


# --- who may look, and who counts as heard ------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://evil.example", None])
def test_a_foreign_page_cannot_open_the_wall(house: SmallHouse, sign_in: SignIn, origin: str | None) -> None:
    """ASVS V4.4.2: WebSocket Origin; a foreign one is refused in the handshake."""
    with pytest.raises(Exception, match="403"), wall(sign_in("Nora"), house, origin=origin):
        pass


def test_nobody_sees_the_wall_without_signing_in(house: SmallHouse, sign_in: SignIn) -> None:
    """ASVS V8.3.1: the handshake needs a seat; the page is told to sign in."""
    with wall(sign_in(""), house) as live, pytest.raises(ConnectionClosed) as closed:
        live.recv(5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_page_counts_as_heard_only_while_it_says_so(
    house: SmallHouse, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AL-35, AL-36: leases reach the desk with the page's own word on its sound; nonsense does not."""
    monkeypatch.setattr("monitor.web.live.LEASE_NO_SOONER_S", 0.0)
    with wall(sign_in("Nora"), house) as live:
        live.send(json.dumps({"page": "p1", "sounding": True}))
        _until(lambda: [lease[0] for lease in house.desk.leases.values()] == [True])
        live.send("nonsense")
        live.send(json.dumps({"page": "p1", "sounding": False}))
        _until(lambda: [lease[0] for lease in house.desk.leases.values()] == [False])


def test_a_stalled_page_is_let_go_and_harms_no_other(
    house: SmallHouse, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5: a client that never reads gets no queue of its own; the others keep their pace."""
    monkeypatch.setattr("monitor.web.live.SEND_WITHIN_S", 0.5)
    house.site.hub._fixed["padding"] = "x" * 1_000_000
    nora = sign_in("Nora")
    with _stalled(nora, house), wall(nora, house, max_size=None) as live:
        while house.site.hub.dropped < 3:  # frames come to this one all the while
            frame(live)
        assert house.site.hub.pages == 1


def _stalled(person: Person, house: SmallHouse) -> ExitStack:
    """Open three walls that never read a byte after the handshake."""
    found = ExitStack()
    cookie = person.http.cookies["afterwatch_seat"]
    for _ in range(3):
        one = found.enter_context(socket.socket())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", house.server.port))
        host = f"127.0.0.1:{house.server.port}"
        one.sendall(
            f"GET /api/v1/wall HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n"
            f"Cookie: afterwatch_seat={cookie}\r\n\r\n".encode()
        )
    return found


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.02)


def test_a_burst_of_changes_is_few_frames(house: SmallHouse, sign_in: SignIn) -> None:
    """R-12: a storm does not become a storm of frames: changes within 40 ms share one."""
    with wall(sign_in("Nora"), house) as live:
        frame(live)
        begun = time.monotonic()
        before = house.site.hub.number
        for number in range(200):
            house.desk.submit("bed-1", ReportCondition(f"k{number}", "low", "x"))
        house.desk.submit("bed-1", ReportCondition("last", "low", "x")).result(30)
        made = house.site.hub.number - before
        assert made <= (time.monotonic() - begun) / 0.04 + 1


def test_a_waiting_page_wakes_for_a_newer_frame_only(house: SmallHouse) -> None:
    """Newest only: whoever has seen a number waits for another one."""

    async def wait() -> tuple[int, int, int]:
        hub = house.site.hub
        with hub.looking():
            seen = await hub.next_frame(-1)
            at_once = await hub.next_frame(seen - 1)
            return seen, at_once, await asyncio.wait_for(hub.next_frame(at_once), 20)

    seen, at_once, later = in_the_server(house, wait())
    assert at_once == seen
    assert later > at_once


def test_nothing_is_made_while_nobody_looks_and_the_first_look_is_of_now(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """R-11: a wall that nobody sees costs nothing; a page that opens later never starts with an old frame."""
    house.start("bed-1")
    nora = sign_in("Nora")
    with wall(nora, house) as live:
        frame(live)
    _until(lambda: house.site.hub.pages == 0 and house.site.hub.frame == "")
    before = house.site.hub.number
    house.desaturate("bed-1")
    assert not house.site.hub._pending, "a reading woke the server for nobody"
    assert (house.site.hub.number, house.site.hub.frame) == (before, "")
    with wall(nora, house) as live:
        first = frame(live)
    assert first["number"] == before + 1
    assert first["beds"][0]["alarms"][0]["priority"] == "high"
    assert first["beds"][0]["numbers"]["spo2"]["value"] == 80.0


def in_the_server(house: SmallHouse, work: Coroutine[Any, Any, Any]) -> Any:
    """Do something in the server's own loop."""
    _until(lambda: house.site.hub._loop is not None)
    loop = house.site.hub._loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(work, loop).result(30)


def test_a_reading_in_the_past_leaves_the_tile(house: SmallHouse) -> None:
    """DESIGN §5: a stale number leaves the tile: its leaving time is behind the frame's."""
    house.start("bed-1")
    house.tell("bed-1", house.desk.now() - timedelta(seconds=30), spo2=97.0)
    found = json.loads(house.site.hub.build())
    assert found["beds"][0]["numbers"]["spo2"]["stale"] <= found["at"] + 10_000
