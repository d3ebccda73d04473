"""The sound, as Chromium renders it; and that a page is heard only if it proves it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

from monitor.web.pages import static_path
from tests.web.browser import until, wait
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

RATE = 16_000
RENDER = """async ([priority, seconds, rate, path]) => {
  const { rendered } = await import(path);
  const buffer = await rendered(priority, seconds, rate);
  return Array.from(buffer.getChannelData(0));
}"""

LEVEL = """(() => { const samples = new Float32Array(afterwatchSound.meter.fftSize);
  afterwatchSound.meter.getFloatTimeDomainData(samples);
  return samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0); })()"""
NO_TIMERS = """() => { for (let id = setTimeout(() => {}); id > 0; id -= 1) clearInterval(id);
  window.setTimeout = window.setInterval = window.requestAnimationFrame = () => 0; }"""
# The page's own code, a frame a second, an alarm of 20 s every 15 minutes; returns the seconds with sound.
DAY = """async ([path, seconds]) => {
  const { Sound, rendered, EVERY_S } = await import(`${path}/sound.js`);
  const rate = 3000, last = seconds - 20;
  const context = new OfflineAudioContext(1, seconds * rate, rate);
  const sound = Object.assign(new Sound(), { context, meter: new AnalyserNode(context), proved: true });
  sound.deadManBurst = await rendered("high", EVERY_S.high, rate);
  sound.meter.connect(context.destination);
  const go = (second) => second < last && context.suspend(second).then(() => {
    sound.frame(second % 900 < 20 ? "high" : "", second % 900 === 0);
    go(second + 1);
    return context.resume();
  });
  go(1);
  const samples = (await context.startRendering()).getChannelData(0);
  const loud = [];
  for (let second = 0; second < seconds; second += 1) {
    const heard = samples.subarray(second * rate, (second + 1) * rate);
    if (heard.some((one) => Math.abs(one) > 0.05)) loud.push(second);
  }
  return loud;
}"""


@pytest.fixture
def open_wall(house: SmallHouse, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Give a function that opens the wall for someone."""

    def begin(name: str = "Nora", path: str = "/", **options: Any) -> Page:
        page = open_page(**options)
        page.goto(house.url + house.users.sign_in_link(name))
        if path != "/":
            page.goto(house.url + path)
        return page

    return begin


def pulses(samples: np.ndarray) -> list[tuple[float, float]]:
    """Return begin and end, in seconds, of each pulse: where the level stays above a fiftieth of the peak."""
    window = RATE // 200
    level = np.array([abs(samples[n : n + window]).max() for n in range(0, len(samples) - window, window)])
    loud = level > level.max() / 50
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    return [(begin * window / RATE, end * window / RATE) for begin, end in edges.reshape(-1, 2)]


@pytest.mark.parametrize(
    ("priority", "count", "length", "spacing"),
    [
        ("high", 10, (0.075, 0.2), (0.05, 0.125)),
        ("medium", 3, (0.125, 0.25), (0.125, 0.25)),
        ("low", 1, (0.125, 0.25), None),
    ],
)
def test_a_burst_is_as_the_table_says(
    open_wall: Callable[..., Page],
    priority: str,
    count: int,
    length: tuple[float, float],
    spacing: tuple[float, float] | None,
) -> None:
    """AL-04: pulses 10/3/1, their length and spacing, at least four harmonics within 15 dB (ALARMS §1.2)."""
    samples = np.array(open_wall().evaluate(RENDER, [priority, 5, RATE, f"{static_path()}/sound.js"]))
    found = pulses(samples)
    assert len(found) == count
    for begin, end in found:
        assert length[0] - 0.01 <= end - begin <= length[1] + 0.01
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(found)]
    if spacing:
        short = [gap for place, gap in enumerate(gaps) if place % 5 not in (2, 4)]
        assert all(spacing[0] - 0.01 <= gap <= spacing[1] + 0.01 for gap in short or gaps)
    if priority == "high":
        assert 0.35 <= gaps[4] <= 1.3, "5 + pause + 5"
    _assert_harmonics(samples[int(found[0][0] * RATE) : int(found[0][1] * RATE)])


def _assert_harmonics(pulse: np.ndarray) -> None:
    spectrum = abs(np.fft.rfft(pulse * np.hanning(len(pulse)), RATE))
    fundamental = int(150 + spectrum[150:1000].argmax())
    assert 150 <= fundamental <= 1000
    base = _near(spectrum, fundamental)
    strong = [
        n
        for n in range(2, 4000 // fundamental + 1)
        if abs(20 * np.log10(max(_near(spectrum, n * fundamental), 1e-9) / base)) <= 15
    ]
    assert len(strong) >= 4, strong


def _near(spectrum: np.ndarray, hertz: int) -> float:
    return float(spectrum[max(0, hertz - 12) : hertz + 13].max())


def test_bursts_repeat_in_time(open_wall: Callable[..., Page]) -> None:
    """ALARMS §1.2: bursts every 2.5-15 s (high), 2.5-30 s (medium), more than 15 s (low)."""
    every = open_wall().evaluate(f"async () => (await import('{static_path()}/sound.js')).EVERY_S")
    assert 2.5 <= every["high"] <= 15
    assert 2.5 <= every["medium"] <= 30
    assert every["low"] > 15


def test_a_page_without_sound_says_so_in_red_and_does_not_count(
    house: SmallHouse, open_wall: Callable[..., Page]
) -> None:
    """AL-35: no gesture, no proof: red strip, and the lease says not sounding."""
    page = open_wall()
    strip = page.locator(".strip.soundless")
    expect(strip).to_contain_text("NO SOUND")
    until(page, lambda: [lease[0] for lease in house.desk.leases.values()] == [False])


def switch_on(page: Page, button: str = "#sound") -> None:
    """Switch the sound on as a person does: once more if the proof failed on a machine that is too busy."""
    pressed = page.locator("#sound[aria-pressed=true]")
    for _ in range(5):
        page.click(button)
        with contextlib.suppress(AssertionError):
            expect(pressed).to_be_visible(timeout=20_000)
            return
    raise AssertionError("the sound could not be switched on")


def test_sound_is_proved_by_the_audio_clock_and_a_measured_tone(
    house: SmallHouse, open_wall: Callable[..., Page]
) -> None:
    """AL-35: after the gesture the test tone is measured, the lease counts, an alarm is heard, off is off."""
    house.start("bed-1")
    page = open_wall()
    switch_on(page, ".strip.soundless button")
    assert page.evaluate("afterwatchSound.context.state") == "running"
    wait(page, "document.querySelector('.strip.soundless') === null")
    until(page, lambda: any(lease[0] for lease in house.desk.leases.values()))
    house.desaturate("bed-1")
    wait(page, "afterwatchSound.priority === 'high' && afterwatchSound.heard >= 1")
    page.click("#sound")
    page.wait_for_selector("#sound[aria-pressed=false]")
    until(page, lambda: not any(lease[0] for lease in house.desk.leases.values()))


def test_a_silent_server_is_heard_without_any_timer(
    house: SmallHouse, open_wall: Callable[..., Page]
) -> None:
    """AL-37: the tone of a lost connection is scheduled on the audio clock and put off by every frame."""
    page = open_wall()
    switch_on(page)
    wait(page, "afterwatchSound.deadMan !== null")
    until(page, lambda: level(page) == 0, "the test tone is over")
    # The page is cut off: from here on no frame arrives, and nothing of ours runs but the audio clock.
    page.evaluate("afterwatchSound.frame = () => {}")
    until(page, lambda: level(page) > 0.1, "the tone that every frame puts off")


def level(page: Page) -> float:
    """Return how loud it is just now; asked from outside, so that no timer of the page is needed."""
    found: float = page.evaluate(LEVEL)
    return found


def test_a_tab_whose_timers_sleep_is_heard_all_the_same(
    house: SmallHouse, open_wall: Callable[..., Page]
) -> None:
    """P-39: browsers put a tab's timers to sleep behind another one; here they never run again."""
    house.start("bed-1")
    page = open_wall()
    switch_on(page)
    until(page, lambda: level(page) == 0, "the test tone is over")
    page.evaluate(NO_TIMERS)
    house.desaturate("bed-1")
    until(page, lambda: level(page) > 0.1, "the alarm is heard")
    leased = max(at for _, at in house.desk.leases.values())
    until(page, lambda: any(on and at > leased for on, at in house.desk.leases.values()), "it still counts")


@pytest.mark.parametrize("hours", [2, pytest.param(24, marks=pytest.mark.prove)])
def test_an_alarm_is_heard_every_quarter_of_an_hour_for_a_day(
    open_wall: Callable[..., Page], hours: int
) -> None:
    """P-39: frame by frame, on an audio clock that Chromium renders as fast as it can; silence between.

    Every 15 minutes an alarm stands for 20 s. Frames end 20 s before the end: the lost connection is heard.
    """
    seconds = hours * 3600
    loud = set(open_wall(path="/me").evaluate(DAY, [static_path(), seconds]))
    for begin in range(900, seconds, 900):
        burst = {second for second in loud if begin <= second < begin + 20}
        assert min(burst) == begin, f"nothing was heard at {begin / 3600:g} h"
        assert {begin + 8, begin + 16} <= burst, f"no second burst at {begin / 3600:g} h"
    between = {second for second in loud if second > 900 and second % 900 >= 20 and second < seconds - 20}
    assert not between, f"a sound without an alarm at {min(between) / 3600:g} h"
    assert any(second >= seconds - 16 for second in loud), "the frames ended, and nothing was heard"


def test_the_room_view_never_sounds_and_says_so(house: SmallHouse, open_wall: Callable[..., Page]) -> None:
    """Issue 5.1: a therapy room is quiet; no audio context, and its lease counts for nothing."""
    house.start("bed-1")
    page = open_wall(path="/rooms/bed-1")
    page.get_by_text("never makes a sound").wait_for()
    house.desaturate("bed-1")
    wait(page, "document.querySelector('.numeric.spo2 .value').textContent === '80'")
    assert page.locator("[data-priority]").count() == 0
    assert page.evaluate("typeof afterwatchSound") == "undefined"
    assert not any(lease[0] for lease in house.desk.leases.values())
