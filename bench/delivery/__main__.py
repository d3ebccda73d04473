"""How soon somebody can know: from the decision to the page and to the message, beside stuck channels.

`python -m bench.delivery` runs the whole monitor (core, journal with fsync, web, notification) on loopback,
with 0, 5 and 20 targets that hang or drip, and one that works. Each alarm is timed from the instant at which
`advance` decided it: until a signed-in page has it in a frame, and until the working service has the message,
which bounds the start of the first attempt from above. Aims (ALARMS §1.4): page p99 1 s, attempt p99 2 s.

A peer is a row in PEERS. mqttwarn is not among the test dependencies, so it is named and not run: a function
for it publishes the same alarm to a broker that mqttwarn follows, with an HTTP target each, and returns the
seconds from publish to arrival, one for each alarm.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from websockets.sync.client import connect

from monitor import config
from monitor.app.site import Site
from monitor.core import inputs as given

HOST, BED, PERSON = "127.0.0.1", "bed-1", "bench"
STUCK = (0, 5, 20)
PAUSE_S = 0.1
STAYS = 15  # alarms later, an alarm ends

PEERS: dict[str, Callable[[int], list[float]]] = {}


class Times(NamedTuple):
    """Seconds from the decision, one for each alarm."""

    page: list[float]
    message: list[float]


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


def write(folder: Path, addresses: dict[str, str]) -> Path:
    """Write a configuration in which every alarm goes to every target."""
    shutil.copytree(config.default_folder(), folder, dirs_exist_ok=True)
    targets = "".join(
        f'[[notify.targets]]\nid = "{name}"\nurl = "{address}"\ndeadline_s = 2.0\n'
        for name, address in addresses.items()
    )
    names = ", ".join(f'"{name}"' for name in addresses)
    (folder / "clinic.toml").write_text(
        f'[broker]\nport = 9\n[store]\npath = "store"\n[web]\nport = 0\n{targets}'
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


def measure(stuck: int, alarms: int) -> Times:
    """Return the times of `alarms` alarms while `stuck` targets do not answer."""
    good, hanging, dripping = Place("take"), Place("hang"), Place("drip")
    addresses = {f"stuck-{n:02}": (hanging, dripping)[n % 2].address for n in range(stuck)}
    decided: dict[str, float] = {}
    shown: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="afterwatch-bench-") as folder:
        site = Site(config.load(write(Path(folder), {**addresses, "good": good.address})))

        plan = site.messenger.plan  # the loop calls it as soon as `advance` has returned

        def noted(outcomes: Any, *more: Any) -> Any:
            at = time.perf_counter()
            for one in outcomes:
                if one.outcome == "AlarmRaised":
                    decided.setdefault(one.rule, at)
            return plan(outcomes, *more)

        site.messenger.plan = noted
        site.start()
        with page(site, shown, sign_in(site)):
            time.sleep(0.5)
            for number in range(alarms):
                key = f"bench-{number:04}"
                site.monitor.submit(BED, given.ReportCondition(key, "high", f"{key} is an alarm"))
                time.sleep(PAUSE_S)
                if number >= STAYS:  # a page is sent the newest frame only: an alarm must last to be seen
                    site.monitor.submit(BED, given.ClearCondition(f"bench-{number - STAYS:04}"))
            time.sleep(1.5)
        site.monitor.stop()
        site.server.stop()
    for place in (good, hanging, dripping):
        place.close()
    keys = [f"bench-{number:04}" for number in range(alarms)]
    for what, seen in (("a page", shown), ("the service", good.seen)):
        if missing := [key for key in keys if key not in seen]:
            raise SystemExit(f"{len(missing)} alarms did not reach {what}: {missing[:5]}")
    return Times([shown[k] - decided[k] for k in keys], [good.seen[k] - decided[k] for k in keys])


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__.splitlines()[0])
    parser.add_argument("--alarms", type=int, default=100, help="alarms for each row (100)")
    alarms = parser.parse_args().alarms
    measure(0, 5)  # the first run loads every plugin
    print(f"{alarms} alarms a row; milliseconds from the decision; aims: page p99 1000, attempt p99 2000")
    print(f"{'stuck targets':<22}{'page p50':>10}{'p99':>9}{'message p50':>14}{'p99':>9}{'x of 0 stuck':>14}")
    base = 0.0
    for stuck in STUCK:
        times = measure(stuck, alarms)
        middle, most = percentile(times.message, 0.5), percentile(times.message, 0.99)
        base = base or most
        shown = f"{percentile(times.page, 0.5):>10.1f}{percentile(times.page, 0.99):>9.1f}"
        print(f"{stuck:<22}{shown}{middle:>14.1f}{most:>9.1f}{most / base:>14.2f}", flush=True)
    for name, peer in PEERS.items():
        seconds = peer(alarms)
        print(f"{name:<22}{'':>19}{percentile(seconds, 0.5):>14.1f}{percentile(seconds, 0.99):>9.1f}")
    if "mqttwarn" not in PEERS:
        state = (
            "installed, but has no row in PEERS" if importlib.util.find_spec("mqttwarn") else "not installed"
        )
        print(f"mqttwarn: {state}; not compared")


if __name__ == "__main__":
    main()
