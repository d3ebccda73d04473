"""Times as a page tells them: one clock, the site's, on every night of the year."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from monitor.clockface import Clockface
from monitor.web.pages import static_path
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The nights on which clocks are put forward and back, and a plain one.
NIGHTS = {
    "UTC": (datetime(2026, 3, 29, 1, tzinfo=UTC),),
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2026, 11, 23, 18, 30, tzinfo=UTC),),
    "Pacific/Chatham": (datetime(2026, 4, 4, 14, tzinfo=UTC), datetime(2026, 9, 26, 14, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
}
# Each zone is a module of its own: the page's zone is read when the module is.
TELL = """async ([zone, path, cases]) => {
  document.documentElement.dataset.zone = zone;
  const { plainly, hm } = await import(`${path}/words.js?${zone}`);
  return cases.map(([text, near]) => [plainly(text, near), hm(near)]);
}"""


def told(page: Page, zone: str, cases: list[tuple[str, datetime]]) -> list[list[str]]:
    """Return what a page of a site in that zone says for each text, and for the instant itself."""
    sent = [[text, at.timestamp() * 1000] for text, at in cases]
    found: list[list[str]] = page.evaluate(TELL, [zone, static_path(), sent])
    return found


@pytest.fixture
def any_page(house: SmallHouse, page: Page) -> Page:
    """Give a page of ours."""
    page.goto(house.url + "/sign-in")
    return page


def test_times_that_the_core_tells_in_utc_are_the_sites_time_of_the_same_instant(any_page: Page) -> None:
    """P-49, P-22: two clocks never stand on one page; right on both nights of change, as in the records."""
    for zone, nights in NIGHTS.items():
        cases, expected = [], []
        for night in nights:
            for minutes in range(-14 * 60, 14 * 60, 23):
                meant = night + timedelta(minutes=minutes, seconds=17)
                near = meant + timedelta(minutes=(minutes * 7) % 600 - 300)
                clock = Clockface(zone, [meant - timedelta(hours=12), meant + timedelta(hours=12)])
                cases.append((f"due {meant:%H:%M} UTC, window to {meant:%H:%M:%S}", near))
                expected.append(f"due {clock.time(meant)}, window to {clock.time(meant, seconds=True)}")
        assert [text for text, _ in told(any_page, zone, cases)] == expected, zone


def test_an_hour_that_comes_twice_is_told_apart(any_page: Page) -> None:
    """P-49: on the night when clocks are put back 02:30 is two instants, and says which."""
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    cases = [("", first), ("", first + timedelta(hours=1)), ("", first + timedelta(days=2))]
    assert [at for _, at in told(any_page, "Europe/Berlin", cases)] == ["02:30+02", "02:30+01", "01:30"]


def test_other_words_stay_as_they_were_written(any_page: Page) -> None:
    """A person's own time of day is theirs; what is no time stays."""
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    texts = ["at 10:15 by her watch", "RoomX 24:61:00 UTC", "SBP 183 mm[Hg]", "5 UTC"]
    said = [text for text, _ in told(any_page, "Asia/Kolkata", [(text, now) for text in texts])]
    assert said == ["at 10:15 by her watch", "RoomX 24:61:00 UTC", "SBP 183 mmHg", "5 UTC"]


def test_no_page_of_a_site_elsewhere_says_utc(
    open_house: Callable[..., SmallHouse], open_page: Callable[..., Page]
) -> None:
    """P-22: an alarm that names a time names the site's, on the wall, on the session page and in the log."""
    house = open_house(beds=1, zone="Asia/Kolkata")
    session = house.start("bed-1")
    then = house.desk.now() - timedelta(seconds=60)
    house.tell("bed-1", then, spo2=97.0, pulse_rate=70.0)  # an old value: no valid one since
    page = open_page()
    page.goto(house.url + house.users.sign_in_link("Nora"))
    clock = Clockface("Asia/Kolkata")
    for path, selector in (("/", ".tile .text"), ("/", "#alarms .text"), (f"/sessions/{session}", "#alarms")):
        page.goto(house.url + path)
        page.locator(selector, has_text="no valid value since").first.wait_for()
        _assert_local(page.inner_text(selector), clock, house)
    page.click("#tab-log")
    page.locator("#log", has_text="no valid value since").wait_for()
    _assert_local(page.inner_text("#log"), clock, house)


def _assert_local(text: str, clock: Clockface, house: SmallHouse) -> Any:
    assert "UTC" not in text
    now = house.desk.now()
    hours = {clock.time(now - timedelta(minutes=minutes))[:2] for minutes in (0, 1, 2, 5)}
    assert any(f" {hour}:" in text for hour in hours), text
