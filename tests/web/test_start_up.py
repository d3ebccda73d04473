"""The start-up test: light, sound and channels before a session begins, by HTTP and in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from monitor.core.bed import advance
from monitor.core.inputs import ConfirmSignals
from monitor.core.turn import Bed
from tests.web.browser import until
from tests.web.conftest import Person
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Page

SignIn = Callable[[str], Person]
WHO = {"patient_code": "P-7", "protocol": "in-esketamine"}
UNHEARD = "nobody has seen and heard the test signals of this screen in 12 h"
SILENT = "no page with proved sound is open"


def proof_of(house: SmallHouse) -> dict[str, Any]:
    """Return what the record of the newest session says of its start-up test."""
    found: dict[str, Any] = house.archive.log(names=("SessionStarted",))[-1].outcome.detail["start_up"]
    return found


def test_al_51_a_session_begins_unproved_only_with_a_reason_that_stands_in_its_record(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """AL-51: what is missing is named in the refusal; the override and what was missing are recorded."""
    nora, house.desk.dead_channels = sign_in("Nora"), ["anna-phone"]
    missing = [UNHEARD, SILENT, "messages to anna-phone do not arrive"]
    for override in ({}, {"override": "  "}):
        refused = nora.post("/beds/bed-1/start", {**WHO, **override})
        assert refused.status_code == 409
        assert all(words in refused.json()["detail"] for words in missing)
    assert house.desk.beds()["bed-1"].session is None
    begun = nora.post("/beds/bed-1/start", {**WHO, "override": "a colleague sits beside"})
    assert begun.status_code == 200
    assert proof_of(house) == {"by": "", "at": "", "missing": missing, "override": "a colleague sits beside"}


def test_al_51_a_screen_that_was_proved_in_this_shift_is_not_asked_again(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """AL-51: 12 h for this screen, for whoever starts; another screen and yesterday's proof count nothing."""
    nora, now = sign_in("Nora"), house.desk.now()
    for screen, hours in (("yesterday", 12.1), ("morning", 11.9)):
        said = ConfirmSignals(screen, "Carla")
        _, outcomes = advance(Bed("station"), said, now - timedelta(hours=hours))
        house.desk.archive.keep("station", said, outcomes)  # the station's own bed has lived past that
    house.desk.annunciate("a wall", sounding=True)
    assert nora.get("/start-up?screen=yesterday").json()["missing"] == [UNHEARD]
    assert nora.get("/start-up").json()["missing"] == [UNHEARD]
    assert nora.get("/start-up?screen=morning").json()["by"] == "Carla"
    assert nora.post("/beds/bed-1/start", {**WHO, "screen": "morning"}).status_code == 200
    proof = house.archive.log(names=("SignalsConfirmed",))[-1].outcome
    assert proof_of(house) == {"by": "Carla", "at": proof.at.isoformat(), "missing": [], "override": ""}
    house.desk.annunciate("a wall", sounding=False)
    assert nora.post("/beds/bed-2/start", {**WHO, "screen": "morning"}).status_code == 409


def test_al_51_a_drill_is_never_held_up_and_says_what_was_not_proved(
    house: SmallHouse, sign_in: SignIn
) -> None:
    """AL-51: no patient waits for proof; the drill's record says that there was none."""
    assert sign_in("Otto").post("/beds/bed-1/start", {**WHO, "mode": "drill"}).status_code == 200
    assert proof_of(house)["missing"] == [UNHEARD, SILENT]


def test_al_51_a_nurse_sees_and_hears_the_signals_once_a_shift(
    house: SmallHouse, open_page: Callable[..., Page]
) -> None:
    """AL-51: lights and tones, "seen and heard", start; at the next session not one tap more than before."""
    page = open_page()
    page.goto(house.url + house.users.sign_in_link("Nora"))
    page.goto(f"{house.url}/beds/bed-1/start")
    expect(page.locator("#proofs")).to_contain_text(SILENT)
    heard = page.get_by_role("button", name="Seen and heard")
    test = page.locator("#play")
    until(page, lambda: bool(test.click() or page.wait_for_timeout(500) or heard.is_visible()), "the tone")
    colours = page.locator("#lights .alarm").evaluate_all("(all) => all.map((one) => one.dataset.colour)")
    assert colours == ["high", "medium", "low", "technical"]
    heard.click()
    expect(page.locator("#proofs")).to_contain_text("seen and heard by Nora")
    expect(page.locator("#proofs")).to_contain_text("sound and messages reach people")
    begin(page)
    assert (proof_of(house)["by"], proof_of(house)["missing"]) == ("Nora", [])
    page.goto(f"{house.url}/beds/bed-2/start")
    expect(page.locator("#proofs")).to_contain_text("sound and messages reach people")
    expect(test).to_be_hidden()
    expect(page.get_by_label("Start all the same")).to_be_hidden()
    begin(page)
    assert len(house.archive.log(names=("SignalsConfirmed",))) == 1


def begin(page: Page) -> None:
    """Start as always: code, protocol, one tap."""
    page.fill("[name=patient_code]", "P-51")
    page.check("[value=in-esketamine]")
    page.click("text=Start the session")
    until(page, lambda: "/sessions/" in page.url, "the session's page")
