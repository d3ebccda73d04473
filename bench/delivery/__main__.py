"""How soon somebody can know: from the decision to the page and to the message, beside stuck channels.

`python -m bench.delivery` runs the whole monitor (core, journal with fsync, broker, web, notification) on
loopback, with 0, 5 and 20 targets that hang or drip, and one that works. Each alarm is timed from the instant
at which `advance` decided it: until a signed-in page has it in a frame, and until the working service has the
message, which bounds the start of the first attempt from above. Aims (ALARMS §1.4): page p99 1 s, attempt
p99 2 s.

In the same run mqttwarn hears the same alarms on the same broker, from our alarm topic, and posts them to the
same stuck targets and to a working one of its own.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from websockets.sync.client import connect

from bench import promise
from bench.delivery import mqttwarn
from bench.ingest.site import broker
from monitor import config
from monitor.app import topics
from monitor.app.site import Site
from monitor.core import inputs as given

HOST, BED, PERSON = "127.0.0.1", "bed-1", "bench"
STUCK = (0, 5, 20)
PAUSE_S = 0.1
STAYS = 15  # alarms later, an alarm ends
DEADLINE_S = 2.0  # of one attempt, ours and mqttwarn's
PATIENCE_S = 20.0  # how long mqttwarn is waited for after the last alarm
PAGE_AIM_MS, ATTEMPT_AIM_MS = 1000.0, 2000.0


class Times(NamedTuple):
    """Seconds from the decision, one for each alarm; mqttwarn's only of those that it told in time."""

    page: list[float]
    message: list[float]
    peer: list[float]


class Place:
    """A web service: `take` answers at once, `hang` never, `drip` a byte now and then for ever."""

    def __init__(self, mood: str) -> None:
        self.seen: dict[str, float] = {}
        self.over = threading.Event()
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.perf_counter()
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                for word in text.replace('"', " ").split():
                    if word.startswith("bench-"):
                        place.seen.setdefault(word.strip(".,:\\n"), at)
                if mood == "hang":
                    place.over.wait()
                    return
                self.send_response(200)
                self.send_header("content-length", "100000" if mood == "drip" else "0")
                self.end_headers()
                with suppress(OSError):
                    while mood == "drip" and not place.over.wait(0.5):
                        self.wfile.write(b" ")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 512

        self._server = Server((HOST, 0), Handler)
        self.address = f"json://{HOST}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let every request go and stop."""
        self.over.set()
        self._server.shutdown()


def write(folder: Path, port: int, addresses: dict[str, str]) -> Path:
    """Write a configuration in which every alarm goes to every target."""
    shutil.copytree(config.default_folder(), folder, dirs_exist_ok=True)
    targets = "".join(
        f'[[notify.targets]]\nid = "{name}"\nurl = "{address}"\ndeadline_s = {DEADLINE_S}\n'
        for name, address in addresses.items()
    )
    names = ", ".join(f'"{name}"' for name in addresses)
    (folder / "clinic.toml").write_text(
        f'[broker]\nport = {port}\n[store]\npath = "store"\n[web]\nport = 0\n{targets}'
        f"[[notify.routes]]\ntargets = [{names}]\n",
        encoding="utf-8",
    )
    return folder


def sign_in(site: Site) -> str:
    """Return the cookie of a signed-in person."""
    site.users.add(PERSON, "a long bench password", ("nurse",))
    line = http.client.HTTPConnection(HOST, site.server.port)
    line.request("GET", site.users.sign_in_link(PERSON))
    answer = line.getresponse()
    answer.read()
    return "; ".join(one.split(";")[0] for one in answer.headers.get_all("set-cookie") or [])


@contextmanager
def page(site: Site, seen: dict[str, float], cookie: str) -> Iterator[None]:
    """Follow the wall as a browser would, and note when each alarm is first in a frame."""
    origin = f"http://{HOST}:{site.server.port}"
    headers = {"Cookie": cookie, "Origin": origin}
    with connect(f"{origin.replace('http', 'ws')}/api/v1/wall", additional_headers=headers) as socket:
        over = threading.Event()

        def follow() -> None:
            with suppress(Exception):
                while not over.is_set():
                    frame, at = str(socket.recv()), time.perf_counter()
                    for part in frame.split("bench-")[1:]:
                        digits = part[:4]
                        seen.setdefault(f"bench-{digits}", at)

        threading.Thread(target=follow, daemon=True).start()
        yield
        over.set()


def measure(stuck: int, alarms: int, peer: Path | None) -> Times:
    """Return the times of `alarms` alarms while `stuck` targets do not answer."""
    good, peers_good, hanging, dripping = Place("take"), Place("take"), Place("hang"), Place("drip")
    addresses = {f"stuck-{n:02}": (hanging, dripping)[n % 2].address for n in range(stuck)}
    decided: dict[str, float] = {}
    shown: dict[str, float] = {}
    keys = [f"bench-{number:04}" for number in range(alarms)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="afterwatch-bench-")))
        port = stack.enter_context(broker(folder)).port
        site = Site(config.load(write(folder / "site", port, {**addresses, "good": good.address})))
        note_decisions(site, decided)
        site.start()
        while not site.monitor.link.connected:
            time.sleep(0.01)
        if peer:
            topic = topics.phase_topic(site.monitor.root, BED)
            plain = {name: url.replace("json:", "http:") for name, url in addresses.items()}
            plain["good"] = peers_good.address.replace("json:", "http:")
            stack.enter_context(mqttwarn.following(peer, folder / "mqttwarn", port, topic, plain, DEADLINE_S))
        stack.enter_context(page(site, shown, sign_in(site)))
        time.sleep(0.5)
        for number, key in enumerate(keys):
            site.monitor.submit(BED, given.ReportCondition(key, "high", f"{key} is an alarm"))
            time.sleep(PAUSE_S)
            if number >= STAYS:  # a page is sent the newest frame only: an alarm must last to be seen
                site.monitor.submit(BED, given.ClearCondition(keys[number - STAYS]))
        until = time.monotonic() + PATIENCE_S
        wanted = [good.seen, shown, *([peers_good.seen] if peer else [])]
        while time.monotonic() < until and any(len(one.keys() & set(keys)) < alarms for one in wanted):
            time.sleep(0.1)
        site.watchdog.stop()
        site.upkeep.stop()
        site.monitor.stop()
        site.server.stop()
    for place in (good, peers_good, hanging, dripping):
        place.close()
    for what, seen in (("a page", shown), ("the service", good.seen)):
        if missing := [key for key in keys if key not in seen]:
            raise SystemExit(f"{len(missing)} alarms did not reach {what}: {missing[:5]}")
    return Times(
        *([seen[k] - decided[k] for k in keys if k in seen] for seen in (shown, good.seen, peers_good.seen))
    )


def note_decisions(site: Site, decided: dict[str, float]) -> None:
    """Note when each alarm is decided: the loop plans its messages as soon as `advance` has returned."""
    plan = site.messenger.plan

    def noted(outcomes: Any, *more: Any) -> Any:
        at = time.perf_counter()
        for one in outcomes:
            if one.outcome == "AlarmRaised":
                decided.setdefault(one.rule, at)
        return plan(outcomes, *more)

    site.messenger.plan = noted


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1] * 1000


def row(name: str, page: list[float], message: list[float], alarms: int) -> str:
    shown = f"{percentile(page, 0.5):>10.1f}{percentile(page, 0.99):>9.1f}" if page else " " * 19
    told = (
        f"{percentile(message, 0.5):>14.1f}{percentile(message, 0.99):>10.1f}"
        if len(message) > 1
        else " " * 24
    )
    return f"{name:<30}{shown}{told}{len(message):>9} of {alarms}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__.splitlines()[0])
    parser.add_argument("--alarms", type=int, default=100, help="alarms for each row (100)")
    alarms = parser.parse_args().alarms
    peer = mqttwarn.install()
    measure(0, 5, None)  # the first run loads every plugin
    print(f"{alarms} alarms a row; milliseconds from the decision; aims: page p99 1000, message p99 2000")
    print(f"{'':<30}{'page p50':>10}{'p99':>9}{'message p50':>14}{'p99':>10}{'told':>9}")
    kept = True
    for stuck in STUCK:
        times = measure(stuck, alarms, peer)
        print(row(f"afterwatch, {stuck} stuck", times.page, times.message, alarms), flush=True)
        if peer:
            print(row(f"mqttwarn {mqttwarn.VERSION}, {stuck} stuck", [], times.peer, alarms), flush=True)
        page, message = percentile(times.page, 0.99), percentile(times.message, 0.99)
        kept &= promise(f"delivery: page p99, {stuck} targets stuck", page, PAGE_AIM_MS, "ms")
        kept &= promise(f"delivery: message p99, {stuck} targets stuck", message, ATTEMPT_AIM_MS, "ms")
    if peer is None:
        print("mqttwarn: could not be installed; not compared")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
