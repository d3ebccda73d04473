"""What every test may ask for: a port, a real broker, a real browser, the recordings beside the repository.

The law: what is missing is a *named* skip for a user and a failure in CI (`AFTERWATCH_REQUIRE_ALL=1`); only
`missing` decides which. Everything listens on loopback, on ports of its own: the workers of pytest-xdist
and a clinic's own broker never meet.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
PATIENCE_S = 60.0  # of a busy machine

# Two busy cores make any deadline for one example a coin toss; pytest-timeout bounds the whole test instead.
settings.register_profile("afterwatch", deadline=None, print_blob=True)
settings.load_profile("afterwatch")

# A fixture names its marker, so that nobody can forget it.
MARKER_OF_FIXTURE = {"shared_data": "shared_data", "mosquitto": "broker", "browser": "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it asks for; the files of slow ones come first, so that none ends alone."""
    for item in items:
        for fixture, marker in MARKER_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def wait_for(held: Callable[[], Any], what: str = "it", within_s: float = PATIENCE_S) -> float:
    """Wait until something holds; return after how many seconds it did."""
    began = time.monotonic()
    while not held():
        assert time.monotonic() - began < within_s, f"waited {within_s:g} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def missing(what: str, remedy: str) -> None:
    """End the test for want of `what`: a skip with its name, or a failure where all must be present."""
    message = f"{what} is missing: {remedy}"
    if os.environ.get("AFTERWATCH_REQUIRE_ALL") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def program(name: str, package: str) -> str:
    """Return the path of an installed program; Debian keeps daemons where a user's PATH does not look."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if path is None:
        missing(name, f"install the system package {package}")
    return str(path)


# --- recordings ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real recordings, `../shared/data`; a user's clone does not have it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("AFTERWATCH_NO_SHARED_DATA") == "1":
            pytest.skip("the recordings in ../shared/data are not part of this clone")
        missing("../shared/data", "it is beside the repository in CI only")
    return folder


# --- ports --------------------------------------------------------------------------------------------------

# Below the range from which the kernel takes ports for outgoing connections: a port found free here stays
# free until we listen on it, however many workers look at once.
PORTS = range(20_000, 30_000)
_given: set[int] = set()


def find_free_port() -> int:
    """Return a loopback TCP port that nobody listens on and that this worker has not given before."""
    for _ in range(200):
        port = PORTS[secrets.randbelow(len(PORTS))]
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free loopback port found in 200 tries")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give a function that returns another free loopback port at each call."""
    return find_free_port


# --- Mosquitto ----------------------------------------------------------------------------------------------

# Debian's defaults lose readings: a thousand queued messages a client and a save every half hour. With these
# settings a killed monitor lost none of 40,000, and a killed broker forgets at most a second.
BROKER_SETTINGS = """\
allow_anonymous true
persistence true
autosave_interval 1
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
memory_limit 1073741824
set_tcp_nodelay true
log_type all
"""


class Mosquitto:
    """One real Mosquitto on a loopback port, with its own folder for what it must remember.

    Attributes:
        port: TCP port; the same across `restart`.
        folder: configuration, persistence and log.
        log: path of the broker's log.
    """

    def __init__(self, executable: str, folder: Path, extra: str = "") -> None:
        """Write the configuration and start; a setting in `extra` replaces ours of the same name."""
        self.port = find_free_port()
        self.folder = folder
        self.log = folder / "mosquitto.log"
        self._command = [executable, "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mosquitto.conf").write_text(self._configuration(extra))
        self.start()

    def _configuration(self, extra: str) -> str:
        own = BROKER_SETTINGS + f"persistence_location {self.folder}/\n"
        if os.geteuid() == 0:
            own += "user root\n"  # it would become `mosquitto`, which may not write here
        replaced = {line.split()[0] for line in extra.splitlines() if line.strip()}
        kept = [line for line in own.splitlines() if line.split()[0] not in replaced]
        return "\n".join([*kept, f"listener {self.port} {LOOPBACK}", extra, ""])

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and return when it accepts connections, within half a minute."""
        assert self._process is None, "the broker is running already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((LOOPBACK, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.kill()
        raise RuntimeError(f"Mosquitto did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Ask it to end; it writes what it holds first."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """Stop if it runs, and start again on the same port with what was kept on disk."""
        self.stop()
        self.start()

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        how(process)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Give a function that starts a real Mosquitto; `mosquitto("autosave_interval 60")` changes a setting."""
    executable = program("mosquitto", "mosquitto")
    running: list[Mosquitto] = []

    def begin(extra: str = "") -> Mosquitto:
        broker = Mosquitto(executable, tmp_path / f"mosquitto-{len(running)}", extra)
        running.append(broker)
        return broker

    yield begin
    for broker in running:
        broker.stop()


# --- Chromium -----------------------------------------------------------------------------------------------

PAGE_MS = 60_000  # how long a page is waited for: two busy cores
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Quiet: nothing of its own reaches for the network, so that every request seen is ours.
CHROMIUM_ARGUMENTS = (
    "--disable-gpu --disable-quic --no-first-run --no-default-browser-check --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --disable-domain-reliability "
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication "
    "--autoplay-policy=no-user-gesture-required"
).split()


@pytest.fixture(scope="session")
def _chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """One Chromium for each worker, with the loop that Playwright leaves running in this thread."""
    installed = filter(None, map(shutil.which, CHROMIUM_NAMES))
    path = os.environ.get("AFTERWATCH_CHROMIUM") or next(installed, None)
    if path is None:
        missing("chromium", "install the system package chromium, or set AFTERWATCH_CHROMIUM to a browser")
    playwright_api = pytest.importorskip("playwright.sync_api")
    playwright_api.expect.set_options(timeout=PAGE_MS)
    with playwright_api.sync_playwright() as playwright:
        # Chromium refuses its own sandbox when root starts it, as CI does.
        browser = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM_ARGUMENTS, chromium_sandbox=False
        )
        loop = asyncio.get_running_loop()
        yield browser, loop
        asyncio._set_running_loop(loop)
        browser.close()
    asyncio._set_running_loop(None)


@pytest.fixture(autouse=True)
def _own_loop(request: pytest.FixtureRequest) -> None:
    """Hide Playwright's loop from tests without a page, and show it to those with one.

    Playwright's plain API marks its loop as this thread's running one and leaves the mark. An `asyncio.run`
    in a later test of the same worker would refuse to start.
    """
    asyncio._set_running_loop(None)
    if "_chromium" in request.fixturenames:
        asyncio._set_running_loop(request.getfixturevalue("_chromium")[1])


@pytest.fixture
def browser(_chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Browser:
    """Give the worker's Chromium, unguarded; most tests want `page` or `open_page`."""
    return _chromium[0]


class PageGuard:
    """Collects what no page of ours may do: write an error, raise, or reach beyond this machine."""

    def __init__(self) -> None:
        """Start with nothing seen and nothing allowed."""
        self.faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """Expect console errors that match: a test that stops the server makes the browser complain."""
        self._allowed.append(re.compile(pattern))

    def watch(self, context: BrowserContext) -> None:
        """Listen to every page that this context has or opens."""
        context.on("console", lambda message: self._console(message.type, message.text))
        context.on("weberror", lambda problem: self.faults.append(f"uncaught: {problem.error}"))
        context.on("request", lambda request: self._address(request.url))
        context.on("page", lambda page: page.on("websocket", lambda live: self._address(live.url)))

    def check(self) -> None:
        """Fail with all that was seen and not allowed."""
        left = [fault for fault in self.faults if not any(known.search(fault) for known in self._allowed)]
        assert not left, "the page did what it must not:\n" + "\n".join(left)

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.faults.append(f"console: {text}")

    def _address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in {
            LOOPBACK,
            "localhost",
            "::1",
        }:
            self.faults.append(f"left this machine: {url}")


@pytest.fixture
def guard() -> Iterator[PageGuard]:
    """Give the guard of this test's pages; what it saw is judged when the test ends."""
    watcher = PageGuard()
    yield watcher
    watcher.check()


@pytest.fixture
def open_page(browser: Browser, guard: PageGuard) -> Iterator[Callable[..., Page]]:
    """Give a function that opens a guarded page in a profile of its own, as another person would.

    `page.context.new_page()` opens a second tab of the same person.
    """
    contexts: list[BrowserContext] = []

    def begin(**options: Any) -> Page:
        settings = {"viewport": {"width": 1280, "height": 720}, "locale": "en-GB", "timezone_id": "UTC"}
        context = browser.new_context(**{**settings, **options})
        context.set_default_timeout(PAGE_MS)
        contexts.append(context)
        guard.watch(context)
        return context.new_page()

    yield begin
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """Give one guarded page: an error on the console or a request to another host fails the test."""
    return open_page()


# --- the monitor as a process -------------------------------------------------------------------------------

PASSWORD = "correct horse battery staple"  # of the people whom `people` makes


class Running:
    """`afterwatch run` as a process of its own, with a configuration folder that a test may edit.

    Attributes:
        folder: the configuration; `store/` in it is the journal.
        address: of the pages.
        log: what the process said.
    """

    def __init__(self, folder: Path, broker_port: int, beds: int, more: str = "") -> None:
        """Write a configuration of `beds` beds, each with an oximeter and a cuff; nothing is started."""
        self.folder, self.port = folder, find_free_port()
        self.address = f"http://{LOOPBACK}:{self.port}"
        self.log = folder / "run.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(REPOSITORY / "config" / "protocols", folder / "protocols")
        (folder / "clinic.toml").write_text(
            f'[broker]\nport = {broker_port}\n[store]\npath = "store"\n[web]\nport = {self.port}\n{more}'
        )
        (folder / "beds.toml").write_text("\n".join(self._bed(number) for number in range(1, beds + 1)))

    @staticmethod
    def _bed(number: int) -> str:
        return (
            f'[[beds]]\nid = "bed-{number}"\nlabel = "Room {number}"\n'
            f'[[devices]]\nid = "oximeter-{number}"\nbed = "bed-{number}"\nmetrics = ["spo2", "pulse_rate"]\n'
            f'[[devices]]\nid = "cuff-{number}"\nbed = "bed-{number}"\nexpected_interval_s = 300.0\n'
            'metrics = ["nibp_systolic", "nibp_diastolic", "nibp_mean", "nibp_pulse_rate"]\n'
        )

    @property
    def store(self) -> Path:
        """The folder of the journal."""
        return self.folder / "store"

    def people(self, **roles: str) -> None:
        """Make people who can sign in with PASSWORD: `people(nina="nurse")`."""
        from monitor.web import Users

        users = Users(self.store / "users.json")
        for name, role in roles.items():
            users.add(name, PASSWORD, (role,))

    def start(self, within_s: float = 60.0) -> None:
        """Start, and return when the pages answer."""
        assert self._process is None, "it is running already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "monitor", "run", "--config", str(self.folder)],
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
            )
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((LOOPBACK, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise RuntimeError(f"the monitor did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> int | None:
        """Ask it to end; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            return None

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Give a function that prepares a monitor: `running(broker.port, beds=2)`; then `start()` it."""
    made: list[Running] = []

    def prepare(broker_port: int, beds: int = 1, more: str = "") -> Running:
        one = Running(tmp_path / f"site-{len(made)}", broker_port, beds, more)
        made.append(one)
        return one

    yield prepare
    for one in made:
        one.stop()
