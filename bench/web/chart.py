"""The session page of 4 h × 4 series: API, first paint, append; beside plotly.js and ECharts from npm.

The law: every library draws the same numbers in the same browser in the same run, into a canvas of the same
size, and is measured to the frame that shows it. The peers are fetched with npm into a folder that is thrown
away; without npm their rows are left out, by name.
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
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.core.inputs import StartSession
from tests.conftest import CHROMIUM_ARGUMENTS
from tests.web.small_house import SmallHouse

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOURS = 4
PEERS = {"plotly.js-basic-dist-min": "3.1.0", "echarts": "6.0.0"}
AIM_API_MS, AIM_PAINT_MS, AIM_APPEND_MS = 30.0, 150.0, 8.0
UPLOT = Path(__file__).resolve().parents[2] / "monitor/web/static/vendor/uPlot.iife.min.js"

MAKE = """
window.N = %d;
window.x = Array.from({ length: N }, (_, n) => n);
window.ys = [0, 1, 2, 3].map((k) => x.map((n) => 70 + 10 * k + 6 * Math.sin(n / 300 + k) + (n %% 7) / 3));
window.box = document.getElementById("box");
window.frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
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
TIMED = (
    "async () => {{ const begun = performance.now(); {} await frame(); return performance.now() - begun; }}"
)


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


def library(page: Page, name: str, file: Path) -> tuple[float, float, int]:
    """Return ms to the first painted frame, ms for an append to its frame, and the file's bytes."""
    page.set_content("<div id='box' style='width:1200px;height:400px'></div>")
    page.evaluate(MAKE % (HOURS * 3600))
    page.add_script_tag(content=file.read_text(encoding="utf-8"))
    first, append = DRAW[name]
    paint = float(page.evaluate(TIMED.format(first)))
    appends = [float(page.evaluate(TIMED.format(append))) for _ in range(9)]
    return paint, statistics.median(appends), file.stat().st_size


def long_session(house: SmallHouse) -> str:
    """Put four hours at 1 Hz of four series straight into the archive; return the session."""
    began = house.desk.now() - timedelta(hours=HOURS)
    one = StartSession(
        "s-long", "P-1", house.configuration.protocols["in-esketamine"], "Nora", started_at=began
    )
    house.desk.submit("bed-1", one, began).result(5)
    start = began.timestamp()
    for metric, base in (("spo2", 97), ("pulse_rate", 70), ("heart_rate", 72), ("respiration_rate", 14)):
        points = [(start + n, base + (n % 5) / 2, "") for n in range(1, HOURS * 3600)]
        house.archive.points["bed-1", metric, "oximeter-1"] = points  # type: ignore[assignment]
    return "s-long"


def ours(browser: Browser, house: SmallHouse, session: str) -> dict[str, float]:
    """Return what our own session page takes, in ms."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(house.url + house.users.sign_in_link("Nora"))
    page.goto(f"{house.url}/sessions/{session}")
    deadline = time.monotonic() + 30
    while not page.evaluate("window.sessionChart?.plots?.length === 2") and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.evaluate("window.frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    idle = statistics.median(float(page.evaluate(TIMED.format(""))) for _ in range(15))
    appends = [float(page.evaluate(TIMED.format(APPEND))) - idle for _ in range(15)]
    fetched = [_fetch_ms(page, session) for _ in range(7)]
    return {
        "paint": float(page.evaluate("window.chartPaintMs")),
        "append": statistics.median(appends),
        "api": statistics.median(fetched),
    }


def _fetch_ms(page: Page, session: str) -> float:
    script = """async (id) => { const begun = performance.now();
      const answer = await fetch(`/api/v1/sessions/${id}/chart`); await answer.arrayBuffer();
      return performance.now() - begun; }"""
    return float(page.evaluate(script, session))


def main() -> int:
    """Measure and print; return 0 if the aims are met."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        files = {"uPlot": UPLOT, **fetch(Path(scratch))}
        for name, file in files.items():
            page = browser.new_page()
            rows[name] = library(page, name, file)
            page.close()
        house = SmallHouse(Path(scratch), beds=1, history=True)
        found = ours(browser, house, long_session(house))
        house.stop()
    print(f"session chart: {HOURS} h x 4 series at 1 Hz")
    base = rows["uPlot"]
    for name, (paint, append, size) in rows.items():
        ratio = f"{paint / base[0]:.1f} x, {append / base[1]:.1f} x" if name != "uPlot" else ""
        print(f"  {name:10} first {paint:6.0f} ms, append {append:6.1f} ms, {size / 1024:6.0f} KiB  {ratio}")
    print(f"  our page: first paint {found['paint']:.0f} ms after data (aim {AIM_PAINT_MS:.0f})")
    told = f"{found['append']:.1f} ms beyond an idle frame, to the frame that shows it"
    print(f"            append {told} (aim {AIM_APPEND_MS:.0f})")
    print(f"            API {found['api']:.0f} ms (aim {AIM_API_MS:.0f}; archive: a list in memory)")
    met = found["paint"] <= AIM_PAINT_MS and found["append"] <= AIM_APPEND_MS and found["api"] <= AIM_API_MS
    return int(not met)


if __name__ == "__main__":
    print(json.dumps(PEERS))
    raise SystemExit(main())
