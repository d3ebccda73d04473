"""A real monitor, killed in every state of delivery; real servers count what they are sent."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from tests.conftest import LOOPBACK, REPOSITORY, find_free_port, wait_for
from tests.notify.places import WITHIN_S, HttpPlace, MailPlace

STATES = (
    "queued",
    "attempting",
    "told",
    "accepted",
    "accepting",
    "rejected",
    "rejecting",
    "escalating",
    "exhausted",
)
Identity = tuple[str, str]  # of a message: its target, and every word of it


class Row(NamedTuple):
    """One notification as the journal has it."""

    key: str
    target: str
    state: str
    settled: bool
    attempts: int
    text: str


def words(title: str, body: str) -> str:
    """Return a message's words; mail and web break lines as they like."""
    return " ".join(f"{title} {body}".split())


class House:
    """The process, its targets and its journal."""

    def __init__(self, folder: Path) -> None:
        """Open the targets, write the configuration, start the first monitor."""
        self.anna, self.ben = HttpPlace(), HttpPlace()
        self.mail = MailPlace(find_free_port())
        self._journal = folder / "store" / "journal.db"
        self.repeatable: Counter[str] = Counter()  # key: how often a kill found it not settled
        shutil.copytree(REPOSITORY / "config" / "protocols", folder / "protocols")
        (folder / "beds.toml").write_text('[[beds]]\nid = "bed-1"\n')
        mail = (
            f"mailto://{LOOPBACK}?smtp={LOOPBACK}&port={self.mail.port}&from=a@c.test&to=n@c.test&format=text"
        )
        targets = {
            "anna": f"json://{LOOPBACK}:{self.anna.port}/",
            "ben": f"json://{LOOPBACK}:{self.ben.port}/",
        }
        (folder / "clinic.toml").write_text(
            f'[broker]\nport = {find_free_port()}\n[store]\npath = "store"\n'
            + "".join(
                f'[[notify.targets]]\nid = "{name}"\nurl = "{url}"\ndeadline_s = 60.0\n'
                for name, url in {**targets, "mail": mail}.items()
            )
            + "".join(f'[[notify.people]]\nid = "{name}"\ntargets = ["{name}"]\n' for name in targets)
            + '[[notify.routes]]\ntargets = ["mail"]\npriorities = ["high"]\n'
        )
        self._log = (folder / "run.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.delivery", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=REPOSITORY,
        )
        self.pid = self.ask("start")["pid"]

    def wish(self, do: str, **more: Any) -> None:
        """Ask for something and wait for no answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"do": do, **more}) + b"\n")
        self._process.stdin.flush()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Ask for something; return the answer."""
        self.wish(do, **more)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text()[-2000:]
        found: dict[str, Any] = orjson.loads(line)
        return found

    def kill(self) -> None:
        """End it as a power cut would, let every target be well again, and start another one."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{self.pid}").exists())  # else it might still hear this:
        self.anna.mood = "200"
        self.wish("start")
        assert self._process.stdout is not None
        answer: dict[str, Any] = {}
        for line in self._process.stdout:  # an answer that it still gave comes first
            if "pid" in (answer := orjson.loads(line)):
                break
        self.repeatable.update(answer["open"])
        self.pid = answer["pid"]

    def rows(self, about: str = "") -> list[Row]:
        """Return the notifications of the journal whose words hold ``about``."""
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as db:
            found = db.execute(
                "SELECT key, target, state, settled_at, attempts, body ->> '$.title', body ->> '$.body' "
                "FROM notification"
            ).fetchall()
        every = [Row(*row[:3], row[3] is not None, row[4], words(*row[5:])) for row in found]
        return [one for one in every if about in one.text]

    def comes_to_rest(self, about: str = "") -> None:
        """Wait until every message about something has its end."""
        try:
            wait_for(lambda: all(one.settled for one in self.rows(about)))
        except AssertionError:
            raise AssertionError([one for one in self.rows(about) if not one.settled]) from None

    def outcomes(self, name: str) -> list[tuple[str, str, int]]:
        """Return alarm, rule and level of every outcome of a name."""
        with closing(sqlite3.connect(f"file:{self._journal}?mode=ro", uri=True)) as db:
            return db.execute(
                "SELECT alarm_id, body ->> '$.rule', body ->> '$.detail.level' FROM outcome WHERE outcome=?",
                (name,),
            ).fetchall()

    def received(self) -> Counter[Identity]:
        """Return how often each message has arrived somewhere that took it."""
        found: Counter[Identity] = Counter()
        for name, place in (("anna", self.anna), ("ben", self.ben)):
            for one in list(place.arrived):
                if one.mood != "503" and one.body:  # empty: killed between the head and the body
                    found[name, words(one.body["title"], one.body["message"])] += 1
        for mail in list(self.mail.arrived):
            text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            found["mail", words(mail["subject"], text)] += 1
        return found

    def close(self) -> None:
        """End everything."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(WITHIN_S)
        self._process.stdout.close()
        self._log.close()
        for place in (self.anna, self.ben, self.mail):
            place.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Give a house whose monitor runs."""
    one = House(tmp_path)
    yield one
    one.close()


# --- one kill -----------------------------------------------------------------------------------------------


def reach(house: House, state: str, key: str, chance: random.Random) -> str:
    """Bring a new alarm into a state of delivery; return who owns it, if that is durable."""
    house.anna.mood = {"queued": "503", "attempting": "hang"}.get(state, "200")
    assert house.ask("raise", key=key)["durable"]
    if state == "queued":
        wait_for(lambda: any(one.attempts for one in house.rows(key) if one.target == "anna"))
    elif state == "attempting":
        wait_for(lambda: any(key in one.body["title"] for one in list(house.anna.arrived)))
    elif state in ("escalating", "exhausted"):
        name = "AlarmOffered" if state == "escalating" else "OwnershipExhausted"
        level = {"escalating": 1, "exhausted": None}[state]
        wait_for(lambda: any((rule, n) == (key, level) for _, rule, n in house.outcomes(name)))
        time.sleep(chance.uniform(0, 0.05))
    else:
        wait_for(lambda: any(one.settled for one in house.rows(key) if one.target == "anna"))
    if state in ("accepted", "rejected"):
        assert house.ask(state.removesuffix("ed"), key=key, by="anna")["durable"]
        return "anna" if state == "accepted" else ""
    if state in ("accepting", "rejecting"):
        house.wish(state.removesuffix("ing"), key=key, by="anna", wait=False)
        time.sleep(chance.uniform(0, 0.02))
    return ""


def converges(house: House, state: str, key: str, owner: str) -> None:
    """Hold what the start after a kill must have brought back; then let it come to rest."""
    own = house.ask("own", key=key)
    assert own["state"] is not None, f"{key}: the alarm is gone"
    if owner:
        assert (own["state"], own["owner"]) == ("accepted", owner), f"{key}, {state}: {own}"
    elif state == "exhausted":
        assert own["state"] == "exhausted", f"{key}: {own}"
    elif state in ("rejected", "escalating"):
        assert own["state"] == "exhausted" or own["level"] == 1, f"{key}, {state}: {own}"
    if own["state"] != "accepted":
        assert house.ask("accept", key=key, by="ben")["durable"]
    house.comes_to_rest(key)
    house.ask("clear", key=key)


def kill_often(house: House, kills: int, seed: int) -> None:
    """Kill in every state in turn; afterwards nobody was paged twice for what was settled, nobody never."""
    chance = random.Random(seed)
    for number in range(kills):
        state, key = STATES[number % len(STATES)], f"k{number:04}"
        owner = reach(house, state, key, chance)
        house.kill()
        converges(house, state, key, owner)
    house.comes_to_rest()
    received, allowed = house.received(), Counter[Identity]()
    for row in house.rows():
        identity = (row.target, row.text)
        allowed[identity] += 1 + house.repeatable[row.key]
        assert row.state in ("delivered", "cancelled"), row
        assert received[identity] or row.state == "cancelled", f"never arrived: {row}"
    for identity, count in received.items():
        assert count <= allowed[identity], f"{count} times, {allowed[identity]} at most: {identity}"
    raised = Counter(rule for _, rule, _ in house.outcomes("AlarmRaised") if rule.startswith("k"))
    assert raised == {f"k{number:04}": 1 for number in range(kills)}
    for name in ("AlarmOffered", "OwnershipExhausted"):
        assert max(Counter(house.outcomes(name)).values()) == 1, f"{name} twice"
    twice = sum(count > 1 for count in received.values())
    print(f"{kills} kills, {len(house.rows())} messages, {twice} of them arrived again after a kill")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_al_43_killed_in_every_state_of_delivery_it_goes_on_as_if_nothing_had_been(house: House) -> None:
    """AL-43, P-02, P-35, P-46: the same owner, no message lost, none again once its end is written."""
    kill_often(house, 2 * len(STATES), seed=1)


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_al_43_and_so_a_thousand_times(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 4: AFTERWATCH_KILLS (1000) kills of a real process, its services and mail on loopback."""
    with capsys.disabled():
        kill_often(house, int(os.environ.get("AFTERWATCH_KILLS", "1000")), seed=2)
