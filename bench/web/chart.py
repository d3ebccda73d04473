"""The session page of 4 h × 4 series: first paint, append; beside plotly.js and ECharts from npm.

The law: every library draws the same numbers in the same browser in the same run, into a canvas of the same
size. An append is measured twice, each time beside an empty frame of the same page: to the frame that shows
it, and as processor time of the page's main thread (Chromium's count of script, style, layout and paint).
The peers are fetched with npm into a folder that is thrown away; without npm they are left out, by name.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import promise
from bench.web import archive
from tests.conftest import CHROMIUM_ARGUMENTS
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

HOURS = 4
PEERS = {"plotly.js-basic-dist-min": "3.1.0", "echarts": "6.0.0"}
AIM_PAINT_MS, AIM_APPEND_MS = 150.0, 8.0
UPLOT = Path(__file__).resolve().parents[2] / "monitor/web/static/vendor/uPlot.iife.min.js"

MAKE = """
window.N = %d;
window.x = Array.from({ length: N }, (_, n) => n);
window.ys = [0, 1, 2, 3].map((k) => x.map((n) => 70 + 10 * k + 6 * Math.sin(n / 300 + k) + (n %% 7) / 3));
window.box = document.getElementById("box");
"""
OURS = """
window.u = new uPlot({ width: 1200, height: 400, scales: { x: { time: false } },
  series: [{}, ...ys.map(() => ({ stroke: 'red' }))] }, [x, ...ys], box);"""
PLOTLY = """
Plotly.newPlot(box, ys.map((y) => ({ x, y, type: 'scatter', mode: 'lines' })),
  { width: 1200, height: 400 });"""
PLOTLY_MORE = """
Plotly.extendTraces(box, { x: ys.map(() => [x.length]), y: ys.map(() => [80]) }, [0, 1, 2, 3]);
x.push(x.length);"""
ECHARTS = """
window.e = echarts.init(box, null, { width: 1200, height: 400 });
window.option = () => ({ animation: false, xAxis: { type: 'value' }, yAxis: {},
  series: ys.map((y) => ({ type: 'line', showSymbol: false, sampling: 'lttb',
    data: x.map((at, n) => [at, y[n]]) })) });
e.setOption(option());"""
MORE = "x.push(x.length); ys.forEach((y) => y.push(80));"
DRAW = {
    "uPlot": (OURS, f"{MORE} u.setData([x, ...ys]);"),
    "plotly.js": (PLOTLY, PLOTLY_MORE),
    "ECharts": (ECHARTS, f"{MORE} e.setOption(option());"),
}
APPEND = """const at = Math.max(...sessionChart.lines.spo2.at) * 1000 + 1000;
const one = { at, value: 97 }; sessionChart.append({ spo2: one, pulse_rate: one, heart_rate: one }, at);"""
FRAME = "window.frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
TIMED = (
    "async () => {{ const begun = performance.now(); {} await frame(); return performance.now() - begun; }}"
)
TIMES = 15


class Cost(NamedTuple):
    """What something takes beyond an empty frame: main thread's CPU, to the frame; and that frame; ms."""

    thread: float
    frame: float
    idle: float


def cost(page: Page, script: str) -> Cost:
    """Return what a script costs on a page, each time with the frame that shows it."""
    counter = page.context.new_cdp_session(page)
    counter.send("Performance.enable", {"timeDomain": "threadTicks"})
    empty, done = (_frames(page, counter, one) for one in ("", script))
    return Cost(done[0] - empty[0], done[1] - empty[1], empty[1])


def _frames(page: Page, counter: CDPSession, script: str) -> tuple[float, float]:
    before = busy_ms(counter)
    taken = [float(page.evaluate(TIMED.format(script))) for _ in range(TIMES)]
    return (busy_ms(counter) - before) / TIMES, statistics.median(taken)


def busy_ms(counter: CDPSession) -> float:
    """Return the processor time that the page's main thread has spent in tasks, in ms."""
    found = counter.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) * 1000 for one in found if one["name"] == "TaskDuration")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Give the machine's Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_ARGUMENTS, chromium_sandbox=False
        )
        yield browser
        browser.close()


def fetch(folder: Path) -> dict[str, Path]:
    """Fetch the peers with npm; return their files."""
    npm = shutil.which("npm")
    if npm is None:
        print("  (no npm on PATH: plotly.js and ECharts are left out)")
        return {}
    packages = [f"{name}@{version}" for name, version in PEERS.items()]
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *packages]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  (npm could not fetch the peers, they are left out: {done.stderr.strip()[:200]})")
        return {}
    return {
        "plotly.js": folder / "node_modules/plotly.js-basic-dist-min/plotly-basic.min.js",
        "ECharts": folder / "node_modules/echarts/dist/echarts.min.js",
    }


def library(page: Page, name: str, file: Path) -> tuple[float, Cost, int]:
    """Return ms to the first painted frame, what an append costs, and the file's bytes."""
    page.set_content("<div id='box' style='width:1200px;height:400px'></div>")
    page.evaluate(MAKE % (HOURS * 3600))
    page.evaluate(FRAME)
    page.add_script_tag(content=file.read_text(encoding="utf-8"))
    first, append = DRAW[name]
    return float(page.evaluate(TIMED.format(first))), cost(page, append), file.stat().st_size


def ours(browser: Browser, house: SmallHouse, session: str) -> tuple[float, Cost]:
    """Return what our own session page takes from data to paint, in ms, and for an append."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(house.url + house.users.sign_in_link("Nora"))
    page.goto(f"{house.url}/sessions/{session}")
    deadline = time.monotonic() + 60
    while not page.evaluate("window.chartPaintMs") and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.evaluate(FRAME)
    return float(page.evaluate("window.chartPaintMs")), cost(page, APPEND)


def main() -> int:
    """Measure and print; return 0 if the aims are met."""
    rows: dict[str, tuple[float, Cost, int]] = {}
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        files = {"uPlot": UPLOT, **fetch(Path(scratch))}
        for name, file in files.items():
            page = browser.new_page()
            rows[name] = library(page, name, file)
            page.close()
        house = SmallHouse(Path(scratch), beds=1, history=True)
        paint, append = ours(browser, house, archive.write(house, Path(scratch) / "store"))
        house.stop()
    print(f"session chart: {HOURS} h x 4 series at 1 Hz")
    for name, (first, more, size) in rows.items():
        own = rows["uPlot"][1].thread
        ratio = more.thread / own
        print(f"  {name:10} first {first:6.0f} ms, {told(more)}, {size / 1024:5.0f} KiB, {ratio:5.1f} x")
    print(f"  our page   first {paint:6.0f} ms, {told(append)}; every value of 10 min, extremes of the rest")
    kept = promise("web: session chart, first paint after the data", paint, AIM_PAINT_MS, "ms")
    return int(not (promise("web: session chart, an append", append.thread, AIM_APPEND_MS, "ms") and kept))


def told(one: Cost) -> str:
    """Return a cost in words."""
    waited = f"{one.frame:6.1f} ms to its frame beyond an empty one's {one.idle:.0f}"
    return f"append {one.thread:6.1f} ms CPU, {waited}"


if __name__ == "__main__":
    print(json.dumps(PEERS))
    raise SystemExit(main())
