"""Records reach a FHIR server once, whatever breaks between; and somebody hears when they do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor import config
from monitor.app.site import Site as HouseSite
from monitor.config import Fhir, Site
from monitor.core import inputs as given
from monitor.core.vitals import Mode
from monitor.journal import Batch, Journal
from monitor.records import outbox as module
from monitor.records.outbox import FILE, Outbox
from monitor.series.embedded import Embedded
from monitor.snapshot import dump_protocol
from tests.conftest import Running, find_free_port, wait_for
from tests.records.conftest import Answer, Stub
from tests.records.scene import CUFF, PRESSURE, REPOSITORY, SIGNER, START, Play, begin

SITE = Site(id="klinika", name="Klinika", zone="Europe/Warsaw")
NOW = START + timedelta(hours=3)


class House:
    """A journal with short sessions, and an outbox that follows it; its clock stands at ``now``."""

    def __init__(self, folder: Path, stub: Stub) -> None:
        self.folder, self.stub, self.now = folder, stub, NOW
        self.journal = Journal(folder)
        self.settings = Fhir(url=stub.url, timeout_s=5, lag_alarm_s=600)
        self.opened: list[Outbox] = []

    def session(self, minute: int, *, mode: Mode = "real", sign: bool = True) -> Play:
        """Keep a session that began so many minutes after the first."""
        play = begin("in-esketamine", START + timedelta(minutes=minute), mode)
        play.report(1.0, CUFF, dict(zip(PRESSURE, (128.0, 78.0, 95.0, 70.0), strict=True)))
        play.give(2.0, given.EndSession(play.by, "end of the test"))
        readings = [(play.bed.bed_id, report) for report in play.reports]
        protocols = {play.protocol.digest: (play.protocol.name, dump_protocol(play.protocol))}
        self.journal.commit([Batch(readings=readings, outcomes=play.outcomes, protocols=protocols)])
        if sign:
            self.tell(play, given.SignRecord(play.session_id, SIGNER, "clinician", "seen"))
        return play

    def tell(self, play: Play, one: given.Input, minute: float = 3.0) -> None:
        """Give a session's bed an input after its end, and keep what came of it."""
        known = len(play.outcomes)
        play.give(minute, one)
        self.journal.commit([Batch(outcomes=play.outcomes[known:])])

    def outbox(self, on_trouble: Callable[[str], None] = lambda _: None) -> Outbox:
        """Open the outbox, as after a start of the monitor."""
        for one in self.opened:
            one.stop()
        archive = Embedded(self.folder)
        self.opened.append(Outbox(self.folder, archive, self.settings, SITE, on_trouble, lambda: self.now))
        return self.opened[-1]

    def arrived(self) -> list[str]:
        """Return the sessions whose records are at the server."""
        encounters = (one for key, one in self.stub.kept.items() if key.startswith("Encounter?"))
        return sorted(one["period"]["start"] for one in encounters)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without the wait; how long it is has a test of its own (`delay_s`)."""
    monkeypatch.setattr(module, "delay_s", lambda *_: 0.0)


@pytest.fixture
def house(tmp_path: Path, stub: Stub) -> Iterator[House]:
    """Give a journal, a server and an outbox between them."""
    made = House(tmp_path, stub)
    yield made
    for one in made.opened:
        one.stop()
    made.journal.close()


def run(outbox: Outbox) -> None:
    """Let the outbox do all that it can."""
    while outbox.step():
        pass


def test_a_record_leaves_when_it_is_signed_and_again_when_it_is_corrected(house: House, stub: Stub) -> None:
    """Issue 7, FHIR push: what a clinician has signed goes by itself; what is not signed stays here."""
    outbox = house.outbox()
    unsigned = house.session(0, sign=False)
    house.session(10)
    run(outbox)
    assert house.arrived() == ["2026-11-23T10:10:00+01:00"]
    house.tell(unsigned, given.SignRecord(unsigned.session_id, SIGNER, "clinician", "seen"))
    run(outbox)
    assert len(house.arrived()) == 2
    sent, kept = len(stub.requests), dict(stub.kept)
    house.tell(unsigned, given.CorrectRecord(unsigned.session_id, 1, unsigned.by, "wrong bed", "bed 2"), 4.0)
    run(outbox)
    assert len(stub.requests) == sent + 1
    assert len(stub.kept) == len(kept) + 1  # the correction
    assert outbox.trouble() == ""


def test_ended_is_enough_where_the_site_says_so_and_a_drill_never_leaves(house: House, stub: Stub) -> None:
    """S-10: simulated data can never be written into a clinical record; `when = "ended"` waits for nobody."""
    house.settings = house.settings.model_copy(update={"when": "ended"})
    outbox = house.outbox()
    house.session(0, sign=False)
    house.session(10, mode="drill", sign=False)
    run(outbox)
    assert len(stub.requests) == 1
    assert house.arrived() == ["2026-11-23T10:00:00+01:00"]
    assert outbox.trouble() == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, {}, b"<html>"), "HTTP 500"),
        ((503, {"Retry-After": "0"}, b""), "HTTP 503"),
        ((429, {}, b""), "HTTP 429"),
        ((200, {"Content-Length": "9999"}, b'{"type"'), "cut short"),
        (None, "not reached"),
    ],
    ids=["500", "503", "429", "cut", "slow"],
)
def test_a_server_that_fails_is_tried_again_until_it_has_the_record_once(
    house: House, stub: Stub, answer: Answer | None, words: str
) -> None:
    """Issue 7: retry from the outbox; how far behind it is, is a technical condition."""
    house.settings = house.settings.model_copy(update={"timeout_s": 0.5})
    stub.first = [stub.drowse if answer is None else lambda: answer] * 3
    outbox = house.outbox()
    house.session(0)
    assert outbox.step()
    assert not house.arrived()
    house.now = START + timedelta(minutes=5)
    assert outbox.trouble() == ""  # not for every single failure
    house.now = NOW
    assert "1 record is waiting for the FHIR server since 2026-11-23 09:03 UTC: " in outbox.trouble()
    assert words in outbox.trouble()
    stub.awake.set()
    house.settings = house.settings.model_copy(update={"timeout_s": 20})
    run(house.outbox())
    assert len(house.arrived()) == 1
    assert house.opened[-1].trouble() == ""


def test_a_server_that_is_away_gets_everything_when_it_is_back(house: House, stub: Stub) -> None:
    """Issue 7: down for a while, through a restart of the monitor, and nothing is missing or twice."""
    house.settings = house.settings.model_copy(update={"url": f"http://127.0.0.1:{find_free_port()}/fhir"})
    for number in range(3):
        house.session(10 * number)
        assert house.outbox().step()
    assert "3 records are waiting" in house.opened[-1].trouble()
    house.settings = house.settings.model_copy(update={"url": stub.url})
    run(house.outbox())
    assert len(house.arrived()) == 3
    assert len(stub.requests) == 3


def test_a_refused_record_is_said_holds_up_nobody_and_is_tried_at_the_next_start(
    house: House, stub: Stub
) -> None:
    """Issue 7: a 4xx does not become right by trying again; a person hears which record, and why."""
    refusal = json.dumps({"resourceType": "OperationOutcome", "issue": [{"diagnostics": "no such code"}]})
    stub.first = [lambda: (422, {}, refusal.encode())]
    outbox = house.outbox()
    first = house.session(0)
    house.session(10)
    run(outbox)
    assert len(house.arrived()) == 1
    assert outbox.trouble().startswith(
        f"1 record is refused by the FHIR server; {first.session_id}: HTTP 422"
    )
    assert "no such code" in outbox.trouble()
    again = house.outbox()
    run(again)
    assert len(house.arrived()) == 2
    assert again.trouble() == ""


def test_killed_after_the_server_has_it_and_before_we_know_it_is_there_once(house: House, stub: Stub) -> None:
    """Issue 7: killed in between: sent again, and the server keeps one of each."""
    done, killed = threading.Event(), threading.Event()

    def commit_then_hang() -> Answer:
        body = stub.bodies[-1]
        answer = stub.transact(body)
        done.set()
        killed.wait(60)
        return answer

    house.outbox().step()  # the first of all starts
    house.session(0)
    stub.first = [commit_then_hang]
    code = (
        "import sys, time; from pathlib import Path; from monitor.config import Fhir, Site;"
        "from monitor.records.outbox import Outbox; from monitor.series.embedded import Embedded;"
        "folder = Path(sys.argv[1]);"
        "site = Site(id='klinika', name='Klinika', zone='Europe/Warsaw');"
        "Outbox(folder, Embedded(folder), Fhir(url=sys.argv[2]), site).start(); time.sleep(120)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(house.folder), stub.url], cwd=REPOSITORY)
    try:
        assert done.wait(60)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(30)
        killed.set()
    kept = dict(stub.kept)
    assert kept
    run(house.outbox())
    assert len(stub.requests) == 2
    assert stub.kept == kept


def test_what_was_asked_for_long_before_the_first_start_stays_here(house: House, stub: Stub) -> None:
    """A site that begins to push does not send its past unasked; the day before counts (a pair's other)."""
    house.session(0)
    house.now = START + timedelta(days=1, minutes=10)
    outbox = house.outbox()
    house.session(10)
    run(outbox)
    assert len(stub.requests) == 1
    assert house.arrived() == ["2026-11-23T10:10:00+01:00"]


def test_a_journal_from_a_backup_and_a_record_that_is_gone_stop_nothing(house: House, stub: Stub) -> None:
    """After a restore the numbers begin anew: what is signed then leaves all the same."""
    for number in range(3):
        house.session(10 * number)
    run(house.outbox())
    house.journal.close()
    for file in house.folder.iterdir():
        if file.name != FILE:
            file.unlink()
    house.journal = Journal(house.folder)
    house.session(40)
    outbox = house.outbox()
    run(outbox)
    assert len(house.arrived()) == 4
    assert len(stub.requests) == 4

    class Emptied(Embedded):
        def record(self, session_id: str) -> None:  # type: ignore[override]
            raise LookupError(f"no session {session_id!r}")

    house.session(50)
    emptied = Outbox(house.folder, Emptied(house.folder), house.settings, SITE, now=lambda: house.now)
    house.opened.append(emptied)
    run(emptied)
    assert emptied.trouble() == ""


def test_a_record_that_cannot_be_written_is_refused_and_said(house: House, stub: Stub) -> None:
    """A record that FHIR has no words for waits for nobody: it is refused with the reason."""

    class Wordless(Embedded):
        def record(self, session_id: str) -> None:  # type: ignore[override]
            raise ValueError("no such unit")

    house.session(0)
    outbox = Outbox(house.folder, Wordless(house.folder), house.settings, SITE, now=lambda: house.now)
    house.opened.append(outbox)
    run(outbox)
    assert "cannot be written as FHIR: no such unit" in outbox.trouble()
    assert stub.requests == []


def test_its_thread_outlives_what_it_meets(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-18: whatever a step meets is said once, and the next step goes on; one never started just ends."""
    monkeypatch.setattr(module, "IDLE_S", 0.01)
    told: list[str] = []
    house.session(0)
    outbox = house.outbox(told.append)
    outbox.stop()
    again = house.outbox(told.append)
    step, met = again.step, [OSError("the disk of the notes is away")]

    def once() -> bool:
        if met:
            raise met.pop()
        return step()

    monkeypatch.setattr(again, "step", once)
    again.start()
    wait_for(lambda: len(house.arrived()) == 1)
    wait_for(lambda: told[-1:] == [""])
    assert told[0] == "records do not leave: the disk of the notes is away"


def test_its_thread_tells_of_trouble_and_of_its_end(house: House, stub: Stub) -> None:
    """ALARMS: a failing part costs the record, never the alarm, and it is said once."""
    told: list[str] = []
    stub.first = [lambda: (500, {}, b"")] * 2
    house.session(0)
    started = house.outbox(told.append)
    started.start()
    wait_for(lambda: bool(told) and told[-1] == "")
    assert told[0].startswith("1 record is waiting")
    assert len(house.arrived()) == 1


def test_the_running_house_pushes_and_shows_a_refusal_at_the_station(
    running: Callable[..., Running], stub: Stub
) -> None:
    """Issue 7: configured in `clinic.toml`; a failure is a technical alarm of the station, and it ends."""
    stub.first = [lambda: (422, {}, b"")]
    prepared = running(find_free_port(), 1, f'[fhir]\nurl = "{stub.url}"\n')
    house = HouseSite(config.load(prepared.folder))
    house.start()
    try:
        protocol = house.configuration.protocols["iv-ketamine"]
        sign = given.SignRecord("s1", SIGNER, "clinician", "seen")
        for one in (
            given.StartSession("s1", "K-1", protocol, "nina"),
            given.EndSession("nina", "done"),
            sign,
        ):
            assert house.monitor.submit("bed-1", one).result(30).durable
        wait_for(lambda: "fhir" in station(house))
        assert station(house)["fhir"].endswith("s1: HTTP 422 Unprocessable Entity")
        assert house.monitor.submit("bed-1", sign).result(30).durable
        wait_for(lambda: "fhir" not in station(house))
        assert [key for key in stub.kept if key.startswith("Encounter?")]
    finally:
        house.stop()


def station(house: HouseSite) -> dict[str, str]:
    """Return the alarms of the station: their key and their words."""
    return {alarm.key: alarm.text for alarm in list(house.monitor.station_bed().alarms.values())}
