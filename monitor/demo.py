"""``afterwatch demo``: a broker, a simulated ward and the wall, on this machine, within a minute.

Law: it is the real monitor with a real broker and real messages; only the patients and their devices are
simulated, by a process of its own that knows us through the broker alone. Everything is marked as a drill.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from monitor import config
from monitor.app.site import Site, new_session_id
from monitor.core import inputs as given
from monitor.core.protocol import Phase
from monitor.core.turn import Bed

HOST = "127.0.0.1"
PERSON = "demo"
ROLES = ("nurse", "clinician", "operator", "admin")
BASELINE_BEFORE = timedelta(minutes=10)


class Demo:
    """One run of the demonstration."""

    def __init__(self, *, port: int, browser: bool, for_s: float | None, beds: int, seed: int) -> None:
        """Keep what was asked for; nothing is started yet."""
        self.port, self.browser, self.for_s, self.beds, self.seed = port, browser, for_s, beds, seed

    def run(self) -> int:
        """Run until the time is over or Ctrl-C; print a summary; return the exit code."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside as by Ctrl-C
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
        for name in ("amqtt", "asyncio", "transitions"):  # the broker's own talk is nobody's concern here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        plan = json.loads(_drill("ward", "--plan", *self._same()))
        with (
            tempfile.TemporaryDirectory(prefix="afterwatch-demo-") as folder,
            _broker() as broker_port,
            _listener() as (message_port, messages),
        ):
            configuration = config.load(self._write(Path(folder), plan, broker_port, message_port))
            site = Site(configuration)
            try:
                site.start()
            except OSError as fault:
                site.stop()
                print(f"port {self.port}: {fault}; use --port 0 for a free one", file=sys.stderr)
                return 4
            _begin_sessions(site, plan)
            ward = self._start_ward(broker_port)
            try:
                self._show(site)
                self._wait(ward)
            finally:
                ward.terminate()
                ward.wait(10)
            raised = site.monitor.raised
            durable = site.stop()
            _sum_up(site, raised, len(messages))
            return 0 if durable and ward.returncode in (0, -15, 1) else 1

    def _same(self) -> tuple[str, ...]:
        return ("--beds", str(self.beds), "--seed", str(self.seed))

    def _write(self, folder: Path, plan: list[dict[str, Any]], broker_port: int, message_port: int) -> Path:
        """Write the configuration of the demonstration, with the protocols that ship."""
        shutil.copytree(config.default_folder() / "protocols", folder / "protocols")
        (folder / "clinic.toml").write_text(
            f'[site]\nid = "demo"\nname = "Demonstration"\n[broker]\nport = {broker_port}\n'
            f'[store]\npath = "store"\n[web]\nport = {self.port}\n'
            f'[[notify.targets]]\nid = "demo-listener"\nurl = "json://{HOST}:{message_port}/"\n'
            '[[notify.routes]]\ntargets = ["demo-listener"]\n',
            encoding="utf-8",
        )
        lines: list[str] = []
        for number, bed in enumerate(plan, 1):
            lines.append(f'[[beds]]\nid = "{bed["bed_id"]}"\nlabel = "Room {number}"\n')
            lines += [
                f'[[devices]]\nid = "{device["device_id"]}"\nbed = "{bed["bed_id"]}"\n'
                f'format = "{device["format"]}"\nmetrics = {json.dumps(device["metrics"])}\n'
                f"expected_interval_s = {float(device['expected_interval_s'])}\n"
                for device in bed["devices"]
            ]
        (folder / "beds.toml").write_text("\n".join(lines), encoding="utf-8")
        return folder

    def _start_ward(self, broker_port: int) -> subprocess.Popen[bytes]:
        broker = f"mqtt://{HOST}:{broker_port}"
        arguments = ["ward", *self._same(), "--broker", broker, "--site", "demo", "--backlog", "--quiet"]
        return subprocess.Popen([sys.executable, "-m", "simulators", *arguments])

    def _show(self, site: Site) -> None:
        site.users.add(PERSON, secrets.token_urlsafe(16), ROLES)
        address = f"http://{HOST}:{site.server.port}"
        link = address + site.users.sign_in_link(PERSON)
        print(
            f"\nAfterwatch demonstration: {self.beds} simulated patients; one needs you within a minute.\n"
            "Secondary notification, not a primary alarm; designed after IEC 60601-1-8, claims no\n"
            "conformity.\n"
            f"\n  {link}\n\nThe link signs you in once. Ctrl-C ends it.",
            flush=True,
        )
        if self.browser:
            webbrowser.open(link)

    def _wait(self, ward: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + self.for_s if self.for_s is not None else None
        try:
            while (end is None or time.monotonic() < end) and ward.poll() is None:
                time.sleep(0.2)
        except KeyboardInterrupt:
            print()


def _drill(*arguments: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "simulators", *arguments], check=True, capture_output=True, text=True
    )
    return made.stdout


def _begin_sessions(site: Site, plan: list[dict[str, Any]]) -> None:
    """Start each bed's session as it stands in the plan: some in mid-dose, some nearly ready."""
    now = site.clock.now()
    for bed in plan:
        first_dose = now - timedelta(minutes=bed["minutes_since_start"])
        protocol = site.configuration.protocols[bed["protocol"]]
        phase: Phase = "baseline"
        start = given.StartSession(
            new_session_id(now),
            bed["patient_code"],
            protocol,
            PERSON,
            mode="drill",
            started_at=min(first_dose, now) - BASELINE_BEFORE,
            phase=phase,
        )
        site.monitor.submit(bed["bed_id"], start).result(10)
        for dose in bed["doses"]:
            at = now - timedelta(minutes=dose["minutes_since"])
            one = given.RecordDose(dose["amount_mg"], dose["route"], PERSON, at=at, reason="demonstration")
            site.monitor.submit(bed["bed_id"], one).result(10)


def _sum_up(site: Site, raised: int, messages: int) -> None:
    recorder = site.monitor.recorder
    print(
        f"readings in {site.monitor.received}, stored {recorder.stored}, alarms raised {raised}, "
        f"notifications delivered {messages}"
    )


@contextmanager
def _broker() -> Iterator[int]:
    """Run amqtt on a free loopback port, in a thread with an event loop of its own."""
    from amqtt.broker import Broker

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 100}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    loop = asyncio.new_event_loop()
    broker: list[Any] = []

    async def start() -> None:
        broker.append(Broker(settings))
        await broker[0].start()

    thread = threading.Thread(target=loop.run_forever, name="demo broker", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(broker[0].shutdown(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextmanager
def _listener() -> Iterator[tuple[int, list[bytes]]]:
    """Run a place on loopback that takes messages, as a pager service would."""
    taken: list[bytes] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer((HOST, 0), Taker)
    threading.Thread(target=server.serve_forever, name="demo listener", daemon=True).start()
    try:
        yield server.server_address[1], taken
    finally:
        server.shutdown()


__all__ = ["Bed", "Demo"]
