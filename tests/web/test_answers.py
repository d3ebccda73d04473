"""Answering an alarm from the link in a message, and who is on duty: over HTTP and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import httpx
import pytest

from monitor.core.alarms import Alarm
from monitor.core.escalation import Ladder, Level
from monitor.core.inputs import ReportCondition, SetLadder
from monitor.notify import Answers
from tests.conftest import PageGuard
from tests.web.conftest import Person
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Page

LADDER = Ladder({"high": (Level(("Nora",), 60), Level(("Carla",), 60))})


class Links:
    """Answer links as the monitor makes them."""

    def __init__(self, house: SmallHouse, answers: Answers) -> None:
        """Keep where the pages are."""
        self.house, self.answers = house, answers

    def to(self, holder: str) -> str:
        """Return the address on which a holder answers the worst alarm of bed-1."""
        return self.house.url + self.answers.link("bed-1", alarm(self.house).alarm_id, holder)


@pytest.fixture
def links(open_house: Callable[..., SmallHouse]) -> Links:
    """Give a house with a high alarm on bed-1, offered to Nora and then to Carla."""
    answers = Answers(b"k" * 32, "", ["Nora", "Carla"])

    def read(token: str) -> tuple[str, str, str]:
        found = answers.read(token)
        return found.bed_id, found.alarm_id, found.holder

    house = open_house(read_answer=read)
    house.desk.submit("bed-1", SetLadder(LADDER)).result(30)
    house.start("bed-1", code="SECRET-CODE")
    house.desaturate("bed-1")
    return Links(house, answers)


def alarm(house: SmallHouse) -> Alarm:
    """Return the worst alarm of bed-1."""
    return max(house.desk.beds()["bed-1"].alarms.values(), key=lambda one: one.rank)


def test_looking_answers_nothing_and_names_no_patient(links: Links) -> None:
    """AL-41, issue 4: a link preview fetches the page; that is no answer, and tells no patient code."""
    page = httpx.get(links.to("Nora"))
    assert page.status_code == 200
    assert "Room 1" in page.text
    assert "HIGH" in page.text
    assert "SECRET-CODE" not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert alarm(links.house).ownership.state == "offered"


def test_the_page_tells_the_sites_time(open_house: Callable[..., SmallHouse]) -> None:
    """P-22: the alarm's own words and the page's "since" are one clock, the site's."""
    answers = Answers(b"k" * 32, "", ["Nora"])
    house = open_house(beds=1, zone="Asia/Kolkata", read_answer=lambda token: astuple(answers.read(token)))
    heard = house.desk.now() - timedelta(minutes=5)
    one = ReportCondition("x", "high", f"nothing since {heard:%H:%M} UTC")
    house.desk.submit("bed-1", one, heard).result(30)
    page = httpx.get(Links(house, answers).to("Nora")).text
    local = f"{heard.astimezone(ZoneInfo('Asia/Kolkata')):%H:%M}"
    assert f"nothing since {local}<" in page
    assert f"since {local}, for 5 min" in page
    assert "UTC" not in page


def test_a_tap_accepts_in_the_holder_s_name_and_leaves_sound_and_light(links: Links) -> None:
    """AL-40, AL-42: one owner; acceptance by link is no acknowledgement; the next one hears who has it."""
    done = httpx.post(links.to("Nora"), data={"answer": "accept"}, follow_redirects=True)
    assert "You have it" in done.text
    own = alarm(links.house).ownership
    assert (own.state, own.owner, alarm(links.house).signal) == ("accepted", "Nora", "on")
    late = httpx.post(links.to("Carla"), data={"answer": "accept"})
    assert late.status_code == 409
    assert "Nora has accepted it already" in late.text


def test_a_rejection_passes_it_on_at_once(links: Links) -> None:
    """AL-41: the next level is offered it without waiting; an owner gives it back the same way."""
    assert httpx.post(links.to("Nora"), data={"answer": "reject"}).status_code == 303
    own = alarm(links.house).ownership
    assert (own.state, own.level, own.rejected_by) == ("offered", 1, ("Nora",))
    assert "You passed it on" in httpx.get(links.to("Nora")).text
    assert httpx.post(links.to("Carla"), data={"answer": "accept"}).status_code == 303
    assert alarm(links.house).ownership.owner == "Carla"


def test_a_forged_old_or_foreign_answer_changes_nothing(links: Links) -> None:
    """ASVS V3.5: the token is the proof; without it, or from another site's page, nothing happens."""
    token = links.to("Nora")
    forged = httpx.post(token[:-3] + "abc", data={"answer": "accept"})
    assert forged.status_code == 404
    assert "not valid" in forged.text
    foreign = httpx.post(token, data={"answer": "accept"}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    assert httpx.post(token, data={"answer": "acknowledge"}).status_code == 422
    assert alarm(links.house).ownership.state == "offered"


def test_guessing_is_slowed_and_an_answer_still_passes(links: Links) -> None:
    """Issue 4: rate limited by what is repeated: a flood of guesses holds back no true link."""
    links.house.stop_buckets()
    codes = [httpx.get(f"{links.house.url}/a/guess-{n}").status_code for n in range(30)]
    assert codes[0] == 404
    assert codes[-1] == 429
    assert httpx.post(links.to("Nora"), data={"answer": "accept"}).status_code == 303


def test_without_answer_links_the_address_says_so(house: SmallHouse) -> None:
    """A clinic without links: a person who has one from elsewhere is told what to do."""
    answer = httpx.get(f"{house.url}/a/anything")
    assert answer.status_code == 404
    assert "answer on the wall" in answer.text


def test_a_phone_shows_two_large_buttons(
    links: Links, open_page: Callable[..., Page], guard: PageGuard
) -> None:
    """Issue 4: usable with a thumb at 390 px, without signing in; afterwards it says what was done."""
    page = open_page(viewport={"width": 390, "height": 844})
    page.goto(links.to("Nora"))
    boxes = [button.bounding_box() for button in page.locator("form button").all()]
    assert len(boxes) == 2
    assert all(box is not None and box["height"] >= 48 and box["x"] + box["width"] <= 390 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("text=I take it")
    page.wait_for_selector("text=You have it")
    assert page.locator("form button").count() == 1


# --- on duty ----------------------------------------------------------------------------------------------


def test_who_is_on_duty_is_told_to_whoever_makes_ladders(
    open_house: Callable[..., SmallHouse], enter: Callable[[SmallHouse, str], Person]
) -> None:
    """AL-43: a nurse begins her own duty, an admin changes another's; each time the ladders are made anew."""
    seen: list[list[str]] = []

    def changed() -> None:
        seen.append([one.name for one in house.users.list() if one.on_duty])

    house = open_house(duty_changed=changed)
    nora, ada = enter(house, "Nora"), enter(house, "Ada")
    assert nora.post("/me/duty", {"on_duty": True}).json()["on_duty"] is True
    assert ada.http.patch("/api/v1/admin/users/Carla", json={"on_duty": True}).status_code == 200
    assert nora.post("/me/duty", {"on_duty": False}).status_code == 200
    assert seen == [["Nora"], ["Carla", "Nora"], ["Carla"]]
    assert enter(house, "Otto").post("/me/duty", {"on_duty": True}).status_code == 403
