"""The pages in a real Chromium, walked as people walk them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from monitor.core.inputs import RecordDose, ReportCondition
from monitor.web.pages import static_path
from tests.conftest import PageGuard
from tests.web.browser import until, wait
from tests.web.conftest import get
from tests.web.small_house import PASSWORD, SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


@pytest.fixture
def enter(house: SmallHouse, open_page: Open) -> Open:
    """Give a function that opens a page for someone who is signed in."""

    def begin(name: str = "Nora", path: str = "/", **options: Any) -> Page:
        page = open_page(**options)
        page.goto(house.url + house.users.sign_in_link(name))
        if path != "/":
            page.goto(house.url + path)
        return page

    return begin


def live(house: SmallHouse, bed: str = "bed-1", **values: float) -> None:
    """Let a bed measure now."""
    house.tell(bed, **(values or {"spo2": 97.0, "pulse_rate": 71.0}))


def shows_97(house: SmallHouse, page: Page) -> None:
    """Let bed-1 go on measuring until its tile shows it, however slow the page comes up."""
    value = page.locator("[data-bed=bed-1] .spo2 .value")

    def shown() -> bool:
        live(house)
        return value.all_inner_texts() == ["97"]

    until(page, shown, "97 on the tile of bed-1")


def text(page: Page, selector: str, wanted: str) -> None:
    """Wait until an element says something."""
    expect(page.locator(selector).first).to_contain_text(wanted)


def boxes(page: Page) -> list[Any]:
    """Return where every part of every tile stands, in whole pixels."""
    found: list[Any] = page.evaluate(
        "[...document.querySelectorAll('.tile, .tile :is(.numeric, .plan, .alarm-row, .course)')]"
        ".map((one) => { const box = one.getBoundingClientRect();"
        " return [Math.round(box.x), Math.round(box.y), Math.round(box.width), Math.round(box.height)]; })"
    )
    return found


# --- coming in --------------------------------------------------------------------------------------------


def test_a_nurse_signs_in_with_name_and_password(
    house: SmallHouse, open_page: Open, guard: PageGuard
) -> None:
    """Issue 2: named users; a wrong password says so, the right one leads on."""
    guard.allow("401")
    page = open_page()
    page.goto(house.url + "/sessions")
    page.fill("[name=name]", "Nora")
    page.fill("[name=password]", "wrong password")
    page.click("button[type=submit]")
    text(page, "[role=alert].wrong", "wrong name or password")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/sessions")


def test_a_page_runs_each_module_once(house: SmallHouse, open_page: Open, guard: PageGuard) -> None:
    """AL-37: one page is one WebSocket and says what is wrong once, whatever modules import each other."""
    house.desk.broker = "lost"
    session = house.start("bed-1")
    page = open_page()
    sockets: list[str] = []
    page.on("websocket", lambda one: sockets.append(one.url))
    page.goto(house.url + house.users.sign_in_link("Demo"))
    text(page, "#strips", "broker")
    for path in ("/", "/alarms", f"/sessions/{session}", "/devices", "/me", "/beds/bed-2/start"):
        sockets.clear()
        page.goto(house.url + path)
        text(page, "#strips", "broker")
        page.wait_for_load_state("networkidle")
        assert len(sockets) == 1, path
        broker = [text for text in page.locator(".strip").all_inner_texts() if "broker" in text]
        assert len(broker) == 1, path
        twice = page.evaluate(
            "(() => { const all = performance.getEntriesByType('resource')"
            ".map((one) => one.name.split('/').pop().split('?')[0]).filter((name) => name.endsWith('.js'));"
            " return all.filter((name, n) => all.indexOf(name) !== n); })()"
        )
        assert twice == [], path


def test_files_of_the_pages_are_kept_by_the_browser_and_change_their_address(house: SmallHouse) -> None:
    """DESIGN §3: a page that is opened again asks for nothing it has; another version has other addresses."""
    answer = get(f"{house.url}{static_path()}/page.js")
    assert "immutable" in answer.headers["cache-control"]
    gone = get(f"{house.url}/static/0000000000/page.js")
    assert (gone.status_code, gone.headers["cache-control"]) == (404, "no-store")


# --- the wall ---------------------------------------------------------------------------------------------


def test_an_alarm_turns_the_tile_by_colour_shape_word_and_flash_and_moves_nothing(
    house: SmallHouse, enter: Open
) -> None:
    """AL-03, AL-06, issue 5.1: four cues, announced; fixed layout that alarm state never moves."""
    house.start("bed-1")
    page = enter()
    tile = page.locator("[data-bed=bed-1]")
    shows_97(house, page)
    before = boxes(page)
    house.desaturate("bed-1")
    page.wait_for_selector("[data-bed=bed-1][data-colour=high][data-flash]")
    assert boxes(page) == before
    assert tile.locator(".alarm-row use").get_attribute("href") == "#shape-high"
    assert tile.locator(".alarm-row .word").inner_text() == "HIGH"
    assert "HIGH Room 1" in page.text_content("#said")  # type: ignore[operator]
    assert page.locator("#alarms .alarm").first.get_attribute("data-colour") == "high"
    period = page.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('.tile .shape')).animationDuration)"
    )
    assert 0.357 <= period <= 0.714


def test_an_update_lays_out_what_changed_and_not_the_page(house: SmallHouse, enter: Open) -> None:
    """Issue 9: what changes with every update stands in a box of its own: outside it costs the whole wall."""
    house.start("bed-1")
    house.desk.submit("bed-2", ReportCondition("x", "high", "test")).result(30)  # its age goes on in the list
    page = enter()
    shows_97(house, page)
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(
        page=page, categories=["disabled-by-default-devtools.timeline", "devtools.timeline"]
    )
    for value in (96, 95, 94):
        live(house, spo2=value, pulse_rate=value)
        text(page, "[data-bed=bed-1] .spo2 .value", str(value))
    told = [one["args"].get("beginData") for one in json.loads(browser.stop_tracing())["traceEvents"]]
    laid = [one["partialLayout"] for one in told if one and "partialLayout" in one]
    assert len(laid) >= 3
    assert all(laid), laid


def test_a_line_asks_for_the_past_of_a_session_that_begins_later(house: SmallHouse, enter: Open) -> None:
    """Issue 5: what a device kept of the last ten minutes is drawn on a wall that was open before."""
    page = enter()
    page.wait_for_selector("[data-bed=bed-2][data-free]")
    with page.expect_response("**/api/v1/beds/bed-2/trend") as asked:
        house.start("bed-2", minutes_ago=20)
    assert asked.value.ok


def test_flash_rates_are_within_the_table(house: SmallHouse, enter: Open) -> None:
    """AL-03: period 357-714 ms high, 1250-2500 ms medium, none low; duty 20-60 %."""
    for bed, priority in (("bed-1", "high"), ("bed-2", "medium"), ("bed-3", "low")):
        house.desk.submit(bed, ReportCondition("x", priority, "test")).result(30)  # type: ignore[arg-type]
    page = enter()
    page.wait_for_selector("[data-bed=bed-3][data-colour]")
    periods = page.evaluate(
        "['bed-1', 'bed-2', 'bed-3'].map((bed) => { const style = getComputedStyle("
        "document.querySelector(`[data-bed=${bed}] .alarm-row .shape`));"
        " return style.animationName === 'none' ? 0 : parseFloat(style.animationDuration) * 1000; })"
    )
    assert 357 <= periods[0] <= 714
    assert 1250 <= periods[1] <= 2500
    assert periods[2] == 0
    sheet = page.evaluate(f"fetch('{static_path()}/style.css').then((answer) => answer.text())")
    duty = re.search(r"@keyframes blink \{ 0%, (\d+)%", sheet)
    assert duty is not None
    assert 20 <= int(duty[1]) <= 60


def test_reduced_motion_keeps_another_cue(house: SmallHouse, enter: Open) -> None:
    """AL-06: nothing flashes for those who asked for it; the word is underlined instead."""
    house.start("bed-1")
    house.desaturate("bed-1")
    page = enter(reduced_motion="reduce")
    page.wait_for_selector("[data-bed=bed-1][data-colour=high]")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.alarm-row .shape')).animationName") == "none"
    )
    line = page.evaluate(
        "getComputedStyle(document.querySelector('.tile[data-flash] .word')).textDecorationLine"
    )
    assert line == "underline"


def test_an_acknowledgement_shows_on_another_page_at_once(house: SmallHouse, enter: Open) -> None:
    """Issue 2: acknowledge by a nurse shown on a second page at once, with the name; light stays."""
    house.start("bed-1")
    house.desaturate("bed-1")
    nora, carla = enter("Nora"), enter("Carla")
    carla.wait_for_selector("[data-bed=bed-1][data-flash]")
    nora.click("[data-bed=bed-1] .ack")
    carla.wait_for_selector("[data-bed=bed-1][data-signal=acknowledged]:not([data-flash])")
    assert carla.locator("[data-bed=bed-1]").get_attribute("data-colour") == "high"
    assert "known to Nora" in carla.inner_text("#alarms .alarm .state")


def test_a_pause_counts_down_on_every_page(house: SmallHouse, enter: Open) -> None:
    """AL-20: the countdown is visible on every client and equal within a second."""
    house.start("bed-1")
    nora, carla = enter("Nora"), enter("Carla")
    nora.click("[data-bed=bed-1] .bell")

    def left(page: Page) -> int:
        page.wait_for_selector("[data-bed=bed-1] .bell[data-paused]")
        minutes, seconds = page.inner_text("[data-bed=bed-1] .bell span").split(":")
        return int(minutes) * 60 + int(seconds)

    before = left(nora)
    assert 60 < before <= 120
    until(nora, lambda: abs(left(nora) - left(carla)) <= 1, "the same countdown on both")
    until(carla, lambda: left(carla) < before, "it counts down")


def test_the_browser_greys_every_number_when_the_server_is_silent(
    house: SmallHouse, enter: Open, guard: PageGuard
) -> None:
    """AL-37: five seconds without a frame and no number stands, with the reason; it recovers by itself."""
    guard.allow("WebSocket connection|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET")
    house.start("bed-1")
    page = enter()
    shows_97(house, page)
    port = house.server.port
    house.server.stop()
    text(page, ".strip.high .text", "CONNECTION LOST")
    assert set(page.locator(".tile .value").all_inner_texts()) == {"--"}
    assert page.inner_text("[data-bed=bed-1] .spo2 .note") == "connection lost"
    house.server = type(house.server)(house.site, port=port)
    house.server.start()
    shows_97(house, page)


def test_an_old_number_leaves_the_tile_with_its_reason(house: SmallHouse, enter: Open) -> None:
    """AL-29, DESIGN §5: a stale number is replaced by "--" and says how old it is."""
    house.start("bed-1")
    page = enter()
    shows_97(house, page)
    text(page, "[data-bed=bed-1] .spo2 .value", "--")
    text(page, "[data-bed=bed-1] .spo2 .note", "old:")


def test_drill_and_the_label_are_always_visible(house: SmallHouse, enter: Open) -> None:
    """S-10, AL-57: DRILL on the tile, secondary notification on the page, at every size."""
    house.start("bed-2", mode="drill")
    for size in ((1920, 1080), (1024, 768), (390, 844)):
        page = enter("Otto", viewport={"width": size[0], "height": size[1]})
        page.wait_for_selector("[data-bed=bed-2] .drill:visible")
        label = page.locator("footer.label")
        assert "Secondary notification" in label.inner_text()
        box = label.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= size[1] + 1


def test_numbers_of_twelve_beds_can_be_read_from_four_metres(
    open_house: Callable[..., SmallHouse], open_page: Open
) -> None:
    """Issue 5.1, GOST07 p12: at 12 beds on a 1080p screen the digits are at least 1/300 of 4 m high.

    On a 24-inch screen (0.277 mm a pixel) that is 13.3 mm, 48 pixels; digits are about 0.73 of the font.
    """
    house = open_house(beds=12)
    house.start("bed-1")
    page = open_page(viewport={"width": 1920, "height": 1080})
    page.goto(house.url + house.users.sign_in_link("Nora"))
    wait(page, "document.querySelectorAll('.tile').length === 12")
    sizes = page.evaluate(
        "[...document.querySelectorAll('[data-bed=bed-1] .value')]"
        ".map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) * 0.73 >= 48
    for box in boxes(page):
        assert box[1] + box[3] <= 1080


def test_the_keyboard_acknowledges_and_pauses(house: SmallHouse, enter: Open) -> None:
    """Issue 5.7: keyboard for every action; A acknowledges the first that waits, P pauses its bed."""
    house.start("bed-1")
    house.desaturate("bed-1")
    page = enter()
    page.wait_for_selector("[data-bed=bed-1][data-flash]")
    page.keyboard.press("p")
    page.wait_for_selector("[data-bed=bed-1] .bell[data-paused]")
    page.keyboard.press("a")
    page.wait_for_selector("[data-bed=bed-1][data-signal=acknowledged]")


def test_p_37_one_press_on_tile_and_session_page_answers_what_is_not_high(
    house: SmallHouse, enter: Open
) -> None:
    """P-37: the button names how many; it waits until no high alarm is on top, and moves nothing."""
    session = house.start("bed-1")
    for key in ("one", "two", "three"):
        house.desk.submit("bed-1", ReportCondition(key, "medium", "test")).result(30)
    wall, page = enter(), enter(path=f"/sessions/{session}")
    text(wall, "[data-bed=bed-1] .ack.all", "All 3")
    text(page, "#all", "Acknowledge all 3 low and medium")
    before = boxes(wall)
    house.desaturate("bed-1")
    wall.wait_for_selector("[data-bed=bed-1][data-colour=high]")
    expect(wall.locator("[data-bed=bed-1] .ack.all")).to_be_hidden()
    assert boxes(wall) == before
    wall.click("[data-bed=bed-1] .alarm-row .ack:not(.all)")
    wait(wall, "document.querySelector('[data-bed=bed-1]').dataset.signal === 'acknowledged'")
    page.click("#all")
    expect(page.locator("#all")).to_be_hidden()
    assert {one.signal for one in house.desk.beds()["bed-1"].alarms.values()} == {"acknowledged"}


def test_who_was_away_gives_the_pin_and_the_acknowledgement_goes_through(
    house: SmallHouse, enter: Open, guard: PageGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5.6: idle logoff of write rights while the wall stays live; PIN, and what was wanted is done."""
    guard.allow("403")
    house.start("bed-1")
    house.desaturate("bed-1")
    house.users.set_pin("Carla", "8642")
    page = enter("Nora")
    page.wait_for_selector("[data-bed=bed-1][data-flash]")
    monkeypatch.setattr("monitor.web.seats.IDLE_S", -1.0)
    page.click("[data-bed=bed-1] .ack")
    page.wait_for_selector("dialog [name=pin]")
    monkeypatch.undo()
    page.fill("dialog [name=pin]", "8642")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("[data-bed=bed-1][data-signal=acknowledged]")
    assert "known to Carla" in page.inner_text("#alarms .alarm .state")


# --- a visit, in as few taps as it can be -----------------------------------------------------------------


def test_a_visit_from_the_free_bed_to_the_end(house: SmallHouse, enter: Open) -> None:
    """Issue 5.3: bed, code, protocol, start; dose; a manual value; a note; readiness with a reason; end."""
    live(house, "bed-3")
    page = enter()
    page.click("[data-bed=bed-3] .start")
    page.fill("[name=patient_code]", "P-31")
    page.check("[value=in-esketamine]")
    page.get_by_label("Start all the same").fill("the wall is being repaired")
    page.click("text=Start the session")
    page.wait_for_selector("#steps [data-phase=baseline][aria-current=step]")
    page.click("[data-act=dose]")
    assert page.input_value("dialog [name=amount_mg]") == "56"
    page.click("dialog button[type=submit]")
    page.wait_for_selector("#steps [data-phase=dosing][aria-current=step]")
    page.click("[data-act=manual]")
    page.fill("dialog [name=nibp_systolic]", "128")
    page.fill("dialog [name=nibp_diastolic]", "79")
    page.click("dialog button[type=submit]")
    wait(page, "document.querySelector('#now .pressure .value').textContent === '128/79'")
    page.click("[data-act=dosing-end]")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("#steps [data-phase=observation][aria-current=step]")
    page.click("[data-act=ready]")
    page.fill("dialog [name=reason]", "transferred with escort")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("#steps [data-phase=ready][aria-current=step]")
    page.click("[data-act=end]")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("#steps [data-phase=ended][aria-current=step]")
    told = [entry.outcome.outcome for entry in house.archive.log(bed_id="bed-3")]
    for name in ("SessionStarted", "DoseRecorded", "ManualRecorded", "ReadinessConfirmed", "SessionEnded"):
        assert name in told


def test_a_refusal_is_shown_in_the_dialog_and_nothing_is_lost(
    house: SmallHouse, enter: Open, guard: PageGuard
) -> None:
    """DESIGN §7: an error names the remedy; what was typed stays."""
    guard.allow("409|422")
    house.start("bed-1")
    page = enter(path="/sessions/s-bed-1-P-001")
    page.wait_for_selector("#actions:not([hidden])")
    page.click("[data-act=manual]")
    page.fill("dialog [name=nibp_systolic]", "70")
    page.fill("dialog [name=nibp_diastolic]", "90")
    page.click("dialog button[type=submit]")
    wait(page, "document.querySelector('dialog .wrong').textContent.includes('impossible')")
    assert page.input_value("dialog [name=nibp_systolic]") == "70"


# --- the session page -------------------------------------------------------------------------------------


def history(house: SmallHouse) -> str:
    """Give bed-1 twenty minutes, a dose, a gap of two minutes; return the session."""
    house.desk.ticking = False
    name = house.start("bed-1", minutes_ago=20)
    began = house.desk.now() - timedelta(minutes=20, seconds=-2)
    for second in range(0, 1190, 2):
        at = began + timedelta(seconds=second)
        if second % 300 == 0:
            pressure = 120.0 + second / 30
            house.tell("bed-1", at, nibp_systolic=pressure, nibp_diastolic=78.0, nibp_mean=92.0)
        if second == 300:
            house.desk.submit("bed-1", RecordDose(56, "in", "Nora", at), at).result(30)
        if not 600 <= second < 720:
            house.tell("bed-1", at, spo2=97.0, pulse_rate=70.0)
    house.desk.ticking = True
    return name


@pytest.fixture
def told(open_house: Callable[..., SmallHouse]) -> SmallHouse:
    """Give a house with a past on bed-1."""
    house = open_house(history=True, beds=2)
    history(house)
    return house


def test_the_chart_shows_gaps_bars_and_marks_and_zooms(told: SmallHouse, open_page: Open) -> None:
    """Issue 5.2: gaps as gaps, cuff bars, marks; zoom by drag and by keyboard; hover reads every value."""
    page = open_page(viewport={"width": 1400, "height": 900})
    page.goto(told.url + told.users.sign_in_link("Nora"))
    page.goto(told.url + "/sessions/s-bed-1-P-001")
    wait(page, "window.sessionChart?.plots?.length === 2")
    seen = page.evaluate(
        "({ bars: sessionChart.bars.length, gaps: sessionChart.spo2.data[1].filter((v) => v === null).length,"
        " pulse: sessionChart.rate.data[2].filter((v) => v === null).length,"
        " marks: sessionChart.marks.map((one) => one.what) })"
    )
    assert seen["bars"] == 4
    assert seen["gaps"] >= 1
    assert seen["pulse"] >= 1
    assert "DoseRecorded" in seen["marks"]
    box = page.locator("#chart-rate .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    expect(page.locator("#readout")).to_have_text(re.compile(r"PR 70 +SpO₂ 97 +BP \d+/78 at"))
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 80, steps=5)
    page.mouse.up()
    wait(page, "sessionChart.window !== null")
    from_at, to_at = page.evaluate("sessionChart.window")
    assert 250 < to_at - from_at < 500
    page.focus("#chart-rate")
    page.keyboard.press("-")
    wait(page, f"sessionChart.span()[1] - sessionChart.span()[0] > {to_at - from_at}")
    page.keyboard.press("0")
    wait(page, "sessionChart.window === null")


def test_two_fingers_zoom_the_chart_and_one_scrolls_the_page(told: SmallHouse, open_page: Open) -> None:
    """Issue 5.2: zoom by touch: what was under the fingers stays there; one finger is the page's own."""
    page = open_page(viewport={"width": 1024, "height": 768}, has_touch=True)
    page.goto(told.url + told.users.sign_in_link("Nora"))
    page.goto(told.url + "/sessions/s-bed-1-P-001")
    wait(page, "window.sessionChart?.plots?.length === 2")
    box = page.locator("#chart-rate .u-over").bounding_box()
    assert box is not None
    left, width, y = box["x"], box["width"], box["y"] + 80
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: float) -> None:
        points = [{"x": left + width * place, "y": y, "id": n} for n, place in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def drag(*steps: tuple[float, ...]) -> None:
        fingers("touchStart", *steps[0])
        for step in steps[1:]:
            fingers("touchMove", *step)
        fingers("touchEnd")

    drag((0.4,), (0.5,), (0.7,))
    assert page.evaluate("sessionChart.window") is None, "one finger zoomed"
    whole = page.evaluate("sessionChart.span()")
    drag((0.4, 0.6), (0.35, 0.65), (0.3, 0.7))
    wait(page, "sessionChart.window !== null")
    near = page.evaluate("sessionChart.span()")
    length = whole[1] - whole[0]
    assert near[1] - near[0] == pytest.approx(length / 2, rel=0.03)
    assert (near[0] + near[1]) / 2 == pytest.approx(whole[0] + length / 2, abs=length * 0.03)
    drag((0.3, 0.7), (0.45, 0.55))
    wait(page, "sessionChart.window === null")


def test_the_chart_grows_live_and_the_table_tells_the_same(told: SmallHouse, open_page: Open) -> None:
    """Issue 5.2: live at 1 Hz; a table of values beside the chart for those who read or listen."""
    page = open_page()
    page.goto(told.url + told.users.sign_in_link("Nora"))
    page.goto(told.url + "/sessions/s-bed-1-P-001")
    wait(page, "window.sessionChart?.plots?.length === 2")
    before = page.evaluate("sessionChart.lines.spo2.at.length")
    live(told, spo2=95.0, pulse_rate=77.0)
    wait(page, f"sessionChart.lines.spo2.at.length > {before}")
    text(page, "#values tbody", "130/78 (")
    page.click("#tab-log")
    text(page, "#log tbody", "Dose")


def test_other_limits_are_tried_without_changing_anything(told: SmallHouse, open_page: Open) -> None:
    """Issue 5.2: what-if with alarms lost and gained."""
    page = open_page()
    page.goto(told.url + told.users.sign_in_link("Carla"))
    page.goto(told.url + "/sessions/s-bed-1-P-001")
    page.click("#tab-whatif")
    page.fill("[aria-label=systolic-high]", "130")
    page.click("text=What would have been?")
    page.get_by_role("heading", name=re.compile("Gained: 1")).wait_for()


def test_a_clinician_changes_a_limit_in_two_steps(house: SmallHouse, enter: Open) -> None:
    """AL-09, AL-12, S-14: proposed, shown in words, confirmed; the worst case stands beside it."""
    house.start("bed-1")
    page = enter("Carla", "/beds/bed-1/limits")
    row = page.locator("#limits tbody tr", has_text="pulse-rate-high").filter(has_not_text="urgent")
    expect(row).to_contain_text("20 s")
    row.get_by_role("button").click()
    page.fill("dialog [name=value]", "120")
    page.fill("dialog [name=reason]", "athlete")
    page.click("dialog button[type=submit]")
    page.get_by_text("becomes 120 /min").wait_for()
    page.click("dialog button[type=submit]")
    text(page, "#limits", "athlete")


def test_an_operator_runs_a_drill(open_house: Callable[..., SmallHouse], open_page: Open) -> None:
    """Issue 5.5: choose a drill, see its script, run it on a free bed, change it, stop, see the score."""
    runs = Runs()
    house = open_house(beds=2, drill_runs=runs)
    house.start("bed-1")
    page = open_page()
    page.goto(house.url + house.users.sign_in_link("Otto"))
    page.goto(house.url + "/drills")
    page.click("summary")
    page.get_by_text("systolic 185").wait_for()
    page.click("#drills button")
    expect(page.locator("dialog [name=bed] option")).to_have_text(["Room 2"])
    page.click("dialog button[type=submit]")
    page.click("text=Change something now")
    page.fill("dialog [name=seconds]", "84")
    page.click("dialog button[type=submit]")
    page.click("text=Stop")
    page.get_by_text("pressure above 180").wait_for()
    assert runs.told == [("run", "peak", ["bed-2"], "Otto"), ("inject", "apnoea 84"), ("stop", "r1", "Otto")]


class Runs:
    """Drills that are only written down: running them is the simulators' business."""

    def __init__(self) -> None:
        """Begin with none."""
        self.told: list[Any] = []
        self.state = ""

    def drills(self) -> list[dict[str, Any]]:
        """Return the one there is."""
        return [{"name": "peak", "title": "Hypertensive peak", "teaches": "Look."}]

    def script(self, name: str) -> str:
        """Tell it."""
        return "0 min: dose\n40 min: systolic 185"

    def run(self, name: str, bed_ids: Any, by: str) -> str:
        """Start."""
        self.told.append(("run", name, list(bed_ids), by))
        self.state = "running"
        return "r1"

    def runs(self) -> list[dict[str, Any]]:
        """Return the one."""
        check = {"what": "pressure above 180", "role": "", "met": True, "text": "in time", "seconds": 4.0}
        card = {"raised": [check], "forbidden": [], "unexpected": [], "staff": []}
        score = card if self.state == "stopped" else None
        one = {
            "id": "r1",
            "name": "peak",
            "beds": ["bed-2"],
            "state": self.state,
            "by": "Otto",
            "score": score,
        }
        return [one] if self.state else []

    def inject(self, run_id: str, words: str, by: str) -> None:
        """Change."""
        self.told.append(("inject", words))

    def stop(self, run_id: str, by: str) -> None:
        """Stop."""
        self.told.append(("stop", run_id, by))
        self.state = "stopped"


# --- everyone can use it ----------------------------------------------------------------------------------

PAGES = {
    "/sign-in": "",
    "/": "Nora",
    "/alarms": "Nora",
    "/devices": "Nora",
    "/sessions": "Nora",
    "/sessions/s-bed-1-P-001": "Nora",
    "/beds/bed-3/start": "Nora",
    "/beds/bed-1/limits": "Carla",
    "/rooms/bed-1": "Nora",
    "/drills": "Otto",
    "/me": "Nora",
    "/admin/users": "Ada",
    "/admin/audit": "Ada",
    "/admin/health": "Ada",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_page_keeps_anyone_out(house: SmallHouse, open_page: Open) -> None:
    """Issue 5.7, WCAG 2.2 AA: axe finds nothing serious or critical on any page, with every kind of alarm.

    In the light theme only what colours decide is judged again.
    """
    house.start("bed-1")
    house.start("bed-2", mode="drill")
    live(house, "bed-2")
    house.desaturate("bed-1")
    house.desk.submit("bed-3", ReportCondition("m", "medium", "a medium one")).result(30)
    house.desk.submit("bed-4", ReportCondition("l", "low", "a low one")).result(30)
    found: list[str] = []
    pages: dict[str, Page] = {}
    for path, name in PAGES.items():
        if name not in pages:
            pages[name] = open_page(color_scheme="dark")
            if name:
                pages[name].goto(house.url + house.users.sign_in_link(name))
        page = pages[name]
        page.goto(house.url + path)
        page.wait_for_load_state("networkidle")
        wait(page, "document.querySelector('#clock')?.textContent !== ''")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        found += complaints(page, f"dark {path}")
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        found += complaints(page, f"light {path}", ["color-contrast", "link-in-text-block"])
    assert not found, "\n".join(found)


def complaints(page: Page, where: str, only: list[str] | None = None) -> list[str]:
    """Return what axe finds serious or critical on a page."""
    answer = Axe().run(page, options={"runOnly": only} if only else None).response
    judged = {one["id"] for outcome in ("passes", "violations") for one in answer[outcome]}
    assert "color-contrast" in judged, f"{where}: nothing was judged"
    return [
        f"{where}: {one['id']} ({one['impact']}): {[node['html'][:110] for node in one['nodes'][:3]]}"
        for one in answer["violations"]
        if one["impact"] in ("serious", "critical")
    ]
